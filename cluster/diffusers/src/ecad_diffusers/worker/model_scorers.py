"""Scorers with a model: Image Reward and CLIP score, from the directories that `scripts/convert_scorers.py` writes."""

from __future__ import annotations

import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image

from .errors import WorkerError
from .fingerprint import fingerprint, weight_files
from .scorers import Scored

log = logging.getLogger("ecad-torch-worker")
LIMIT = 32
"""Most hashes that a registration may contain."""
MODEL_TYPES = {"image-reward": "image-reward", "image-reward-clipped": "image-reward", "clip": "clip"}
CLIP_MEAN, CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def model_type(folder: pathlib.Path) -> str | None:
    """The kind of scorer model in a directory, if any."""
    try:
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None
    return kind if kind in MODEL_TYPES.values() else None


def find_models(given: list[str], model: str) -> dict[str, str]:
    """The scorer models given and those next to the model, by fingerprint."""
    for folder in given:
        if model_type(pathlib.Path(folder)) is None:
            raise WorkerError(f"--scorer is {folder}; expected a directory written by scripts/convert_scorers.py")
    parent = pathlib.Path(os.path.abspath(model)).parent
    beside = sorted(str(path) for path in parent.iterdir() if path.is_dir() and model_type(path))
    found: dict[str, str] = {}
    for index, folder in enumerate([*given, *beside][:LIMIT]):
        try:
            found.setdefault(fingerprint(folder), folder)
        except WorkerError as error:
            if index < len(given):
                raise
            log.warning("scorer not offered: %s", error)  # The run may not need it.
    return found


def open_scorer(name: str, folder: str, device: torch.device) -> Callable[[Scored], list[float]]:
    """Opens a scorer's model, in float32."""
    if model_type(pathlib.Path(folder)) != MODEL_TYPES[name]:
        raise WorkerError(f"{folder}: not a model of the scorer {name}")
    if name == "clip":
        return CLIPScore(folder, device)
    reward = ImageReward(folder, device)
    return reward if name == "image-reward" else lambda batch: [min(pair) for pair in zip(reward(batch), reward.of_references(batch))]


