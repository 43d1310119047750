#!/usr/bin/env bash
# Starts or stops a Slurm cluster of one node, this machine, on the loopback address. As root.
#
#   tests/cluster/one_node.sh start FOLDER [CORES]   its state lies in FOLDER; exports SLURM_CONF=FOLDER/slurm.conf
#   tests/cluster/one_node.sh stop FOLDER
#
# Needs Debian's munge, slurmctld, slurmd and slurm-client.
set -euo pipefail
folder=$2 cores=${3:-$(nproc)}

if [ "$1" = stop ]; then
    for name in slurmctld slurmd; do
        [ -f "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" || true
    done
    exit
fi

mkdir -p "$folder/state" "$folder/spool"
cat > "$folder/slurm.conf" << END
ClusterName=one
SlurmctldHost=$(hostname -s)(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$(awk '/MemTotal/ {print int($2 / 1024 * .9)}' /proc/meminfo)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE
END
export SLURM_CONF=$folder/slurm.conf
if ! munge -n > /dev/null 2>&1; then
    mkdir -p /run/munge && chown munge: /run/munge
    runuser -u munge -- munged
fi
slurmctld
slurmd
for _ in $(seq 30); do
    [ "$(sinfo --noheader --format=%T 2> /dev/null)" = idle ] && exit
    sleep 1
done
echo "The node did not become idle:" >&2
sinfo >&2
exit 1
