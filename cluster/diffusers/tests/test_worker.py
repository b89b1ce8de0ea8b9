"""`ecad-torch-worker` against real coordinators, and against malformed messages."""

from __future__ import annotations

import json
import os
import pathlib
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import zlib
from typing import Any

import conftest
import pytest
import torch
import zmq

from ecad_diffusers import Shape
from ecad_diffusers.worker import messages_pb2 as pb
from ecad_diffusers.worker import protocol, scorers
from ecad_diffusers.worker.errors import WorkerError
from ecad_diffusers.worker.evaluator import CandidateError, Evaluator, Settings
from ecad_diffusers.worker.fingerprint import fingerprint, weight_files
from ecad_diffusers.worker.thread import schedule
from ecad_diffusers.worker.worker import Options, Worker, _settings

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


@pytest.fixture(scope="session")
def coordinator() -> pathlib.Path:
    program = pathlib.Path(os.environ.get("ECAD_BIN") or conftest.REPOSITORY / ".build" / "release") / "ecad-coordinator"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    return program


TORCH = ("--set", "model.engine=torch")


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


def qualities(folder: pathlib.Path, scorer: str = "psnr") -> dict[str, float]:
    """The mean score of every candidate by its genome."""
    with sqlite3.connect(f"file:{folder / 'run' / 'history.sqlite'}?mode=ro", uri=True) as history:
        rows = history.execute("select genome_sha256, mean from candidate_scores join candidates on candidates.id = candidate_id where scorer = ?", (scorer,))
        return dict(rows.fetchall())


def hypervolume(folder: pathlib.Path) -> float:
    with sqlite3.connect(f"file:{folder / 'run' / 'history.sqlite'}?mode=ro", uri=True) as history:
        (value,) = history.execute("select hypervolume from hypervolume_history order by generation desc limit 1").fetchone()
        return float(value)


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


def wait_for_results(folder: pathlib.Path, count: int) -> None:
    for _ in range(6000):
        try:
            if len(qualities(folder)) >= count:
                return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"no {count} results: {(folder / 'run.log').read_text()}")


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


def finish(running: subprocess.Popen[str], folder: pathlib.Path, worker: subprocess.Popen[str]) -> None:
    _, errors = worker.communicate(timeout=600)
    assert worker.returncode == 0, errors
    assert running.wait(timeout=60) == 0, (folder / "run.log").read_text()


