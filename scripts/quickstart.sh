#!/usr/bin/env bash
# Builds everything and calibrates the bundled model with two local workers.
#
#   scripts/quickstart.sh [RUN_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_swift
install_missing

model=shapes-pixart-alpha
run=${1:-runs/$(date +%Y%m%d-%H%M%S)}
if [ -e "$run/history.sqlite" ]; then
  echo "error: $run holds a run already; name another folder, or go on with it: ecad-coordinator resume --run-dir $run --workers 2" >&2
  exit 1
fi
echo "building (some minutes the first time)"
swift build -c release --product ecad-coordinator
swift build -c release --product ecad-worker
swift build -c release --product ecad
bin=$(swift build -c release --show-bin-path)

"$bin/ecad-coordinator" run --config "cluster/$model.toml" --run-dir "$run" --workers 2 --bind 'tcp://127.0.0.1:0'
echo
echo "The run is in $run:"
echo "  front.svg        the front of quality against speed-up"
echo "  sheet.svg        the same prompts uncached and under three members of the front"
echo "  history.sqlite   everything else: $bin/ecad-coordinator query --run-dir $run"
