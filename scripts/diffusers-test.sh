#!/usr/bin/env bash
# Tests the Python package cluster/diffusers: types and behaviour, against the engine where it is built. Makes a virtual environment in
# .build-diffusers, or uses the one of ECAD_DIFFUSERS_VENV, which needs the package's dependencies, transformers, sentencepiece, pytest
# and mypy. Arguments are passed to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${ECAD_DIFFUSERS_VENV:-}
if [[ -z $venv ]]; then
  venv=.build-diffusers/venv
  [[ -x $venv/bin/pytest ]] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet -e './cluster/diffusers[test]'; }
fi
venv=$(cd "$venv" && pwd)
[[ -x ${ECAD_BIN:-.build/release}/ecad ]] || echo "warning: ecad is not built; comparisons with the engine are skipped (swift build -c release --product ecad)" >&2
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
[[ -z ${ECAD_BIN:-} ]] || ECAD_BIN=$(cd "$ECAD_BIN" && pwd)
cd cluster/diffusers
export PYTHONPATH=src
echo "== types"
MYPYPATH=src "$venv/bin/python" -m mypy src/ecad_diffusers
echo "== tests"
"$venv/bin/python" -m pytest -q "$@"