def query(folder: pathlib.Path, sql: str) -> list[Any]:
    with sqlite3.connect(f"file:{folder / 'run' / 'history.sqlite'}?mode=ro", uri=True) as history:
        return history.execute(sql).fetchall()


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
    for options in (["--json"], []):
        benchmark = subprocess.Popen([*arguments, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # The second one finds everything measured, and ends before a worker could join.
        worker = start_worker(endpoint, tmp_path / "spool") if options else None
        output, errors = benchmark.communicate(timeout=600)
        assert benchmark.returncode == 0, errors
        if worker:
            worker.communicate(timeout=120)
            report = json.loads(output)
            assert [report[key] for key in ("prompt_set", "engine", "precision", "run_engine", "run_precision")] == ["unseen-torch-float32", "torch", "float32", "native", "float32"]
        else:
            assert "measured with torch, float32; the run was calibrated with native, float32" in output
    assert query(tmp_path, "select distinct engine, precision, prompt_set from benchmark_summary") == [("torch", "float32", "unseen-torch-float32")]
    mixed = subprocess.run([*arguments, "--name", "calibration"], capture_output=True, text=True)
    assert mixed.returncode == 1 and "reserved for the search" in mixed.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def mutated(data: bytes, draw: random.Random) -> bytes:
    result = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        kind, position = draw.randrange(4), draw.randrange(len(result) + 1)
        if kind == 0 and position < len(result):
            result[position] = draw.randrange(256)
        elif kind == 1:
            del result[position : position + draw.randrange(1, 9)]
        elif kind == 2:
            result[position:position] = draw.randbytes(draw.randrange(1, 9))
        else:
            result[position:position] = result[draw.randrange(len(result) + 1) :][:64]
    return bytes(result)


def messages() -> list[bytes]:
    """One valid message of each kind; the welcome's model is unknown, so no model is opened."""
    settings = pb.RunSettings(model_hash="0" * 64, step_count=6, height=64, width=64, guidance_scale=2.5, scorers=["psnr", "ssim"], engine="torch")
    prompts = [pb.PromptEntry(index=index, text=f"prompt {index}") for index in range(3)]
    candidate = pb.AssignedCandidate(candidate_id=3, genome=bytes(range(9)), gene_count=72)
    bodies: list[dict[str, Any]] = [
        {"refusal": pb.Refusal(reason="busy", retry=True)},
        {"welcome": pb.Welcome(run_id="run", settings=settings, prompts=prompts, heartbeat_seconds=2, cost_image_count=2)},
        {"assignment": pb.Assignment(task_id=1, lease_epoch=2, kind=1, candidates=[candidate], items=[pb.PromptSeed(prompt_index=1, seed=-5)])},
        {"assignment": pb.Assignment(task_id=1, lease_epoch=2, kind=3, items=[pb.PromptSeed(prompt_index=1, seed=-5)])},
        {"acknowledgement": pb.Acknowledgement(task_id=1, lease_epoch=2, accepted=True)},
        {"wait": pb.Wait(retry_seconds=1.5)},
        {"finish": pb.Finish(reason="done")},
        {"cancel": pb.Cancel(task_id=1, lease_epoch=2)},
        {"probe_reply": pb.ProbeReply(run_id="run")},
        {"blob_chunk": pb.BlobChunk(sha256=bytes(32), offset=0, content=b"abc")},
    ]
    return [pb.CoordinatorMessage(protocol_version=2, **body).SerializeToString() for body in bodies]


def test_malformed_messages_end_in_one_line_or_are_ignored(tmp_path: pathlib.Path) -> None:
    count = int(os.environ.get("ECAD_FUZZ_COUNT", 100_000))
    worker = Worker(Options("tcp://127.0.0.1:9", None, str(conftest.FIXTURES / "alpha-micro" / "model"), "fuzzed", str(tmp_path / "spool"), torch.device("cpu"), torch.float32))
    context = zmq.Context()
    worker._connect(context)
    worker._welcome = pb.Welcome(run_id="run", heartbeat_seconds=2)
    shape = Shape(False, 4, 0, 6)
    draw = random.Random(0)
    valid = messages()
    outcomes = {"handled": 0, "refused": 0}
    before = 0
    start = time.monotonic()
    for number in range(count):
        if number == count // 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        worker._stage = draw.choice(["joining", "idle", "opening", "downloading"])
        worker._task = draw.choice([None, (1, 2)])
        try:
            kind, body = protocol.decode(mutated(draw.choice(valid), draw))
            if kind == "welcome":
                _settings(body, {})
            if kind == "assignment":
                for candidate in body.candidates:
                    try:
                        schedule(candidate, shape)
                    except CandidateError:
                        pass
            if kind != "assignment":
                worker._handle(kind, body)
            outcomes["handled"] += 1
        except WorkerError as error:
            assert "\n" not in str(error)
            outcomes["refused"] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    worker._socket.close(linger=0)
    worker._monitor.close()
    context.term()
    assert min(outcomes.values()) > count // 20, outcomes
    assert grown < 32 << 10, f"{grown} KiB after {count} messages in {time.monotonic() - start:.0f} s"


def test_an_evaluation_thread_survives_any_assignment() -> None:
    from ecad_diffusers.worker.thread import EvaluationThread

    thread = EvaluationThread()
    thread.evaluate(pb.Assignment(task_id=1))
    kind, value = thread.outcomes.get(timeout=60)
    assert kind == "task-failed" and "before the model was opened" in value[1]
    thread.open(lambda: Evaluator(str(MODEL), Settings(2, 64, 64, 2.5, ["a red circle"], "", ["psnr"]), None, torch.device("cpu"), torch.float32, None))
    assert thread.outcomes.get(timeout=600)[0] == "opened"
    item, candidate = pb.PromptSeed(prompt_index=0, seed=1), pb.AssignedCandidate(candidate_id=3, genome=bytes(6), gene_count=48)
    for assignment, reason in (
        (pb.Assignment(candidates=[candidate], items=[item]), "the task is of kind 0, which this worker does not know; expected evaluate, render or measure_reuse"),
        (pb.Assignment(kind=77, candidates=[candidate], items=[item]), "the task is of kind 77,"),
        (pb.Assignment(kind=1, items=[item]), "expected at least one candidate and one prompt"),
        (pb.Assignment(kind=3), "the task has 0 images and 0 candidates; expected one image and no candidates to measure reuse"),
        (pb.Assignment(kind=3, items=[item, item]), "the task has 2 images and 0 candidates;"),
        (pb.Assignment(kind=3, candidates=[candidate], items=[item]), "the task has 1 images and 1 candidates;"),
        (pb.Assignment(kind=3, items=[pb.PromptSeed(prompt_index=1)]), "prompt 1 of a task does not exist; expected 0 to 0"),
    ):
        thread.evaluate(assignment)
        kind, value = thread.outcomes.get(timeout=60)
        assert kind == "task-failed" and value[0] is None and reason in value[1] and "\n" not in value[1], value
    thread.evaluate(pb.Assignment(kind=3, items=[item]))
    kind, (result, seconds) = thread.outcomes.get(timeout=600)
    assert kind == "evaluated" and len(result["reuse_errors"]) == 4 * 24 and seconds > 0
    assert thread.progress == (1, 1)


def test_refusals_of_other_protocol_versions_are_readable() -> None:
    data = pb.Preamble(protocol_version=9, refusal=pb.Refusal(reason="release 2 is needed")).SerializeToString()
    kind, body = protocol.decode(data)
    assert (kind, body.reason) == ("refusal", "release 2 is needed")
    with pytest.raises(WorkerError, match="version 9; expected 2"):
        protocol.decode(pb.CoordinatorMessage(protocol_version=9, wait=pb.Wait()).SerializeToString())


def test_checksum_covers_every_field() -> None:
    image = pb.ImageMeasurement(candidate_id=-1, prompt_index=2, seed=3, scores={"psnr": 1.5, "a": float("inf")}, denoise_seconds=0.5, reference_seconds=0.25, png=b"x")
    result = pb.TaskResult(task_id=1, lease_epoch=2, images=[image], task_seconds=3)
    sums = {protocol.checksum(result)}
    for change in (
        {"seed": 4}, {"scores": {"psnr": 1.5, "b": float("inf")}}, {"decode_seconds": 1.0}, {"png": b"y"}, {"candidate_id": 1}, {"reference_seconds": 0.5},
    ):  # fmt: skip
        other = pb.TaskResult()
        other.CopyFrom(result)
        del other.images[0].scores["a"]
        other.images[0].MergeFrom(pb.ImageMeasurement(**change))
        sums.add(protocol.checksum(other))
    for errors in (b"1234", b"1235", b"12345678"):
        other = pb.TaskResult()
        other.CopyFrom(result)
        other.reuse_errors = errors
        sums.add(protocol.checksum(other))
    assert len(sums) == 10
    assert protocol.checksum(pb.TaskResult()) == zlib.crc32(bytes(32))


def test_scores_of_simple_images() -> None:
    reference = torch.full((1, 3, 24, 20), 100, dtype=torch.uint8)
    image = reference.clone()
    image[0, 0] += 3
    batch = scorers.Scored(image, torch.ones(1, 4, 2, 2), reference, torch.full((1, 4, 2, 2), 2.0), [""])
    assert scorers.psnr(batch)[0] == pytest.approx(43.3596, abs=1e-3)  # MSE 3
    assert scorers.latent_error(batch)[0] == pytest.approx(-0.5)
    assert 0.99 < scorers.ssim(batch)[0] < 1
    same = scorers.Scored(reference, torch.ones(1, 1, 1, 1), reference, torch.ones(1, 1, 1, 1), [""])
    assert (scorers.psnr(same), scorers.ssim(same), scorers.latent_error(same)) == ([100.0], [pytest.approx(1)], [0.0])


def test_fingerprints_equal_those_of_the_engine() -> None:
    fixtures = conftest.REPOSITORY / "Tests" / "Fixtures"
    for name, expected in json.loads((fixtures / "fingerprints.json").read_text()).items():
        folder = str(fixtures / name / "model")
        assert fingerprint(folder) == expected["whole"], name
        if "image" in expected:
            assert fingerprint(folder, image_only=True) == expected["image"], name


def test_fingerprint_follows_links_and_ignores_other_files(tmp_path: pathlib.Path) -> None:
    model = conftest.REPOSITORY / "Tests" / "Fixtures" / "flux-small" / "model"
    for part in model.iterdir():
        (tmp_path / part.name).symlink_to(part)
    (tmp_path / "flux1-dev.safetensors").write_text("x")
    assert fingerprint(str(tmp_path)) == fingerprint(str(model))


@pytest.mark.parametrize(
    ("names", "base", "expected"),
    [
        (["model.safetensors", "model-1.safetensors"], "model", ["model.safetensors"]),
        (["model.fp16.safetensors"], "model", ["model.fp16.safetensors"]),
        (["model.fp16.safetensors", "model.bf16.safetensors"], "model", "the variants bf16 and fp16"),
        (["model.safetensors"], "diffusion_pytorch_model", "no weights found"),
    ],
)
def test_weights_are_chosen_as_by_the_engine(tmp_path: pathlib.Path, names: list[str], base: str, expected: Any) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    if isinstance(expected, list):
        assert weight_files(tmp_path, base) == expected
    else:
        with pytest.raises(WorkerError, match=expected):
            weight_files(tmp_path, base)


def test_model_scorers_equal_the_original_libraries() -> None:
    """The references hold 8-bit images, prompts, and what the packages that define the scores compute."""
    from ecad_diffusers.worker.model_scorers import open_scorer

    for name, path in (("image-reward", "image-reward/image-reward.safetensors"), ("image-reward", "image-reward/image-reward-large.safetensors"), ("clip", "clip/clip-score.safetensors")):
        metadata, tensors = conftest.read_safetensors(conftest.FIXTURES / path)
        prompts = json.loads(metadata["prompts"])
        images = (tensors["images"] * 255).round().to(torch.uint8)
        blank = torch.zeros(len(prompts), 1)
        scorer = open_scorer(name, str((conftest.FIXTURES / path).parent / "model"), torch.device("cpu"))
        found = scorer(scorers.Scored(images, blank, images, blank, prompts))
        if name == "clip":
            expected = 100 * torch.nn.functional.cosine_similarity(tensors["image_features"], tensors["text_features"])
        else:
            expected = tensors["rewards"].flatten()
        assert found == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-3), path
