"""Trains the PixArt-alpha transformer of the bundled model on latents of the trained autoencoder.

    python scripts/zoo/train_pixart.py --work FOLDER [--steps 12000]

Needs FOLDER/vae and FOLDER/text_encoder (train_vae.py, train_text_encoder.py). Noise prediction with the published linear betas and
min-SNR weighting (arXiv 2303.09556, gamma 5); 10 % of the captions are replaced by the empty caption for classifier-free guidance. The
variance half of the output is not trained and stays zero: the sampler does not use it.
"""

from __future__ import annotations

import argparse
import pathlib
import random

import numpy as np
import torch
from diffusers import DDPMScheduler, PixArtTransformer2DModel
from torch.nn.attention import SDPBackend, sdpa_kernel

import scenes
import train_vae
from train_text_encoder import T5_CONFIG, averaged_encoder, tokenize
from training import Run, save_atomically

CONFIG = dict(
    num_attention_heads=6,
    attention_head_dim=32,
    in_channels=4,
    out_channels=8,
    num_layers=8,
    cross_attention_dim=192,
    sample_size=8,
    patch_size=2,
    caption_channels=T5_CONFIG["d_model"],
    interpolation_scale=1,
    use_additional_conditions=False,
)
BETAS = dict(num_train_timesteps=1000, beta_start=0.0001, beta_end=0.02, beta_schedule="linear")


@torch.no_grad()
def prepare(work: pathlib.Path, count: int) -> dict[str, torch.Tensor]:
    """Latents, caption embeddings and masks of `count` training scenes; cached in FOLDER/data.pt."""
    path = work / "data.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    vae = train_vae.averaged(work, "pixart-alpha")
    tokenizer, encoder = averaged_encoder(work, "pixart-alpha")
    rng = random.Random("pixart")
    chosen = scenes.scenes(1, count, held_out=False)
    latents, embeddings, masks = [], [], []
    for start in range(0, count, 64):
        batch = chosen[start : start + 64]
        images = np.stack([scenes.draw(scene, rng) for scene in batch])
        images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents.append(vae.encode(images).latent_dist.mean)
        ids, mask = tokenize(tokenizer, [scene.caption() for scene in batch])
        embeddings.append(encoder(input_ids=ids, attention_mask=mask).last_hidden_state.half())
        masks.append(mask.bool())
    ids, mask = tokenize(tokenizer, [""])
    empty = encoder(input_ids=ids, attention_mask=mask).last_hidden_state.half()
    data = {
        "latents": torch.cat(latents),
        "embeddings": torch.cat(embeddings),
        "masks": torch.cat(masks),
        "empty_embedding": empty[0],
        "empty_mask": mask[0].bool(),
    }
    data["scaling_factor"] = 1 / data["latents"].std()
    save_atomically(data, path)
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--scenes", type=int, default=60000)
    parser.add_argument("--peak", type=float, default=1e-3)
    arguments = parser.parse_args()

    data = prepare(arguments.work, arguments.scenes)
    latents = data["latents"] * data["scaling_factor"]
    torch.manual_seed(0)
    model = PixArtTransformer2DModel(**CONFIG)
    noise_scheduler = DDPMScheduler(**BETAS)
    signal_to_noise = noise_scheduler.alphas_cumprod / (1 - noise_scheduler.alphas_cumprod)
    weights = signal_to_noise.clamp(max=5) / signal_to_noise
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.peak, betas=(0.9, 0.99), weight_decay=0.01)
    run = Run(arguments.work / "transformer", model, optimizer, arguments.steps, peak=arguments.peak, average=0.9995)
    # The variance half of proj_out is zero and stays so.
    with torch.no_grad():
        for parameter in (model.proj_out.weight, model.proj_out.bias):
            parameter.view(4, 8, -1)[:, 4:] = 0
    generator = torch.Generator()
    while run.step < run.total:
        run.begin_step()
        generator.manual_seed(run.step)
        rows = torch.randint(len(latents), (arguments.batch,), generator=generator)
        timesteps = torch.randint(1000, (arguments.batch,), generator=generator)
        noise = torch.randn(arguments.batch, *latents.shape[1:], generator=generator)
        dropped = torch.rand(arguments.batch, generator=generator) < 0.1
        embeddings, masks = data["embeddings"][rows].float(), data["masks"][rows]
        embeddings[dropped], masks[dropped] = data["empty_embedding"].float(), data["empty_mask"]
        length = int(masks.sum(1).max())
        noisy = noise_scheduler.add_noise(latents[rows], noise, timesteps)
        # With sixteen tokens the backward pass of fused attention is several times slower than plain products.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", torch.bfloat16):
            predicted = model(
                noisy,
                encoder_hidden_states=embeddings[:, :length],
                encoder_attention_mask=masks[:, :length],
                timestep=timesteps,
                added_cond_kwargs={"resolution": None, "aspect_ratio": None},
                return_dict=False,
            )[0][:, :4]
            loss = ((predicted.float() - noise).square().mean((1, 2, 3)) * weights[timesteps]).mean()
            optimizer.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.end_step(loss.item())


if __name__ == "__main__":
    main()
