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

from .apply import PIPELINES, shape_of
from .schedule import ScheduleError, Shape

TEXT_TOKENS = {"PixArtAlphaPipeline": 120, "PixArtSigmaPipeline": 300, "FluxPipeline": 512}
"""Tokens that T5's prompts are padded to by default."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# diffusers 0.40 renamed the keyword; older versions ignore the new one.
_DTYPE = "dtype" if tuple(map(int, diffusers.__version__.split(".")[:2])) >= (0, 40) else "torch_dtype"

# Names of files in a variant, behind the name without one and a dot.
_VARIANTS = (r"([^.]+?)(?:-\d+-of-\d+)?\.safetensors(?:\.index\.json)?", r"safetensors\.index\.([^.]+)\.json")


def load_pipeline(model: str | os.PathLike[str], dtype: torch.dtype, device: torch.device, **parts: Any) -> Any:
    """Loads a pipeline of one of the supported classes; keyword arguments replace its parts, such as `text_encoder=None`.

    `model` is a directory in the diffusers layout or the name of a repository on the Hugging Face Hub. Raises ScheduleError.
    """
    folder, name = pathlib.Path(model), os.fspath(model)
    loader = getattr(diffusers, _class_name(folder)) if _is_local(name) else diffusers.DiffusionPipeline
    variant = _variant(folder)
    if _is_local(name):
        _check_tokenizers(folder, parts)
    try:
        pipeline = loader.from_pretrained(name, variant=variant, **{_DTYPE: dtype}, **parts)
    except Exception as error:  # Whatever diffusers, transformers and the Hub raise for files that are missing or damaged.
        raise _not_loaded(name, error) from error
    if type(pipeline).__name__ not in PIPELINES:
        raise ScheduleError(f"{name}: the pipeline is a {type(pipeline).__name__}; expected one of {', '.join(PIPELINES)}")
    _check_text_encoder(folder, pipeline)
    pipeline = pipeline.to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def model_shape(model: str | os.PathLike[str], steps: int) -> Shape:
    """The shape of schedules for a model as in `load_pipeline`, from the configuration of its transformer alone. Raises ScheduleError."""
    folder, name = pathlib.Path(model), os.fspath(model)
    if _is_local(name):
        _class_name(folder)
    try:
        config = diffusers.PixArtTransformer2DModel.load_config(name, subfolder="transformer")
        kind = config.get("_class_name")
        if kind not in ("PixArtTransformer2DModel", "FluxTransformer2DModel"):
            raise ScheduleError(f"{name}: the transformer is a {kind}; expected PixArtTransformer2DModel or FluxTransformer2DModel")
        with torch.device("meta"):
            return shape_of(getattr(diffusers, kind).from_config(config), steps)
    except ScheduleError:
        raise
    except Exception as error:  # Whatever diffusers and the Hub raise for a file that is missing or damaged.
        raise _not_loaded(name, error) from error


def _not_loaded(model: str, error: Exception) -> ScheduleError:
    return ScheduleError(f"{model}: cannot be loaded: {' '.join(str(error).split())[:300]}{_remedy(error)}")


def open_device(name: str) -> torch.device:
    """The torch device of a `--device` option, which must exist; `auto` is `cuda` where there is one. Raises ScheduleError."""
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ScheduleError(f"--device is {name}: {str(error).splitlines()[0]}; expected cpu, or cuda where PyTorch finds a GPU") from None
    if device.type == "meta":
        raise ScheduleError("--device is meta, on which nothing is computed; expected cpu, or cuda where PyTorch finds a GPU")
    return device


def _is_local(model: str) -> bool:
    """Whether a model is a directory and not the name of a repository, `OWNER/NAME`."""
    return os.path.exists(model) or model.startswith((".", "~")) or model.count("/") != 1


def _class_name(folder: pathlib.Path) -> str:
    """The class of the pipeline in a directory."""
    index = folder / "model_index.json"
    try:
        name = json.loads(index.read_text()).get("_class_name")
    except OSError as error:
        snapshots = sorted(path.parent for path in folder.glob("snapshots/*/model_index.json"))
        hint = f", such as {snapshots[-1]}" if snapshots else ""
        raise ScheduleError(f"{index}: cannot be read: {error.strerror}; expected a model directory in the diffusers layout{hint}") from None
    except (ValueError, AttributeError) as error:
        raise ScheduleError(f"{index}: not a JSON object ({error}); expected the file of a model directory, which a Git LFS pointer is not") from None
    if name not in PIPELINES:
        raise ScheduleError(f"{index}: _class_name is {name}; expected one of {', '.join(PIPELINES)}")
    return str(name)


def _remedy(error: Exception) -> str:
    """What to install, where a package is missing."""
    text = str(error).lower()
    missing = [package for package in ("transformers", "sentencepiece") if package in text]
    return f"; expected the extra text-encoders: pip install {' '.join(missing)}" if missing and isinstance(error, (ImportError, ValueError)) else ""


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


def _check_tokenizers(model: pathlib.Path, parts: dict[str, Any]) -> None:
    """Raises ScheduleError for a tokenizer without its files: transformers makes one up that knows no words."""
    for folder in sorted(model.glob("text_encoder*")):
        tokenizer = model / folder.name.replace("text_encoder", "tokenizer")
        if tokenizer.name in parts:
            continue
        if not any((tokenizer / name).is_file() for name in ("tokenizer.json", "spiece.model", "vocab.json")):
            raise ScheduleError(f"{tokenizer}: no vocabulary found; expected tokenizer.json, spiece.model, or vocab.json and merges.txt")
        if (tokenizer / "vocab.json").is_file() and not any((tokenizer / name).is_file() for name in ("tokenizer.json", "merges.txt")):
            raise ScheduleError(f"{tokenizer}: merges.txt is missing; expected it beside vocab.json")


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
    if is_flux(pipeline):
        return int(pipeline.vae.config.sample_size)  # Its transformer has none, and the pipeline assumes 1024.
    return int(pipeline.transformer.config.sample_size * pipeline.vae_scale_factor)


def text_length(pipeline: Any) -> int:
    """Tokens that T5's prompts are padded to: the pipeline's default, for FLUX at most the limit of its T5 tokenizer, as `ecad generate` pads them.

    FLUX attends to padding, so a model trained with fewer tokens must be given fewer.
    """
    longest = TEXT_TOKENS[type(pipeline).__name__]
    tokenizer = pipeline.tokenizer_2 if is_flux(pipeline) else None
    return longest if tokenizer is None else min(longest, max(1, tokenizer.model_max_length))


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
