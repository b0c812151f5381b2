#!/usr/bin/env bash
# A Slurm of two virtual nodes on this machine, listening on loopback only, without systemd; as root.
#   slurm.sh start FOLDER [accounting]     slurm.sh stop FOLDER
# Everything lives in FOLDER but two links in the system's configuration, because Snakemake's
# plugin takes away the variables that could say otherwise.
set -euo pipefail
verb=$1 folder=$2 accounting=${3:-none}
etc=/etc/slurm socket=/run/munge/munge.socket.2
node=$(hostname -s)

stop() {
    timeout 5 scancel --user="$(id -un)" 2>/dev/null || true
    for name in slurmd-n1 slurmd-n2 slurmctld slurmdbd mariadb munged; do
        pidfile=$folder/$name.pid
        [ -s "$pidfile" ] || continue
        pid=$(cat "$pidfile")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null || true
    done
    for file in slurm.conf slurmdbd.conf; do
        [ "$(readlink "$etc/$file" || true)" = "$folder/$file" ] && rm "$etc/$file"
    done
    return 0
}

wait_for() {
    for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    echo "slurm.sh: waited in vain for: $*" >&2
    return 1
}

both_idle() { [ "$(timeout 5 sinfo --noheader --format=%T%D)" = idle2 ]; }

start() {
    if [ -e "$etc/slurm.conf" ] && [ ! -L "$etc/slurm.conf" ]; then
        echo "slurm.sh: this machine has a Slurm of its own" >&2
        exit 3
    fi
    mkdir -p "$folder"/{state,spool,log,db} "$etc" /run/munge
    chmod 755 /run/munge
    (umask 077; head -c 1024 /dev/urandom >"$folder/munge.key")
    munged --force --key-file="$folder/munge.key" --socket="$socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/log/munged.log" \
        --seed-file="$folder/munge.seed"
    storage="AccountingStorageType=accounting_storage/none"
    if [ "$accounting" = accounting ]; then
        storage=$(printf '%s\n' AccountingStorageType=accounting_storage/slurmdbd \
            AccountingStorageHost=localhost AccountingStoragePort=16819)
        start_accounting
    fi
    cat >"$folder/slurm.conf" <<EOF
ClusterName=neurolim
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=16817
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait=5
MinJobAge=600
SlurmdTimeout=300
SlurmctldTimeout=120
$storage
NodeName=n[1-2] NodeHostname=$node NodeAddr=127.0.0.1 Port=[16821-16822] CPUs=2 RealMemory=8000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefMemPerCPU=500 State=UP
EOF
    ln -sfn "$folder/slurm.conf" "$etc/slurm.conf"
    unset SLURM_CONF
    if [ "$accounting" = accounting ]; then
        slurmdbd -D >"$folder/log/slurmdbd.out" 2>&1 </dev/null &
        wait_for timeout 5 sacctmgr --noheader list cluster
        sacctmgr -i add cluster neurolim >/dev/null || true
        sacctmgr -i add account tests Description=tests Organization=tests >/dev/null || true
        sacctmgr -i add user "$(id -un)" Account=tests >/dev/null || true
    fi
    slurmctld </dev/null >"$folder/log/slurmctld.out" 2>&1
    for name in n1 n2; do
        mkdir -p "$folder/spool/$name"
        slurmd -N "$name" </dev/null >"$folder/log/slurmd-$name.out" 2>&1
    done
    wait_for both_idle
}

start_accounting() {
    mariadb-install-db --user=root --datadir="$folder/db" --auth-root-authentication-method=normal \
        >"$folder/log/mariadb-install.log" 2>&1
    mariadbd --no-defaults --user=root --datadir="$folder/db" --socket="$folder/db.sock" \
        --pid-file="$folder/mariadb.pid" --bind-address=127.0.0.1 --port=13306 \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
        >"$folder/log/mariadbd.log" 2>&1 </dev/null &
    wait_for mariadb --socket="$folder/db.sock" --execute="select 1"
    mariadb --socket="$folder/db.sock" --execute="create database slurm_acct_db;
        create user slurm@localhost identified by 'slurm';
        create user slurm@'127.0.0.1' identified by 'slurm';
        grant all on slurm_acct_db.* to slurm@localhost;
        grant all on slurm_acct_db.* to slurm@'127.0.0.1';"
    cat >"$folder/slurmdbd.conf" <<EOF
AuthType=auth/munge
DbdHost=localhost
DbdPort=16819
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
EOF
    chmod 600 "$folder/slurmdbd.conf"
    ln -sfn "$folder/slurmdbd.conf" "$etc/slurmdbd.conf"
}

"$verb"
