"""Components of a bundled model in float32, for initialising the trainers."""

from __future__ import annotations

import pathlib

import sentencepiece
import torch
import transformers
from diffusers import AutoencoderKL

MODELS = pathlib.Path(__file__).resolve().parents[2] / "cluster" / "models"
ALPHA = MODELS / "shapes-pixart-alpha"


def autoencoder(model: pathlib.Path = ALPHA) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(model, subfolder="vae", torch_dtype=torch.float32).eval()


def t5(model: pathlib.Path = ALPHA, tokenizer: str = "tokenizer", encoder: str = "text_encoder"):
    """The SentencePiece processor and the T5 encoder."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model / tokenizer / "spiece.model"))
    network = transformers.T5EncoderModel.from_pretrained(model, subfolder=encoder, dtype=torch.float32)
    return pieces, network.eval()
