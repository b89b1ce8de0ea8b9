"""Measures a bundled model on held-out captions and draws its sheet of samples.

    python scripts/zoo/evaluate.py --model cluster/models/NAME [--count 256] [--steps 20] [--size 64] [--sheet FILE.png]

Any of the families; captions are of the part of the world that the model knows. Images come from diffusers' own pipeline, uncached, and are read back with `scenes.read`. Prints JSON: the share of images that show
every described shape with its colour, and the share that shows exactly the described scene (size and place too, nothing else).
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np
import torch
from diffusers import DiffusionPipeline, FluxPipeline
from PIL import Image, ImageDraw

import scenes


@torch.no_grad()
def generate(pipeline, captions: list[str], steps: int, guidance: float, size: int) -> np.ndarray:
    """[count, size, size, 3] uint8; image i has seed i."""
    if isinstance(pipeline, FluxPipeline):
        own = {"max_sequence_length": min(512, pipeline.tokenizer_2.model_max_length)}
    else:
        own = {"use_resolution_binning": False, "clean_caption": False}
    images = []
    for start in range(0, len(captions), 32):
        batch = captions[start : start + 32]
        seeds = [torch.Generator("cpu").manual_seed(start + index) for index in range(len(batch))]
        output = pipeline(
            batch,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=size,
            width=size,
            generator=seeds,
            output_type="np",
            **own,
        )
        images.append(np.rint(output.images * 255).astype(np.uint8))
    return np.concatenate(images)


def sheet(captions: list[str], images: np.ndarray, found: list[bool], columns: int = 8) -> Image.Image:
    """Samples with their captions; a red bar stands under an image in which a shape was not found."""
    cell, text = 128, 58
    rows = (len(images) + columns - 1) // columns
    page = Image.new("RGB", (columns * (cell + 8) + 8, rows * (cell + text) + 8), "white")
    pen = ImageDraw.Draw(page)
    for index, (caption, pixels) in enumerate(zip(captions, images)):
        x, y = 8 + index % columns * (cell + 8), 8 + index // columns * (cell + text)
        page.paste(Image.fromarray(pixels).resize((cell, cell), Image.Resampling.NEAREST), (x, y))
        if not found[index]:
            pen.rectangle((x, y + cell, x + cell, y + cell + 3), fill="red")
        line, lines = "", []
        for word in caption.split():
            if len(line) + len(word) > 24:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
        for number, words in enumerate([*lines, line][:5]):
            pen.text((x, y + cell + 4 + 10 * number), words, fill="black", font_size=9)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance-scale", type=float, default=2.5)
    parser.add_argument("--size", type=int, default=scenes.IMAGE_SIZE)
    parser.add_argument("--sheet", type=pathlib.Path)
    arguments = parser.parse_args()

    torch.set_flush_denormal(True)
    pipeline = DiffusionPipeline.from_pretrained(arguments.model, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    counts = scenes.FLUX_SHAPE_COUNTS if isinstance(pipeline, FluxPipeline) else scenes.SHAPE_COUNTS
    held_out = scenes.scenes(2, arguments.count, held_out=True, counts=counts)
    captions = [scene.caption() for scene in held_out]
    images = generate(pipeline, captions, arguments.steps, arguments.guidance_scale, arguments.size)
    shapes = [scenes.shapes_found(scene, image) for scene, image in zip(held_out, images)]
    whole = [scenes.scene_found(scene, image) for scene, image in zip(held_out, images)]
    if arguments.sheet:
        sheet(captions[:32], images[:32], shapes[:32]).save(arguments.sheet)
    report = {
        "captions": len(captions),
        "steps": arguments.steps,
        "guidance_scale": arguments.guidance_scale,
        "size": arguments.size,
        "shapes_with_colours_found": round(float(np.mean(shapes)), 4),
        "whole_scene_found": round(float(np.mean(whole)), 4),
    }
    for count in sorted(set(counts)):
        of_count = [hit for scene, hit in zip(held_out, shapes) if len(scene.shapes) == count]
        report[f"found_of_{count}_shape_scenes"] = round(float(np.mean(of_count)), 4)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
