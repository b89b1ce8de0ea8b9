"""Trains the FLUX transformer of the bundled model on latents of its own autoencoder.

    python scripts/zoo/train_flux.py --work FOLDER [--steps N]                     # velocity, conditioned on captions
    python scripts/zoo/train_flux.py --work FOLDER --distil [--distil-steps N]     # then guidance distillation
    python scripts/zoo/train_flux.py --work FOLDER [--distil] --evaluate           # held-out scenes, with the moving average

Needs FOLDER/vae, FOLDER/text_encoder and FOLDER/clip (train_vae.py, train_text_encoder.py, both with --family flux, train_clip.py). Rectified
flow (arXiv 2209.03003): the model predicts noise minus latents at logit-normal noise levels, shifted as in sampling; 10 % of the captions
are replaced by the empty caption. In the second phase a copy of the moving average learns to predict the teacher's velocity with
classifier-free guidance for scales from 1 to 5, like FLUX.1-dev (guidance distillation, arXiv 2210.03142): one pass per step suffices then.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
import random

import numpy as np
import torch
from diffusers import FluxTransformer2DModel

import scenes
import train_clip
import train_vae
from muon import Muon
from team import Team
from train_text_encoder import FLUX_TOKENS, T5_CONFIG, averaged_encoder, tokenize
from training import Run, save_atomically

CONFIG = dict(
    in_channels=64,
    num_layers=4,
    num_single_layers=8,
    attention_head_dim=32,
    num_attention_heads=4,
    joint_attention_dim=T5_CONFIG["d_model"],
    pooled_projection_dim=train_clip.TEXT_CONFIG["hidden_size"],
    guidance_embeds=True,
    axes_dims_rope=(4, 14, 14),
)
SIDE = scenes.IMAGE_SIZE // 16  # packed tokens per edge
# The published parameters for shifting noise levels by the number of image tokens.
SHIFT = dict(base_image_seq_len=256, max_image_seq_len=4096, base_shift=0.5, max_shift=1.15)
GUIDANCE = (1.0, 5.0)


def shift_exponent(tokens: int = SIDE * SIDE) -> float:
    slope = (SHIFT["max_shift"] - SHIFT["base_shift"]) / (SHIFT["max_image_seq_len"] - SHIFT["base_image_seq_len"])
    return SHIFT["base_shift"] + slope * (tokens - SHIFT["base_image_seq_len"])


def shifted(levels: torch.Tensor) -> torch.Tensor:
    factor = math.exp(shift_exponent())
    return factor * levels / (1 + (factor - 1) * levels)


def packed(latents: torch.Tensor) -> torch.Tensor:
    """[B, 16, 8, 8] to [B, 16, 64]: one token per 2x2 positions, channels outermost."""
    count, channels, side, _ = latents.shape
    patches = latents.view(count, channels, side // 2, 2, side // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return patches.reshape(count, (side // 2) ** 2, channels * 4)


def unpacked(tokens: torch.Tensor) -> torch.Tensor:
    count, _, width = tokens.shape
    patches = tokens.view(count, SIDE, SIDE, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return patches.reshape(count, width // 4, SIDE * 2, SIDE * 2)


class Captions:
    """Encodes captions like the pipeline: T5 over all tokens, padding included, and the pooled output of CLIP."""

    def __init__(self, work: pathlib.Path):
        self.pieces, self.t5 = averaged_encoder(work, "flux")
        self.words, self.clip = train_clip.averaged(work)

    @torch.no_grad()
    def encode(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, _ = tokenize(self.pieces, captions, FLUX_TOKENS)
        ids_of_words = self.words(captions, padding=True, return_tensors="pt").input_ids
        return self.t5(input_ids=ids).last_hidden_state, self.clip.text_model(input_ids=ids_of_words).pooler_output


def prepare(work: pathlib.Path, team: Team, data: dict[str, torch.Tensor]) -> None:
    """Computes packed latents and caption embeddings of training scenes, divided among the processes; caches them in FOLDER/data.pt."""
    path = work / "data.pt"
    if path.exists():
        if team.rank == 0:
            for name, value in torch.load(path, weights_only=True).items():
                data[name].copy_(value)
        team.wait()
        return
    vae, captions = train_vae.averaged(work, "flux"), Captions(work)
    chosen = scenes.scenes(301, len(data["latents"]), held_out=False, counts=scenes.FLUX_SHAPE_COUNTS)
    for number, start in enumerate(range(0, len(chosen), 64)):
        if number % team.size != team.rank:
            continue
        batch = chosen[start : start + 64]
        rng = random.Random(f"flux {start}")
        images = np.stack([scenes.draw(scene, rng) for scene in batch])
        images = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            data["latents"][start : start + 64] = packed(vae.encode(images).latent_dist.mean)
        text, pooled = captions.encode([scene.caption() for scene in batch])
        data["text"][start : start + 64] = text.half()
        data["pooled"][start : start + 64] = pooled
    team.wait()
    if team.rank == 0:
        text, pooled = captions.encode([""])
        data["empty_text"].copy_(text[0])
        data["empty_pooled"].copy_(pooled[0])
        data["shift_factor"].copy_(data["latents"].mean())
        data["scaling_factor"].copy_(1 / data["latents"].std())
        save_atomically(data, path)
    team.wait()


def empty_data(count: int) -> dict[str, torch.Tensor]:
    width, pooled = T5_CONFIG["d_model"], CONFIG["pooled_projection_dim"]
    data = {
        "latents": torch.zeros(count, SIDE * SIDE, CONFIG["in_channels"]),
        "text": torch.zeros(count, FLUX_TOKENS, width, dtype=torch.half),
        "pooled": torch.zeros(count, pooled),
        "empty_text": torch.zeros(FLUX_TOKENS, width),
        "empty_pooled": torch.zeros(pooled),
        "shift_factor": torch.zeros(()),
        "scaling_factor": torch.zeros(()),
    }
    return {name: value.share_memory_() for name, value in data.items()}


def make_transformer() -> FluxTransformer2DModel:
    """Modulations and the output projection are initialised to zero, as in DiT (arXiv 2212.09748)."""
    model = FluxTransformer2DModel(**CONFIG)
    modulations = [module.linear for module in model.modules() if type(module).__name__.startswith("AdaLayerNorm")]
    for linear in [*modulations, model.proj_out]:
        torch.nn.init.zeros_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
    return model


def predict(model, noisy, levels, text, pooled, guidance) -> torch.Tensor:
    """The velocity, [B, 16, 64], at noise levels in 0...1, [B], with guidance scales, [B]."""
    image_ids = torch.zeros(SIDE, SIDE, 3)
    image_ids[..., 1] += torch.arange(SIDE)[:, None]
    image_ids[..., 2] += torch.arange(SIDE)[None]
    return model(
        hidden_states=noisy,
        encoder_hidden_states=text,
        pooled_projections=pooled,
        timestep=levels,
        img_ids=image_ids.view(-1, 3),
        txt_ids=torch.zeros(text.shape[1], 3),
        guidance=guidance,
        return_dict=False,
    )[0]


def make_optimizer(model: FluxTransformer2DModel, team: Team) -> Muon:
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        hidden = "transformer_blocks." in name and parameter.ndim == 2 and ".norm" not in name
        (matrices if hidden else others).append(parameter)
    return Muon([{"params": matrices, "matrices": True, "scale": 2.0}, {"params": others}], team)


@torch.no_grad()
def sample(model, text, pooled, empty_text, empty_pooled, steps: int, scale: float, by_input: bool) -> torch.Tensor:
    """Packed latents by the Euler method; guidance is an input of the network, or computed by a second pass without the caption."""
    count = len(text)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, SIDE * SIDE, CONFIG["in_channels"], generator=generator)
    levels = [*shifted(torch.linspace(1, 1 / steps, steps)).tolist(), 0.0]
    for level, following in zip(levels, levels[1:]):
        at = torch.full((count,), level)
        velocity = predict(model, x, at, text, pooled, torch.full((count,), scale if by_input else 1.0))
        if not by_input and scale != 1:
            unconditional = predict(model, x, at, empty_text.expand_as(text), empty_pooled.expand_as(pooled), torch.ones(count))
            velocity = unconditional + scale * (velocity - unconditional)
        x = x + (following - level) * velocity
    return x


def evaluate(work: pathlib.Path, folder: str, count: int, scales: list[float], by_input: bool) -> None:
    """Prints the share of held-out scenes whose shapes are found, for the moving average of the latest checkpoint."""
    state = torch.load(work / folder / "checkpoint.pt", weights_only=True)
    model = FluxTransformer2DModel(**CONFIG).eval()
    model.load_state_dict(state["average"])
    data = torch.load(work / "data.pt", weights_only=True, mmap=True)
    vae = train_vae.averaged(work, "flux")
    held_out = scenes.scenes(2, count, held_out=True, counts=scenes.FLUX_SHAPE_COUNTS)
    text, pooled = Captions(work).encode([scene.caption() for scene in held_out])
    for scale in scales:
        x = sample(model, text, pooled, data["empty_text"], data["empty_pooled"], 20, scale, by_input)
        with torch.no_grad():
            decoded = vae.decode(unpacked(x) / data["scaling_factor"] + data["shift_factor"]).sample
        images = (decoded.clamp(-1, 1) * 127.5 + 127.5).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
        found = [scenes.shapes_found(scene, image) for scene, image in zip(held_out, images)]
        whole = [scenes.scene_found(scene, image) for scene, image in zip(held_out, images)]
        row = {"step": state["step"], "guidance": scale, "found": float(np.mean(found)), "whole": float(np.mean(whole))}
        print(json.dumps(row), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=1714)
    parser.add_argument("--distil", action="store_true", help="run the second phase")
    parser.add_argument("--distil-steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--scenes", type=int, default=32000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--peak", type=float, default=1e-3)
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0, 3.5])
    parser.add_argument("--count", type=int, default=128)
    arguments = parser.parse_args()
    work, folder = arguments.work, "guided" if arguments.distil else "transformer"
    torch.set_num_threads(1)  # parallelism comes from processes
    torch.set_flush_denormal(True)
    if arguments.evaluate:
        evaluate(work, folder, arguments.count, arguments.guidance, by_input=arguments.distil)
        return

    data = empty_data(arguments.scenes)
    torch.manual_seed(0)
    model = make_transformer()
    team = Team(arguments.processes, capacity=sum(parameter.numel() for parameter in model.parameters()))
    prepare(work, team, data)
    teacher = None
    if arguments.distil:
        weights = torch.load(work / "transformer" / "checkpoint.pt", weights_only=True)["average"]
        model.load_state_dict(weights)
        teacher = FluxTransformer2DModel(**CONFIG).requires_grad_(False)
        teacher.load_state_dict(weights)
    optimizer = make_optimizer(model, team)
    steps, peak = (arguments.distil_steps, arguments.peak / 2) if teacher else (arguments.steps, arguments.peak)
    run = Run(
        work / folder, model, optimizer, steps, peak, average=0.99 if teacher else 0.998, decays=teacher is not None,
        leads=team.rank == 0,
    )  # fmt: skip
    parameters = list(model.parameters())
    share = arguments.batch // team.size
    generator = torch.Generator()
    while run.step < run.total:
        run.begin_step()
        generator.manual_seed(run.step * team.size + team.rank)
        rows = torch.randint(len(data["latents"]), (share,), generator=generator)
        latents = (data["latents"][rows] - data["shift_factor"]) * data["scaling_factor"]
        text, pooled = data["text"][rows].float(), data["pooled"][rows]
        noise = torch.randn(latents.shape, generator=generator)
        levels = shifted(torch.sigmoid(torch.randn(share, generator=generator)))
        # The ends of the trajectory, which logit-normal levels rarely reach.
        levels[: share // 8] = torch.rand(share // 8, generator=generator)
        noisy = torch.lerp(latents, noise, levels[:, None, None])
        if teacher is None:
            dropped = torch.rand(share, generator=generator) < 0.1
            text[dropped], pooled[dropped] = data["empty_text"], data["empty_pooled"]
            guidance, target = torch.ones(share), noise - latents
        else:
            guidance = GUIDANCE[0] + (GUIDANCE[1] - GUIDANCE[0]) * torch.rand(share, generator=generator)
            with torch.no_grad():
                both = predict(
                    teacher,
                    noisy.repeat(2, 1, 1),
                    levels.repeat(2),
                    torch.cat([text, data["empty_text"].expand_as(text)]),
                    torch.cat([pooled, data["empty_pooled"].expand_as(pooled)]),
                    torch.ones(2 * share),
                )
                conditional, unconditional = both.chunk(2)
                target = unconditional + guidance[:, None, None] * (conditional - unconditional)
        loss = (predict(model, noisy, levels, text, pooled, guidance) - target).square().mean()
        optimizer.zero_grad()
        (loss / team.size).backward()
        team.all_reduce([parameter.grad for parameter in parameters])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        run.end_step(loss.item())


if __name__ == "__main__":
    main()
