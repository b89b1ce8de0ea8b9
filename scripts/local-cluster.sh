#!/bin/sh
# Starts a coordinator and N workers on this machine as on a network: encrypted, with one key per worker.
# Usage: scripts/local-cluster.sh N [RUN.toml [RUN_DIR]]
set -eu
cd "$(dirname "$0")/.."
count=${1:?usage: scripts/local-cluster.sh N [RUN.toml [RUN_DIR]]}
config=${2:-cluster/shapes-pixart-alpha.toml}
run=${3:-runs/local-cluster}
bin=${ECAD_BIN:-$(swift build -c release --show-bin-path)}
port=${PORT:-5555}
model=$(sed -n 's/^path *= *"\(.*\)".*/\1/p' "$config" | head -1)
case $model in /*) ;; *) model=$(dirname "$config")/$model ;; esac
mkdir -p "$run"
[ -e "$run/worker-keys/worker-1.key" ] ||
    "$bin/ecad-coordinator" keys new worker --count "$count" --run-dir "$run" --output "$run/worker-keys" > /dev/null
threads=$(($(nproc) / count)); [ "$threads" -gt 0 ] || threads=1
number=1
while [ "$number" -le "$count" ]; do
    "$bin/ecad-worker" run --coordinator "tcp://127.0.0.1:$port" --key "$run/worker-keys/worker-$number.key" \
        --models "$model" --threads "$threads" --spool "$run/worker-$number.spool" --references "$run/references" 2> "$run/worker-$number.log" &
    number=$((number + 1))
done
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT INT TERM
if [ -e "$run/history.sqlite" ]; then
    "$bin/ecad-coordinator" resume --run-dir "$run" --bind "tcp://127.0.0.1:$port"
else
    "$bin/ecad-coordinator" run --config "$config" --run-dir "$run" --bind "tcp://127.0.0.1:$port"
fi
