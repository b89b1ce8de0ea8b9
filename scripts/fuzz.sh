#!/bin/sh
# Feeds damaged messages, safetensors headers, schedule files and configurations; COUNT of each. Usage: scripts/fuzz.sh [COUNT]
set -eu
cd "$(dirname "$0")/.."
ECAD_FUZZ_COUNT=${1:-1000000} swift test --filter FuzzTests
