"""`ecad-diffusers generate`: the images of `ecad generate`, and errors in one line."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import warnings
from typing import Any

import conftest
import numpy as np
import pytest
import torch
from PIL import Image

import ecad_diffusers
from ecad_diffusers import Schedule, Shape, load_schedule, pipelines, transformer_shape
from ecad_diffusers.__main__ import main
from ecad_diffusers.generate import call

PROMPT = "a small green triangle left of a large yellow circle"
BUNDLED = pytest.mark.parametrize("name", ["shapes-pixart-alpha", "shapes-pixart-sigma", "shapes-flux"])


@BUNDLED
def test_images_equal_those_of_the_engine(name: str, ecad: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """With the defaults of both: size, guidance, and the text length of the model."""
    model = conftest.MODELS / name
    pipeline = conftest.load_pipeline(model)
    steps, seed = 8, 5
    schedule = Schedule.fora(transformer_shape(pipeline, steps), 2)
    file = conftest.write_published(schedule, tmp_path / "fora.json")
    side = conftest.pipelines.native_size(pipeline)
    options = argparse.Namespace(steps=None, height=None, width=None, guidance_scale=None)
    latents: list[torch.Tensor] = []
    step = pipeline.scheduler.step

    def recorded(*arguments: Any, **keywords: Any) -> Any:
        result = step(*arguments, **keywords)
        latents.append(conftest.unpacked(pipeline, result[0], side, side) if schedule.shape.flux else result[0])
        return result

    pipeline.scheduler.step = recorded
    try:
        call(pipeline, [PROMPT], schedule, options, seed, "latent")
    finally:
        del pipeline.scheduler.__dict__["step"]
    found = torch.stack(latents)
    reference = conftest.write_reference(
        tmp_path / "reference.safetensors",
        {
            "prompts": [PROMPT], "seeds": [seed], "negative_prompt": "", "steps": steps, "guidance_scale": 3.5 if schedule.shape.flux else 4.5,
            "height": side, "width": side, "schedule": "fora.json",
        },
        {"initial_latents": conftest.unpacked_noise(pipeline, [seed], side, side), "step_latents": found, "images": conftest.decoded(pipeline, found[-1])},
    )  # fmt: skip
    report = subprocess.run([ecad, "verify", "--model", model, "--reference", reference, "--json"], capture_output=True, text=True)
    errors = {tensor["name"]: tensor["relative_l2"] for tensor in json.loads(report.stdout)["tensors"]}
    assert errors["step_latents"] < 1e-4, errors
    arguments = ["generate", "--model", str(model), "--prompt", PROMPT, "--schedule", str(file), "--seed", str(seed)]
    main([*arguments, "-o", str(tmp_path / "here.png"), "--device", "cpu"])
    subprocess.run([ecad, *arguments, "-o", tmp_path / "engine.png"], check=True, capture_output=True)
    here, engine = (np.asarray(Image.open(tmp_path / f"{program}.png").convert("RGB")).astype(int) for program in ("here", "engine"))
    assert here.std() > 5 and abs(here - engine).max() <= 2


@pytest.mark.parametrize("dtype", pipelines.DTYPES.values(), ids=str)
def test_pipelines_load_in_the_dtype_without_a_deprecated_keyword(dtype: torch.dtype) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        pipeline = pipelines.load_pipeline(conftest.MODELS / "shapes-flux", dtype, torch.device("cpu"))
    assert {part.dtype for part in (pipeline.transformer, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2)} == {dtype}


def directory(tmp_path: pathlib.Path, name: str = "shapes-pixart-alpha") -> pathlib.Path:
    """A copy of a bundled model."""
    return pathlib.Path(shutil.copytree(conftest.MODELS / name, tmp_path / "model"))


def error(capsys: Any, *arguments: str) -> str:
    """The message with which the program ends."""
    with pytest.raises(SystemExit) as raised:
        main(list(arguments))
    message = str(raised.value) if raised.value.code not in (0, 2) else capsys.readouterr().err.strip().splitlines()[-1]
    assert "\n" not in message
    return message


def test_errors_of_models_are_one_line(tmp_path: pathlib.Path, capsys: Any) -> None:
    model = directory(tmp_path)
    output = str(tmp_path / "image.png")

    def refused(name: str | pathlib.Path = model) -> str:
        return error(capsys, "generate", "--model", str(name), "--prompt", "a", "--device", "cpu", "-o", output)

    assert "no-such/model_index.json: cannot be read: No such file" in refused(tmp_path / "no-such")
    assert "expected a model directory in the diffusers layout" in refused(conftest.MODELS)
    cache = tmp_path / "models--owner--name"
    shutil.copytree(model, cache / "snapshots" / "abc")
    assert refused(cache).endswith(f", such as {cache / 'snapshots' / 'abc'}")
    index = (model / "model_index.json").read_text()
    for text, reason in (
        ("version https://git-lfs.github.com/spec/v1\n", "not a JSON object"), ("[]", "not a JSON object"),
        (index.replace("PixArtAlphaPipeline", "StableDiffusionPipeline"), "_class_name is StableDiffusionPipeline; expected one of"),
    ):  # fmt: skip
        (model / "model_index.json").write_text(text)
        assert reason in refused()
    (model / "model_index.json").write_text(index)
    for part in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"):
        hidden = (model / part).rename(tmp_path / part)
        expected = "cannot be loaded: " if part != "tokenizer" else "no vocabulary found; expected tokenizer.json, spiece.model"
        assert refused().startswith(f"error: {model}") and expected in refused(), part
        hidden.rename(model / part)
    weights = next((model / "transformer").glob("*.safetensors"))
    data = weights.read_bytes()
    for damaged in (b"version https://git-lfs.github.com/spec/v1\n", data[: len(data) // 2], b""):
        weights.write_bytes(damaged)
        assert refused().startswith(f"error: {model}: cannot be loaded: ")
    weights.write_bytes(data)
    assert not (tmp_path / "image.png").exists()


def test_errors_of_options(tmp_path: pathlib.Path, capsys: Any) -> None:
    pipeline = conftest.load_pipeline(conftest.MODELS / "shapes-pixart-alpha")
    fora = str(conftest.write_published(Schedule.fora(transformer_shape(pipeline, 4), 2), tmp_path / "fora.json"))
    flux = str(conftest.write_published(Schedule.fora(transformer_shape(conftest.load_pipeline(conftest.MODELS / "shapes-flux"), 4), 2), tmp_path / "flux.json"))
    large = str(conftest.write_published(Schedule.uncached(Shape(False, 9, 0, 4)), tmp_path / "large.json"))
    for options, reason in (
        (("--schedule", fora, "--steps", "5"), f"--steps is 5; expected none, or 4 as in {fora}"),
        (("--schedule", flux), f"error: {flux}: the schedule is for FLUX; expected one for PixArt"),
        (("--schedule", large), f"error: {large}: the schedule is for 9 PixArt blocks x 4 steps; expected one for 8 PixArt blocks x 4 steps"),
        (("--schedule", str(tmp_path / "none.json")), "none.json: cannot be read: No such file"),
        (("--schedule", ""), "cannot be read"),
        (("--schedule", fora, "--entry", "x"), "x: expected an integer of at least 0"),
        (("--steps", "ten"), "ten: expected an integer of at least 1"),
        (("--guidance-scale", ""), "empty: expected 0 to 100"),
        (("--entry", "1"), "--entry is only allowed with --schedule"),
        (("--height", "60"), "--height is 60; expected a multiple of "),
        (("--height", "100000"), "100000: expected an integer from 1 to 16384"),
        (("--guidance-scale", "nan"), "nan: expected 0 to 100"),
        (("--seed", "-1"), "-1: expected an integer from 0 to 2^64 - 1"),
        (("--dtype", "int8"), "invalid choice: 'int8'"),
        (("--device", "meta"), "--device is meta"),
        (("--device", "nonsense"), "--device is nonsense: "),
        (("-o", str(tmp_path / "image.jpg")), "expected a file that ends in .png, or a directory"),
        (("--prompt", "b"), "expected a directory for 2 prompts"),
    ):  # fmt: skip
        found = error(capsys, "generate", "--model", str(conftest.MODELS / "shapes-pixart-alpha"), "--prompt", "a", "--device", "cpu", "-o", str(tmp_path / "image.png"), *options)
        assert reason in found, found
    schnell = directory(tmp_path, "shapes-flux")
    path = schnell / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"guidance_embeds": False}))
    found = error(capsys, "generate", "--model", str(schnell), "--prompt", "a", "--guidance-scale", "2", "--device", "cpu", "-o", str(tmp_path / "image.png"))
    assert "--guidance-scale is 2.0; expected none: this model has no input for it" in found


@BUNDLED
def test_fora_writes_a_schedule_for_the_model(name: str, tmp_path: pathlib.Path, capsys: Any) -> None:
    model, file = conftest.MODELS / name, tmp_path / "fora.json"
    main(["fora", "--model", str(model), "--steps", "6", "--interval", "2", "-o", str(file)])
    expected = Schedule.fora(transformer_shape(conftest.load_pipeline(model), 6), 2)
    assert load_schedule(file) == expected
    assert capsys.readouterr().out == f"{file}: {expected}\n"
    main(["generate", "--model", str(model), "--prompt", PROMPT, "--schedule", str(file), "--device", "cpu", "-o", str(tmp_path / "image.png")])
    assert (tmp_path / "image.png").exists()


def test_errors_of_fora(tmp_path: pathlib.Path, capsys: Any) -> None:
    def refused(*options: str) -> str:
        return error(capsys, "fora", "--model", str(model), "-o", str(tmp_path / "fora.json"), *options)

    model = directory(tmp_path)
    assert "0: expected an integer of at least 1" in refused("--interval", "0")
    assert "1001: expected an integer from 1 to 1000" in refused("--steps", "1001")
    assert "expected a name that ends in .json" in refused("-o", str(tmp_path / "fora.ecad"))
    assert refused("-o", str(tmp_path / "none" / "fora.json")).endswith("cannot be written: No such file or directory")
    path = model / "transformer" / "config.json"
    path.write_text(path.read_text().replace("PixArtTransformer2DModel", "SanaTransformer2DModel"))
    assert "the transformer is a SanaTransformer2DModel; expected PixArt" in refused()
    path.unlink()
    assert f"{model}: cannot be loaded: " in refused()
    assert not (tmp_path / "fora.json").exists()


def test_schedules_are_compared_with_the_model_before_its_weights_are_read(tmp_path: pathlib.Path, capsys: Any) -> None:
    model = directory(tmp_path)
    for weights in model.glob("*/*.safetensors"):
        weights.unlink()
    flux = str(conftest.write_published(Schedule.uncached(Shape(True, 4, 8, 4)), tmp_path / "flux.json"))
    for command, options in (("generate", ("--prompt", "a", "-o", str(tmp_path / "image.png"))), ("benchmark", ())):
        found = error(capsys, command, "--model", str(model), "--schedule", flux, "--device", "cpu", *options)
        assert found == f"error: {flux}: the schedule is for FLUX; expected one for PixArt, the pipeline's model"


README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


@BUNDLED
def test_the_example_of_the_readme(name: str, tmp_path: pathlib.Path) -> None:
    """With each bundled model, by the table behind the example; from a directory that has the models where the root of the repository has them."""
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "shapes-pixart-alpha" in block)
    row = re.search(rf"\| `{name}` \| `(\w+)` \| (?:`(.*?)`|the same)", README)
    if row:
        example = example.replace("PixArtAlphaPipeline", row[1]).replace("shapes-pixart-alpha", name)
        example = re.sub("options = .*", f"options = {row[2]}", example) if row[2] else example
    assert name in example
    (tmp_path / "cluster").symlink_to(conftest.REPOSITORY / "cluster")
    environment = os.environ | {"PYTHONPATH": str(pathlib.Path(ecad_diffusers.__file__).parents[1])}
    result = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "Statistics(runs=1, steps=20, recomputed=" in result.stdout
    uncached, cached = (np.asarray(Image.open(tmp_path / f"{file}.png")) for file in ("uncached", "cached"))
    assert uncached.shape == cached.shape == (64, 64, 3)


def test_benchmarks_of_several_batch_sizes(tmp_path: pathlib.Path, capsys: Any) -> None:
    model = conftest.MODELS / "shapes-pixart-alpha"
    fora = conftest.write_published(Schedule.fora(transformer_shape(conftest.load_pipeline(model), 4), 2), tmp_path / "fora.json")
    arguments = ["benchmark", "--model", str(model), "--schedule", str(fora), "--device", "cpu", "--repeats", "1"]
    main([*arguments, "--batch", "1", "--batch", "3", "--json"])
    reports = json.loads(capsys.readouterr().out)
    assert [report["batch"] for report in reports] == [1, 3]
    first, second = (report["results"] for report in reports)
    assert [row["name"] for row in first] == ["uncached", str(fora)]
    assert second[1]["flops"] == 3 * first[1]["flops"] and first[1]["flops_ratio"] == second[1]["flops_ratio"] > 1.5
    main(arguments)
    assert "batch 1, 4 steps" in capsys.readouterr().out
    assert "--steps is 5; expected none, or 4" in error(capsys, *arguments, "--steps", "5")
