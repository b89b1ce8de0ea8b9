#!/usr/bin/env bash
# Times the engine beside diffusers: products, attention, a block, forward passes, decoding, end to end, schedules, fidelity of bfloat16
# and memory. Writes a Markdown table and JSON to report.md and report.json in the work directory (--report changes the name).
#
#   scripts/bench.sh                                  # everything with the defaults: hours
#   scripts/bench.sh products attention pixart-256    # some parts
#   scripts/bench.sh pixart-256 --repeats 5 --threads 1 2 --precisions bfloat16
#   scripts/bench.sh schedules-pixart --schedules fast.json fastest.json
#   scripts/bench.sh --help
#
# Needs a release build (swift build -c release --product ecad; ECAD_BIN names another directory) and a Python environment with torch,
# diffusers and transformers: ECAD_DIFFUSERS_VENV, or the one that scripts/diffusers-test.sh makes. Random weights of the published sizes are
# made once in the work directory (--work, 12 GB). Leave the machine idle otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${ECAD_DIFFUSERS_VENV:-.build-diffusers/venv}
[[ -x $venv/bin/python ]] || { echo "error: no Python environment in $venv; set ECAD_DIFFUSERS_VENV or run scripts/diffusers-test.sh" >&2; exit 1; }
bin=${ECAD_BIN:-.build/release}
[[ -x $bin/ecad ]] || { echo "error: $bin/ecad not found; run swift build -c release --product ecad" >&2; exit 1; }
export OPENBLAS_NUM_THREADS=1 PYTHONPATH=scripts:cluster/diffusers/src
exec "$venv/bin/python" -W ignore -m benchmark --ecad "$bin/ecad" "$@"
