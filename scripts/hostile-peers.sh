#!/bin/bash
# Connects unauthorized peers to a coordinator with keys: unknown key, revoked key, no key, plain ZeroMQ, random bytes;
# COUNT of each. All must be rejected, no task may be leased, the history may store only their number, the coordinator's
# memory must stay flat, and the run must then end like a run without them. Usage: scripts/hostile-peers.sh [COUNT [DIR]]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/small-run.sh
count=${1:-20000} folder=${2:-$(mktemp -d)}
run=$folder/run port=$((20000 + RANDOM % 12000))
write_run "$folder" 6
trap 'stop "$coordinator"' EXIT
"$bin/ecad-coordinator" keys new good --run-dir "$run" -o "$folder/good.key" > /dev/null
"$bin/ecad-coordinator" keys new bad --run-dir "$run" -o "$folder/bad.key" > /dev/null
"$bin/ecad-coordinator" keys revoke bad --run-dir "$run"
"$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$run" --bind "tcp://127.0.0.1:$port" \
    > /dev/null 2> "$folder/coordinator.log" & coordinator=$!
for _ in $(seq 100); do grep -qs listening "$folder/coordinator.log" && break; sleep 0.1; done
intrude() {
    "$bin/ecad-testing" intrude --coordinator "tcp://127.0.0.1:$port" --revoked-key "$folder/bad.key" --count "$1"
}
memory() { awk '/VmRSS/ { print $2 }' "/proc/$coordinator/status"; }
status=0
# Warm up: buffers that are allocated once for many simultaneous connections are not a leak.
intrude $((count / 20 + 50)) > /dev/null || status=1
before=$(memory)
intrude "$count" || status=1
after=$(memory)
sleep 2
accepted=$(ask "$run" 'select (select count(*) from leases) + (select count(*) from workers)')
rows=$(ask "$run" 'select count(*) from refusals')
"$bin/ecad-worker" run --coordinator "tcp://127.0.0.1:$port" --key "$folder/good.key" --models "$model" --threads 1 \
    --references "$folder/references" --spool "$folder/spool" 2> "$folder/worker.log" || status=1
wait "$coordinator" || status=1
run_without_faults "$folder"
different=$(count_differences "$run" "$folder/baseline")
cat <<RESULT
rejected connections                  $(ask "$run" "select group_concat(reason || ' ' || count, ', ') from refusals")
workers and leases in the history     $accepted
rows of the table refusals            $rows
coordinator memory before, after      $((before / 1024)) MB, $((after / 1024)) MB
differences to the run without faults $different
RESULT
[ "$status $accepted $different" = "0 0 0" ] && [ "$rows" -le 4 ] && [ $((after - before)) -lt 8192 ] ||
    { echo "error: see $folder" >&2; exit 1; }
[ -n "${2:-}" ] || rm -rf "$folder"
