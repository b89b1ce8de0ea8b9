"""Shared by the references of all families."""

from __future__ import annotations

import argparse
import pathlib
import shutil

import torch
from diffusers import AutoencoderKL
from transformers.utils import logging

from reference.component_cache import Schedule
from reference.files import Reference, bfloat16_errors

LIBRARIES = ("diffusers", "transformers", "torch")
# Of transformers; named, because its default differs between versions, and with it the last bits.
ATTENTION = "sdpa"
logging.disable_progress_bar()


def load_vae(model: pathlib.Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32).eval()


def initial_latents(seeds: list[int], shape: tuple[int, ...]) -> torch.Tensor:
    """One float32 draw per seed, [P, *shape]; the noise of an image does not depend on the rest of the batch."""
    return torch.stack([torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds])


@torch.no_grad()
def vae_decoder(options: argparse.Namespace) -> Reference:
    """The raw decoder output for random latents that are already unscaled and unshifted."""
    vae = load_vae(options.model)
    size = vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
    shape = (options.count, vae.config.latent_channels, options.latent_height or size, options.latent_width or size)
    latents = 2 * torch.randn(shape, generator=torch.Generator("cpu").manual_seed(options.seed))
    image = vae.decode(latents, return_dict=False)[0]
    metadata = {}
    if options.bfloat16:
        metadata = bfloat16_errors({"image": image}, {"image": vae.to(torch.bfloat16).decode(latents.bfloat16(), return_dict=False)[0]})
    return Reference(metadata, {"latents": latents, "image": image}, LIBRARIES)


def narrowed(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Inputs of a network in bfloat16."""
    return {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}


def read_schedule(options: argparse.Namespace) -> Schedule | None:
    """Reads the schedule of a trajectory, if any, and checks its number of steps."""
    if len(options.seeds) != len(options.prompts):
        raise SystemExit(f"--seeds: {len(options.seeds)} given; expected {len(options.prompts)}, one per prompt")
    schedule = Schedule.read(options.schedule) if options.schedule else None
    if schedule and schedule.steps != options.steps:
        raise SystemExit(f"{options.schedule}: has {schedule.steps} steps; expected {options.steps}")
    return schedule


def trajectory_reference(
    options: argparse.Namespace, guidance_scale: float, size: tuple[int, int], tensors: dict[str, torch.Tensor], narrow: dict[str, torch.Tensor] | None
) -> Reference:
    """The reference of a trajectory, given also in bfloat16 if that is wanted; copies its schedule next to the output if it is elsewhere."""
    metadata = {
        "prompts": options.prompts,
        "negative_prompt": options.negative_prompt,
        "seeds": options.seeds,
        "steps": options.steps,
        "guidance_scale": guidance_scale,
        "height": size[0],
        "width": size[1],
        "schedule": options.schedule.name if options.schedule else "",
    }
    if options.max_length:
        metadata["max_length"] = options.max_length
    if narrow:
        metadata |= bfloat16_errors(tensors, narrow, {"step_latents": options.steps})
    if options.schedule and options.schedule.resolve().parent != options.output.resolve().parent:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.schedule, options.output.parent / options.schedule.name)
    return Reference(metadata, tensors, LIBRARIES)
