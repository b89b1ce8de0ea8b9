#!/usr/bin/env bash
# Module and format checks, tests of scripts, build with warnings as errors, all tests. Needs Debian or Ubuntu with a Swift toolchain; installs the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
require_swift
install_missing
export OPENBLAS_NUM_THREADS=1

echo "== modules"
scripts/check-modules.py
echo "== scripts"
python3 -m unittest discover -s scripts/paper -t scripts
echo "== format"
swift format lint --strict --recursive --parallel Package.swift Sources Tests
echo "== build"
swift build --build-tests
echo "== tests"
swift test --skip-build --parallel
if [[ -n ${ECAD_DIFFUSERS_VENV:-} || -x .build-diffusers/venv/bin/pytest ]]; then
    echo "== diffusers"
    scripts/diffusers-test.sh
fi
