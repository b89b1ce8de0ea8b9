"""Trains the autoencoder of the bundled models: 64x64 RGB to 8x8 latents of 4 channels.

    python scripts/zoo/train_vae.py --work FOLDER [--steps 2900]

Resumes from FOLDER/vae/checkpoint.pt. Loss: squared plus absolute pixel error, and a small Kullback-Leibler term.
"""

from __future__ import annotations

import argparse
import pathlib
import random

import numpy as np
import torch
from diffusers import AutoencoderKL

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


def batch_of_images(rng: random.Random, count: int) -> torch.Tensor:
    """[count, 3, 64, 64] in -1..1, of training captions."""
    images = []
    while len(images) < count:
        scene = scenes.random_scene(rng)
        if not scenes.is_held_out(scene.caption()):
            images.append(scenes.draw(scene, rng))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=2900)
    parser.add_argument("--batch", type=int, default=16)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    vae = AutoencoderKL(**CONFIG)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    run = Run(arguments.work / "vae", vae, optimizer, arguments.steps, peak=1e-3)
    while run.step < run.total:
        run.begin_step()
        rng = random.Random(f"vae {run.step}")
        torch.manual_seed(run.step)
        images = batch_of_images(rng, arguments.batch)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        difference = decoded.float() - images
        divergence = posterior.kl().float().mean() / posterior.mean[0].numel()
        loss = difference.square().mean() + 0.2 * difference.abs().mean() + 1e-4 * divergence
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        run.end_step(difference.square().mean().item())


if __name__ == "__main__":
    main()
