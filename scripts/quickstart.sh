#!/usr/bin/env bash
# Builds everything and calibrates a bundled model with two local workers.
#
#   scripts/quickstart.sh [MODEL [RUN_FOLDER]]
#
# MODEL is a name under cluster/models, shapes-pixart-alpha by default; cluster/MODEL.toml is its run.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

model=${1:-shapes-pixart-alpha}
run=${2:-runs/$model-$(date +%Y%m%d-%H%M%S)}
if [ ! -f "cluster/$model.toml" ]; then
  echo "error: no model \"$model\"; expected one of: $(cd cluster && ls ./*.toml | sed 's|^./||; s|[.]toml$||' | tr '\n' ' ')" >&2
  exit 2
fi
need_swift
install_missing
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
