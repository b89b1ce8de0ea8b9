"""Whole runs: `ecad-torch-worker` against real coordinators."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from typing import Any

import conftest
import pytest
import torch
import zmq

from ecad_diffusers import Shape
from ecad_diffusers.worker import messages_pb2 as pb
from ecad_diffusers.worker.fingerprint import fingerprint

MODEL = conftest.MODELS / "shapes-pixart-alpha"
CONFIGURATION = f"""
[model]
path = "{MODEL}"
steps = 6
guidance_scale = 2.5
[prompts]
calibration = "{{prompts}}"
[objectives]
cost = "macs"
quality = "psnr"
[scorers]
image-reward = "{conftest.MODELS / 'shapes-image-reward'}"
clip = "{conftest.MODELS / 'shapes-clip'}"
[search]
population = 6
generations = 3
[tasks]
images = 2
schedules = 2
recheck_share = 0.3
"""
TORCH = ("--set", "model.engine=torch")


@pytest.fixture(scope="session")
def coordinator() -> pathlib.Path:
    program = pathlib.Path(os.environ.get("ECAD_BIN") or conftest.REPOSITORY / ".build" / "release") / "ecad-coordinator"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    return program


def start_coordinator(program: pathlib.Path, folder: pathlib.Path, *options: str, command: str = "run") -> tuple[subprocess.Popen[str], str]:
    folder.mkdir(exist_ok=True)
    (folder / "prompts.txt").write_text("a red circle\na small blue square\n")
    (folder / "run.toml").write_text(CONFIGURATION.format(prompts=folder / "prompts.txt"))
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    source = ["--config", str(folder / "run.toml")] if command == "run" else []
    arguments = [program, command, *source, "--run-dir", str(folder / "run"), "--bind", endpoint, *options]
    with open(folder / f"{command}.log", "w") as log:
        return subprocess.Popen(arguments, stdout=log, stderr=log, text=True), endpoint


def start_worker(endpoint: str, spool: pathlib.Path, *options: str, model: pathlib.Path = MODEL) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-W", "ignore", "-m", "ecad_diffusers.worker", "--coordinator", endpoint, "--models", str(model), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONPATH": str(pathlib.Path(__file__).parents[1] / "src")}
    return subprocess.Popen([*arguments, "--spool", str(spool), *options], stderr=subprocess.PIPE, text=True, env=environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def qualities(folder: pathlib.Path, scorer: str = "psnr") -> dict[str, float]:
    """The mean score of every candidate by its genome."""
    with sqlite3.connect(f"file:{folder / 'run' / 'history.sqlite'}?mode=ro", uri=True) as history:
        rows = history.execute("select genome_sha256, mean from candidate_scores join candidates on candidates.id = candidate_id where scorer = ?", (scorer,))
        return dict(rows.fetchall())


def hypervolume(folder: pathlib.Path) -> float:
    with sqlite3.connect(f"file:{folder / 'run' / 'history.sqlite'}?mode=ro", uri=True) as history:
        (value,) = history.execute("select hypervolume from hypervolume_history order by generation desc limit 1").fetchone()
        return float(value)


def query(folder: pathlib.Path, sql: str) -> list[Any]:
    with sqlite3.connect(f"file:{folder / 'run' / 'history.sqlite'}?mode=ro", uri=True) as history:
        return history.execute(sql).fetchall()


def wait_for_results(folder: pathlib.Path, count: int) -> None:
    for _ in range(6000):
        try:
            if len(qualities(folder)) >= count:
                return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"no {count} results: {(folder / 'run.log').read_text()}")


def finish(running: subprocess.Popen[str], folder: pathlib.Path, worker: subprocess.Popen[str]) -> None:
    _, errors = worker.communicate(timeout=600)
    assert worker.returncode == 0, errors
    assert running.wait(timeout=60) == 0, (folder / "run.log").read_text()


def test_a_calibration_by_torch_workers_equals_a_native_one(coordinator: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Worker and coordinator are killed and restarted in between."""
    native, _ = start_coordinator(coordinator, tmp_path / "native", "--workers", "1")
    folder, spool = tmp_path / "torch", tmp_path / "spool"
    running, endpoint = start_coordinator(coordinator, folder, *TORCH)
    worker = start_worker(endpoint, spool)
    wait_for_results(folder, 2)
    worker.kill()
    worker.wait()
    worker = start_worker(endpoint, spool, "--batch", "1")
    wait_for_results(folder, 6)
    running.kill()
    running.wait()
    port = endpoint.rsplit(":", 1)[1]
    with open(folder / "resume.log", "w") as log:
        running = subprocess.Popen([coordinator, "resume", "--run-dir", folder / "run", "--bind", f"tcp://127.0.0.1:{port}"], stdout=log, stderr=log, text=True)
    _, errors = worker.communicate(timeout=600)
    assert worker.returncode == 0, errors
    assert re.search(r"time: opening the model .+ x evaluation .+ s \(uncached .*denoising .*scoring .*waiting .+ s", errors), errors
    assert running.wait(timeout=60) == 0, (folder / "resume.log").read_text()
    assert native.wait(timeout=600) == 0
    expected, found = qualities(tmp_path / "native"), qualities(folder)
    common = expected.keys() & found.keys()
    assert len(common) >= 6
    for genome in common:
        assert expected[genome] >= 60 or abs(found[genome] - expected[genome]) < 0.1
    for scorer, bound in (("ssim", 1e-3), ("latent-error", 1e-3), ("image-reward", 0.02), ("image-reward-clipped", 0.02), ("clip", 0.2)):
        expected, found = qualities(tmp_path / "native", scorer), qualities(folder, scorer)
        assert len(found) >= 6, scorer
        assert max(abs(found[genome] - expected[genome]) for genome in common) < bound, scorer
    assert abs(hypervolume(folder) / hypervolume(tmp_path / "native") - 1) < 0.01
    assert not list(spool.glob("*")), "acknowledged results are deleted"


