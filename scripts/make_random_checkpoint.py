"""Writes a checkpoint of a published model's size with random weights, to test memory and speed at real dimensions.

    python scripts/make_random_checkpoint.py pixart-alpha-256 -o models/random-pixart
    python scripts/make_random_checkpoint.py flux-dev --blocks 2 --single-blocks 4 --text-blocks 2 --dtype bfloat16 -o models/random-flux

Names, shapes, types and files match the published checkpoint; its images are noise. Tensors are written one at a time from a shared pool
of normal numbers, which avoids the time and memory of torch's initialisation. Needs torch, diffusers, transformers, numpy.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import pathlib
import string
import sys

import numpy
import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel, PixArtTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
PIXART = dict(
    num_layers=28,
    num_attention_heads=16,
    attention_head_dim=72,
    cross_attention_dim=1152,
    caption_channels=4096,
    in_channels=4,
    out_channels=8,
    patch_size=2,
)
FLUX = dict(
    num_layers=19,
    num_single_layers=38,
    num_attention_heads=24,
    attention_head_dim=128,
    in_channels=64,
    joint_attention_dim=4096,
    pooled_projection_dim=768,
    guidance_embeds=True,
    patch_size=1,
)
TRANSFORMERS = {
    "pixart-alpha-256": PIXART | dict(sample_size=32),
    "pixart-alpha-512": PIXART | dict(sample_size=64),
    "pixart-alpha-1024": PIXART | dict(sample_size=128),
    "pixart-sigma-256": PIXART | dict(sample_size=32, interpolation_scale=0.5, use_additional_conditions=False),
    "pixart-sigma-512": PIXART | dict(sample_size=64, interpolation_scale=1, use_additional_conditions=False),
    "pixart-sigma-1024": PIXART | dict(sample_size=128, interpolation_scale=2, use_additional_conditions=False),
    "flux-dev": FLUX,
}
T5_XXL = dict(
    d_model=4096,
    d_kv=64,
    d_ff=10240,
    num_layers=24,
    num_decoder_layers=24,
    num_heads=64,
    vocab_size=32128,
    feed_forward_proj="gated-gelu",
    tie_word_embeddings=False,
)
CLIP_L = dict(
    hidden_size=768,
    intermediate_size=3072,
    num_attention_heads=12,
    num_hidden_layers=12,
    max_position_embeddings=77,
    vocab_size=49408,
    projection_dim=768,
    hidden_act="quick_gelu",
    bos_token_id=0,
    eos_token_id=2,
)
DPM_SOLVER = dict(
    algorithm_type="dpmsolver++",
    beta_end=0.02,
    beta_schedule="linear",
    beta_start=0.0001,
    num_train_timesteps=1000,
    prediction_type="epsilon",
    solver_order=2,
)
FLOW_MATCH = dict(
    base_image_seq_len=256, base_shift=0.5, max_image_seq_len=4096, max_shift=1.15, num_train_timesteps=1000, shift=3.0, use_dynamic_shifting=True
)  # fmt: skip


def vae_config(family: str) -> dict:
    config = dict(
        act_fn="silu",
        block_out_channels=[128, 256, 512, 512],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        norm_num_groups=32,
    )
    if family == "flux-dev":
        more = dict(latent_channels=16, sample_size=1024, scaling_factor=0.3611, shift_factor=0.1159)
        return config | more | dict(use_quant_conv=False, use_post_quant_conv=False)
    scale = 0.13025 if family.startswith("pixart-sigma") else 0.18215
    return config | dict(latent_channels=4, sample_size=512, scaling_factor=scale)


class Pool:
    """Normal numbers, drawn once; each tensor is a slice from a random position."""

    def __init__(self, seed: int) -> None:
        self.random = numpy.random.default_rng(seed)
        self.numbers = self.random.standard_normal(1 << 24, dtype=numpy.float32)

    def write(self, file, count: int, scale: float, offset: float, dtype: str) -> None:
        while count > 0:
            start = int(self.random.integers(self.numbers.size // 2))
            run = self.numbers[start : start + min(count, self.numbers.size // 2)] * numpy.float32(scale) + numpy.float32(offset)
            if dtype == "bfloat16":
                bits = run.view(numpy.uint32)
                run = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)
            file.write(run.astype("<f2" if dtype == "float16" else run.dtype).tobytes())
            count -= run.size


def distribution(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Scale and offset: norms near 1, small biases, matrices that preserve the variance of their input."""
    if len(shape) == 1:
        return (0.1, 1.0) if "norm" in name and name.endswith("weight") else (0.02, 0.0)
    if name.startswith("shared") or "embedding" in name or name.endswith("table"):
        return (0.5, 0.0)
    return (1 / math.sqrt(math.prod(shape[1:])), 0.0)


