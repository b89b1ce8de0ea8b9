"""The architecture of ImageReward (arXiv 2304.05977) with the tensor names of its published checkpoint: the ViT of BLIP, a BERT with
cross-attention to the image tokens, a linear reward head on [CLS].

Written from the layout of the published weights; all sizes are configurable.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib

import numpy as np
import torch
from torch import nn

MASKED = -10000.0  # added to the attention scores of padding, as in the BERT of BLIP
HEAD = (1024, 128, 64, 16, 1)
DROPOUTS = (0.2, 0.2, 0.1)  # after the first three layers of the head


@dataclasses.dataclass(frozen=True)
class Sizes:
    """`image` and `patch` are in pixels; texts are padded and truncated to `tokens`."""

    vocabulary: int
    image: int = 64
    patch: int = 8
    vision_width: int = 64
    vision_layers: int = 3
    vision_heads: int = 4
    text_width: int = 64
    text_layers: int = 4
    text_heads: int = 4
    positions: int = 64
    tokens: int = 35


class PatchEmbedding(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.proj = nn.Conv2d(3, sizes.vision_width, sizes.patch, stride=sizes.patch)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.proj(pixels).flatten(2).mT


class VisionAttention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        count, length, width = tokens.shape
        q, k, v = self.qkv(tokens).view(count, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(count, length, width))


class MLP(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(tokens)))


class VisionBlock(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = VisionAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VisionEncoder(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.vision_width
        self.patch_embed = PatchEmbedding(sizes)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (sizes.image // sizes.patch) ** 2, width))
        self.blocks = nn.ModuleList(VisionBlock(width, sizes.vision_heads) for _ in range(sizes.vision_layers))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels [count, 3, image, image] to tokens [count, 1 + patches, width]."""
        patches = self.patch_embed(pixels)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1) + self.pos_embed
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class SelfAttention(nn.Module):
    """BERT attention; keys and values are computed from tokens of width `width_of_keys`."""

    def __init__(self, width: int, width_of_keys: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width_of_keys, width)
        self.value = nn.Linear(width_of_keys, width)

    def forward(self, tokens: torch.Tensor, context: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        count, length, width = tokens.shape
        q, k, v = (
            layer(source).view(count, -1, self.heads, width // self.heads).transpose(1, 2)
            for layer, source in ((self.query, tokens), (self.key, context), (self.value, context))
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(count, length, width)


class Output(nn.Module):
    """Projection, residual connection and layer norm."""

    def __init__(self, width_of_input: int, width: int):
        super().__init__()
        self.dense = nn.Linear(width_of_input, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, values: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dense(values) + residual)


def attention(width: int, width_of_keys: int, heads: int) -> nn.ModuleDict:
    return nn.ModuleDict({"self": SelfAttention(width, width_of_keys, heads), "output": Output(width, width)})


class TextLayer(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.text_width
        self.attention = attention(width, width, sizes.text_heads)
        self.crossattention = attention(width, sizes.vision_width, sizes.text_heads)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, 4 * width)})
        self.output = Output(4 * width, width)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        tokens = self.attention["output"](self.attention["self"](tokens, tokens, mask), tokens)
        tokens = self.crossattention["output"](self.crossattention["self"](tokens, image, None), tokens)
        return self.output(nn.functional.gelu(self.intermediate["dense"](tokens)), tokens)


class TextEncoder(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        width = sizes.text_width
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(sizes.vocabulary, width),
                "position_embeddings": nn.Embedding(sizes.positions, width),
                "LayerNorm": nn.LayerNorm(width, eps=1e-12),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(TextLayer(sizes) for _ in range(sizes.text_layers))})

    def forward(self, ids: torch.Tensor, present: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        """Ids [count, length] to tokens [count, length, width]; `present` is 0 at padding."""
        words = self.embeddings["word_embeddings"](ids) + self.embeddings["position_embeddings"].weight[: ids.shape[1]]
        tokens = self.embeddings["LayerNorm"](words)
        mask = ((1 - present) * MASKED)[:, None, None, :]
        for layer in self.encoder["layer"]:
            tokens = layer(tokens, mask, image)
        return tokens


class Head(nn.Module):
    """Linear layers without activations; the dropouts of the original count as layers in the tensor names."""

    def __init__(self, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        for index, size in enumerate(HEAD):
            layers.append(nn.Linear(width, size))
            width = size
            if index < len(DROPOUTS):
                layers.append(nn.Dropout(DROPOUTS[index]))
        self.layers = nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)[..., 0]


class ImageReward(nn.Module):
    """Maps normalised pixels and token ids to a reward that is not standardised."""

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.blip = nn.ModuleDict({"visual_encoder": VisionEncoder(sizes), "text_encoder": TextEncoder(sizes)})
        self.mlp = Head(sizes.text_width)
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif name.startswith("mlp.") and parameter.ndim == 2:
                # The head is a product of linear maps: each preserves the variance of its input.
                nn.init.normal_(parameter, std=1 / math.sqrt(parameter.shape[1]))
            elif parameter.ndim >= 2:
                nn.init.normal_(parameter, std=0.06)

    def tokens(self, pixels: torch.Tensor, ids: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return self.blip["text_encoder"](ids, present, self.blip["visual_encoder"](pixels))

    def forward(self, pixels: torch.Tensor, ids: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return self.mlp(self.tokens(pixels, ids, present)[:, 0])


IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


def pixel_values(images: np.ndarray) -> torch.Tensor:
    """uint8 images [count, size, size, 3] to normalised [count, 3, size, size]."""
    values = (images.astype(np.float32) / 255 - np.array(IMAGE_MEAN, np.float32)) / np.array(IMAGE_STD, np.float32)
    return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()


SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_vocabulary(path: pathlib.Path, words: list[str]) -> None:
    """Writes BERT's `vocab.txt`: printable ASCII characters at the start of and inside words, so that any word can be encoded, then whole words."""
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    whole = sorted(set(words) - set(characters))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*SPECIAL_TOKENS, *characters, *(f"##{one}" for one in characters), *whole]) + "\n")
