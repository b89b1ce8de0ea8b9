"""Loading pipelines and drawing noise, for the command line and the worker."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import diffusers
import torch

from .apply import PIPELINES
from .schedule import ScheduleError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_pipeline(model: str | os.PathLike[str], dtype: torch.dtype, device: torch.device, **parts: Any) -> Any:
    """Loads a pipeline of one of the supported classes; keyword arguments replace its parts, such as `text_encoder=None`.

    `model` is a directory in the diffusers layout or the name of a repository on the Hugging Face Hub.
    """
    index = pathlib.Path(model) / "model_index.json"
    if index.exists():
        name = json.loads(index.read_text()).get("_class_name")
        if name not in PIPELINES:
            raise ScheduleError(f"{index}: _class_name is {name}; expected one of {', '.join(PIPELINES)}")
        loader = getattr(diffusers, name)
    else:
        loader = diffusers.DiffusionPipeline
    pipeline = loader.from_pretrained(os.fspath(model), torch_dtype=dtype, **parts).to(device)
    if type(pipeline).__name__ not in PIPELINES:
        raise ScheduleError(f"{model}: the pipeline is a {type(pipeline).__name__}; expected one of {', '.join(PIPELINES)}")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def is_flux(pipeline: Any) -> bool:
    return type(pipeline).__name__ == "FluxPipeline"


def native_size(pipeline: Any) -> int:
    """The side of the square images that the model was trained for, in pixels."""
    size = pipeline.default_sample_size if is_flux(pipeline) else pipeline.transformer.config.sample_size
    return int(size * pipeline.vae_scale_factor)


def noise(pipeline: Any, seeds: list[int], height: int, width: int) -> torch.Tensor:
    """Initial latents, one draw per seed, so that an image's noise does not depend on its batch, the device or the precision.

    Drawn in float32 on the CPU, as `ecad generate` draws it. FLUX's latents are packed into tokens.
    """
    scale = pipeline.vae_scale_factor
    channels = pipeline.transformer.config.in_channels // (4 if is_flux(pipeline) else 1)
    shape = (channels, height // scale, width // scale)
    drawn = torch.stack([torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds])
    if is_flux(pipeline):
        drawn = pipeline._pack_latents(drawn, *drawn.shape)
    return drawn.to(pipeline.device, pipeline.transformer.dtype)


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all work, so that a clock read next includes it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
