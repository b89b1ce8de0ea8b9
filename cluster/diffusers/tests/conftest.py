"""Shared by the tests: models, schedules and the engine's program."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import random
import struct
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from ecad_diffusers import Schedule, pipelines, save_schedule, transformer_shape
from ecad_diffusers.published import text

torch.set_num_threads(1)

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
FIXTURES = REPOSITORY / "Tests" / "Fixtures"
MODELS = REPOSITORY / "cluster" / "models"


@pytest.fixture(scope="session")
def ecad() -> pathlib.Path:
    """The engine's program, from the directory ECAD_BIN or a release build."""
    program = pathlib.Path(os.environ.get("ECAD_BIN") or REPOSITORY / ".build" / "release") / "ecad"
    if not program.exists():
        pytest.skip(f"{program} is not built")
    return program


@functools.cache
def load_pipeline(model: pathlib.Path) -> Any:
    """A pipeline in float32, loaded by diffusers itself from the published layout."""
    return pipelines.load_pipeline(model, torch.float32, torch.device("cpu"))


def read_safetensors(path: pathlib.Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """The metadata and the float32 and int64 tensors of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    metadata = header.pop("__metadata__", {})
    types = {"F32": np.float32, "I64": np.int64}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        tensors[name] = torch.from_numpy(np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"]).copy())
    return metadata, tensors


def unpacked_noise(pipeline: Any, seeds: list[int], height: int, width: int) -> torch.Tensor:
    """The initial latents, [images, C, h, w]."""
    noise = pipelines.noise(pipeline, seeds, height, width)
    return unpacked(pipeline, noise, height, width) if pipelines.is_flux(pipeline) else noise


def unpacked(pipeline: Any, tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    scale = pipeline.vae_scale_factor
    return FluxPipeline._unpack_latents(tokens, height // scale, width // scale, vae_scale_factor=1)


@torch.no_grad()
def decoded(pipeline: Any, latents: torch.Tensor) -> torch.Tensor:
    """Images of values from 0 to 1."""
    config = pipeline.vae.config
    images: torch.Tensor = pipeline.vae.decode(latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0), return_dict=False)[0]
    return (images / 2 + 0.5).clamp(0, 1)


def write_reference(path: pathlib.Path, metadata: dict[str, Any], tensors: dict[str, torch.Tensor]) -> pathlib.Path:
    """Writes a trajectory in the format that `ecad verify` reads."""
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "ecad-reference/1", "case": "trajectory", "source": "ecad-diffusers"} | texts}
    data = bytearray()
    for name, tensor in tensors.items():
        stored = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(stored)]}
        data += stored
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return path


def denoise(pipeline: Any, prompts: list[str], seeds: list[int], steps: int, height: int, width: int, **options: Any) -> torch.Tensor:
    """The latents of every step, [steps, images, C, h, w], from the pipeline's own callbacks."""
    latents: list[torch.Tensor] = []
    start = pipelines.noise(pipeline, seeds, height, width)
    if pipelines.is_flux(pipeline):

        def after_step(_: Any, step: int, timestep: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            latents.append(unpacked(pipeline, tensors["latents"], height, width).clone())
            return tensors

        options = {"callback_on_step_end": after_step, "max_sequence_length": 512} | options
    else:
        options = {"callback": lambda step, timestep, value: latents.append(value.clone()), "clean_caption": False, "use_resolution_binning": False} | options
    pipeline(prompt=prompts, num_inference_steps=steps, height=height, width=width, latents=start, output_type="latent", **options)
    return torch.stack(latents)


def random_schedule(pipeline: Any, steps: int, seed: int, share: float = 0.5) -> Schedule:
    """Every gene recomputes with probability `share`, also at step 0."""
    shape = transformer_shape(pipeline, steps)
    draw = random.Random(seed)
    return Schedule(shape, tuple(draw.random() < share for _ in range(shape.genes)), name=f"random-{seed}")


def tgate_schedule(pipeline: Any, steps: int, gate: int, seed: int = 0) -> Schedule:
    """Random decisions before and after the gate, without reuse of self-attention and feed-forward across it."""
    schedule = random_schedule(pipeline, steps, seed)
    row = schedule.shape.genes_per_step
    bits = list(schedule.bits)
    for gene in range(gate * row, min((gate + 1) * row, len(bits))):
        bits[gene] = True
    return Schedule(schedule.shape, tuple(bits), gate, f"tgate-{gate}")


def published(schedule: Schedule, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """A schedule as a published JSON document."""
    document: dict[str, Any] = json.loads(text(schedule, config))
    return document


def write_published(schedule: Schedule, path: pathlib.Path) -> pathlib.Path:
    save_schedule(schedule, path)
    return path


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The relative L2 error."""
    return float((found - expected).norm() / expected.norm())

