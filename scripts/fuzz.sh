#!/bin/bash
# Feeds COUNT damaged messages, safetensors headers, schedules, fronts, JSON files and configurations to their parsers,
# in an optimised build with all checks. A crash, or a hang by the time limit, is reported with the test's name.
# Usage: scripts/fuzz.sh [COUNT]. Environment: LIMIT, the time limit in seconds (default 3600).
set -euo pipefail
cd "$(dirname "$0")/.."
set -- "${1:-1000000}" -c release -Xswiftc -enable-testing --scratch-path .build/fuzz
count=$1
shift
swift build --build-tests "$@"
# The tests write a million small files: keep them in memory if possible.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
ECAD_FUZZ_COUNT=$count timeout "${LIMIT:-3600}" swift test --skip-build --filter FuzzTests "$@" 2>&1 |
    grep -E '^. Test |error|failed|rash' | grep -v started
