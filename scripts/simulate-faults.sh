#!/bin/bash
# Runs the fault simulation of the coordinator (Tests/CoordinatorServiceTests/FaultSimulation.swift) for many seeds: lost,
# duplicated and reordered messages, crashes of the coordinator and of workers, slow and faulty workers, clock jumps.
# Every seed must end with the population of a run without faults. A failing seed is named; FAULT_FIRST_SEED=N FAULT_SEEDS=1
# repeats it exactly. Usage: scripts/simulate-faults.sh [SEEDS [FIRST_SEED]]
set -euo pipefail
cd "$(dirname "$0")/.."
export FAULT_SEEDS=${1:-20000} FAULT_FIRST_SEED=${2:-0}
# Optimized, with the symbols that tests see; in a build directory of its own, so that others stay valid.
swift build -c release -Xswiftc -enable-testing --build-tests --scratch-path .build-release-tests
start=$(date +%s)
swift test -c release -Xswiftc -enable-testing --scratch-path .build-release-tests --skip-build \
    --filter everySeedEndsWithTheUndisturbedPopulation
echo "$FAULT_SEEDS seeds from $FAULT_FIRST_SEED in $(($(date +%s) - start)) s"
