#!/bin/sh
# A thousand imagined hosts, the slowest four times as slow as the fastest, of which 5 % are taken away every hour, in
# steady state: what share of what they could do goes into the search? Exit status 0 for 90 % and more.
# Usage: scripts/simulate.sh [OPTION OF ecad-coordinator simulate]...
set -eu
cd "$(dirname "$0")/.."
bin=${ECAD_BIN:-$(swift build -c release --show-bin-path)}
report=$("$bin/ecad-coordinator" simulate --config cluster/shapes-pixart-alpha.toml --hosts 1000 --speed-spread 4 \
    --preemption 5 --seconds-per-image 30 --hours 4 --set search.mode=steady-state --set search.population=200 \
    --set search.generations=100000 "$@")
echo "$report"
echo "$report" | awk '/^throughput/ { exit !($2 >= 90) }'
