"""Trains the PixArt-Sigma transformer of the bundled model, initialised from shapes-pixart-alpha.

    python scripts/zoo/train_sigma.py --work FOLDER [--steps 1600]

Steps alternate between two image sizes; the larger images show the same world scaled up. Latents come from the encoder of
shapes-pixart-alpha, which the Sigma autoencoder shares (train_vae.py --family pixart-sigma trains its decoder). Objective as in
train_pixart.py: noise prediction with min-SNR weights, 10 % of the captions dropped.
"""

from __future__ import annotations

import argparse
import pathlib
import random

import numpy as np
import torch
from diffusers import DDPMScheduler, PixArtTransformer2DModel

import bundled
import scenes
from train_pixart import BETAS
from train_text_encoder import tokenize
from training import Run, save_atomically

SIZES = {64: 64, 96: 32}  # image size in pixels: batch size


@torch.no_grad()
def prepare(work: pathlib.Path, scene_counts: dict[int, int]) -> dict:
    """Latents, caption embeddings and masks of training scenes at each size; cached in FOLDER/data.pt."""
    path = work / "data.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    vae = bundled.autoencoder()
    tokenizer, encoder = bundled.t5()

    def encode(captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, mask = tokenize(tokenizer, captions)
        return encoder(input_ids=ids, attention_mask=mask).last_hidden_state.half(), mask.bool()

    data: dict = {"sizes": {}}
    for size, count in scene_counts.items():
        rng = random.Random(f"sigma {size}")
        chosen = scenes.scenes(100 + size, count, held_out=False)
        latents, embeddings, masks = [], [], []
        for start in range(0, count, 64):
            batch = chosen[start : start + 64]
            images = np.stack([scenes.draw(scene, rng, size) for scene in batch])
            images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
            latents.append(vae.encode(images).latent_dist.mean)
            embedding, mask = encode([scene.caption() for scene in batch])
            embeddings.append(embedding)
            masks.append(mask)
        data["sizes"][size] = {
            "latents": torch.cat(latents),
            "embeddings": torch.cat(embeddings),
            "masks": torch.cat(masks),
        }
    empty_embedding, empty_mask = encode([""])
    data["empty_embedding"], data["empty_mask"] = empty_embedding[0], empty_mask[0]
    # One factor for both sizes: the inverse of the standard deviation, with equal weight for both.
    variances = [rows["latents"].square().mean() - rows["latents"].mean().square() for rows in data["sizes"].values()]
    data["scaling_factor"] = 1 / torch.stack(variances).mean().sqrt()
    save_atomically(data, path)
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--scenes", type=int, default=20000, help="at the smaller size; half as many at the larger")
    parser.add_argument("--peak", type=float, default=5e-4)
    arguments = parser.parse_args()

    torch.set_flush_denormal(True)
    smaller, larger = SIZES
    data = prepare(arguments.work, {smaller: arguments.scenes, larger: arguments.scenes // 2})
    model = PixArtTransformer2DModel.from_pretrained(bundled.ALPHA, subfolder="transformer", torch_dtype=torch.float32)
    model.train()
    noise_scheduler = DDPMScheduler(**BETAS)
    signal_to_noise = noise_scheduler.alphas_cumprod / (1 - noise_scheduler.alphas_cumprod)
    weights = signal_to_noise.clamp(max=5) / signal_to_noise
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.peak, betas=(0.9, 0.99), weight_decay=0.01)
    run = Run(arguments.work / "transformer", model, optimizer, arguments.steps, peak=arguments.peak, average=0.998)
    generator = torch.Generator()
    while run.step < run.total:
        run.begin_step()
        generator.manual_seed(run.step)
        size = larger if run.step % 2 else smaller
        rows_of_size, count = data["sizes"][size], SIZES[size]
        rows = torch.randint(len(rows_of_size["latents"]), (count,), generator=generator)
        timesteps = torch.randint(1000, (count,), generator=generator)
        latents = rows_of_size["latents"][rows] * data["scaling_factor"]
        noise = torch.randn(latents.shape, generator=generator)
        dropped = torch.rand(count, generator=generator) < 0.1
        embeddings, masks = rows_of_size["embeddings"][rows].float(), rows_of_size["masks"][rows]
        embeddings[dropped], masks[dropped] = data["empty_embedding"].float(), data["empty_mask"]
        length = int(masks.sum(1).max())
        predicted = model(
            noise_scheduler.add_noise(latents, noise, timesteps),
            encoder_hidden_states=embeddings[:, :length],
            encoder_attention_mask=masks[:, :length],
            timestep=timesteps,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0][:, :4]
        loss = ((predicted - noise).square().mean((1, 2, 3)) * weights[timesteps]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.end_step(loss.item(), save_every=200)


if __name__ == "__main__":
    main()
