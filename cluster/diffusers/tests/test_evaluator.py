"""The worker's evaluator and the loading of pipelines, without a coordinator."""

from __future__ import annotations

import io
import json
import pathlib
from typing import Any

import conftest
import pytest
import safetensors.torch
import torch
from PIL import Image

from ecad_diffusers import Schedule, ScheduleError
from ecad_diffusers.pipelines import load_pipeline
from ecad_diffusers.worker import reuse
from ecad_diffusers.worker.errors import WorkerError
from ecad_diffusers.worker.evaluator import Cancelled, Evaluator, Returned, Settings

CPU = torch.device("cpu")
NOTHING = Returned(False, set(), False, 0)
"""No images are sent back."""
FAMILIES = pytest.mark.parametrize(("model", "guidance_scale"), [("shapes-pixart-alpha", 2.5), ("shapes-pixart-alpha", 1.0), ("shapes-flux", 3.5)])


def evaluator(model: str = "shapes-pixart-alpha", guidance_scale: float = 2.5, **options: Any) -> Evaluator:
    settings = Settings(6, 64, 64, guidance_scale, ["a red circle", "a blue square"], "", ["psnr"])
    return Evaluator(str(conftest.MODELS / model), settings, None, CPU, options.pop("dtype", torch.float32), options.pop("batch", None))


def recorded_calls(subject: Evaluator) -> list[bool]:
    """Whether each further call of the pipeline is uncached."""
    uncached: list[bool] = []
    original = subject._call

    def recorded(items: Any, schedule: Schedule | None) -> Any:
        uncached.append(schedule is None)
        return original(items, schedule)

    subject._call = recorded  # type: ignore[method-assign]
    return uncached


def test_candidates_with_equal_plans_are_denoised_in_one_batch() -> None:
    """Step 0 computes everything whatever its genes say; a TGATE gate at the end has no effect."""
    subject = evaluator()
    shape = subject.shape
    fora = Schedule.fora(shape, 2)
    other = Schedule(shape, (False,) * shape.genes_per_step + fora.bits[shape.genes_per_step :])
    gated = Schedule(shape, fora.bits, gate_step=6)
    uncached = recorded_calls(subject)
    items = [(0, 0), (1, 5)]
    images = subject.evaluate([(1, fora), (2, other), (3, gated), (4, Schedule.fora(shape, 3))], items, False, NOTHING, lambda done, total: None)
    assert uncached.count(False) == 2
    scores = {image["candidate_id"]: image["scores"] for image in images if image["prompt_index"] == 1}
    assert scores[1] == scores[2] == scores[3] != scores[4]
    assert [image["candidate_id"] for image in images] == [1, 1, 2, 2, 3, 3, 4, 4]


def test_thumbnails_are_reduced_images_of_some_items() -> None:
    model = conftest.FIXTURES / "alpha-micro" / "model"
    settings = Settings(4, 16, 24, 4.5, ["a red cube", "a ball"], "", ["psnr"])
    evaluator = Evaluator(str(model), settings, None, torch.device("cpu"), torch.float32, None)
    uncached = Schedule.uncached(evaluator.shape)
    items = [(0, 0), (1, 0)]
    found = evaluator.evaluate([(1, Schedule.fora(evaluator.shape, 2)), (2, uncached)], items, False, Returned(False, {(1, 0)}, True, 12), lambda done, total: None)
    assert [row.keys() & {"png", "reference_png"} for row in found] == [set(), {"png", "reference_png"}, set(), {"png"}]
    assert found[1]["reference_png"] == found[3]["png"] != found[1]["png"]
    assert Image.open(io.BytesIO(found[1]["png"])).size == (12, 8)
    everything = evaluator.evaluate([(1, uncached)], items, False, Returned(True, set(), False, 0), lambda done, total: None)
    assert [Image.open(io.BytesIO(row["png"])).size for row in everything] == [(24, 16)] * 2


def test_the_uncached_model_is_timed_again_after_a_while() -> None:
    subject = evaluator()
    uncached = recorded_calls(subject)

    def runs() -> list[bool]:
        uncached.clear()
        images = subject.evaluate([(1, Schedule.fora(subject.shape, 2))], [(0, 0), (1, 5)], False, NOTHING, lambda done, total: None)
        assert all(image["reference_seconds"] > 0 for image in images)
        return list(uncached)

    assert runs() == [True, True, False], "warm-up, images for the scorers, candidate"
    subject._uncached_timings[2].end -= 10_000
    assert runs() == [True, False]


