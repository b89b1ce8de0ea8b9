"""Parts of the worker without a coordinator: messages, the evaluation thread, fingerprints."""

from __future__ import annotations

import json
import os
import pathlib
import random
import re
import resource
import time
import zlib
from typing import Any

import conftest
import pytest
import torch
import zmq

from ecad_diffusers import Shape
from ecad_diffusers.worker import messages_pb2 as pb
from ecad_diffusers.worker import protocol
from ecad_diffusers.worker.errors import WorkerError
from ecad_diffusers.worker.evaluator import CandidateError, Evaluator, Settings
from ecad_diffusers.worker.fingerprint import fingerprint, weight_files
from ecad_diffusers.worker.profile import Profile
from ecad_diffusers.worker.thread import EvaluationThread, schedule
from ecad_diffusers.worker.worker import Options, Worker, _settings

MODEL = conftest.MODELS / "shapes-pixart-alpha"


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


def test_a_profile_adds_up_the_seconds_of_activities() -> None:
    profile = Profile()
    for name in ("evaluation", "opening", "evaluation"):
        with profile.activity(name), profile.part("decoding"):
            time.sleep(0.06)
    time.sleep(0.11)
    found = re.fullmatch(r"2 x evaluation (.+) s \(decoding (.+)\); opening (.+) s \(decoding .+\); waiting (.+) s", profile.summary())
    assert found and float(found[1]) >= float(found[2]) >= 0.1 and float(found[3]) >= 0.1 and float(found[4]) >= 0.1, profile.summary()
    with pytest.raises(ValueError), profile.activity("canary"):
        raise ValueError
    assert "canary 0.0 s" in profile.summary()


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
        {"seed": 4}, {"scores": {"psnr": 1.5, "b": float("inf")}}, {"decode_seconds": 1.0}, {"png": b"y"}, {"reference_png": b"z"}, {"candidate_id": 1}, {"reference_seconds": 0.5},
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
    assert len(sums) == 11
    assert protocol.checksum(pb.TaskResult()) == zlib.crc32(bytes(32))


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
