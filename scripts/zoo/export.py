"""Exports the trained components to a model directory in the diffusers layout, with weights in float16.

    python scripts/zoo/export.py --work FOLDER --family pixart-alpha | pixart-sigma | flux -o cluster/models/NAME
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil

import safetensors.torch
import torch
import transformers
from diffusers import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    PixArtTransformer2DModel,
)

import bundled
import train_clip
import train_flux
import train_pixart
import train_vae
from train_text_encoder import FLUX_TOKENS, MAX_TOKENS, averaged_encoder

SIGMA_TOKENS = 300  # of the PixArt-Sigma pipeline
T5_SPECIAL_TOKENS = {
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "additional_special_tokens": [f"<extra_id_{index}>" for index in range(100)],
}


def write_json(path: pathlib.Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_index(output: pathlib.Path, pipeline: str, parts: dict[str, list[str]]) -> None:
    write_json(output / "model_index.json", {"_class_name": pipeline, "_diffusers_version": "0.42.1", **parts})


def write_t5_tokenizer(folder: pathlib.Path, pieces: pathlib.Path, tokens: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(pieces, folder / "spiece.model")
    write_json(folder / "special_tokens_map.json", T5_SPECIAL_TOKENS)
    settings = {"tokenizer_class": "T5Tokenizer", "model_max_length": tokens, "extra_ids": 100, **T5_SPECIAL_TOKENS}
    write_json(folder / "tokenizer_config.json", settings)


def write_vae(work: pathlib.Path, family: str, output: pathlib.Path, **settings: float | bool) -> None:
    vae = train_vae.averaged(work, family)
    vae.register_to_config(**settings)
    vae.half().save_pretrained(output / "vae")


def factor(work: pathlib.Path, name: str) -> float:
    """A scaling or shift factor of the latents, as used in the training of the transformer."""
    return round(float(torch.load(work / "data.pt", weights_only=True, mmap=True)[name]), 5)


def write_pixart(work: pathlib.Path, output: pathlib.Path, family: str) -> int:
    state = torch.load(work / "transformer" / "checkpoint.pt", weights_only=True)
    transformer = PixArtTransformer2DModel(**train_pixart.CONFIG)
    transformer.load_state_dict(state["average"])
    transformer.half().save_pretrained(output / "transformer")
    if family == "pixart-alpha":
        pieces, tokens = work / "tokenizer" / "spiece.model", MAX_TOKENS
        _, encoder = averaged_encoder(work, family)
        write_vae(work, family, output, scaling_factor=factor(work, "scaling_factor"))
    else:
        pieces, tokens = bundled.ALPHA / "tokenizer" / "spiece.model", SIGMA_TOKENS
        _, encoder = bundled.t5()
        write_vae(work, family, output, scaling_factor=factor(work, "scaling_factor"), force_upcast=False)
    encoder.half().save_pretrained(output / "text_encoder")
    write_t5_tokenizer(output / "tokenizer", pieces, tokens)
    DPMSolverMultistepScheduler(
        **train_pixart.BETAS, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint"
    ).save_pretrained(output / "scheduler")
    write_index(
        output,
        "PixArtAlphaPipeline" if family == "pixart-alpha" else "PixArtSigmaPipeline",
        {
            "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
            "text_encoder": ["transformers", "T5EncoderModel"],
            "tokenizer": ["transformers", "T5Tokenizer"],
            "transformer": ["diffusers", "PixArtTransformer2DModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    return state["step"]


def name_as_published(path: pathlib.Path) -> None:
    """Adds the prefix `text_model.` to the weights of a CLIP text encoder, as in published FLUX checkpoints.

    transformers 5 writes them without it and reads both; earlier versions would leave the whole encoder random without it.
    """
    weights = safetensors.torch.load_file(path)
    named = {"text_model." + name.removeprefix("text_model."): tensor for name, tensor in weights.items()}
    safetensors.torch.save_file(named, path, metadata={"format": "pt"})


def write_flux(work: pathlib.Path, output: pathlib.Path) -> int:
    state = torch.load(work / "guided" / "checkpoint.pt", weights_only=True)
    transformer = FluxTransformer2DModel(**train_flux.CONFIG)
    transformer.load_state_dict(state["average"])
    transformer.half().save_pretrained(output / "transformer")
    write_vae(
        work, "flux", output, scaling_factor=factor(work, "scaling_factor"), shift_factor=factor(work, "shift_factor")
    )
    _, encoder = averaged_encoder(work, "flux")
    encoder.half().save_pretrained(output / "text_encoder_2")
    write_t5_tokenizer(output / "tokenizer_2", bundled.ALPHA / "tokenizer" / "spiece.model", FLUX_TOKENS)
    _, clip = train_clip.averaged(work)
    text = transformers.CLIPTextModel(clip.config.text_config)
    text.load_state_dict(clip.text_model.state_dict())
    text.half().save_pretrained(output / "text_encoder")
    name_as_published(output / "text_encoder" / "model.safetensors")
    shutil.copytree(work / "clip" / "tokenizer", output / "tokenizer", dirs_exist_ok=True)
    FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, **train_flux.SHIFT).save_pretrained(
        output / "scheduler"
    )
    write_index(
        output,
        "FluxPipeline",
        {
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "text_encoder_2": ["transformers", "T5EncoderModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "tokenizer_2": ["transformers", "T5TokenizerFast"],
            "transformer": ["diffusers", "FluxTransformer2DModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    return state["step"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=train_vae.RECIPES, required=True)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    work, output = arguments.work, arguments.output
    step = write_flux(work, output) if arguments.family == "flux" else write_pixart(work, output, arguments.family)
    for path in output.rglob("*.safetensors"):
        path.chmod(0o644)
    total = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output}: step {step}, {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
