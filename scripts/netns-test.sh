#!/bin/bash
# Runs a coordinator and two workers, with keys, in three network namespaces. veth pairs connect them to a router with a
# bad link (40 ms +- 10 ms each way, 2 % packet loss). One worker is disconnected for 40 s. The run must end like the same
# run on one host. Needs root, iproute2, python3. Usage: scripts/netns-test.sh [DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "error: network namespaces need root" >&2; exit 1; }
. scripts/small-run.sh
folder=${1:-$(mktemp -d)}
delay=${DELAY:-40} jitter=${JITTER:-10} loss=${LOSS:-2}
run=$folder/run tag=ecad$$
mkdir -p "$folder"
cleanup() {
    for n in head w1 w2 router; do
        ip netns pids "$tag-$n" 2> /dev/null | xargs -r kill -9 2> /dev/null || true
        ip netns del "$tag-$n" 2> /dev/null || true
    done
    wait 2> /dev/null || true
}
trap cleanup EXIT
in_namespace() { local namespace=$1; shift; ip netns exec "$tag-$namespace" "$@"; }
for n in router head w1 w2; do ip netns add "$tag-$n"; ip -n "$tag-$n" link set lo up; done
in_namespace router sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
in_namespace router python3 scripts/lossy_link.py delay0 "$delay" "$jitter" "$loss" > "$folder/link.log" &
for _ in $(seq 100); do grep -q ready "$folder/link.log" && break; sleep 0.1; done
ip -n "$tag-router" link set delay0 up
ip -n "$tag-router" route add default dev delay0 table 7
# head 10.77.0.2, w1 10.77.1.2, w2 10.77.2.2. Packets from each of them pass the bad link once before they are routed.
number=0
for n in head w1 w2; do
    ip -n "$tag-router" link add "to-$n" type veth peer name up0 netns "$tag-$n"
    ip -n "$tag-router" addr add "10.77.$number.1/24" dev "to-$n"; ip -n "$tag-router" link set "to-$n" up
    ip -n "$tag-$n" addr add "10.77.$number.2/24" dev up0; ip -n "$tag-$n" link set up0 up
    ip -n "$tag-$n" route add default via "10.77.$number.1"
    ip -n "$tag-router" rule add iif "to-$n" table 7
    number=$((number + 1))
done
write_run "$folder" "${GENERATIONS:-100}"
"$bin/ecad-coordinator" keys new w --count 2 --run-dir "$run" --output "$folder/keys" > /dev/null
in_namespace head "$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$run" --bind tcp://0.0.0.0:5555 \
    > "$folder/front.txt" 2> "$folder/coordinator.log" & coordinator=$!
for i in 1 2; do
    in_namespace "w$i" "$bin/ecad-worker" run --coordinator tcp://10.77.0.2:5555 --key "$folder/keys/w-$i.key" \
        --models "$model" --threads 1 --references "$folder/references" --spool "$folder/spool-$i" 2> "$folder/worker-$i.log" &
done
until [ "$(ask "$run" "select count(*) from tasks where state = 'done'" 2> /dev/null || echo 0)" -ge 20 ]; do
    kill -0 "$coordinator" || { tail -n 3 "$folder/coordinator.log" >&2; exit 1; }
    sleep 0.5
done
trip=$(in_namespace w2 python3 -c '
import socket, statistics, time
def connect():
    start = time.monotonic()
    socket.create_connection(("10.77.0.2", 5555)).close()
    return 1000 * (time.monotonic() - start)
print(round(statistics.median(connect() for _ in range(15))))')
ip -n "$tag-router" link set to-w1 down; echo "worker 1 is disconnected" >&2
sleep "${CUT:-40}"
ip -n "$tag-router" link set to-w1 up; back=$(date +%s.%N); echo "worker 1 is reconnected" >&2
wait "$coordinator" || { tail -n 3 "$folder/coordinator.log" >&2; exit 1; }
ip netns pids "$tag-router" | xargs -r kill -TERM
run_without_faults "$folder"
by_worker() {
    ask "$run" "select count(*) from tasks t join workers w on w.id = t.worker_id where w.name = 'w-$1' and t.state = 'done' and $2"
}
# A silent worker's task is leased to the other worker within seconds, long before its own lease expires.
lost=$(ask "$run" "select count(*) from leases where outcome in ('lost', 'expired', 'superseded')")
expired=$(grep -c 'w-1: no message for' "$folder/coordinator.log" || true)
again=$(by_worker 1 "t.finished_at > $back") different=$(count_differences "$run" "$folder/baseline")
cat <<RESULT
round trip of a TCP handshake         $trip ms
packets over the link                 $(tail -n 1 "$folder/link.log")
tasks done by worker 1, by worker 2   $(by_worker 1 true), $(by_worker 2 true)
leases that ended without a result    $lost, worker 1 expired $expired times
tasks of worker 1 after reconnecting  $again
differences to the run on one host    $different
RESULT
[ "$different" = 0 ] && [ "$lost" -gt 0 ] && [ "$expired" -gt 0 ] && [ "$again" -gt 0 ] || { echo "error: see $folder" >&2; exit 1; }
[ -n "${1:-}" ] || rm -rf "$folder"