@pytest.mark.parametrize(
    ("name", "side"),
    [("alpha-small", 32), ("alpha-small", 64), ("flux-small", 16), ("shapes-pixart-alpha", 64), ("shapes-flux", 64)],
)
def test_reuse_errors_equal_those_of_the_native_engine(coordinator: pathlib.Path, tmp_path: pathlib.Path, name: str, side: int) -> None:
    """Of models with few tokens, whose outputs are compared as they are, and with more, whose projections are compared."""
    model = conftest.MODELS / name if name.startswith("shapes") else conftest.FIXTURES / name / "model"
    settings = [f"model.path={model}", f"model.height={side}", f"model.width={side}", "search.generations=1"]
    options = [option for setting in settings for option in ("--set", setting)]
    native, _ = start_coordinator(coordinator, tmp_path / "native", "--workers", "1", *options)
    running, endpoint = start_coordinator(coordinator, tmp_path / "torch", *options, *TORCH)
    scorer_folders = ("--scorer", str(conftest.MODELS / "shapes-image-reward"), "--scorer", str(conftest.MODELS / "shapes-clip"))
    finish(running, tmp_path / "torch", start_worker(endpoint, tmp_path / "spool", *scorer_folders, model=model))
    assert native.wait(timeout=600) == 0, (tmp_path / "native" / "run.log").read_text()
    rows = [
        query(tmp_path / engine, "select prompt_index, seed, errors, image_equivalents from reuse_errors join prompts on prompts.id = prompt_id order by 1, 2")
        for engine in ("native", "torch")
    ]
    assert len(rows[0]) == 2 and [row[:2] for row in rows[0]] == [row[:2] for row in rows[1]]
    for expected, found in zip(*rows):
        values, native_values = (torch.frombuffer(bytearray(row[2]), dtype=torch.float32) for row in (found, expected))
        assert values.shape == native_values.shape and values.min() > 0
        assert float(((values - native_values) / native_values).abs().max()) < 1e-3


