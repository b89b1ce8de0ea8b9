#!/usr/bin/env bash
# Measures PixArt-XL-2-256 with random weights on a GPU in bfloat16, in under five minutes: images per second by batch, and wall time of
# schedules against uncached. Needs CUDA, an environment with the package cluster/diffusers (ECAD_DIFFUSERS_VENV) and a checkpoint directory
# from scripts/make_random_checkpoint.py. With `ecad-coordinator` in ECAD_BIN, a calibration of two minutes by the GPU worker follows.
#
#     scripts/diffusers-gpu.sh CHECKPOINT SCHEDULE.json... > report.txt
set -euo pipefail
checkpoint=$1
shift
python=${ECAD_DIFFUSERS_VENV:?set it to the environment}/bin/python
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root/cluster/diffusers/src
schedules=()
for file; do schedules+=(--schedule "$file"); done
for batch in 1 8 32; do
  timeout 60 "$python" -m ecad_diffusers benchmark --model "$checkpoint" --dtype bfloat16 --device cuda --batch "$batch" --repeats 3 "${schedules[@]}" || echo "batch $batch: not finished"
done
[[ -n ${ECAD_BIN:-} ]] || exit 0
work=$(mktemp -d)
trap 'kill "${coordinator:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
printf '%s\n' 'a red fox in the snow' 'a lighthouse at dawn' > "$work/prompts.txt"
cat > "$work/run.toml" <<TOML
[model]
path = "$(cd "$checkpoint" && pwd)"
[prompts]
calibration = "$work/prompts.txt"
[objectives]
cost = "measured"
[stop]
seconds = 120
TOML
"$ECAD_BIN/ecad-coordinator" run --config "$work/run.toml" --run-dir "$work/run" --bind tcp://127.0.0.1:5599 > "$work/coordinator.log" 2>&1 &
coordinator=$!
"$python" -m ecad_diffusers.worker --coordinator tcp://127.0.0.1:5599 --models "$checkpoint" --device cuda --dtype bfloat16 --spool "$work/spool" || true
wait "$coordinator" || true
"$ECAD_BIN/ecad-coordinator" query --run-dir "$work/run" pareto_front --format markdown