class CLIPScore:
    """100 times the cosine of the image's and the prompt's features (arXiv 2104.08718)."""

    def __init__(self, folder: str, device: torch.device):
        from transformers import CLIPModel, CLIPTokenizer

        self._model = CLIPModel.from_pretrained(folder).float().eval().to(device)
        self._tokenizer = CLIPTokenizer.from_pretrained(folder)
        self._device = device
        config = json.loads((pathlib.Path(folder) / "preprocessor_config.json").read_text())
        size, crop = config.get("size", 224), config.get("crop_size", 224)
        self._shorter = size["shortest_edge"] if isinstance(size, dict) else size
        self._side = crop["height"] if isinstance(crop, dict) else crop
        self._mean, self._deviation = config.get("image_mean", CLIP_MEAN), config.get("image_std", CLIP_DEVIATION)

    @torch.no_grad()
    def __call__(self, batch: Scored) -> list[float]:
        length = self._model.config.text_config.max_position_embeddings
        scores = []
        for image, prompt in zip(batch.images, batch.prompts):
            pixels = _preprocess(image, self._shorter, self._side, lambda extra: extra // 2, self._mean, self._deviation).to(self._device)
            tokens = self._tokenizer(prompt, truncation=True, max_length=length, return_tensors="pt").to(self._device)
            seen = self._model.visual_projection(self._model.vision_model(pixel_values=pixels).pooler_output)
            read = self._model.text_projection(self._model.text_model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output)
            scores.append(100 * float(F.cosine_similarity(seen.double(), read.double())))
        return scores


class ImageReward:
    """The reward of human preference (arXiv 2304.05977): BLIP's image encoder, its image-grounded text encoder, and an MLP."""

    def __init__(self, folder: str, device: torch.device):
        from transformers import BertTokenizer

        root = pathlib.Path(folder)
        self._config = json.loads((root / "config.json").read_text())
        self._text = {
            "num_hidden_layers": 12, "num_attention_heads": 12, "layer_norm_eps": 1e-12, **self._config.get("med_config", {}),
        }  # fmt: skip
        self._device = device
        self._tokenizer = BertTokenizer(str(root / "vocab.txt"), do_lower_case=True)
        self._weights: dict[str, torch.Tensor] = {}
        for file in weight_files(root, "model"):
            if file.endswith(".safetensors"):
                self._weights |= {name: tensor.float().to(device) for name, tensor in safetensors.torch.load_file(root / file).items()}

    def __call__(self, batch: Scored) -> list[float]:
        return [self._reward(image, prompt) for image, prompt in zip(batch.images, batch.prompts)]

    def of_references(self, batch: Scored) -> list[float]:
        """The rewards of the uncached images."""
        return [self._reward(image, prompt) for image, prompt in zip(batch.reference_images, batch.prompts)]

    @torch.no_grad()
    def _reward(self, image: torch.Tensor, prompt: str) -> float:
        config = self._config
        side = config.get("image_size", 224)
        # torchvision rounds the offset of the crop half to even.
        pixels = _preprocess(image, side, side, lambda extra: round(extra / 2), config.get("image_mean", CLIP_MEAN), config.get("image_std", CLIP_DEVIATION))
        seen = self._see(pixels.to(self._device))
        tokens = self._tokenizer(prompt, truncation=True, max_length=config.get("text_length", 35)).input_ids
        state = self._read(torch.tensor([tokens], device=self._device), seen)[:, 0]
        for layer in (0, 2, 4, 6, 7):
            state = self._linear(state, f"mlp.layers.{layer}")
        mean, deviation = config.get("reward_mean", 0.16717362830052426), config.get("reward_std", 1.0333394966054072)
        return float((state.double() - mean) / deviation)

    def _see(self, pixels: torch.Tensor) -> torch.Tensor:
        """The states of all image tokens: a vision transformer with pre-norm blocks."""
        prefix, weights = "blip.visual_encoder", self._weights
        kernel = weights[f"{prefix}.patch_embed.proj.weight"]
        patches = F.conv2d(pixels, kernel, weights[f"{prefix}.patch_embed.proj.bias"], stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
        hidden = torch.cat([weights[f"{prefix}.cls_token"], patches], 1) + weights[f"{prefix}.pos_embed"]
        for index in range(self._config.get("vision_layers", 24)):
            block = f"{prefix}.blocks.{index}"
            queries, keys, values = self._linear(self._norm(hidden, f"{block}.norm1", 1e-6), f"{block}.attn.qkv").chunk(3, -1)
            hidden = hidden + self._linear(_attention(queries, keys, values, self._config.get("vision_heads", 16)), f"{block}.attn.proj")
            inner = F.gelu(self._linear(self._norm(hidden, f"{block}.norm2", 1e-6), f"{block}.mlp.fc1"))
            hidden = hidden + self._linear(inner, f"{block}.mlp.fc2")
        return self._norm(hidden, f"{prefix}.norm", 1e-6)

    def _read(self, tokens: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """The states of all text tokens: BERT with cross-attention to the image, post-norm, without token types."""
        prefix, weights, epsilon = "blip.text_encoder", self._weights, self._text["layer_norm_eps"]
        hidden = F.embedding(tokens, weights[f"{prefix}.embeddings.word_embeddings.weight"])
        hidden = hidden + weights[f"{prefix}.embeddings.position_embeddings.weight"][: tokens.shape[1]]
        hidden = self._norm(hidden, f"{prefix}.embeddings.LayerNorm", epsilon)
        for index in range(self._text["num_hidden_layers"]):
            layer = f"{prefix}.encoder.layer.{index}"
            for name, source in (("attention", None), ("crossattention", image)):
                other = hidden if source is None else source
                parts = [self._linear(value, f"{layer}.{name}.self.{part}") for part, value in (("query", hidden), ("key", other), ("value", other))]
                added = self._linear(_attention(parts[0], parts[1], parts[2], self._text["num_attention_heads"]), f"{layer}.{name}.output.dense")
                hidden = self._norm(hidden + added, f"{layer}.{name}.output.LayerNorm", epsilon)
            inner = F.gelu(self._linear(hidden, f"{layer}.intermediate.dense"))
            hidden = self._norm(hidden + self._linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm", epsilon)
        return hidden

    def _linear(self, value: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(value, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, value: torch.Tensor, name: str, epsilon: float) -> torch.Tensor:
        return F.layer_norm(value, value.shape[-1:], self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], epsilon)


def _attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, heads: int) -> torch.Tensor:
    split = [part.reshape(*part.shape[:2], heads, -1).transpose(1, 2) for part in (queries, keys, values)]
    return F.scaled_dot_product_attention(split[0], split[1], split[2]).transpose(1, 2).flatten(2)


def _preprocess(image: torch.Tensor, shorter: int, side: int, offset: Callable[[int], int], mean: Any, deviation: Any) -> torch.Tensor:
    """Resizes the shorter side (bicubic, in 8 bits), crops the centre and normalises the colours."""
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().cpu().numpy())
    width, height = picture.size
    longer = int(shorter * max(width, height) / min(width, height))
    size = (shorter, longer) if width <= height else (longer, shorter)
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = offset(size[0] - side), offset(size[1] - side)
    picture = picture.crop((left, top, left + side, top + side))
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).reshape(side, side, 3).permute(2, 0, 1).float() / 255
    return ((pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None])[None]
