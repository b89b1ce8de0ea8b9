#!/usr/bin/env bash
# Builds everything and calibrates a bundled model with two local workers.
#
#   scripts/quickstart.sh [MODEL [RUN_DIR]]
#
# MODEL is a directory of cluster/models (default: shapes-pixart-alpha); its run configuration is cluster/MODEL.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

model=${1:-shapes-pixart-alpha}
run=${2:-runs/$model-$(date +%Y%m%d-%H%M%S)}
if [ ! -f "cluster/$model.toml" ]; then
  echo "error: unknown model \"$model\"; expected one of: $(cd cluster && ls ./*.toml | sed 's|^./||; s|[.]toml$||' | tr '\n' ' ')" >&2
  exit 2
fi
require_swift
install_missing
if [ -e "$run/history.sqlite" ]; then
  echo "error: $run already contains a run; choose another directory, or resume it: ecad-coordinator resume --run-dir $run --workers 2" >&2
  exit 1
fi
echo "building (takes some minutes the first time)"
swift build -c release --product ecad-coordinator
swift build -c release --product ecad-worker
swift build -c release --product ecad
bin=$(swift build -c release --show-bin-path)

"$bin/ecad-coordinator" run --config "cluster/$model.toml" --run-dir "$run" --workers 2 --bind 'tcp://127.0.0.1:0'
echo
echo "The run is in $run:"
echo "  front.svg        quality against speed-up"
echo "  sheet.svg        the same prompts, uncached and under schedules of the front"
echo "  run.html         all of it to look at: open it in a browser"
echo "  history.sqlite   all results; list the views with: $bin/ecad-coordinator query --run-dir $run"
echo "While a run works, or to see several: $bin/ecad-coordinator dashboard --run-dir $run"
