#!/usr/bin/env bash
# Calibrates a bundled model twice with the same seed: by the native engine, and by PyTorch workers alone on the CPU, where workers and
# coordinator are killed and started again in between. Prints how far the two agree, and fails beyond the bounds: the quality of schedules that
# both evaluated within 0.1 dB below 60 dB, rank correlation at least 0.999, hypervolume within 1 %.
#
#     scripts/torch-calibration.sh [DIR]
#
# Needs the release build or ECAD_BIN, and in ECAD_DIFFUSERS_VENV an environment with the dependencies of cluster/diffusers. GENERATIONS,
# POPULATION and STEPS change the size; a few minutes with the default ones.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$(cd "${ECAD_BIN:-.build/release}" && pwd)
python=$(cd "${ECAD_DIFFUSERS_VENV:-.build-diffusers/venv}" && pwd)/bin/python
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
root=$PWD
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 HF_HUB_DISABLE_PROGRESS_BARS=1 PYTHONPATH=$root/cluster/diffusers/src
head -n 4 cluster/prompts/shapes-calibration.txt > "$folder/prompts.txt"
cat > "$folder/run.toml" <<TOML
[model]
path = "$root/cluster/models/shapes-pixart-alpha"
steps = ${STEPS:-10}
guidance_scale = 2.5
[prompts]
calibration = "prompts.txt"
[objectives]
cost = "macs"
quality = "psnr"
[search]
population = ${POPULATION:-12}
generations = ${GENERATIONS:-6}
[tasks]
images = 4
recheck_share = 0.1
TOML
port=$((20000 + RANDOM % 12000))
pids=()
trap '[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2> /dev/null || true' EXIT
worker() {
    "$python" -W ignore -m ecad_diffusers.worker --coordinator "tcp://127.0.0.1:$port" --models cluster/models/shapes-pixart-alpha --device cpu \
        --name "torch-$1" --spool "$folder/spool-$1" >> "$folder/torch-$1.log" 2>&1 &
    pids+=($!)
    last=$!
}
# Without the shell's message about it.
end() { { kill "$1" "$2"; wait "$2"; } 2> /dev/null || true; }
evaluations() { "$bin/ecad-coordinator" query --run-dir "$folder/torch" --sql 'select count(*) from evaluations' --format csv 2> /dev/null | tail -n 1 | tr -d '\r' || echo 0; }
wait_for() {
    for _ in $(seq 3600); do [ "$(evaluations || echo 0)" -ge "$1" ] 2> /dev/null && return; kill -0 "$coordinator" 2> /dev/null || return 0; sleep 1; done
    echo "error: fewer than $1 evaluations after an hour; see $folder" >&2
    exit 1
}

echo "native run" >&2
"$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$folder/native" --workers 1 --worker-threads 1 > "$folder/native.log" 2>&1

echo "run by PyTorch workers" >&2
"$bin/ecad-coordinator" run --config "$folder/run.toml" --run-dir "$folder/torch" --set model.engine=torch --bind "tcp://127.0.0.1:$port" > "$folder/torch.log" 2>&1 &
coordinator=$!
pids+=("$coordinator")
worker 1; first=$last
worker 2; second=$last
wait_for 15
end -9 "$first"; echo "killed worker 1 after $(evaluations) evaluations" >&2
worker 1; first=$last
wait_for 30
end -9 "$coordinator"; echo "killed the coordinator after $(evaluations) evaluations" >&2
sleep 2
"$bin/ecad-coordinator" resume --run-dir "$folder/torch" --bind "tcp://127.0.0.1:$port" >> "$folder/torch.log" 2>&1 &
coordinator=$!
pids+=("$coordinator")
wait_for 45
end -TERM "$second"; echo "terminated worker 2 after $(evaluations) evaluations" >&2
wait "$coordinator"
wait "$first"
pids=()

"$python" - "$folder" <<'PYTHON'
import sqlite3
import sys


def query(run: str, sql: str) -> list[tuple]:
    with sqlite3.connect(f"file:{sys.argv[1]}/{run}/history.sqlite?mode=ro", uri=True) as history:
        return history.execute(sql).fetchall()


def ranks(values: list[float]) -> list[float]:
    """Tied values share their mean rank."""
    order = sorted(values)
    return [order.index(value) + (order.count(value) - 1) / 2 for value in values]


def correlation(a: list[float], b: list[float]) -> float:
    mean = (len(a) - 1) / 2
    x, y = [value - mean for value in ranks(a)], [value - mean for value in ranks(b)]
    return sum(p * q for p, q in zip(x, y)) / (sum(p * p for p in x) * sum(q * q for q in y)) ** 0.5


SQL = "select genome_sha256, quality from evaluations join candidates on candidates.id = candidate_id where evaluation_set = 'calibration'"
native, torch = dict(query("native", SQL)), dict(query("torch", SQL))
common = sorted(native.keys() & torch.keys())
largest = max((abs(native[genome] - torch[genome]) for genome in common if native[genome] < 60), default=0.0)
order = correlation([native[genome] for genome in common], [torch[genome] for genome in common])
volumes = [query(run, "select hypervolume from hypervolume_history order by generation desc limit 1")[0][0] for run in ("native", "torch")]
workers = query("torch", "select name, engine, evaluations from worker_utilisation order by name")
rechecks = query("torch", "select count(*), ifnull(sum(agrees), 0) from rechecks")[0]
print(f"schedules evaluated     native {len(native)}, torch {len(torch)}, both {len(common)}")
print(f"workers                 {', '.join(f'{name} ({engine}): {count}' for name, engine, count in workers)}")
print(f"rechecks                {rechecks[0]}, agreeing {rechecks[1]}")
print(f"largest difference      {largest:.2g} dB below 60 dB")
print(f"rank correlation        {order:.6f}")
print(f"hypervolume             native {volumes[0]:.4f}, torch {volumes[1]:.4f}, {100 * (volumes[1] / volumes[0] - 1):+.3f} %")
good = len(common) >= len(native) // 4 and largest <= 0.1 and order >= 0.999 and abs(volumes[1] / volumes[0] - 1) <= 0.01
sys.exit(0 if good and {engine for _, engine, _ in workers} == {"torch"} else f"error: beyond the bounds; see {sys.argv[1]}")
PYTHON
[ -n "${1:-}" ] || rm -rf "$folder"
