#!/bin/bash
# Tests the recipes of cluster/slurm on a private one-node Slurm (slurmctld, slurmd and munge with their files in DIR): a
# coordinator job and an array of workers; a worker and the coordinator are requeued, and another worker reaches its time
# limit (SIGUSR1, drained, requeued). The run must end like the same run without Slurm. Takes about three minutes.
# Needs root; installs Debian's slurm-wlm and munge if missing. Usage: scripts/slurm-test.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "error: a private Slurm needs root" >&2; exit 1; }
command -v slurmctld slurmd munged > /dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge > /dev/null
}
. scripts/small-run.sh
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"/{state,spool,share,munge}
chmod 755 "$folder"
host=$(hostname -s)
cores=$(nproc)

# Slurm
dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
chown -R munge: "$folder/munge"; chmod 700 "$folder/munge"; chmod 600 "$folder/munge/key"; chmod 711 "$folder/munge"
cat > "$folder/slurm.conf" <<CONF
ClusterName=ecadtest
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,requeue_delay=1
SlurmdParameters=config_overrides
MinJobAge=3600
KillWait=5
ReturnToService=2
NodeName=$host CPUs=64 State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
echo "CgroupAutomount=no" > "$folder/cgroup.conf"
cleanup() {
    # slurmd ends the processes of the jobs, so it must stop last.
    scancel -u root 2> /dev/null || true
    for _ in $(seq 20); do [ -n "$(squeue -h 2> /dev/null)" ] || break; sleep 0.5; done
    # slurmctld writes its state when it stops: wait before the directory is removed.
    local name pid
    for name in slurmd slurmctld; do
        [ -s "$folder/$name.pid" ] || continue
        pid=$(cat "$folder/$name.pid")
        kill "$pid" 2> /dev/null || true
        for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
    done
    [ ! -s "$folder/munge/pid" ] || kill "$(cat "$folder/munge/pid")" 2> /dev/null || true
}
trap cleanup EXIT
setpriv --reuid=munge --regid=munge --clear-groups munged --key-file="$folder/munge/key" \
    --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" \
    --seed-file="$folder/munge/seed" --force
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 60); do sinfo -h -o %T 2> /dev/null | grep -q idle && break; sleep 0.5; done
sinfo -h -o %T | grep -q idle || { tail -n 5 "$folder"/slurm*.log >&2; echo "error: Slurm did not start" >&2; exit 1; }

# The steps of cluster/slurm/README.md.
write_run "$folder/share" "${GENERATIONS:-200}"
export ECAD=$bin ECAD_SHARE=$folder/share ECAD_RUN=$folder/local/run ECAD_PORT=$((20000 + RANDOM % 12000))
"$bin/ecad-coordinator" keys new worker --count 3 --keys "$ECAD_SHARE/keys" --output "$ECAD_SHARE/worker-keys" > /dev/null
submit() { sbatch --parsable --mem=0 --cpus-per-task=1 --output="$folder/%x-%a.out" "$@"; }
coordinator=$(submit --time=30 cluster/slurm/coordinator.sbatch)
workers=$(submit --time=30 --array=1-2 cluster/slurm/workers.sbatch)
# One minute, with the signal 35 s before the limit.
short=$(submit --time=1 --signal=B:USR1@35 --array=3 cluster/slurm/workers.sbatch)
progress() { ask "$ECAD_RUN" "select count(*) from tasks where state = 'done'" 2> /dev/null || echo 0; }
wait_for() {
    for _ in $(seq 240); do [ "$(progress)" -ge "$1" ] && return; sleep 0.5; done
    squeue >&2; tail -n 3 "$ECAD_SHARE/coordinator.log" >&2; echo "error: fewer than $1 tasks done after 120 s" >&2; exit 1
}
state() { scontrol -o show job "$1" | sed -nE 's/.*JobState=([A-Z]+).*/\1/p' | tail -n 1; }
restarts() { scontrol -o show job "$1" | sed -nE 's/.*Restarts=([0-9]+).*/\1/p' | tail -n 1; }
wait_for 20
scontrol requeue "${workers}_1"; echo "worker 1 requeued" >&2
wait_for $(($(progress) + 20))
before=$(progress)
scontrol requeue "$coordinator"; echo "coordinator requeued after $before tasks" >&2
for _ in $(seq "${LIMIT:-600}"); do
    [ "$(state "$coordinator")" != COMPLETED ] || break
    sleep 1
done
coordinator_state=$(state "$coordinator")
for _ in $(seq 60); do [ -z "$(squeue -h -j "$workers,$short" 2> /dev/null)" ] && break; sleep 1; done
run_without_faults "$ECAD_SHARE"
different=$(count_differences "$ECAD_SHARE" "$ECAD_SHARE/baseline")
drained=$(grep -l 'shutting down' "$folder"/ecad-worker-3.out | wc -l)
lost=$(ask "$ECAD_SHARE" "select count(*) from leases l join workers w on w.id = l.worker_id
    where w.name = 'worker-3' and l.outcome = 'lost'")
cat <<RESULT
coordinator job                       $coordinator_state, restarts $(restarts "$coordinator")
workers                               $(for w in "${workers}_1" "${workers}_2" "${short}_3"; do echo -n "$(state "$w"), restarts $(restarts "$w"); "; done)
worker with the short limit drained   $([ "$drained" -gt 0 ] && echo yes || echo no), lost leases: $lost
tasks done per worker                 $(ask "$ECAD_SHARE" "select group_concat(n, ', ') from (select count(*) n from tasks where state = 'done' group by worker_id)")
history on the share                  $(cat "$ECAD_SHARE/where"), $(ask "$ECAD_SHARE" "select status from runs")
differences to the run without Slurm  $different
RESULT
[ "$coordinator_state" = COMPLETED ] && [ "$(restarts "$coordinator")" -ge 1 ] && [ "$(restarts "${workers}_1")" -ge 1 ] &&
    [ "$drained $lost $different" = "1 0 0" ] && [ "$(restarts "${short}_3")" -ge 1 ] || { echo "error: see $folder" >&2; exit 1; }
[ -n "${1:-}" ] || { cleanup; trap - EXIT; rm -rf "$folder"; }
