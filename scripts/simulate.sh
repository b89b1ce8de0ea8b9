#!/bin/sh
# Simulates a steady-state run on a thousand hosts, the slowest four times slower than the fastest, with 5 % preempted per
# hour. Exit status 0 if the throughput is at least 90 % of what the hosts could do without interruption.
# Usage: scripts/simulate.sh [OPTION of ecad-coordinator simulate]...
set -eu
cd "$(dirname "$0")/.."
bin=${ECAD_BIN:-$(swift build -c release --show-bin-path)}
report=$("$bin/ecad-coordinator" simulate --config cluster/shapes-pixart-alpha.toml --hosts 1000 --speed-spread 4 \
    --preemption 5 --seconds-per-image 30 --hours 4 --set search.mode=steady-state --set search.population=200 \
    --set search.generations=100000 "$@")
echo "$report"
echo "$report" | awk '/^throughput/ { exit !($2 >= 90) }'
