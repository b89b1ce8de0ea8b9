"""References of the PixArt family (alpha and sigma), computed by diffusers and transformers in float32 on the CPU."""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
)
from transformers import T5EncoderModel, T5Tokenizer
from transformers.utils import logging

from reference.component_cache import ComponentCache, Schedule
from reference.files import Reference

PIPELINES = {"PixArtAlphaPipeline": PixArtAlphaPipeline, "PixArtSigmaPipeline": PixArtSigmaPipeline}
MAX_LENGTHS = {PixArtAlphaPipeline: 120, PixArtSigmaPipeline: 300}
LIBRARIES = ("diffusers", "transformers", "torch")
logging.disable_progress_bar()


def pipeline_class(model: pathlib.Path) -> type:
    """The pipeline named by model_index.json."""
    name = json.loads((model / "model_index.json").read_text())["_class_name"]
    if name not in PIPELINES:
        raise SystemExit(f"{model / 'model_index.json'}: expected one of {', '.join(PIPELINES)}, found {name}")
    return PIPELINES[name]


def load_transformer(model: pathlib.Path) -> PixArtTransformer2DModel:
    """The transformer in float32. Loaded by its class: published configurations still name `Transformer2DModel`."""
    return PixArtTransformer2DModel.from_pretrained(model / "transformer", torch_dtype=torch.float32).eval()


def load_vae(model: pathlib.Path) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32).eval()


def load_text_encoder(model: pathlib.Path) -> T5EncoderModel:
    return T5EncoderModel.from_pretrained(model / "text_encoder", dtype=torch.float32).eval()


def load_pipeline(model: pathlib.Path) -> PixArtAlphaPipeline | PixArtSigmaPipeline:
    """The whole pipeline, put together from its parts, with the scheduler's own configuration."""
    pipeline = pipeline_class(model)(
        tokenizer=T5Tokenizer.from_pretrained(model / "tokenizer"),
        text_encoder=load_text_encoder(model),
        vae=load_vae(model),
        transformer=load_transformer(model),
        scheduler=DPMSolverMultistepScheduler.from_pretrained(model / "scheduler"),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def initial_latents(seeds: list[int], shape: tuple[int, ...]) -> torch.Tensor:
    """One float32 draw for each seed, [P, *shape]: an image's noise does not depend on its neighbours in the batch."""
    return torch.stack([torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed)) for seed in seeds])


@torch.no_grad()
def text_encoder(options: argparse.Namespace) -> Reference:
    """Text as the pipeline treats it (lower case, stripped), tokenized, padded to max_length, encoded under its mask."""
    length = options.max_length or MAX_LENGTHS[pipeline_class(options.model)]
    tokenizer = T5Tokenizer.from_pretrained(options.model / "tokenizer")
    tokens = tokenizer(
        [prompt.lower().strip() for prompt in options.prompts],
        padding="max_length",
        max_length=length,
        truncation=True,
        add_special_tokens=True,
        return_tensors="pt",
    )
    hidden = load_text_encoder(options.model)(tokens.input_ids, attention_mask=tokens.attention_mask)[0]
    return Reference(
        {"folder": "text_encoder", "prompts": options.prompts, "max_length": length},
        {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask, "hidden_states": hidden},
        LIBRARIES,
    )


