#!/usr/bin/env bash
# Starts or stops a Slurm cluster of one node, this machine, on the loopback address. As root.
#
#   tests/cluster/one_node.sh start FOLDER CORES   its state and logs are in FOLDER
#   tests/cluster/one_node.sh stop FOLDER
#
# Needs Debian's munge, slurmctld, slurmd and slurm-client. slurmd and the jobs have a process namespace of
# their own: they do not see the process that submits them, as on another machine.
set -euo pipefail
folder=$2 conf=/etc/slurm/slurm.conf # programs that drop SLURM_CONF look there

if [ "$1" = stop ]; then
    kill "$(cat "$folder/slurmctld.pid")" || true
    kill -KILL "$(cat "$folder/slurmd.pid")" || true # unshare, and with it all that it has started
    rm -f "$conf"
    exit
fi

if [ -e "$conf" ]; then
    echo "There is $conf: this machine is part of a cluster, or one_node.sh has not been stopped." >&2
    exit 1
fi
mkdir -p "$folder/state" "$folder/spool"
cat > "$conf" << END
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-inside.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$3 RealMemory=$(awk '/MemTotal/ {print int($2 / 1024 * .9)}' /proc/meminfo)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
END
if ! munge -n > /dev/null 2>&1; then
    mkdir -p /run/munge && chown munge: /run/munge
    runuser -u munge -- munged
fi
slurmctld
# The shell in it takes the part of init: it waits for processes that have lost their parent.
unshare --pid --fork --kill-child --mount-proc bash -c 'slurmd -D & wait $!' > /dev/null 2>&1 &
echo $! > "$folder/slurmd.pid"
for _ in $(seq 30); do
    [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ] && exit
    sleep 1
done
echo "The node did not become idle:" >&2
sinfo >&2
exit 1
