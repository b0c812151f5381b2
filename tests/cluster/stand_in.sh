#!/usr/bin/env bash
# A cluster in a few lines:   stand_in.sh submit SCRIPT   prints the number of a job in the background;
#                             stand_in.sh status NUMBER   says how it stands.
jobs=$NEUROLIM_STAND_IN
case $1 in
    submit)
        id=$(date +%s%N)
        cp "$2" "$jobs/$id.sh"
        setsid bash -c "echo \$\$ >'$jobs/$id.pid'; bash '$jobs/$id.sh'; echo \$? >'$jobs/$id.code'" \
            >"$jobs/$id.log" 2>&1 </dev/null &
        echo "$id"
        ;;
    status)
        if [ -s "$jobs/$2.code" ]; then
            [ "$(cat "$jobs/$2.code")" = 0 ] && echo success || echo failed
        elif [ ! -s "$jobs/$2.pid" ] || kill -0 "$(cat "$jobs/$2.pid")" 2>/dev/null; then
            echo running
        else
            echo failed
        fi
        ;;
esac
