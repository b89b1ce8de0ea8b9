"""Loading pipelines and drawing noise, for the command line and the worker."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

import diffusers
import safetensors
import torch

from .apply import PIPELINES
from .schedule import ScheduleError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


# Names of files in a variant, behind the name without one and a dot.
_VARIANTS = (r"([^.]+?)(?:-\d+-of-\d+)?\.safetensors(?:\.index\.json)?", r"safetensors\.index\.([^.]+)\.json")


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
    pipeline = loader.from_pretrained(os.fspath(model), torch_dtype=dtype, variant=_variant(pathlib.Path(model)), **parts)
    _check_text_encoder(pathlib.Path(model), pipeline)
    pipeline = pipeline.to(device)
    if type(pipeline).__name__ not in PIPELINES:
        raise ScheduleError(f"{model}: the pipeline is a {type(pipeline).__name__}; expected one of {', '.join(PIPELINES)}")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _variant(model: pathlib.Path) -> str | None:
    """The variant, such as `fp16`, of a directory whose weights are only there as `model.fp16.safetensors` or the like."""
    variants: set[str] = set()
    for base in ("model", "diffusion_pytorch_model"):
        for folder in {path.parent for path in model.glob(f"*/{base}.*")}:
            names = [path.name[len(base) + 1 :] for path in folder.glob(f"{base}.*")]
            if not {"safetensors", "safetensors.index.json"} & set(names):
                variants |= {match[1] for name in names for pattern in _VARIANTS if (match := re.fullmatch(pattern, name))}
    if len(variants) > 1:
        raise ScheduleError(f"{model}: has weights in the variants {' and '.join(sorted(variants))} only; expected one variant, or files without one")
    return next(iter(variants), None)


def _check_text_encoder(model: pathlib.Path, pipeline: Any) -> None:
    """Raises ScheduleError if the CLIP text encoder was not loaded: of names it does not know, transformers leaves weights random."""
    encoder: Any = getattr(pipeline, "text_encoder", None)
    if type(encoder).__name__ != "CLIPTextModel":
        return
    for file in sorted((model / "text_encoder").glob("model*.safetensors")):
        with safetensors.safe_open(file, "pt") as weights:
            for name in weights.keys():
                if name.endswith("embeddings.token_embedding.weight"):
                    loaded = encoder.get_input_embeddings().weight.detach().cpu()
                    if not torch.equal(weights.get_tensor(name).to(loaded.dtype), loaded):
                        raise ScheduleError(f"{file}: transformers did not load the weights, whose names are those of version 5, such as {name}; expected transformers 5 or later")


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