def write_shard(path: pathlib.Path, tensors: dict[str, tuple[int, ...]], dtype: str, pool: Pool) -> None:
    width = 4 if dtype == "float32" else 2
    header: dict = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        size = math.prod(shape) * width
        header[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors.items():
            pool.write(file, math.prod(shape), *distribution(name, shape), dtype)


def write_weights(folder: pathlib.Path, base: str, model: torch.nn.Module, dtype: str, shards: int, pool: Pool, aliases: set[str]) -> int:
    """Writes the tensors of a model to one file, or to shards with an index; returns their size in bytes."""
    tensors = {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in aliases}
    width = 4 if dtype == "float32" else 2
    total = sum(map(math.prod, tensors.values())) * width
    folder.mkdir(parents=True, exist_ok=True)
    if shards == 1:
        write_shard(folder / f"{base}.safetensors", tensors, dtype, pool)
        return total
    weight_map: dict[str, str] = {}
    groups: list[dict] = [{}]
    filled = 0
    for name, shape in tensors.items():
        if filled >= total / shards and len(groups) < shards:
            groups.append({})
            filled = 0
        groups[-1][name] = shape
        filled += math.prod(shape) * width
    for number, group in enumerate(groups):
        file = f"{base}-{number + 1:05d}-of-{len(groups):05d}.safetensors"
        write_shard(folder / file, group, dtype, pool)
        weight_map |= dict.fromkeys(group, file)
    write_json(folder / f"{base}.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    return total


def write_json(path: pathlib.Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def syllables():
    """All strings of two letters, then of three, and so on."""
    for length in itertools.count(2):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))


def write_t5_tokenizer(folder: pathlib.Path) -> None:
    """Writes a unigram vocabulary of the published size: characters, then syllables."""
    texts = ["<pad>", "</s>", "<unk>", "\u2581", *map(chr, range(0x21, 0x7F))]
    for syllable in itertools.islice(syllables(), (32000 - len(texts)) // 2):
        texts += ["\u2581" + syllable, syllable]
    texts = texts[:32000]
    extra = [f"<extra_id_{index}>" for index in range(99, -1, -1)]
    vocab = [[text, 0.0 if index < 3 else -4.0 - math.log(index)] for index, text in enumerate(texts)] + [[text, 0.0] for text in extra]
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    special = {text: index for index, (text, _) in enumerate(vocab) if index < 3 or index >= len(texts)}
    space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    ending = [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, "content": text} | flags for text, index in special.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, space]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": ending,
            "pair": ending,
            "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}},
        },
        "decoder": space,
        "model": {"type": "Unigram", "unk_id": 2, "vocab": vocab, "byte_fallback": False},
    }
    write_json(folder / "tokenizer.json", tokenizer)
    names = dict(eos_token="</s>", pad_token="<pad>", unk_token="<unk>", extra_ids=100)
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", "model_max_length": 512} | names)


