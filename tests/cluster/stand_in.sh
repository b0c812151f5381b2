#!/usr/bin/env bash
# A cluster in a few lines: runs a job script in the background and prints a number for it.
script=${*: -1}
id=$(date +%s%N)
copy=$NEUROLIM_STAND_IN/$id.sh
cp "$script" "$copy"
setsid bash "$copy" >"$NEUROLIM_STAND_IN/$id.log" 2>&1 </dev/null &
echo "$id"
