"""Trains the autoencoders of the bundled models.

    python scripts/zoo/train_vae.py --work FOLDER [--family pixart-alpha | pixart-sigma | flux | flux-decoder] [--steps N]

pixart-alpha  64x64 RGB to 8x8 latents of 4 channels, from scratch
pixart-sigma  fine-tunes the decoder of shapes-pixart-alpha at 64x64 and 96x96; the encoder is frozen
flux          64x64 RGB to 8x8 latents of 16 channels, no quantisation convolutions; initialised from
              shapes-pixart-alpha where shapes agree
flux-decoder  fine-tunes the decoder of flux with a frozen encoder; independent of the transformer's training

Resumes from FOLDER/vae/checkpoint.pt, flux-decoder from FOLDER/vae_decoder. Loss: squared plus absolute pixel error, and a small
Kullback-Leibler term; if only the decoder is trained, pixels at outlines have more weight, because corners distinguish the shapes.
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
    batches: dict[int, int]  # image size in pixels: batch size; sizes alternate
    steps: int
    peak: float
    divergence_weight: float = 1e-4
    absolute_weight: float = 0.2
    start: str = "alpha"  # alpha, flux or scratch
    freezes_encoder: bool = False
    outline_weight: float = 0.0
    folder: str = "vae"


RECIPES = {
    "pixart-alpha": Recipe(CONFIG, {64: 16}, steps=2900, peak=1e-3, start="scratch"),
    "pixart-sigma": Recipe(
        CONFIG, {64: 16, 96: 7}, steps=900, peak=8e-4, absolute_weight=0.5, freezes_encoder=True, outline_weight=4.0
    ),
    "flux": Recipe(FLUX_CONFIG, {64: 16}, steps=1000, peak=1e-3, divergence_weight=3e-4, absolute_weight=0.5),
    "flux-decoder": Recipe(
        FLUX_CONFIG, {64: 16}, steps=700, peak=8e-4, absolute_weight=0.5, start="flux", freezes_encoder=True,
        outline_weight=4.0, folder="vae_decoder",
    ),
}  # fmt: skip


def make_vae(recipe: Recipe, work: pathlib.Path) -> AutoencoderKL:
    vae = AutoencoderKL(**recipe.config)
    if recipe.start == "flux":
        vae.load_state_dict(last_average(work / "vae"))
    if recipe.start == "alpha":
        own = vae.state_dict()
        weights = bundled.autoencoder().state_dict()
        matching = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
        vae.load_state_dict(matching, strict=False)
    if recipe.freezes_encoder:
        for part in filter(None, (vae.encoder, vae.quant_conv)):
            part.requires_grad_(False)
    return vae


def last_average(folder: pathlib.Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["average"]


def averaged(work: pathlib.Path, family: str) -> AutoencoderKL:
    """The trained autoencoder, with the fine-tuned decoder if there is one."""
    vae = AutoencoderKL(**RECIPES[family].config)
    folder = work / "vae_decoder" if (work / "vae_decoder" / "checkpoint.pt").exists() else work / "vae"
    vae.load_state_dict(last_average(folder))
    return vae.eval()


def pixel_weights(images: torch.Tensor, outline_weight: float) -> torch.Tensor:
    """[count, 1, size, size]: 1 in uniform areas, more where a pixel differs from its surroundings."""
    around = torch.nn.functional.avg_pool2d(images, 5, stride=1, padding=2, count_include_pad=False)
    return 1 + outline_weight * (images - around).abs().amax(1, keepdim=True)


def batch_of_images(rng: random.Random, count: int, size: int) -> torch.Tensor:
    """Images of training captions, [count, 3, size, size] in -1..1."""
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
    parser.add_argument("--steps", type=int, help="training steps (default: depends on the family)")
    arguments = parser.parse_args()

    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    recipe = RECIPES[arguments.family]
    vae = make_vae(recipe, arguments.work)
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.peak, betas=(0.9, 0.99), weight_decay=1e-4)
    run = Run(arguments.work / recipe.folder, vae, optimizer, arguments.steps or recipe.steps, peak=recipe.peak, average=0.998)
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
        weights = pixel_weights(images, recipe.outline_weight)
        loss = (
            (weights * difference.square()).mean()
            + recipe.absolute_weight * (weights * difference.abs()).mean()
            + recipe.divergence_weight * divergence
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        run.end_step(difference.square().mean().item(), save_every=200)


if __name__ == "__main__":
    main()
