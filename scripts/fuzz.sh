#!/bin/bash
# Feeds damaged messages, safetensors headers, schedules, fronts, JSON and configurations to what reads them, COUNT of
# each, optimised and with all checks on. A crash ends it with the test's name; so does a test that takes for ever, by
# the time limit. Usage: scripts/fuzz.sh [COUNT]
set -euo pipefail
cd "$(dirname "$0")/.."
set -- "${1:-1000000}" -c release -Xswiftc -enable-testing --scratch-path .build/fuzz
count=$1
shift
swift build --build-tests "$@"
# A million small files: in memory where there is a file system for it.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
ECAD_FUZZ_COUNT=$count timeout "${LIMIT:-3600}" swift test --skip-build --filter FuzzTests "$@" 2>&1 |
    grep -E '^. Test |error|failed|rash' | grep -v started
