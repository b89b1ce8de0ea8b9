"""Assembles the trained parts into a model directory in the diffusers layout, weights in float16.

    python scripts/zoo/export.py --work FOLDER -o cluster/models/shapes-pixart-alpha
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil

import torch
from diffusers import DPMSolverMultistepScheduler, PixArtTransformer2DModel

import train_pixart
from train_text_encoder import MAX_TOKENS


def write_json(path: pathlib.Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    work, output = arguments.work, arguments.output

    state = torch.load(work / "transformer" / "checkpoint.pt", weights_only=True)
    transformer = PixArtTransformer2DModel(**train_pixart.CONFIG)
    transformer.load_state_dict(state["average"])
    vae = train_pixart.averaged_vae(work)
    scaling_factor = float(torch.load(work / "data.pt", weights_only=True, mmap=True)["scaling_factor"])
    vae.register_to_config(scaling_factor=round(scaling_factor, 5))
    _, encoder = train_pixart.averaged_encoder(work)

    transformer.half().save_pretrained(output / "transformer")
    vae.half().save_pretrained(output / "vae")
    encoder.half().save_pretrained(output / "text_encoder")
    DPMSolverMultistepScheduler(
        **train_pixart.BETAS, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint"
    ).save_pretrained(output / "scheduler")

    tokenizer = output / "tokenizer"
    tokenizer.mkdir(parents=True, exist_ok=True)
    shutil.copy(work / "tokenizer" / "spiece.model", tokenizer / "spiece.model")
    extra = [f"<extra_id_{index}>" for index in range(100)]
    special = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", "additional_special_tokens": extra}
    write_json(tokenizer / "special_tokens_map.json", special)
    write_json(
        tokenizer / "tokenizer_config.json",
        {"tokenizer_class": "T5Tokenizer", "model_max_length": MAX_TOKENS, "extra_ids": 100, **special},
    )
    write_json(
        output / "model_index.json",
        {
            "_class_name": "PixArtAlphaPipeline",
            "_diffusers_version": "0.42.1",
            "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
            "text_encoder": ["transformers", "T5EncoderModel"],
            "tokenizer": ["transformers", "T5Tokenizer"],
            "transformer": ["diffusers", "PixArtTransformer2DModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    for path in output.rglob("*.safetensors"):
        path.chmod(0o644)
    total = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    print(f"{output}: step {state['step']}, {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
