#!/usr/bin/env bash
# Tests the dashboard and the report of a finished run with headless Chromium; installs chromium and chromium-driver if missing.
#
#   scripts/dashboard-test.sh RUN_DIR [SCREENSHOT_DIR]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: scripts/dashboard-test.sh RUN_DIR [SCREENSHOT_DIR]" >&2; exit 2; }
run=$(realpath "$1")
shots=${2:+$(realpath -m "$2")}
cd "$(dirname "$0")/.."
command -v chromedriver >/dev/null || apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
swift build -c release --product ecad-coordinator
bin=$(swift build -c release --show-bin-path)
scratch=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$scratch"' EXIT
cp "$run"/history.sqlite "$scratch"/
"$bin/ecad-coordinator" report --run-dir "$scratch" -o "$scratch/run.html"
"$bin/ecad-coordinator" dashboard --run-dir "$scratch" --listen 127.0.0.1:0 2> "$scratch/log" &
server=$!
for _ in $(seq 50); do grep -q http "$scratch/log" && break; sleep 0.1; done
url=$(sed -n 's/^dashboard: //p' "$scratch/log")
python3 scripts/dashboard_test.py "$url" --report "$scratch/run.html" --live "$scratch" ${shots:+--screenshots "$shots"}
