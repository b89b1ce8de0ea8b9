#!/bin/bash
# Injects faults of the coordinator's machine: full disk, read-only disk, vanishing disk, network file system, second
# coordinator, jumping clock. Each must end the coordinator with a clear error and an intact history, or have no effect.
# Afterwards the run resumes and must end like the same run without faults. Needs root (it mounts file systems); installs
# Debian's bindfs and faketime if missing. Usage: scripts/faults-test.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "error: mounting file systems needs root" >&2; exit 1; }
command -v bindfs faketime > /dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends bindfs faketime > /dev/null
}
. scripts/small-run.sh
folder=${1:-$(mktemp -d)}
write_run "$folder" "${GENERATIONS:-16}"
port=$((20000 + RANDOM % 12000))
disk=$folder/disk shared=$folder/shared
mkdir -p "$disk" "$shared"
worker= coordinator=
cleanup() {
    stop ${worker:+"$worker"} ${coordinator:+"$coordinator"}
    umount "$disk" 2> /dev/null || true
    umount "$shared" 2> /dev/null || true
}
trap cleanup EXIT
failures=0
check_result() { # NAME EXPECTED-STATUS STATUS TEXT FILE
    local line
    line=$(grep -a "error" "$5" | tail -n 1 || true)
    if [ "$2" = "$3" ] && grep -qa "$4" "$5"; then echo "$1: ok: ${line:-exit status $3}"; else
        echo "$1: FAILED: exit status $3, expected $2 and \"$4\": $(tail -n 1 "$5")"; failures=$((failures + 1))
    fi
}
start_coordinator() { # RUN LOG [ENVIRONMENT...]
    local run=$1 log=$2; shift 2
    if [ -e "$run/history.sqlite" ]; then set -- "$@" "$bin/ecad-coordinator" resume --run-dir "$run"
    else set -- "$@" "$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$run"; fi
    env "$@" --bind "tcp://127.0.0.1:$port" > /dev/null 2> "$log" & coordinator=$!
}
start_worker() {
    "$bin/ecad-worker" run --coordinator "tcp://127.0.0.1:$port" --models "$model" --threads 1 --name w \
        --references "$folder/references" --spool "$folder/spool" 2>> "$folder/worker.log" & worker=$!
}
tasks() { ask "$1" "select count(*) from tasks where state = 'done'" 2> /dev/null || echo 0; }
wait_for_tasks() { for _ in $(seq 300); do [ "$(tasks "$1")" -ge "$2" ] && return; sleep 0.1; done; }
check_history() { # NAME RUN
    local different integrity
    different=$(count_differences "$2" "$folder/baseline")
    integrity=$(ask "$2" 'pragma integrity_check')
    [ "$different $integrity" = "0 ok" ] || failures=$((failures + 1))
    echo "$1: integrity $integrity, differences to the run without faults $different"
}
run_without_faults "$folder"

# Full disk: room only for the start of the run.
mount -t tmpfs -o size="${DISK:-380k}" tmpfs "$disk"
start_worker
start_coordinator "$disk/run" "$folder/full.log"
status=0; wait "$coordinator" || status=$?
check_result "full disk" 1 "$status" "disk full" "$folder/full.log"
[ "$(ask "$disk/run" 'pragma integrity_check')" = ok ] || { echo "full disk: DAMAGED"; failures=$((failures + 1)); }
mount -o remount,size=64m "$disk"
start_coordinator "$disk/run" "$folder/full-2.log"

status=0; wait "$coordinator" || status=$?
check_result "full disk, enlarged" 0 "$status" "" "$folder/full-2.log"
check_history "full disk" "$disk/run"
wait "$worker" || true; worker=

# Read-only disk.
rm -rf "$disk/run"
write_stopped_run() { # a run with some tasks done
    start_worker
    start_coordinator "$1" "$folder/begin.log"
    wait_for_tasks "$1" 30
    kill "$coordinator"; wait "$coordinator" || true
}
write_stopped_run "$disk/run"
mount -o remount,ro "$disk"
start_coordinator "$disk/run" "$folder/read-only.log"
status=0; wait "$coordinator" || status=$?
check_result "read-only disk" 1 "$status" "cannot write" "$folder/read-only.log"
mount -o remount,rw "$disk"

# Vanishing disk: the process of its file system is killed.
bindfs "$disk" "$shared" -o fsname=test
process=$(pgrep -n -x bindfs)
start_coordinator "$shared/run" "$folder/vanished.log"
wait_for_tasks "$shared/run" $(($(tasks "$disk/run") + 30))
kill -9 "$process"
status=0; wait "$coordinator" || status=$?
check_result "vanishing disk" 1 "$status" "history.sqlite" "$folder/vanished.log"
umount "$shared"

# Network file system, by the type the kernel reports: sshfs here.
bindfs "$disk" "$shared" -o subtype=sshfs
start_coordinator "$shared/run" "$folder/network.log"
status=0; wait "$coordinator" || status=$?
check_result "network file system" 1 "$status" "network file system" "$folder/network.log"
umount "$shared"

# Second coordinator, then a clock that jumps a day ahead and two days back during the run.
echo "+0" > "$folder/clock"
# timeout: libfaketime drops the arguments of the first program it is loaded into.
start_coordinator "$disk/run" "$folder/jump.log" LD_PRELOAD="$(dpkg -L libfaketime | grep 'libfaketime.so.1$')" \
    FAKETIME_TIMESTAMP_FILE="$folder/clock" FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1 timeout 600
first=$coordinator
for _ in $(seq 100); do grep -qs listening "$folder/jump.log" && break; sleep 0.1; done
status=0
"$bin/ecad-coordinator" resume --run-dir "$disk/run" --bind tcp://127.0.0.1:0 > /dev/null 2> "$folder/second.log" || status=$?
check_result "second coordinator" 1 "$status" "in use by another coordinator" "$folder/second.log"
coordinator=$first
leases=$(ask "$disk/run" "select count(*) from leases where outcome in ('lost', 'expired')")
jump() { wait_for_tasks "$disk/run" $(($(tasks "$disk/run") + 20)); echo "$1" > "$folder/clock"; }
jump +1d
jump -1d
status=0; wait "$coordinator" || status=$?
check_result "jumping clock" 0 "$status" "" "$folder/jump.log"
span=$(ask "$disk/run" "select round((max(leased_at) - min(leased_at)) / 86400) from leases")
leases=$(($(ask "$disk/run" "select count(*) from leases where outcome in ('lost', 'expired')") - leases))
echo "jumping clock: leases lost $leases, days between the first and the last lease $span"
[ "$leases" = 0 ] && [ "${span%.*}" -ge 1 ] || failures=$((failures + 1))
check_history "all faults" "$disk/run"
wait "$worker" || true; worker=
echo "failures: $failures"
[ "$failures" = 0 ] || { echo "error: see $folder" >&2; trap - EXIT; cleanup; exit 1; }
cleanup
trap - EXIT
[ -n "${1:-}" ] || rm -rf "$folder"