def test_the_uncached_run_after_a_task_is_that_before_the_next() -> None:
    subject = evaluator()
    fora = Schedule.fora(subject.shape, 2)
    uncached = recorded_calls(subject)

    def runs(items: list[tuple[int, int]]) -> list[bool]:
        uncached.clear()
        images = subject.evaluate([(1, fora)], items, True, NOTHING, lambda done, total: None)
        assert all(image["reference_seconds"] > 0 for image in images)
        return list(uncached)

    items = [(0, 0), (1, 5)]
    assert runs(items) == [True, True, False, True], "warm-up, before, candidate, after"
    assert runs(items) == [False, True]
    assert runs([(1, 6), (1, 7)]) == [True, False, True], "other images"
    subject._uncached_timings[2].end -= 10
    assert runs([(1, 6), (1, 7)]) == [True, False, True], "after a pause"


@FAMILIES
def test_cost_tables_have_every_component(model: str, guidance_scale: float) -> None:
    subject = evaluator(model, guidance_scale)
    progress: list[tuple[int, int]] = []
    measured = subject.measure_costs(2, lambda done, total: progress.append((done, total)), budget=0)
    table = json.loads(measured.table)
    names = {name for kind in subject.shape.kinds for name in kind.components}
    assert set(table) == ({"imageCount", "full", "gated"} if model != "shapes-flux" and guidance_scale > 1 else {"imageCount", "full"})
    for phase in set(table) - {"imageCount"}:
        assert set(table[phase]["components"]) == names
        costs = [table[phase]["step"], *(value for cost in table[phase]["components"].values() for value in cost.values())]
        assert all(0 <= cost < 60 for cost in costs)
    for name in names:
        assert table["full"]["components"][name]["compute"] > table["full"]["components"][name]["read"], name
    # Everything computed: the sum of the parts is about the whole, on an idle machine.
    assert measured.uncached_seconds > 0 and measured.fit_error >= 0
    assert progress[0] == (0, progress[0][1]) and all(done < total for done, total in progress)

    def cancel(done: int, total: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        subject.measure_costs(2, cancel)


@FAMILIES
def test_reuse_errors_predict_reuse_at_one_step(model: str, guidance_scale: float) -> None:
    """Of everything at one step from the step before, the predicted squared change of the final latents is the measured one, by construction."""
    subject = evaluator(model, guidance_scale)
    shape, steps = subject.shape, subject.shape.steps
    item = (1, 7)
    progress: list[tuple[int, int]] = []
    errors = torch.frombuffer(bytearray(subject.measure_reuse(item, lambda done, total: progress.append((done, total)))), dtype=torch.float32)
    errors = errors.reshape(shape.genes_per_step, steps * (steps - 1) // 2).double()
    assert progress[0] == (0, 3) and progress[-1] == (3, 3) and progress == sorted(progress)
    uncached = subject._denoise([item], None).latents
    for step in range(1, steps):
        bits = tuple(number != step for number in range(steps) for _ in range(shape.genes_per_step))
        change = float((subject._denoise([item], Schedule(shape, bits)).latents - uncached).double().square().sum())
        assert float(errors[:, step * (step - 1) // 2 + step - 1].sum()) == pytest.approx(change, rel=1e-3)
    assert (errors > 0).all()


def reuse_errors(subject: Evaluator, item: tuple[int, int] = (1, 7)) -> torch.Tensor:
    return torch.frombuffer(bytearray(subject.measure_reuse(item, lambda done, total: None)), dtype=torch.float32).double()


@FAMILIES
def test_reuse_errors_do_not_depend_on_the_batch(model: str, guidance_scale: float) -> None:
    expected = reuse_errors(evaluator(model, guidance_scale))
    for batch in (1, 2, 4):
        found = reuse_errors(evaluator(model, guidance_scale, batch=batch))
        assert float(((found - expected) / expected).abs().max()) < 1e-3, batch


@FAMILIES
def test_reuse_errors_of_a_bfloat16_model_are_close_to_those_in_float32(model: str, guidance_scale: float) -> None:
    """At every step, though rounding to bfloat16 changes the final latents more than reuse does at most."""
    exact = evaluator(model, guidance_scale)
    shape, steps = exact.shape, exact.shape.steps
    subject = evaluator(model, guidance_scale, dtype=torch.bfloat16)
    expected, ratios = reuse_errors(exact), reuse_errors(subject).reshape(shape.genes_per_step, -1)
    ratios /= expected.reshape(ratios.shape)
    assert float((ratios - 1).abs().median()) < 0.05
    for step in range(1, steps):
        assert 0.8 < float(ratios[:, step * (step - 1) // 2 :][:, :step].median()) < 1.25, step


@FAMILIES
def test_reuse_errors_with_too_little_memory_for_float32(model: str, guidance_scale: float, caplog: Any) -> None:
    """Large errors are right, and nothing is left behind in the model."""
    exact, subject = evaluator(model, guidance_scale), evaluator(model, guidance_scale, dtype=torch.bfloat16)
    transformer = subject._pipeline.transformer
    modules, weights = dict(transformer.named_modules()), {name: tensor.clone() for name, tensor in transformer.state_dict().items()}
    canary = subject.canary()
    calls = 0

    def exhaust(module: Any, inputs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise torch.OutOfMemoryError("out of memory")

    handle = transformer.transformer_blocks[0].register_forward_pre_hook(exhaust)
    expected, found = reuse_errors(exact), reuse_errors(subject)
    handle.remove()
    assert "too little memory for the weights in float32" in caplog.text and "rounding in bfloat16" in caplog.text
    largest = expected > expected.max() / 30
    assert float((found / expected - 1)[largest].abs().median()) < 0.2
    assert dict(transformer.named_modules()) == modules and subject.canary() == canary
    state = transformer.state_dict()
    assert state.keys() == weights.keys() and all(tensor.dtype == weights[name].dtype and torch.equal(tensor, weights[name]) for name, tensor in state.items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules.values())


def test_signs_of_projections_are_those_of_the_engine() -> None:
    """SplitMix64, as Basics.SplitMix64 draws it."""
    seed, mask = 3 << 8 | 1, 2**64 - 1
    signs = reuse._signs(40, seed)
    for token in range(40):
        word = seed + (token + 1) * 0x9E3779B97F4A7C15 & mask
        word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ word >> 27) * 0x94D049BB133111EB & mask
        word ^= word >> 31
        assert [value > 0 for value in signs[:, token].tolist()] == [bool(word >> bit & 1) for bit in range(16)]
    assert signs.abs().min() == signs.abs().max() == 0.25


def test_a_measurement_of_reuse_leaves_no_trace_when_cancelled() -> None:
    subject = evaluator()
    before = subject.canary()
    modules = list(subject._pipeline.transformer.modules())
    for limit in (0, 4, 9):
        calls = 0

        def cancel(done: int, total: int) -> None:
            nonlocal calls
            calls += 1
            if calls > limit:
                raise Cancelled

        with pytest.raises(Cancelled):
            subject.measure_reuse((0, 0), cancel)
        assert not any(module._forward_hooks for module in modules) and "forward" not in subject._pipeline.transformer.__dict__
        assert subject.canary() == before


def test_reuse_errors_that_are_not_finite_are_refused() -> None:
    subject = evaluator()
    weight = subject._pipeline.transformer.proj_out.weight
    with torch.no_grad():
        weight[0, 0] = float("nan")
    with pytest.raises(WorkerError, match="the latents of the uncached model are not finite"):
        subject.measure_reuse((0, 0), lambda done, total: None)


def test_flux_gets_as_many_text_tokens_as_its_tokenizer_states() -> None:
    """The model was trained with 24 and attends to padding."""
    assert evaluator("shapes-flux")._prompts[0].text.shape[0] == 24


def test_the_only_variant_of_a_directory_is_loaded(tmp_path: pathlib.Path) -> None:
    source = conftest.MODELS / "shapes-pixart-alpha"
    for part in source.iterdir():
        if not part.is_dir():
            (tmp_path / part.name).symlink_to(part)
            continue
        (tmp_path / part.name).mkdir()
        for file in part.iterdir():
            name = file.name.replace(".safetensors", ".fp16.safetensors") if part.name in ("transformer", "text_encoder") else file.name
            (tmp_path / part.name / name).symlink_to(file)
    found, expected = load_pipeline(tmp_path, torch.float32, CPU), load_pipeline(source, torch.float32, CPU)
    for part in ("transformer", "text_encoder", "vae"):
        weights = getattr(expected, part).state_dict()
        assert all(torch.equal(tensor, weights[name]) for name, tensor in getattr(found, part).state_dict().items()), part
    (tmp_path / "vae" / "diffusion_pytorch_model.safetensors").rename(tmp_path / "vae" / "diffusion_pytorch_model.bf16.safetensors")
    with pytest.raises(ScheduleError, match="variants bf16 and fp16"):
        load_pipeline(tmp_path, torch.float32, CPU)


def test_a_text_encoder_that_was_not_loaded_is_an_error(tmp_path: pathlib.Path) -> None:
    """Earlier versions of transformers leave weights random whose names they do not know, with a warning only."""
    source = conftest.MODELS / "shapes-flux"
    names = safetensors.torch.load_file(source / "text_encoder" / "model.safetensors")
    assert all(name.startswith("text_model.") for name in names), "as in published checkpoints"
    for part in source.iterdir():
        (tmp_path / part.name).symlink_to(part)
    load_pipeline(tmp_path, torch.float32, CPU)
    (tmp_path / "text_encoder").unlink()
    (tmp_path / "text_encoder").mkdir()
    for file in (source / "text_encoder").glob("*.json"):
        (tmp_path / "text_encoder" / file.name).symlink_to(file)
    other = {"language_model." + name: tensor for name, tensor in names.items()}
    safetensors.torch.save_file(other, tmp_path / "text_encoder" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ScheduleError, match="transformers did not load the weights"):
        load_pipeline(tmp_path, torch.float32, CPU)
