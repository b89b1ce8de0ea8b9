#!/bin/bash
# Peers that must not get in: unknown key, revoked key, no key, plain ZeroMQ, noise; COUNT of each, against a coordinator
# with keys. None is let in, nothing is handed out, the history holds nothing but their number, the coordinator's memory
# stays flat, and the run then goes on as if nothing had been. Usage: scripts/hostile-peers.sh [COUNT [FOLDER]]
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
    "$bin/ecad-worker" intrude --coordinator "tcp://127.0.0.1:$port" --revoked-key "$folder/bad.key" --count "$1"
}
memory() { awk '/VmRSS/ { print $2 }' "/proc/$coordinator/status"; }
status=0
# What a process keeps once it has seen so many at once is no leak.
intrude $((count / 20 + 50)) > /dev/null || status=1
before=$(memory)
intrude "$count" || status=1
after=$(memory)
sleep 2
handed=$(ask "$run" 'select (select count(*) from leases) + (select count(*) from workers)')
rows=$(ask "$run" 'select count(*) from refusals')
"$bin/ecad-worker" run --coordinator "tcp://127.0.0.1:$port" --key "$folder/good.key" --models "$model" --threads 1 \
    --spool "$folder/spool" 2> "$folder/worker.log" || status=1
wait "$coordinator" || status=1
run_undisturbed "$folder"
different=$(count_differences "$run" "$folder/calm")
cat <<RESULT
connections refused                   $(ask "$run" "select group_concat(reason || ' ' || count, ', ') from refusals")
workers entered and leases given      $handed
rows of refusals in the history       $rows
coordinator memory before, after      $((before / 1024)) MB, $((after / 1024)) MB
lines unlike the undisturbed run's    $different
RESULT
[ "$status $handed $different" = "0 0 0" ] && [ "$rows" -le 4 ] && [ $((after - before)) -lt 8192 ] ||
    { echo "error: see $folder" >&2; exit 1; }
[ -n "${2:-}" ] || rm -rf "$folder"
