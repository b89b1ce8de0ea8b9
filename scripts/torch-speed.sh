#!/usr/bin/env bash
# Compares PyTorch with this project's engine on this machine's processors: images per second of PixArt-XL-2-256 (random weights, bfloat16, 20
# steps with guidance), uncached and under FORA, as a Markdown table. Both run in turn, ROUNDS times (default: 3); medians with the range.
# Run it on an otherwise idle machine.
#
#     ECAD_DIFFUSERS_VENV=VENV scripts/torch-speed.sh [CHECKPOINT]
#
# Needs `ecad` in ECAD_BIN (default: .build/release). CHECKPOINT is written if it does not exist (1.3 GB; default: a temporary directory).
# STEPS, SIZE and BATCH (images per call) may be set.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "${ECAD_BIN:-.build/release}" && pwd)
python=${ECAD_DIFFUSERS_VENV:?set it to the environment of cluster/diffusers}/bin/python
export PYTHONPATH=$PWD/cluster/diffusers/src HF_HUB_OFFLINE=1 HF_HUB_DISABLE_PROGRESS_BARS=1 PYTHONWARNINGS=ignore
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
model=${1:-$folder/model}
steps=${STEPS:-20} size=${SIZE:-256} batch=${BATCH:-4}
[ -e "$model/model_index.json" ] || "$python" scripts/make_random_checkpoint.py pixart-alpha-256 --text-blocks 1 --dtype bfloat16 -o "$model" > "$folder/log" 2>&1 ||
    { tail -n 3 "$folder/log" >&2; exit 1; }
"$bin/ecad" schedule generate fora --model "$model" --steps "$steps" --parameter n=3 -o "$folder/fora.json"
for ((image = 0; image < batch; image++)); do echo "a red fox in the snow, take $image"; done > "$folder/prompts.txt"
native() {
    "$bin/ecad" generate --model "$model" --prompts "$folder/prompts.txt" --steps "$steps" --height "$size" --width "$size" --precision bfloat16 \
        --json -o "$folder/images" "${@:2}" > "$folder/native-$1.json"
}
for ((round = 0; round < ${ROUNDS:-3}; round++)); do
    native "uncached-$round"
    native "fora-$round" --schedule "$folder/fora.json"
    "$python" -m ecad_diffusers benchmark --model "$model" --device cpu --dtype bfloat16 --batch "$batch" --height "$size" --width "$size" \
        --schedule "$folder/fora.json" --repeats 1 --json > "$folder/torch-$round.json" 2> "$folder/log" || { tail -n 3 "$folder/log" >&2; exit 1; }
done
"$python" - "$folder" "$batch" <<'PYTHON'
import glob
import json
import statistics
import sys

folder, batch = sys.argv[1], int(sys.argv[2])


def cell(rates: list[float]) -> str:
    return f"{statistics.median(rates):.3f} ({min(rates):.3f} to {max(rates):.3f})"


native = {}
for name in ("uncached", "fora"):
    runs = [json.load(open(path))["images"] for path in glob.glob(f"{folder}/native-{name}-*.json")]
    native[name] = [len(images) / sum(image["denoise_seconds"] for image in images) for images in runs]
reports = [json.load(open(path)) for path in sorted(glob.glob(f"{folder}/torch-*.json"))]
torch = {name: [report["results"][index]["images_per_second"] for report in reports] for index, name in enumerate(("uncached", "fora"))}
processor = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
print(f"{processor}, batch {batch}, torch {reports[0]['torch']}, {len(reports)} rounds")
print("| images per second | this project's engine | PyTorch |\n|---|---|---|")
for name, label in (("uncached", "uncached"), ("fora", "FORA, every third step")):
    print(f"| {label} | {cell(native[name])} | {cell(torch[name])} |")
PYTHON
