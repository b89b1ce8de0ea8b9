"""References for FLUX, computed by diffusers and transformers in float32 on the CPU."""

from __future__ import annotations

import argparse
import pathlib

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from reference.common import ATTENTION, LIBRARIES, initial_latents, load_vae, narrowed, read_schedule, trajectory_reference
from reference.component_cache import ComponentCache
from reference.files import Reference, bfloat16_errors

MAX_LENGTH = 512
GUIDANCE_SCALE = 3.5


def load_transformer(model: pathlib.Path) -> FluxTransformer2DModel:
    return FluxTransformer2DModel.from_pretrained(model / "transformer", torch_dtype=torch.float32).eval()


def load_clip(model: pathlib.Path) -> CLIPTextModel:
    return CLIPTextModel.from_pretrained(model / "text_encoder", dtype=torch.float32, attn_implementation=ATTENTION).eval()


def load_t5(model: pathlib.Path) -> T5EncoderModel:
    return T5EncoderModel.from_pretrained(model / "text_encoder_2", dtype=torch.float32, attn_implementation=ATTENTION).eval()


def load_pipeline(model: pathlib.Path) -> FluxPipeline:
    """The complete pipeline, assembled from its components, with the scheduler configuration of the model."""
    pipeline = FluxPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(model / "tokenizer"),
        text_encoder=load_clip(model),
        tokenizer_2=T5Tokenizer.from_pretrained(model / "tokenizer_2"),
        text_encoder_2=load_t5(model),
        vae=load_vae(model),
        transformer=load_transformer(model),
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(model / "scheduler"),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pack(latents: torch.Tensor) -> torch.Tensor:
    """[P, C, h, w] to tokens [P, (h/2)(w/2), 4C], as the pipeline does."""
    return FluxPipeline._pack_latents(latents, *latents.shape)


def unpack(tokens: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The inverse of `pack` for latents of the given size."""
    return FluxPipeline._unpack_latents(tokens, height, width, vae_scale_factor=1)


@torch.no_grad()
def text_encoder(options: argparse.Namespace) -> Reference:
    """Encodes unmodified text, padded and without a mask like the pipeline: CLIP, or T5 for text_encoder_2."""
    is_clip = options.folder == "text_encoder"
    if is_clip:
        tokenizer = CLIPTokenizer.from_pretrained(options.model / "tokenizer")
        length = options.max_length or tokenizer.model_max_length
    else:
        tokenizer = T5Tokenizer.from_pretrained(options.model / "tokenizer_2")
        length = options.max_length or MAX_LENGTH
    tokens = tokenizer(options.prompts, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    output = (load_clip if is_clip else load_t5)(options.model)(tokens.input_ids)
    tensors = {
        "input_ids": tokens.input_ids,
        "attention_mask": tokens.attention_mask,
        "hidden_states": output.last_hidden_state,
    }
    if is_clip:
        tensors["pooled"] = output.pooler_output
    return Reference({"folder": options.folder, "prompts": options.prompts, "max_length": length}, tensors, LIBRARIES)


@torch.no_grad()
def transformer(options: argparse.Namespace) -> Reference:
    """One forward pass on random inputs, one row per timestep; the model receives the timestep / 1000."""
    model = load_transformer(options.model)
    config = model.config
    rows = len(options.timesteps)
    height, width = options.latent_height or 8, options.latent_width or 8
    generator = torch.Generator("cpu").manual_seed(options.seed)
    latents = torch.randn(rows, config.in_channels // 4, height, width, generator=generator)
    inputs = {
        "encoder_hidden_states": torch.randn(rows, options.tokens, config.joint_attention_dim, generator=generator),
        "pooled_projections": torch.randn(rows, config.pooled_projection_dim, generator=generator),
        "timestep": torch.tensor(options.timesteps) / 1000,
        "img_ids": FluxPipeline._prepare_latent_image_ids(rows, height // 2, width // 2, "cpu", torch.float32),
        "txt_ids": torch.zeros(options.tokens, 3),
    }
    if config.guidance_embeds:
        inputs["guidance"] = 1 + 6 * torch.rand(rows, generator=generator)
        # In bfloat16, 1000 times most values is rounded to the embedding of another guidance.
        if options.bfloat16:
            inputs["guidance"] = 2.0 ** torch.randint(0, 3, (rows,), generator=generator)
    sample = unpack(model(hidden_states=pack(latents), **inputs, return_dict=False)[0], height, width)
    metadata = {}
    if options.bfloat16:
        # As in the pipeline, positions and guidance stay in float32.
        narrow = inputs | narrowed({name: inputs[name] for name in ("encoder_hidden_states", "pooled_projections", "timestep")})
        found = model.to(torch.bfloat16)(hidden_states=pack(latents).bfloat16(), **narrow, return_dict=False)[0]
        metadata = bfloat16_errors({"sample": sample}, {"sample": unpack(found, height, width)})
    return Reference(metadata, inputs | {"hidden_states": latents, "sample": sample}, LIBRARIES)


@torch.no_grad()
def trajectory(options: argparse.Namespace) -> Reference:
    """Runs the text-to-image pipeline, with caching if a schedule is given, and records the latents of every step."""
    schedule = read_schedule(options)
    guidance_scale = GUIDANCE_SCALE if options.guidance_scale is None else options.guidance_scale
    pipeline = load_pipeline(options.model)
    scale = pipeline.vae_scale_factor
    native = pipeline.default_sample_size * scale
    height, width = options.height or native, options.width or native
    shape = (pipeline.transformer.config.in_channels // 4, height // scale, width // scale)
    start = initial_latents(options.seeds, shape)


    def run(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        # The text is encoded in float32 in any case.
        pipeline.transformer.to(dtype)
        pipeline.vae.to(dtype)
        steps: list[torch.Tensor] = []
        with ComponentCache(pipeline.transformer, schedule) as cache:

            def after_step(_, step: int, timestep: torch.Tensor, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
                steps.append(unpack(tensors["latents"], *shape[1:]))
                cache.advance()
                return tensors

            text, pooled, _ = pipeline.encode_prompt(options.prompts, None, max_sequence_length=options.max_length or MAX_LENGTH)
            images = pipeline(
                prompt_embeds=text.to(dtype),
                pooled_prompt_embeds=pooled.to(dtype),
                num_inference_steps=options.steps,
                guidance_scale=guidance_scale,
                height=height,
                width=width,
                latents=pack(start).to(dtype),
                output_type="pt",
                callback_on_step_end=after_step,
                max_sequence_length=options.max_length or MAX_LENGTH,
            ).images
        return {"step_latents": torch.stack(steps), "images": images}

    tensors = run(torch.float32)
    sampler = {"timesteps": pipeline.scheduler.timesteps, "sigmas": pipeline.scheduler.sigmas}
    narrow = run(torch.bfloat16) if options.bfloat16 else None
    return trajectory_reference(options, guidance_scale, (height, width), sampler | {"initial_latents": start} | tensors, narrow)