@torch.no_grad()
def transformer(options: argparse.Namespace) -> Reference:
    """One forward pass on random inputs: a row for each timestep, with text masks of random length (one has a hole)."""
    model = load_transformer(options.model)
    config = model.config
    rows = len(options.timesteps)
    height, width = options.latent_height or config.sample_size, options.latent_width or config.sample_size
    generator = torch.Generator("cpu").manual_seed(options.seed)
    mask = torch.ones(rows, options.tokens, dtype=torch.int64)
    for row in range(1, rows):
        mask[row, int(torch.randint(1, options.tokens, (), generator=generator)) :] = 0
    mask[0, options.tokens // 2] = 0
    inputs = {
        "hidden_states": torch.randn(rows, config.in_channels, height, width, generator=generator),
        "encoder_hidden_states": torch.randn(rows, options.tokens, config.caption_channels, generator=generator),
        "encoder_attention_mask": mask,
        "timestep": torch.tensor(options.timesteps),
    }
    conditions = {"resolution": None, "aspect_ratio": None}
    if model.use_additional_conditions:
        sizes = torch.randint(16, 128, (rows, 2), generator=generator) * 8.0
        conditions = {"resolution": sizes, "aspect_ratio": sizes[:, :1] / sizes[:, 1:]}
    sample = model(**inputs, added_cond_kwargs=conditions, return_dict=False)[0]
    given = {name: tensor for name, tensor in conditions.items() if tensor is not None}
    return Reference({}, inputs | given | {"sample": sample}, LIBRARIES)


@torch.no_grad()
def vae_decoder(options: argparse.Namespace) -> Reference:
    """The decoder's raw output for random latents, already unscaled."""
    vae = load_vae(options.model)
    size = vae.config.sample_size // 2 ** (len(vae.config.block_out_channels) - 1)
    shape = (options.count, vae.config.latent_channels, options.latent_height or size, options.latent_width or size)
    latents = 2 * torch.randn(shape, generator=torch.Generator("cpu").manual_seed(options.seed))
    return Reference({}, {"latents": latents, "image": vae.decode(latents, return_dict=False)[0]}, LIBRARIES)


@torch.no_grad()
def trajectory(options: argparse.Namespace) -> Reference:
    """Text to image by the pipeline itself, with every step's latents and, if a schedule is given, its caching."""
    if len(options.seeds) != len(options.prompts):
        raise SystemExit(f"--seeds: expected {len(options.prompts)}, one for each prompt, found {len(options.seeds)}")
    pipeline = load_pipeline(options.model)
    if options.steps == 1 and isinstance(pipeline, PixArtAlphaPipeline):
        raise SystemExit("--steps: expected at least 2, found 1, which diffusers' alpha pipeline cannot run with this scheduler")
    native = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    height, width = options.height or native, options.width or native
    length = options.max_length or MAX_LENGTHS[type(pipeline)]
    schedule = Schedule.read(options.schedule) if options.schedule else None
    if schedule and schedule.steps != options.steps:
        raise SystemExit(f"{options.schedule}: expected {options.steps} steps, found {schedule.steps}")
    if schedule and schedule.gate_step is not None and options.guidance_scale <= 1:
        raise SystemExit(f"{options.schedule}: TGATE needs a guidance scale above 1, found {options.guidance_scale}")
    scale = pipeline.vae_scale_factor
    shape = (pipeline.transformer.config.in_channels, height // scale, width // scale)
    start = initial_latents(options.seeds, shape)

    steps: list[torch.Tensor] = []
    with ComponentCache(pipeline.transformer, schedule) as cache:

        def after_step(step: int, timestep: torch.Tensor, latents: torch.Tensor) -> None:
            steps.append(latents.clone())
            cache.advance()

        images = pipeline(
            prompt=options.prompts,
            negative_prompt=options.negative_prompt,
            num_inference_steps=options.steps,
            guidance_scale=options.guidance_scale,
            height=height,
            width=width,
            latents=start.clone(),
            output_type="pt",
            callback=after_step,
            clean_caption=False,
            use_resolution_binning=False,
            max_sequence_length=length,
        ).images

    metadata = {
        "prompts": options.prompts,
        "negative_prompt": options.negative_prompt,
        "seeds": options.seeds,
        "steps": options.steps,
        "guidance_scale": options.guidance_scale,
        "height": height,
        "width": width,
        "schedule": options.schedule.name if options.schedule else "",
    }
    if options.max_length:
        metadata["max_length"] = options.max_length
    if options.schedule and options.schedule.resolve().parent != options.output.resolve().parent:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(options.schedule, options.output.parent / options.schedule.name)
    return Reference(
        metadata, {"initial_latents": start, "step_latents": torch.stack(steps), "images": images}, LIBRARIES
    )
