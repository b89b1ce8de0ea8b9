#!/bin/bash
# Several hosts on one: a coordinator and two workers in network namespaces of their own, joined by veth pairs, with
# delay and loss where the kernel has netem, keys everywhere; one worker is cut off for 40 s and comes back. Needs root.
# The run must end as it does on one host. Usage: scripts/netns-test.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$(mktemp -d)}
bin=${ECAD_BIN:-$(swift build --show-bin-path)}
model=$PWD/Tests/Fixtures/alpha-micro/model
export OPENBLAS_NUM_THREADS=1
tag=ecad$$
pids=()
cleanup() {
    for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null || true; done
    for n in head w1 w2; do ip netns del "$tag-$n" 2>/dev/null || true; done
    ip link del "$tag" 2>/dev/null || true
}
trap cleanup EXIT
# A bridge in the head's namespace, so that nothing touches this host's own network.
for n in head w1 w2; do ip netns add "$tag-$n"; ip -n "$tag-$n" link set lo up; done
for i in 1 2; do
    ip -n "$tag-head" link add "to$i" type veth peer name up0 netns "$tag-w$i"
    ip -n "$tag-head" addr add "10.77.$i.1/24" dev "to$i"; ip -n "$tag-head" link set "to$i" up
    ip -n "$tag-w$i" addr add "10.77.$i.2/24" dev up0; ip -n "$tag-w$i" link set up0 up
done
netem=none
for i in 1 2; do
    if tc -n "$tag-w$i" qdisc add dev up0 root netem delay 40ms 10ms loss 2% 2> "$folder/tc.log"; then netem="40 ms +- 10 ms, 2 % loss"; fi
done
printf 'a red cube\nA green ball on a table\nsome words\n' > "$folder/prompts.txt"
cat > "$folder/run.toml" <<TOML
[model]
path = "$model"
steps = 5
height = 16
width = 16
[prompts]
calibration = "prompts.txt"
[objectives]
cost = "macs"
[search]
population = 8
generations = ${GENERATIONS:-150}
seed = 7
seeding = ["fora", "random"]
[tasks]
images = 2
schedules = 2
TOML
run=$folder/run
"$bin/ecad-coordinator" keys new w --count 2 --run-dir "$run" --output "$folder/keys" > /dev/null
ip netns exec "$tag-head" "$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$run" \
    --bind tcp://0.0.0.0:5555 > "$folder/front.txt" 2> "$folder/coordinator.log" & coordinator=$!; pids+=("$coordinator")
for i in 1 2; do
    ip netns exec "$tag-w$i" "$bin/ecad-worker" run --coordinator "tcp://10.77.$i.1:5555" --key "$folder/keys/w-$i.key" \
        --models "$model" --threads 1 --spool "$folder/spool-$i" 2> "$folder/worker-$i.log" & pids+=("$!")
done
sleep 8
ip -n "$tag-head" link set to1 down; echo "worker 1 cut off" >&2
sleep "${CUT:-40}"
ip -n "$tag-head" link set to1 up; echo "worker 1 is back" >&2
wait "$coordinator" || { tail -3 "$folder/coordinator.log"; exit 1; }
"$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$folder/calm" --bind tcp://127.0.0.1:0 --workers 1 \
    > /dev/null 2> "$folder/calm.log"
ask() { sqlite3 "$1/history.sqlite" "$2"; }
decisions="select c.id, hex(c.genome), c.origin, e.cost, e.quality from candidates c left join evaluations e on
    e.candidate_id = c.id order by c.id; select number, hex(search_state) from generations order by number"
different=$(diff <(ask "$run" "$decisions") <(ask "$folder/calm" "$decisions") | grep -c '^[<>]' || true)
cat <<RESULT
netem                                 $netem
tasks done by each worker             $(ask "$run" "select group_concat(n, ', ') from (select count(*) n from tasks where state = 'done' group by worker_id)")
leases lost while cut off             $(ask "$run" "select count(*) from leases where outcome in ('lost', 'expired')")
lines unlike the run on one host      $different
RESULT
[ "$different" = 0 ]
