#!/bin/bash
# Kills (kill -9) the coordinator and the workers of a run at random moments, lets the run finish, and compares it with
# the same run without faults. Usage: scripts/chaos.sh [KILLS [WORKERS [DIR]]]
# Environment: PAUSE, the longest pause between two kills in seconds (default 2); GENERATIONS, high enough for the run to
# outlast the kills.
#
# Lost results: results that a worker saw acknowledged (logged by ecad-worker run --log-level debug) whose images are missing from the
# history. Results counted twice: images with two results, tasks acknowledged as new twice. The checks are tested as well:
# they must detect damage in copies of the history. Exit status 0 if all checks pass.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/small-run.sh
kills=${1:-1000} workers=${2:-2} folder=${3:-$(mktemp -d)}
run=$folder/run baseline=$folder/baseline
port=$((20000 + RANDOM % 12000))
write_run "$folder" "${GENERATIONS:-$((10 * kills + 5))}"

declare -A pid
start_coordinator() {
    # A run that was killed before its first generation was stored cannot be resumed.
    if [ "$(ask "$run" 'select count(*) from generations' 2> /dev/null || echo 0)" -gt 0 ]; then
        set -- resume --run-dir "$run"
    else
        rm -rf "$run"
        set -- run --config "$folder/run.toml" --run-dir "$run"
    fi
    "$bin/ecad-coordinator" "$@" --bind "tcp://127.0.0.1:$port" >> "$folder/coordinator.log" 2>&1 &
    pid[coordinator]=$!
}
start_worker() {
    "$bin/ecad-worker" run --coordinator "tcp://127.0.0.1:$port" --models "$model" --threads 1 --name "w$1" \
        --log-level debug --references "$folder/references" --spool "$folder/spool-$1" >> "$folder/worker-$1.log" 2>&1 &
    pid[$1]=$!
}
start() { if [ "$1" = coordinator ]; then start_coordinator; else start_worker "$1"; fi; }
trap 'stop "${pid[@]}"' EXIT

start_coordinator
for w in $(seq "$workers"); do start_worker "$w"; done
declare -A killed
total=0 last=$SECONDS
while kill -0 "${pid[coordinator]}" 2> /dev/null; do
    if [ "$total" -lt "$kills" ]; then
        sleep "$(awk -v r="$RANDOM" -v p="${PAUSE:-2}" 'BEGIN { print p * r / 32768 }')"
        names=(coordinator $(seq "$workers"))
        victim=${names[RANDOM % (workers + 1)]}
        if kill -9 "${pid[$victim]}" 2> /dev/null; then
            status=0; wait "${pid[$victim]}" 2> /dev/null || status=$?
            # 137: ended by the kill. Any other status: the process had ended before.
            if [ "$status" = 137 ]; then
                total=$((total + 1)) killed[$victim]=$((${killed[$victim]:-0} + 1))
                start "$victim"
            elif [ "$victim" = coordinator ]; then
                break
            fi
        fi
    else
        sleep 0.3
    fi
    for w in $(seq "$workers"); do
        kill -0 "${pid[$w]}" 2> /dev/null || { wait "${pid[$w]}" 2> /dev/null || true; start_worker "$w"; }
    done
    if [ $((SECONDS - last)) -ge 60 ]; then
        last=$SECONDS
        echo "$total kills, $(ask "$run" "select count(*) from tasks where state = 'done'" 2> /dev/null || echo no) tasks done" >&2
    fi
done
wait "${pid[coordinator]}" || { tail -n 3 "$folder/coordinator.log" >&2; echo "error: the coordinator failed" >&2; exit 1; }
# A worker that started after the coordinator ended is still waiting for one.
for w in $(seq "$workers"); do kill "${pid[$w]}" 2> /dev/null || true; wait "${pid[$w]}" 2> /dev/null || true; done
echo "all kills done; repeating the run without faults" >&2
run_without_faults "$folder"

# Lines "TASK LEASE" of results that were acknowledged as new, without the contact sheet (task 0).
sed -nE 's/^.*: result acknowledged lease=([0-9]+) task=([1-9][0-9]*).*$/\2 \1/p' "$folder"/worker-*.log \
    > "$folder/acknowledged.txt"