def test_keys_drain_and_refusals(coordinator: pathlib.Path, tmp_path: pathlib.Path) -> None:
    keys = [coordinator, "keys", "new", "node", "--keys", tmp_path / "keys", "-o", tmp_path / "node.key"]
    subprocess.run(keys, check=True, capture_output=True)
    folder = tmp_path / "run"
    running, endpoint = start_coordinator(coordinator, folder, "--keys", str(tmp_path / "keys"), *TORCH)
    try:
        worker = start_worker(endpoint, tmp_path / "spool", "--key", str(tmp_path / "node.key"))
        wait_for_results(folder, 1)
        worker.send_signal(signal.SIGTERM)
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0 and "shutting down" in errors, errors
        other = start_worker(endpoint, tmp_path / "spool2", "--key", str(tmp_path / "node.key"), model=conftest.MODELS / "shapes-pixart-sigma")
        _, errors = other.communicate(timeout=120)
        assert other.returncode == 1 and errors.strip().splitlines()[-1].startswith("error: "), errors
        (tmp_path / "node.key").chmod(0o644)
        readable = start_worker(endpoint, tmp_path / "spool3", "--key", str(tmp_path / "node.key"))
        _, errors = readable.communicate(timeout=120)
        assert readable.returncode == 1 and "expected mode 600" in errors
    finally:
        running.kill()
        running.wait()


