"""Trains the autoencoders of the bundled models.

    python scripts/zoo/train_vae.py --work FOLDER [--family pixart-alpha | pixart-sigma | flux] [--steps N]

pixart-alpha  64x64 RGB to 8x8 latents of 4 channels, from nothing
pixart-sigma  shapes-pixart-alpha's with its encoder kept and its decoder trained on, at 64x64 and 96x96
flux          64x64 RGB to 8x8 latents of 16 channels, no quantisation convolutions; begins with the weights of
              shapes-pixart-alpha where shapes agree

Resumes from FOLDER/vae/checkpoint.pt. Loss: squared plus absolute pixel error, and a small Kullback-Leibler term.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import random

import numpy as np
import torch
from diffusers import AutoencoderKL

import bundled
import scenes
from training import Run

CONFIG = dict(
    in_channels=3,
    out_channels=3,
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    block_out_channels=(16, 32, 64, 64),
    layers_per_block=1,
    latent_channels=4,
    norm_num_groups=8,
    sample_size=scenes.IMAGE_SIZE,
)
FLUX_CONFIG = {**CONFIG, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}


@dataclasses.dataclass(frozen=True)
class Recipe:
    config: dict
    batches: dict[int, int]  # pixels to images in a batch, taken in turn
    steps: int
    peak: float
    divergence_weight: float = 1e-4
    absolute_weight: float = 0.2
    starts_from_alpha: bool = True
    keeps_encoder: bool = False


RECIPES = {
    "pixart-alpha": Recipe(CONFIG, {64: 16}, steps=2900, peak=1e-3, starts_from_alpha=False),
    "pixart-sigma": Recipe(CONFIG, {64: 16, 96: 7}, steps=1200, peak=6e-4, absolute_weight=0.5, keeps_encoder=True),
    "flux": Recipe(FLUX_CONFIG, {64: 16}, steps=1600, peak=1e-3, divergence_weight=3e-4, absolute_weight=0.5),
}


def make_vae(recipe: Recipe) -> AutoencoderKL:
    vae = AutoencoderKL(**recipe.config)
    if recipe.starts_from_alpha:
        own = vae.state_dict()
        learnt = bundled.autoencoder().state_dict()
        same = {name: value for name, value in learnt.items() if name in own and own[name].shape == value.shape}
        vae.load_state_dict(same, strict=False)
    if recipe.keeps_encoder:
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(False)
    return vae


def averaged(work: pathlib.Path, family: str) -> AutoencoderKL:
    vae = AutoencoderKL(**RECIPES[family].config)
    vae.load_state_dict(torch.load(work / "vae" / "checkpoint.pt", weights_only=True)["average"])
    return vae.eval()


def batch_of_images(rng: random.Random, count: int, size: int) -> torch.Tensor:
    """[count, 3, size, size] in -1..1, of training captions."""
    images = []
    while len(images) < count:
        scene = scenes.random_scene(rng)
        if not scenes.is_held_out(scene.caption()):
            images.append(scenes.draw(scene, rng, size))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=RECIPES, default="pixart-alpha")
    parser.add_argument("--steps", type=int, help="instead of the family's own")
    arguments = parser.parse_args()

    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    recipe = RECIPES[arguments.family]
    vae = make_vae(recipe)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.peak, betas=(0.9, 0.99), weight_decay=1e-4)
    run = Run(arguments.work / "vae", vae, optimizer, arguments.steps or recipe.steps, peak=recipe.peak, average=0.998)
    sizes = list(recipe.batches)
    while run.step < run.total:
        run.begin_step()
        rng = random.Random(f"vae {run.step}")
        torch.manual_seed(run.step)
        size = sizes[run.step % len(sizes)]
        images = batch_of_images(rng, recipe.batches[size], size)
        posterior = vae.encode(images).latent_dist
        difference = vae.decode(posterior.sample()).sample - images
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        loss = (
            difference.square().mean()
            + recipe.absolute_weight * difference.abs().mean()
            + recipe.divergence_weight * divergence
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        run.end_step(difference.square().mean().item(), save_every=200)


if __name__ == "__main__":
    main()
