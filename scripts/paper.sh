#!/usr/bin/env bash
# The ECAD paper in miniature: tests its claims on the bundled models, on unseen prompts, over several seeds of the search, and writes a Markdown
# table with means and 95 % intervals and JSON: report.md and report.json in the work directory. See cluster/paper.md.
#
#   scripts/paper.sh                                  # everything, 5 seeds: two to three hours on two idle cores
#   scripts/paper.sh --quick --seeds 1                # tiny searches, to try it: minutes
#   scripts/paper.sh --parts c d --seeds 3 --work DIR
#   scripts/paper.sh --report-only                    # the report of what is measured so far
#   scripts/paper.sh --help
#
# Repeat the command to continue after an interruption: what is measured is not measured again, and a run that was killed is resumed. Needs
# Python 3.10 and a release build (swift build -c release; ECAD_BIN names another directory).
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=scripts
exec python3 -m paper --bin "${ECAD_BIN:-.build/release}" "$@"
