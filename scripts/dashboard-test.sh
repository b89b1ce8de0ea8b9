#!/usr/bin/env bash
# Tests the dashboard with headless Chromium on a finished run and its report, on a run in progress that is then killed, and on one of 40,000 evaluations;
# installs chromium and chromium-driver if missing.
#
#   scripts/dashboard-test.sh RUN_DIR [SCREENSHOT_DIR]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: scripts/dashboard-test.sh RUN_DIR [SCREENSHOT_DIR]" >&2; exit 2; }
run=$(realpath "$1")
shots=${2:+$(realpath -m "$2")}
cd "$(dirname "$0")/.."
command -v chromedriver >/dev/null || apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
if [ -z "${ECAD_BIN:-}" ]; then
  swift build -c release --product ecad-coordinator
  swift build -c release --product ecad-worker
fi
bin=${ECAD_BIN:-$(swift build -c release --show-bin-path)}
scratch=$(mktemp -d)
processes=()
trap 'kill "${processes[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT

# serve RUN_DIR LOG: starts a dashboard; sets url and server.
serve() {
  "$bin/ecad-coordinator" dashboard --run-dir "$1" --listen 127.0.0.1:0 2> "$2" &
  server=$!
  processes+=("$server")
  for _ in $(seq 100); do grep -q http "$2" && break; sleep 0.1; done
  url=$(sed -n 's/^dashboard: //p' "$2")
}

mkdir "$scratch/finished"
cp "$run"/history.sqlite "$scratch/finished"/
"$bin/ecad-coordinator" report --run-dir "$scratch/finished" -o "$scratch/run.html"
serve "$scratch/finished" "$scratch/finished.log"
finished=$url

python3 scripts/make_large_history.py "$scratch/finished" "$scratch/large"
serve "$scratch/large" "$scratch/large.log"
large=$url
largeServer=$server

. scripts/small-run.sh
write_run "$scratch" 4000
"$bin/ecad-coordinator" run --config "$scratch/run.toml" --run-dir "$scratch/running" --workers 1 --worker-threads 1 --bind tcp://127.0.0.1:0 \
  > "$scratch/running.log" 2>&1 &
coordinator=$!
processes+=("$coordinator")
until [ "$(ask "$scratch/running" 'SELECT count(*) FROM evaluations' 2> /dev/null || echo 0)" -gt 0 ]; do sleep 0.2; done
serve "$scratch/running" "$scratch/dashboard.log"

python3 scripts/dashboard_test.py "$finished" --report "$scratch/run.html" --live "$scratch/finished" --program "$bin/ecad-coordinator" --running "$url" "$scratch/running" "$coordinator" \
  --large "$large" --process "$largeServer" ${shots:+--screenshots "$shots"}
