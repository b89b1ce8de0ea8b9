"""Makes the byte-pair tokenizer and trains the CLIP of the bundled models on drawn scenes and their captions.

    python scripts/zoo/train_clip.py --work FOLDER [--steps 750]
    python scripts/zoo/train_clip.py --work FOLDER --evaluate

Resumes from FOLDER/clip/checkpoint.pt; the tokenizer is in FOLDER/clip/tokenizer. The loss is that of CLIP (arXiv 2103.00020), with an altered
caption per image as a hard negative, because the random captions of a batch are too easy to distinguish.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import random

import numpy as np
import torch
import transformers

import scenes
from training import Run

MAX_TOKENS = 40  # the longest caption has 32
TEXT_CONFIG = dict(
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=MAX_TOKENS,
    hidden_act="quick_gelu",
    projection_dim=64,
)
VISION_CONFIG = dict(
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=4,
    num_attention_heads=4,
    image_size=scenes.IMAGE_SIZE,
    patch_size=8,
    hidden_act="quick_gelu",
    projection_dim=64,
)
START, END = "<|startoftext|>", "<|endoftext|>"
# Channel means and standard deviations of the scenes, for values in 0..1.
IMAGE_MEAN, IMAGE_STD = (0.61, 0.58, 0.55), (0.36, 0.34, 0.33)


def byte_alphabet() -> list[str]:
    """The printable characters that represent the 256 bytes, in the order of CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(others))]


def learn_merges(counts: dict[str, int]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is one token."""
    words = {(*word[:-1], word[-1] + "</w>"): count for word, count in counts.items()}
    merges = []
    while True:
        pairs: collections.Counter = collections.Counter()
        for parts, count in words.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += count
        if not pairs:
            return merges
        first, second = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append((first, second))
        merged = {}
        for parts, count in words.items():
            new: list[str] = []
            for part in parts:
                if new and new[-1] == first and part == second:
                    new[-1] = first + second
                else:
                    new.append(part)
            merged[tuple(new)] = count
        words = merged


def make_tokenizer(folder: pathlib.Path) -> transformers.CLIPTokenizer:
    """Writes `vocab.json` and `merges.txt` in the layout of CLIP, unless they exist, and loads them."""
    if not (folder / "tokenizer_config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        counts: collections.Counter = collections.Counter()
        for scene in scenes.scenes(0, 4000, held_out=False):
            counts.update(scene.caption().replace(",", " , ").split())
        merges = learn_merges(counts)
        alphabet = byte_alphabet()
        tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *(a + b for a, b in merges), START, END]
        vocabulary = {token: index for index, token in enumerate(tokens)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
        lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n")
        special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
        (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
        settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": MAX_TOKENS, "do_lower_case": True, **special}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return transformers.CLIPTokenizer.from_pretrained(folder)


def make_clip(tokenizer: transformers.CLIPTokenizer) -> transformers.CLIPModel:
    ids = dict(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**TEXT_CONFIG, **ids}, vision_config=VISION_CONFIG, projection_dim=TEXT_CONFIG["projection_dim"]
        )
    )


def averaged(work: pathlib.Path) -> tuple[transformers.CLIPTokenizer, transformers.CLIPModel]:
    tokenizer = make_tokenizer(work / "clip" / "tokenizer")
    model = make_clip(tokenizer)
    model.load_state_dict(torch.load(work / "clip" / "checkpoint.pt", weights_only=True)["average"])
    return tokenizer, model.eval()


def pixel_values(images: np.ndarray) -> torch.Tensor:
    """uint8 images [count, 64, 64, 3] to normalised [count, 3, 64, 64]."""
    values = (images.astype(np.float32) / 255 - IMAGE_MEAN) / IMAGE_STD
    return torch.from_numpy(values).permute(0, 3, 1, 2).float()


def embed(model: transformers.CLIPModel, tokenizer, images: np.ndarray, captions: list[str]):
    """Image and text embeddings, normalised to unit length."""
    # Attention is causal and only the end token is read, so padding has no effect and the length of the batch suffices.
    ids = tokenizer(captions, padding=True, return_tensors="pt").input_ids
    of_text = model.text_projection(model.text_model(input_ids=ids).pooler_output)
    of_images = model.visual_projection(model.vision_model(pixel_values=pixel_values(images)).pooler_output)
    return torch.nn.functional.normalize(of_images, dim=-1), torch.nn.functional.normalize(of_text, dim=-1)


def altered_caption(scene: scenes.Scene, rng: random.Random) -> str:
    """A training caption of the scene with one change."""
    while scenes.is_held_out(caption := scenes.altered(scene, rng).caption()):
        pass
    return caption


@torch.no_grad()
def evaluate(work: pathlib.Path, count: int = 512) -> dict:
    """How often a held-out image scores its caption higher than an altered one, and highest of 64 captions."""
    tokenizer, model = averaged(work)
    held_out = scenes.scenes(2, count, held_out=True)
    rng = random.Random("altered")
    images = np.stack([scenes.draw(scene) for scene in held_out])
    captions = [scene.caption() for scene in held_out] + [scenes.altered(scene, rng).caption() for scene in held_out]
    of_images, of_text = embed(model, tokenizer, images, captions)
    pairs = (of_images * of_text[:count]).sum(-1) > (of_images * of_text[count:]).sum(-1)
    nearest = []
    for start in range(0, count, 64):
        rows = slice(start, start + 64)
        best = (of_images[rows] @ of_text[rows].T).argmax(1)
        nearest.append((best == torch.arange(len(best))).float())
    return {
        "scenes": count,
        "prefers_its_caption_to_an_altered_one": round(pairs.float().mean().item(), 4),
        "finds_its_caption_among_64": round(torch.cat(nearest).mean().item(), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=750)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--evaluate", action="store_true", help="print held-out figures of the latest checkpoint")
    arguments = parser.parse_args()
    if arguments.evaluate:
        print(json.dumps(evaluate(arguments.work)))
        return

    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    tokenizer = make_tokenizer(arguments.work / "clip" / "tokenizer")
    model = make_clip(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(arguments.work / "clip", model, optimizer, arguments.steps, peak=1e-3, average=0.995)
    cross_entropy = torch.nn.functional.cross_entropy
    while run.step < run.total:
        run.begin_step()
        rng = random.Random(f"clip {run.step}")
        drawn = [scenes.random_scene(rng) for _ in range(arguments.batch)]
        batch = [scene for scene in drawn if not scenes.is_held_out(scene.caption())]
        images = np.stack([scenes.draw(scene, rng) for scene in batch])
        captions = [scene.caption() for scene in batch] + [altered_caption(scene, rng) for scene in batch]
        of_images, of_text = embed(model, tokenizer, images, captions)
        logits = of_images @ of_text.T * model.logit_scale.exp()
        answers = torch.arange(len(batch))
        loss = (cross_entropy(logits, answers) + cross_entropy(logits[:, : len(batch)].T, answers)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6052)  # a factor of 100, as in CLIP
        run.end_step(loss.item())


if __name__ == "__main__":
    main()