# with_acknowledged RUN-FOLDER: runs a query from standard input with a table of the acknowledged results. Not as an
# argument: thousands of tasks are too long for a command line.
with_acknowledged() {
    { echo 'create temp table acknowledged (task integer, lease integer);'
      awk '{ printf "insert into acknowledged values (%d, %d);\n", $1, $2 }' "$folder/acknowledged.txt"
      cat; } | ask "$1"
}
# Acknowledged tasks whose results are not completely in the history.
lost_in() {
    with_acknowledged "$1" <<SQL
        select count(*) from (select distinct task from acknowledged) a
        left join tasks t on t.id = a.task
        where t.id is null or t.state <> 'done'
            or t.images <> (select count(*) from image_timings m where m.task_id = t.id)
            or t.images * (select count(distinct scorer) from image_scores) <> (select count(*) from image_timings m
                join image_scores s using (candidate_id, prompt_id, seed) where m.task_id = t.id)
SQL
}
duplicates_in() {
    ask "$1" "select count(*) from (select 1 from image_timings group by candidate_id, prompt_id, seed having count(*) > 1)"
}
unevaluated_in() {
    ask "$1" "select count(*) from candidates c left join evaluations e on e.candidate_id = c.id
        where e.images is null or e.images <> 3"
}
# Rechecks of a task are acknowledged too, but their leases are not in the history.
acknowledged_twice=$(with_acknowledged "$run" <<< 'select count(*) from (select task from acknowledged
    join leases on task_id = task and epoch = lease group by task having count(distinct lease) > 1);')
lost=$(lost_in "$run") twice=$(($(duplicates_in "$run") + acknowledged_twice)) unevaluated=$(unevaluated_in "$run")
different=$(count_differences "$run" "$baseline")

# Test the checks: each must detect this damage.
undetected=0
damage() {
    rm -rf "$folder/damaged"; mkdir "$folder/damaged"
    sqlite3 "$run/history.sqlite" ".backup '$folder/damaged/history.sqlite'"
    sqlite3 "$folder/damaged/history.sqlite" "pragma foreign_keys = off; pragma ignore_check_constraints = on; $1"
}
task=$(head -n 1 "$folder/acknowledged.txt" | cut -d ' ' -f 1)
image="(candidate_id, prompt_id, seed) = (select candidate_id, prompt_id, seed from image_timings where task_id = $task limit 1)"
damage "delete from image_scores where $image"
[ "$(lost_in "$folder/damaged")" = 1 ] || { undetected=1; echo "error: a lost score was not detected" >&2; }
damage "update tasks set state = 'pending' where id = $task"
[ "$(lost_in "$folder/damaged")" = 1 ] || { undetected=1; echo "error: a lost task was not detected" >&2; }
damage "insert into image_timings select candidate_id, prompt_id, seed, (select max(id) from tasks), worker_id,
    denoise_seconds, reference_seconds, decode_seconds from image_timings where task_id = $task limit 1"
[ "$(duplicates_in "$folder/damaged")" = 1 ] || { undetected=1; echo "error: an image counted twice was not detected" >&2; }
damage "update image_scores set value = value + 1e-9 where scorer = 'psnr' and $image"
[ "$(count_differences "$folder/damaged" "$baseline")" = 2 ] || { undetected=1; echo "error: a changed score was not detected" >&2; }
rm -rf "$folder/damaged"

cat <<RESULT
kills                                 $total ($(for name in "${!killed[@]}"; do echo -n "$name ${killed[$name]} "; done | sed 's/ $//'))
tasks done                            $(ask "$run" "select count(*) from tasks where state = 'done'")
leases granted                        $(ask "$run" "select count(*) from leases")
results acknowledged                  $(wc -l < "$folder/acknowledged.txt")
acknowledged results lost             $lost
results counted twice                 $twice
candidates without an evaluation      $unevaluated
differences to the run without faults $different
RESULT
[ "$total" -ge "$kills" ] || { echo "error: the run finished after $total of $kills kills; set GENERATIONS higher" >&2; exit 1; }
[ "$undetected $lost $twice $unevaluated $different" = "0 0 0 0 0" ] || { echo "error: see $folder" >&2; exit 1; }
[ -s "$folder/acknowledged.txt" ]
[ -n "${3:-}" ] || rm -rf "$folder"
