#!/bin/bash
# The kill storm: a run whose coordinator and workers are killed (kill -9) at random moments, over and over, until it is
# complete; then compared with the same run left alone. Usage: scripts/chaos.sh [KILLS] [WORKERS] [FOLDER]
# Prints what was lost, counted twice, or came out differently; exit status 0 if nothing was.
set -euo pipefail
cd "$(dirname "$0")/.."
kills=${1:-1000} workers=${2:-2} folder=${3:-$(mktemp -d)}
bin=${ECAD_BIN:-$(swift build --show-bin-path)}
model=$PWD/Tests/Fixtures/alpha-micro/model
export OPENBLAS_NUM_THREADS=1
mkdir -p "$folder"
printf 'a red cube\nA green ball on a table\nsome words\n' > "$folder/prompts.txt"
# Long enough for the storm: it is cut to length when the kills are done (resume takes what the configuration says).
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
generations = ${GENERATIONS:-$((kills / 2))}
seed = 7
seeding = ["fora", "random"]
[tasks]
images = 2
schedules = 2
TOML
run=$folder/storm calm=$folder/calm
port=$((20000 + RANDOM % 20000))
declare -A pid
start_coordinator() {
    if [ -e "$run/history.sqlite" ] && sqlite3 "$run/history.sqlite" 'select 1 from generations limit 1' 2>/dev/null | grep -q 1; then
        "$bin/ecad-coordinator" resume --run-dir "$run" --bind "tcp://127.0.0.1:$port" >> "$folder/coordinator.log" 2>&1 &
    else
        rm -rf "$run"
        "$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$run" --bind "tcp://127.0.0.1:$port" \
            >> "$folder/coordinator.log" 2>&1 &
    fi
    pid[coordinator]=$!
}
start_worker() {
    "$bin/ecad-worker" run --coordinator "tcp://127.0.0.1:$port" --models "$model" --threads 1 --name "w$1" \
        --spool "$folder/spool-$1" >> "$folder/worker-$1.log" 2>&1 &
    pid[$1]=$!
}
stop_all() { for p in "${pid[@]}"; do kill -9 "$p" 2>/dev/null || true; done; }
trap stop_all EXIT
start_coordinator
for w in $(seq "$workers"); do start_worker "$w"; done
killed=0 last=$SECONDS
while kill -0 "${pid[coordinator]}" 2>/dev/null; do
    if [ "$killed" -ge "$kills" ]; then
        sleep 0.5
        for w in $(seq "$workers"); do kill -0 "${pid[$w]}" 2>/dev/null || start_worker "$w"; done
        continue
    fi
    sleep "0.$((RANDOM % 7))$((RANDOM % 10))"
    victim=$((RANDOM % (workers + 1)))
    [ "$victim" = 0 ] && name=coordinator || name=$victim
    kill -0 "${pid[$name]}" 2>/dev/null || { wait "${pid[$name]}" && ended=0 || ended=$?
        [ "$name" = coordinator ] && break; start_worker "$name"; continue; }
    kill -9 "${pid[$name]}"; wait "${pid[$name]}" 2>/dev/null || true
    killed=$((killed + 1))
    if [ "$name" = coordinator ]; then start_coordinator; else start_worker "$name"; fi
    if [ $((SECONDS - last)) -ge 30 ]; then
        last=$SECONDS
        done=$(sqlite3 "$run/history.sqlite" "select count(*) from tasks where state = 'done'" 2>/dev/null || echo 0)
        echo "$killed kills, $done tasks done" >&2
    fi
done
wait "${pid[coordinator]}" || { tail -3 "$folder/coordinator.log"; echo "the coordinator failed"; exit 1; }
echo "storm over after $killed kills; now the same run undisturbed" >&2
"$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$calm" --bind tcp://127.0.0.1:0 --workers 1 \
    > /dev/null 2> "$folder/calm.log"
ask() { sqlite3 "$1/history.sqlite" "$2"; }
# Every acknowledgement a worker saw was for a result in the history if its task is done: count tasks without one.
lost=$(ask "$run" "select count(*) from tasks where state <> 'done'")
images=$(ask "$run" "select 3 * count(*) from candidates")
twice=$(( $(ask "$run" "select count(*) from image_timings") - images ))
missing=$(( images - $(ask "$run" "select count(*) from image_scores") ))
decisions="select c.id, c.generation, hex(c.genome), c.origin, c.operator, c.parent_a, c.parent_b, e.cost, e.quality
    from candidates c left join evaluations e on e.candidate_id = c.id order by c.id;
    select number, hex(search_state), hypervolume from generations order by number"
different=$(diff <(ask "$run" "$decisions") <(ask "$calm" "$decisions") | grep -c '^[<>]' || true)
cat <<RESULT
kills                                 $killed
tasks done                            $(ask "$run" "select count(*) from tasks where state = 'done'")
leases given                          $(ask "$run" "select count(*) from leases")
results lost                          $((lost + missing))
results counted twice                 $twice
lines unlike the undisturbed run's    $different
RESULT
[ "$((lost + missing + twice + different))" = 0 ]
