"""References for PixArt-alpha and PixArt-Sigma, computed by diffusers and transformers in float32 on the CPU."""

from __future__ import annotations

import argparse
import json
import pathlib

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtSigmaPipeline, PixArtTransformer2DModel
from transformers import T5EncoderModel, T5Tokenizer

from reference.common import ATTENTION, LIBRARIES, initial_latents, load_vae, narrowed, read_schedule, trajectory_reference
from reference.component_cache import ComponentCache
from reference.files import Reference, bfloat16_errors

PIPELINES = {"PixArtAlphaPipeline": PixArtAlphaPipeline, "PixArtSigmaPipeline": PixArtSigmaPipeline}
MAX_LENGTHS = {PixArtAlphaPipeline: 120, PixArtSigmaPipeline: 300}
GUIDANCE_SCALE = 4.5


def pipeline_class(model: pathlib.Path) -> type:
    """The pipeline named by model_index.json."""
    name = json.loads((model / "model_index.json").read_text())["_class_name"]
    if name not in PIPELINES:
        raise SystemExit(f"{model / 'model_index.json'}: _class_name is {name}; expected one of {', '.join(PIPELINES)}")
    return PIPELINES[name]


def load_transformer(model: pathlib.Path) -> PixArtTransformer2DModel:
    """The transformer in float32. Loaded through its class, because published configurations name `Transformer2DModel`."""
    return PixArtTransformer2DModel.from_pretrained(model / "transformer", torch_dtype=torch.float32).eval()


def load_text_encoder(model: pathlib.Path) -> T5EncoderModel:
    return T5EncoderModel.from_pretrained(model / "text_encoder", dtype=torch.float32, attn_implementation=ATTENTION).eval()


def load_pipeline(model: pathlib.Path) -> PixArtAlphaPipeline | PixArtSigmaPipeline:
    """The complete pipeline, assembled from its components, with the scheduler configuration of the model."""
    pipeline = pipeline_class(model)(
        tokenizer=T5Tokenizer.from_pretrained(model / "tokenizer"),
        text_encoder=load_text_encoder(model),
        vae=load_vae(model),
        transformer=load_transformer(model),
        scheduler=DPMSolverMultistepScheduler.from_pretrained(model / "scheduler"),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


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
    """One forward pass on random inputs, one row per timestep, with text masks of random length (one with a gap)."""
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
    metadata = {}
    if options.bfloat16:
        narrow = {"added_cond_kwargs": conditions | narrowed(given)}
        metadata = bfloat16_errors({"sample": sample}, {"sample": model.to(torch.bfloat16)(**narrowed(inputs), **narrow, return_dict=False)[0]})
    return Reference(metadata, inputs | given | {"sample": sample}, LIBRARIES)


@torch.no_grad()
def trajectory(options: argparse.Namespace) -> Reference:
    """Runs the text-to-image pipeline, with caching if a schedule is given, and records the latents of every step."""
    schedule = read_schedule(options)
    guidance_scale = GUIDANCE_SCALE if options.guidance_scale is None else options.guidance_scale
    pipeline = load_pipeline(options.model)
    if options.steps == 1 and isinstance(pipeline, PixArtAlphaPipeline):
        raise SystemExit("--steps is 1; expected at least 2, which the diffusers PixArt-alpha pipeline requires with this scheduler")
    native = pipeline.transformer.config.sample_size * pipeline.vae_scale_factor
    height, width = options.height or native, options.width or native
    length = options.max_length or MAX_LENGTHS[type(pipeline)]
    if schedule and schedule.gate_step is not None and guidance_scale <= 1:
        raise SystemExit(f"{options.schedule}: guidance scale is {guidance_scale}; TGATE requires more than 1")
    scale = pipeline.vae_scale_factor
    shape = (pipeline.transformer.config.in_channels, height // scale, width // scale)
    start = initial_latents(options.seeds, shape)


    # The text is encoded in float32 in any case; with an encoder, the pipeline would cast embeddings to its type.
    text, mask, negative, negative_mask = pipeline.encode_prompt(
        options.prompts, guidance_scale > 1, options.negative_prompt, clean_caption=False, max_sequence_length=length
    )
    pipeline.text_encoder = None

    def run(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        pipeline.transformer.to(dtype)
        pipeline.vae.to(dtype)
        steps: list[torch.Tensor] = []
        with ComponentCache(pipeline.transformer, schedule) as cache:

            def after_step(step: int, timestep: torch.Tensor, latents: torch.Tensor) -> None:
                steps.append(latents.clone())
                cache.advance()

            images = pipeline(
                prompt_embeds=text.to(dtype),
                prompt_attention_mask=mask,
                negative_prompt=None,
                negative_prompt_embeds=negative.to(dtype) if negative is not None else None,
                negative_prompt_attention_mask=negative_mask,
                num_inference_steps=options.steps,
                guidance_scale=guidance_scale,
                height=height,
                width=width,
                latents=start.to(dtype),
                output_type="pt",
                callback=after_step,
                use_resolution_binning=False,
            ).images
        return {"step_latents": torch.stack(steps), "images": images}

    tensors = run(torch.float32)
    sampler = {"timesteps": pipeline.scheduler.timesteps, "sigmas": pipeline.scheduler.sigmas}
    narrow = run(torch.bfloat16) if options.bfloat16 else None
    return trajectory_reference(options, guidance_scale, (height, width), sampler | {"initial_latents": start} | tensors, narrow)
