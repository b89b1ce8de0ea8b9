#!/usr/bin/env bash
# Format check, build with warnings as errors, all tests. Installs what is missing; runs on a bare Debian or Ubuntu with a Swift toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
need_swift
install_missing
export OPENBLAS_NUM_THREADS=1

echo "== format"
swift format lint --strict --recursive --parallel Package.swift Sources Tests
echo "== build"
swift build --build-tests
echo "== tests"
swift test --skip-build --parallel
