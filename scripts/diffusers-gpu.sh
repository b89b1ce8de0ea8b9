#!/usr/bin/env bash
# Measures a checkpoint on a GPU in under five minutes: images per second by batch size, the wall speed-up of schedules beside the ratio of
# their arithmetic, and a calibration of two minutes by the PyTorch worker.
#
#     ECAD_BIN=.build/release scripts/diffusers-gpu.sh CHECKPOINT SCHEDULE.json...
#
# CHECKPOINT is a model directory, such as scripts/make_random_checkpoint.py writes it. The calibration needs `ecad-coordinator` in ECAD_BIN
# and is left out without. ECAD_DIFFUSERS_VENV names an environment with what the package cluster/diffusers needs (default: python3);
# DEVICE (cuda), DTYPE (bfloat16), BATCHES ("1 8 32 64"), WORKER_BATCH (64), POPULATION (24) and SECONDS_OF_CALIBRATION (120) may be set.
set -euo pipefail
checkpoint=$(cd "${1:?usage: diffusers-gpu.sh CHECKPOINT SCHEDULE.json...}" && pwd)
shift
python=${ECAD_DIFFUSERS_VENV:+$ECAD_DIFFUSERS_VENV/bin/}python3
device=${DEVICE:-cuda}
dtype=${DTYPE:-bfloat16}
export PYTHONPATH=$(cd "$(dirname "$0")/.." && pwd)/cluster/diffusers/src${PYTHONPATH:+:$PYTHONPATH} PYTHONWARNINGS=ignore HF_HUB_OFFLINE=1
schedules=()
for file; do schedules+=(--schedule "$file"); done

for batch in ${BATCHES:-1 8 32 64}; do
  timeout 90 "$python" -m ecad_diffusers benchmark --model "$checkpoint" --dtype "$dtype" --device "$device" --batch "$batch" --repeats 5 "${schedules[@]}" 2> /tmp/ecad-benchmark.log ||
    { tail -n 3 /tmp/ecad-benchmark.log; echo "batch $batch: not finished"; }
done

[[ -n ${ECAD_BIN:-} ]] || exit 0
work=$(mktemp -d)
trap 'kill "${coordinator:-}" 2> /dev/null || true; rm -rf "$work"' EXIT
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
seconds = ${SECONDS_OF_CALIBRATION:-120}
TOML
"$ECAD_BIN/ecad-coordinator" run --config "$work/run.toml" --run-dir "$work/run" --bind tcp://127.0.0.1:5599 > "$work/coordinator.log" 2>&1 &
coordinator=$!
# Time for loading the model, and for the generation in which the time runs out.
timeout $((${SECONDS_OF_CALIBRATION:-120} + 60)) "$python" -m ecad_diffusers.worker --coordinator tcp://127.0.0.1:5599 --models "$checkpoint" --device "$device" --dtype "$dtype" --batch "${WORKER_BATCH:-64}" --spool "$work/spool" > "$work/worker.log" 2>&1 || tail -n 5 "$work/worker.log"
kill -INT "$coordinator" 2> /dev/null || true
wait "$coordinator" || true
tail -n 8 "$work/coordinator.log"
"$ECAD_BIN/ecad-coordinator" query --run-dir "$work/run" --sql 'SELECT count(*) AS schedules, sum(image_count) AS images FROM evaluations' || true
"$ECAD_BIN/ecad-coordinator" query --run-dir "$work/run" pareto_front --format markdown
