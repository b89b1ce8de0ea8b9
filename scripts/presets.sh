#!/usr/bin/env bash
# Compares the search presets by the images that they need: the bundled models, several seeds of the search, on calibration and on unseen prompts. Writes
# a Markdown table with 95 % intervals: report.md in the work directory. See "Benchmarks" in scripts/README.md.
#
#   scripts/presets.sh --cases alpha --seeds 2-11                      # ten seeds: about half an hour on two idle cores
#   scripts/presets.sh --cases alpha --seeds 2-6 --against nsga2
#   scripts/presets.sh --report-only                                   # the table of what is measured so far
#   scripts/presets.sh --help
#
# Repeat the command to continue after an interruption; finished searches are not repeated. Needs Python 3.10 and a release build (swift build -c
# release; ECAD_BIN names another directory).
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=scripts
exec python3 -m paper.presets --bin "${ECAD_BIN:-.build/release}" "$@"
