"""`ecad-diffusers generate`."""

from __future__ import annotations

import argparse
import contextlib
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import torch

from .apply import apply_schedule, check_shape
from .files import Entry
from .pipelines import DTYPES, is_flux, load_pipeline, model_shape, native_size, noise, open_device, synchronize, text_length
from .schedule import Schedule, ScheduleError


def open_pipeline(options: argparse.Namespace, schedules: list[tuple[str, Schedule]]) -> tuple[Any, torch.device]:
    """The pipeline of `--model` on `--device` in `--dtype`, for which the schedules, with their files, and the other options must have a meaning."""
    device = open_device(options.device)
    for file, schedule in schedules:  # Before the weights are read, which may take minutes.
        shape = model_shape(options.model, schedule.steps)
        try:
            check_shape(schedule, shape)
        except ScheduleError as error:
            raise ScheduleError(f"{file}: {error}") from None
    dtype = options.dtype if options.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32"
    pipeline = load_pipeline(options.model, DTYPES[dtype], device)
    if options.guidance_scale is not None and is_flux(pipeline) and not pipeline.transformer.config.guidance_embeds:
        raise ScheduleError(f"--guidance-scale is {options.guidance_scale}; expected none: this model has no input for it")
    multiple = pipeline.vae_scale_factor * (2 if is_flux(pipeline) else pipeline.transformer.config.patch_size)
    for name in ("height", "width"):
        length = getattr(options, name)
        if length is not None and length % multiple:
            raise ScheduleError(f"--{name} is {length}; expected a multiple of {multiple} for {options.model}")
    return pipeline, device


def call(pipeline: Any, prompts: list[str], schedule: Schedule | None, options: argparse.Namespace, seed: int, output_type: str = "pil") -> Any:
    """Calls the pipeline once, with noise from one seed per image."""
    steps = options.steps or (schedule.steps if schedule else 20)
    height, width = options.height or native_size(pipeline), options.width or native_size(pipeline)
    arguments: dict[str, Any] = {} if is_flux(pipeline) else {"use_resolution_binning": False, "clean_caption": False}
    if options.guidance_scale is not None:
        arguments["guidance_scale"] = options.guidance_scale
    seeds = [seed + index for index in range(len(prompts))]
    with apply_schedule(pipeline, schedule) if schedule else contextlib.nullcontext():
        return pipeline(
            prompt=prompts, num_inference_steps=steps, height=height, width=width, latents=noise(pipeline, seeds, height, width),
            output_type=output_type, max_sequence_length=text_length(pipeline), **arguments,
        ).images  # fmt: skip


def generate(options: argparse.Namespace, entry: Entry | None) -> Iterator[tuple[pathlib.Path, float]]:
    """Writes one image per prompt; every image starts from the noise of `--seed`. Yields the files and their seconds."""
    if len(options.prompt) > 1 and options.output.suffix == ".png":
        raise ScheduleError(f"--output is {options.output}; expected a directory for {len(options.prompt)} prompts")
    if options.output.suffix.lower() in (".jpg", ".jpeg", ".webp") or options.output.suffix == ".PNG":
        raise ScheduleError(f"--output is {options.output}; expected a file that ends in .png, or a directory")
    if entry and options.steps not in (None, entry.schedule.steps):
        raise ScheduleError(f"--steps is {options.steps}; expected none, or {entry.schedule.steps} as in {options.schedule}")
    pipeline, device = open_pipeline(options, [(options.schedule, entry.schedule)] if entry else [])
    single = options.output.suffix == ".png"
    (options.output.parent if single else options.output).mkdir(parents=True, exist_ok=True)
    for index, prompt in enumerate(options.prompt):
        synchronize(device)
        start = time.perf_counter()
        image = call(pipeline, [prompt], entry.schedule if entry else None, options, options.seed)[0]
        synchronize(device)
        file = options.output if single else options.output / f"{index:05}.png"
        image.save(file)
        yield file, time.perf_counter() - start