def test_engines_and_precisions_do_not_mix(coordinator: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name, options, arguments, reason in (
        ("native", (), (), 'engine is torch, the run\'s model.engine is native, and their results are not the same numbers: join with ecad-worker run, or start a run with model.engine = "torch"'),
        ("single", TORCH, ("--dtype", "bfloat16"), "the run's model.precision is float32, the worker computes in bfloat16: start it with --dtype float32"),
    ):
        running, endpoint = start_coordinator(coordinator, tmp_path / name, *options)
        try:
            for more in ((), ("--check",)):
                worker = start_worker(endpoint, tmp_path / "spool", *arguments, *more)
                _, errors = worker.communicate(timeout=120)
                last = errors.strip().splitlines()[-1]
                assert worker.returncode == 1 and last.startswith("error: the coordinator refuse") and last.endswith(reason), errors
            check = [sys.executable, "-m", "ecad_diffusers.worker", "--coordinator", endpoint, "--check", "--device", "cpu"]
            environment = os.environ | {"PYTHONPATH": str(pathlib.Path(__file__).parents[1] / "src")}
            if options:
                answer = subprocess.run(check, capture_output=True, text=True, env=environment, timeout=120)
                assert answer.returncode == 0 and "(torch, float32)" in answer.stdout and f"torch {torch.__version__}" in answer.stdout, answer
        finally:
            running.kill()
            running.wait()
        log = (tmp_path / name / "run.log").read_text()
        assert f"refused {socket.gethostname()}: " in log and reason in log, log
        assert query(tmp_path / name, "select reason from refusals") == [("engine",)]
        assert query(tmp_path / name, "select count(*) from workers") == [(0,)]


def test_a_run_in_bfloat16_by_a_measured_cost_table(coordinator: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The worker takes the precision from the run, and measures the cost table of its device class."""
    settings = ("--set", "model.precision=bfloat16", "--set", "objectives.cost=latency", "--set", "search.generations=2", "--set", "tasks.recheck_share=0")
    running, endpoint = start_coordinator(coordinator, tmp_path, *TORCH, *settings)
    finish(running, tmp_path, start_worker(endpoint, tmp_path / "spool"))
    (costs, device, objective, error), = query(tmp_path, "select costs, worker_class, is_objective, fit_error from cost_tables")
    table = json.loads(costs)
    assert table["imageCount"] == 2 and objective == 1 and 0 <= error < 10
    for phase in ("full", "gated"):
        assert table[phase]["step"] > 0 and set(table[phase]["components"]) == {"attn1", "attn2", "ff"}
    assert table["full"]["components"]["ff"]["compute"] > table["full"]["components"]["ff"]["read"] >= 0
    assert f"torch {torch.__version__}" in device
    assert query(tmp_path, "select name, engine, precision from evaluation_sets") == [("calibration", "torch", "bfloat16")]
    assert query(tmp_path, "select distinct engine, precision from measured_by") == [("torch", "bfloat16")]
    assert query(tmp_path, "select count(*) from evaluations where modelled_ratio is null") == [(0,)]


def test_a_native_run_is_benchmarked_by_a_torch_worker(coordinator: pathlib.Path, tmp_path: pathlib.Path) -> None:
    running, _ = start_coordinator(coordinator, tmp_path, "--workers", "1", "--set", "search.generations=1")
    assert running.wait(timeout=600) == 0, (tmp_path / "run.log").read_text()
    (tmp_path / "unseen.txt").write_text("a green triangle\n")
    endpoint = "tcp://127.0.0.1:" + str(free_port())
    arguments = [coordinator, "benchmark", "--run-dir", tmp_path / "run", "--prompts", tmp_path / "unseen.txt", "--front", "--engine", "torch", "--bind", endpoint]
    benchmark = subprocess.Popen([*arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    worker = start_worker(endpoint, tmp_path / "spool")
    output, errors = benchmark.communicate(timeout=600)
    assert benchmark.returncode == 0, errors
    worker.communicate(timeout=120)
    report = json.loads(output)
    assert [report[key] for key in ("prompt_set", "engine", "precision", "run_engine", "run_precision")] == ["unseen-torch-float32", "torch", "float32", "native", "float32"]
    # All measurements are there: no worker is needed.
    text = subprocess.run(arguments, capture_output=True, text=True, timeout=600)
    assert "measured with torch, float32; the run was calibrated with native, float32" in text.stdout, text
    assert query(tmp_path, "select distinct engine, precision, prompt_set from benchmark_summary") == [("torch", "float32", "unseen-torch-float32")]
    mixed = subprocess.run([*arguments, "--name", "calibration"], capture_output=True, text=True)
    assert mixed.returncode == 1 and "reserved for the search" in mixed.stderr


def test_a_worker_inside_a_task_ends_cleanly_with_the_run(tmp_path: pathlib.Path) -> None:
    """A task that another worker finished first must not make this one's end a crash."""
    router = zmq.Context.instance().socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    settings = pb.RunSettings(model_hash=fingerprint(str(MODEL)), step_count=20, height=64, width=64, guidance_scale=2.5, scorers=["psnr"], engine="torch")
    welcome = pb.Welcome(run_id="run", settings=settings, prompts=[pb.PromptEntry(index=0, text="a red circle")], heartbeat_seconds=0.1)
    genes = Shape(False, 8, 0, 20).genes
    candidates = [pb.AssignedCandidate(candidate_id=index, genome=bytes([index % 256]) * (genes // 8), gene_count=genes) for index in range(64)]
    assignment = pb.Assignment(task_id=1, lease_epoch=1, kind=1, candidates=candidates, items=[pb.PromptSeed(prompt_index=0, seed=seed) for seed in range(32)])
    worker = start_worker(f"tcp://127.0.0.1:{port}", tmp_path / "spool")
    try:
        while True:
            assert router.poll(120_000), "no message of the worker"
            peer, data = router.recv_multipart()
            message = pb.WorkerMessage.FromString(data)
            answers: dict[str, dict[str, Any]] = {"registration": {"welcome": welcome}, "task_request": {"assignment": assignment}}
            kind = message.WhichOneof("body")
            if kind in answers:
                router.send_multipart([peer, pb.CoordinatorMessage(protocol_version=2, **answers[kind]).SerializeToString()])
            if kind == "heartbeat" and message.heartbeat.HasField("task_id"):
                router.send_multipart([peer, pb.CoordinatorMessage(protocol_version=2, finish=pb.Finish(reason="done")).SerializeToString()])
                break
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0 and "finished: done" in errors and "terminate" not in errors, errors
    finally:
        worker.kill()
        router.close(linger=0)
