#!/usr/bin/env bash
# Runs the tests of the numeric modules with every instruction set of this processor: AVX-512, AVX2 and portable C, which ECAD_KERNELS
# selects. Results are bit-identical except in bfloat16, which needs AVX-512. Arguments replace the default levels, fastest first.
set -euo pipefail
cd "$(dirname "$0")/.."
export OPENBLAS_NUM_THREADS=1
swift build --build-tests
for level in "${@:-avx512 avx2 portable}"; do
  for name in $level; do
    echo "== $name"
    ECAD_KERNELS=$name swift test --skip-build --parallel --filter 'TensorsTests|ModelsTests|DiffusionTests|VerificationTests|ScoringTests|EvaluationsTests'
  done
done
