#!/usr/bin/env bash
# Measures a checkpoint on a GPU in under five minutes: images per second by batch size, the wall speed-up of schedules beside the ratio of
# their arithmetic, and a calibration of two minutes by the PyTorch worker, with the seconds that each kind of task took.
#
#     ECAD_BIN=.build/release scripts/diffusers-gpu.sh CHECKPOINT SCHEDULE.json...
#
# CHECKPOINT is a model directory, such as scripts/make_random_checkpoint.py writes it. The calibration needs `ecad-coordinator` in ECAD_BIN
# and is left out without. ECAD_DIFFUSERS_VENV names an environment with what the package cluster/diffusers needs (default: python3);
# DEVICE (cuda), DTYPE (bfloat16), BATCHES ("1 8 32 64"), WORKER_BATCH (64), POPULATION (24), SECONDS_OF_CALIBRATION (120) and LIMIT, the
# seconds of the whole script (SECONDS_OF_CALIBRATION + 180), may be set. Prints progress, and ends within LIMIT with exit status 1 if a part
# did not finish; the logs stay then.
set -euo pipefail
checkpoint=$(cd "${1:?usage: diffusers-gpu.sh CHECKPOINT SCHEDULE.json...}" && pwd)
shift
python=${ECAD_DIFFUSERS_VENV:+$ECAD_DIFFUSERS_VENV/bin/}python3
device=${DEVICE:-cuda} dtype=${DTYPE:-bfloat16} calibration=${SECONDS_OF_CALIBRATION:-120}
limit=${LIMIT:-$((calibration + 180))}
((limit >= calibration + 90)) || { echo "error: LIMIT is $limit; expected at least SECONDS_OF_CALIBRATION + 90, $((calibration + 90))" >&2; exit 2; }
export PYTHONPATH=$(cd "$(dirname "$0")/.." && pwd)/cluster/diffusers/src${PYTHONPATH:+:$PYTHONPATH} PYTHONWARNINGS=ignore PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
arguments=()
for batch in ${BATCHES:-1 8 32 64}; do arguments+=(--batch "$batch"); done
for file; do arguments+=(--schedule "$file"); done

work=$(mktemp -d)
part=start failed=0 worker='' coordinator=''
say() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }
fail() { failed=1; say "$@"; }
running() { kill -0 "$1" 2> /dev/null; }
# Ends a process: SIGNAL, and SIGKILL if it is still there after some seconds.
end() {
  running "$2" || return 0
  kill "$1" "$2" 2> /dev/null || true
  for ((tries = 0; tries < 10 * $3; tries++)); do running "$2" || return 0; sleep 0.1; done
  fail "process $2 did not end within $3 s; it is killed"
  kill -KILL "$2" 2> /dev/null || true
}
finish() {
  status=$?
  trap - EXIT INT TERM
  [[ -z $worker ]] || end -TERM "$worker" 8
  [[ -z $coordinator ]] || end -INT "$coordinator" 5
  ((status == 0)) || fail "ended with status $status in the part: $part"
  if ((failed)); then
    for log in "$work"/*.log; do [[ ! -s $log ]] || { echo "-- last lines of $log:"; tail -n 5 "$log"; }; done
    echo "not finished; the logs are in $work"
    exit 1
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

part="speed of schedules"
if [[ -n ${ECAD_BIN:-} ]]; then seconds=$((limit - calibration - 65)); else seconds=$((limit - 10)); fi
say "$part: at most $seconds s"
timeout --foreground --kill-after=5 "$seconds" "$python" -m ecad_diffusers benchmark --model "$checkpoint" --dtype "$dtype" --device "$device" --repeats 5 "${arguments[@]}" 2> "$work/benchmark.log" ||
  fail "the benchmark did not finish (status $?): batch sizes that are not printed above are missing"
[[ -n ${ECAD_BIN:-} ]] || exit 0

part=calibration
printf '%s\n' "a "{red,blue}" "{fox,ship,lamp,tower}" in the "{snow,rain} > "$work/prompts.txt"
cat > "$work/run.toml" << TOML
[model]
path = "$checkpoint"
engine = "torch"
precision = "$dtype"
[prompts]
calibration = "$work/prompts.txt"
[objectives]
cost = "macs"
quality = "psnr"
[search]
population = ${POPULATION:-24}
generations = 1000
[tasks]
images = 16
schedules = 4
[stop]
seconds = $calibration
TOML
endpoint=tcp://127.0.0.1:$((20000 + RANDOM % 12000))
"$ECAD_BIN/ecad-coordinator" run --config "$work/run.toml" --run-dir "$work/run" --bind "$endpoint" > "$work/coordinator.log" 2>&1 &
coordinator=$!
for ((tries = 0; tries < 100; tries++)); do
  ! grep -q "listening on" "$work/coordinator.log" || break
  running "$coordinator" || { coordinator=''; fail "the coordinator ended before it was listening"; exit 1; }
  sleep 0.2
done
"$python" -m ecad_diffusers.worker --coordinator "$endpoint" --models "$checkpoint" --device "$device" --dtype "$dtype" --batch "${WORKER_BATCH:-64}" --spool "$work/spool" --grace 5 > "$work/worker.log" 2>&1 &
worker=$!

# The run stops with the generation in which its seconds run out, then renders a contact sheet.
query() { "$ECAD_BIN/ecad-coordinator" query --run-dir "$work/run" "$@"; }
progress() {
  query --format csv --sql "SELECT (SELECT count(*) FROM reuse_errors) || ' reuse errors, ' || (SELECT count(*) FROM tasks WHERE state = 'done')
    || ' of ' || (SELECT count(*) FROM tasks) || ' tasks in ' || (SELECT count(*) FROM generations) || ' generations'" 2> /dev/null | tail -n 1 | tr -d '\r"'
}
deadline=$((limit - 20)) last='' shown=$SECONDS
say "$part: the run takes $calibration s and the rest of its last generation, at most $((deadline - SECONDS)) s"
while running "$worker"; do
  if ((SECONDS >= deadline)); then fail "the calibration did not finish in time; the worker is ended"; break; fi
  if ! running "$coordinator"; then sleep 5; ! running "$worker" || fail "the coordinator ended before the worker"; break; fi
  now=$(progress || true)
  if [[ $now != "$last" ]] && ((SECONDS - shown >= 10)) || ((SECONDS - shown >= 30)); then
    say "${now:-no history yet}; worker: $(grep "^20" "$work/worker.log" | tail -n 1 | cut -c 1-100)"
    last=$now shown=$SECONDS
  fi
  sleep 1
done
end -TERM "$worker" 8
wait "$worker" || fail "the worker ended with status $?"
worker=''
for ((tries = 0; tries < 50; tries++)); do running "$coordinator" || break; sleep 0.1; done
end -INT "$coordinator" 5
wait "$coordinator" || fail "the coordinator ended with status $?"
coordinator=''
part=report
grep -o "time: .*" "$work/worker.log" || true
query --sql 'SELECT count(*) AS schedules, sum(images) AS images FROM evaluations' || fail "the history cannot be read"
query pareto_front --format markdown || fail "the history has no front"