def write_clip_tokenizer(folder: pathlib.Path) -> None:
    """Writes a byte-pair vocabulary of the published size: bytes, then syllables merged from their parts."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = [chr(code) for code in printable] + [chr(0x100 + index) for index in range(256 - len(printable))]
    tokens = letters + [letter + "</w>" for letter in letters]
    merges = []
    for syllable in syllables():
        if len(tokens) >= 49406:
            break
        for last in (syllable[-1], syllable[-1] + "</w>")[: 49406 - len(tokens)]:
            tokens.append(syllable[:-1] + last)
            merges.append(f"{syllable[:-1]} {last}")
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    end = "<|endoftext|>"
    config = dict(tokenizer_class="CLIPTokenizer", model_max_length=77, bos_token="<|startoftext|>", eos_token=end, pad_token=end, unk_token=end)
    write_json(folder / "tokenizer_config.json", config)


def make_pixart(folder: pathlib.Path, model: str) -> dict:
    pipeline = "PixArtSigmaPipeline" if "sigma" in model else "PixArtAlphaPipeline"
    write_t5_tokenizer(folder / "tokenizer")
    write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": "DPMSolverMultistepScheduler"} | DPM_SOLVER)
    return {
        "_class_name": pipeline,
        "scheduler": ["diffusers", "DPMSolverMultistepScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "transformer": ["diffusers", "PixArtTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def make_flux(folder: pathlib.Path) -> dict:
    write_clip_tokenizer(folder / "tokenizer")
    write_t5_tokenizer(folder / "tokenizer_2")
    write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"} | FLOW_MATCH)
    return {
        "_class_name": "FluxPipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "text_encoder_2": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "tokenizer_2": ["transformers", "T5TokenizerFast"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def make(folder: pathlib.Path, options: argparse.Namespace) -> None:
    is_flux = options.model == "flux-dev"
    transformer = dict(TRANSFORMERS[options.model])
    if options.blocks is not None:
        transformer["num_layers"] = options.blocks
    if options.single_blocks is not None:
        transformer["num_single_layers"] = options.single_blocks
    t5 = T5_XXL | (dict(num_layers=options.text_blocks, num_decoder_layers=options.text_blocks) if options.text_blocks else {})
    parts: dict[str, tuple] = {
        "transformer": (FluxTransformer2DModel if is_flux else PixArtTransformer2DModel, transformer, "diffusion_pytorch_model"),
        "vae": (AutoencoderKL, vae_config(options.model), "diffusion_pytorch_model"),
        "text_encoder_2" if is_flux else "text_encoder": (T5EncoderModel, t5, "model"),
    }
    if is_flux:
        parts["text_encoder"] = (CLIPTextModel, CLIP_L, "model")
    write_json(folder / "model_index.json", make_flux(folder) if is_flux else make_pixart(folder, options.model))
    pool = Pool(options.seed)
    for name, (kind, config, base) in parts.items():
        written = {"_class_name": kind.__name__} | config
        with torch.device("meta"):
            if kind is T5EncoderModel:
                model = kind(T5Config(**config))
                written = {"architectures": ["T5EncoderModel"], "model_type": "t5"} | config
            elif kind is CLIPTextModel:
                model = kind(CLIPTextConfig(**config))
                written = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model"} | config
            else:
                model = kind(**config)
        shards = 1 if name == "vae" or kind is CLIPTextModel else options.shards
        size = write_weights(folder / name, base, model, options.dtype, shards, pool, {"encoder.embed_tokens.weight"})
        write_json(folder / name / "config.json", written)
        count = sum(value.numel() for value in model.parameters())
        print(f"{name}: {count / 1e6:.1f} M parameters, {size / 1e9:.3f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=list(TRANSFORMERS))
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, help="model directory to write")
    parser.add_argument("--blocks", type=int, help="transformer blocks; for FLUX, double-stream blocks (default: all)")
    parser.add_argument("--single-blocks", type=int, help="single-stream blocks of FLUX (default: all)")
    parser.add_argument("--text-blocks", type=int, help="T5 layers (default: all 24, 19 GB in float32)")
    parser.add_argument("--dtype", choices=list(DTYPES), default="float32")
    parser.add_argument("--shards", type=int, default=1, help="files per transformer and per T5")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if (options.output / "model_index.json").exists():
        sys.exit(f"{options.output} already contains a model")
    if options.single_blocks is not None and options.model != "flux-dev":
        sys.exit("--single-blocks is only allowed with flux-dev")
    if min(options.shards, options.blocks or 1, options.text_blocks or 1) < 1:
        sys.exit("--shards, --blocks, --text-blocks: expected 1 or more")
    make(options.output, options)


if __name__ == "__main__":
    main()
