"""The package against the engine: committed references, and files that `ecad verify` checks."""

from __future__ import annotations

import json
import pathlib
import subprocess

import conftest
import pytest

from ecad_diffusers import Schedule, apply_schedule, load_schedule

REFERENCES = sorted(conftest.FIXTURES.glob("*/trajectory-*.safetensors"))


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_latents_of_every_step_equal_the_committed_references(path: pathlib.Path) -> None:
    metadata, tensors = conftest.read_safetensors(path)
    pipeline = conftest.load_pipeline(path.parent / "model")
    steps = int(metadata["steps"])
    schedule = load_schedule(path.parent / metadata["schedule"]) if metadata["schedule"] else Schedule.uncached(conftest.transformer_shape(pipeline, steps))
    options = {"guidance_scale": float(metadata["guidance_scale"])}
    if not schedule.shape.flux:
        options["negative_prompt"] = metadata["negative_prompt"]
    if "max_length" in metadata:
        options["max_sequence_length"] = int(metadata["max_length"])
    with apply_schedule(pipeline, schedule):
        found = conftest.denoise(
            pipeline, json.loads(metadata["prompts"]), json.loads(metadata["seeds"]), steps, int(metadata["height"]), int(metadata["width"]), **options
        )
    for step in range(steps):
        assert conftest.relative_error(found[step], tensors["step_latents"][step]) < 1e-4


MODELS = [
    *(conftest.FIXTURES / name / "model" for name in ("alpha-micro", "alpha-small", "sigma-small", "flux-small", "flux-plain")),
    *(conftest.MODELS / name for name in ("shapes-pixart-alpha", "shapes-pixart-sigma", "shapes-flux")),
]
PROMPTS = ["a small blue triangle below a large red circle", "a yellow square"]


def schedules(pipeline: object, steps: int) -> dict[str, Schedule]:
    shape = conftest.transformer_shape(pipeline, steps)
    found = {f"random-{seed}": conftest.random_schedule(pipeline, steps, seed, share) for seed, share in ((1, 0.5), (2, 0.2))}
    found["fora-3"] = Schedule.fora(shape, 3)
    if not shape.flux:
        found["tgate-1"] = conftest.tgate_schedule(pipeline, steps, 1, seed=3)
        found["tgate-4"] = conftest.tgate_schedule(pipeline, steps, 4, seed=4)
        found["tgate-at-the-end"] = conftest.tgate_schedule(pipeline, steps, steps, seed=5)
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.parent.name if path.name == "model" else path.name)
def test_the_engine_verifies_latents_of_every_step(model: pathlib.Path, ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Writes the latents under a schedule as a reference file; the engine recomputes them.

    The bound of the error of all steps together is chosen so that every single step is within 1e-4.
    """
    pipeline = conftest.load_pipeline(model)
    steps = 10
    side = min(64, conftest.pipelines.native_size(pipeline))
    for name, schedule in schedules(pipeline, steps).items():
        conftest.write_published(schedule, tmp_path / f"{name}.json")
        guidance = 2.5
        with apply_schedule(pipeline, schedule) as applied:
            found = conftest.denoise(pipeline, PROMPTS, [3, 8], steps, side, side, guidance_scale=guidance, max_sequence_length=24)
        assert applied.statistics.recomputed == schedule.computed
        images = conftest.decoded(pipeline, found[-1])
        norms = found.flatten(1).norm(dim=1)
        tolerance = 1e-4 * float(norms.min() / norms.square().sum().sqrt())
        reference = conftest.write_reference(
            tmp_path / f"{name}.safetensors",
            {
                "prompts": PROMPTS, "seeds": [3, 8], "negative_prompt": "", "steps": steps, "guidance_scale": guidance,
                "height": side, "width": side, "max_length": 24, "schedule": f"{name}.json",
            },
            {"initial_latents": conftest.unpacked_noise(pipeline, [3, 8], side, side), "step_latents": found, "images": images},
        )  # fmt: skip
        report = subprocess.run(
            [ecad, "verify", "--model", model, "--reference", reference, "--json"], capture_output=True, text=True
        )
        errors = {tensor["name"]: tensor["relative_l2"] for tensor in json.loads(report.stdout)["tensors"]}
        assert errors["initial_latents"] < 1e-6
        assert errors["step_latents"] <= tolerance, name
        assert errors["images"] < 1e-3, name
