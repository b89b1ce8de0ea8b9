"""Trains the CLIP that scores images: continues the model of `train_clip.py` with damaged images.

    python scripts/zoo/train_clip_score.py --work FOLDER --start FOLDER_OF_TRAIN_CLIP [--steps 800]
    python scripts/zoo/train_clip_score.py --work FOLDER --evaluate
    python scripts/zoo/train_clip_score.py --work FOLDER -o cluster/models/shapes-clip

Resumes from FOLDER/clip/checkpoint.pt. The loss of CLIP plus two pairwise terms: an image against its caption with one change, and a caption
against an intact and a damaged image of the same scene. Run `damage.py` and `make_cached.py` with the same FOLDER first.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import shutil

import numpy as np
import torch

import damage
import scenes
import train_clip
from train_clip import altered_caption, embed, make_clip, make_tokenizer
from training import Run


def start(work: pathlib.Path, previous: pathlib.Path) -> None:
    """Copies the tokenizer and the averaged weights of a `train_clip.py` run."""
    if (work / "clip" / "start.pt").exists():
        return
    shutil.copytree(previous / "clip" / "tokenizer", work / "clip" / "tokenizer", dirs_exist_ok=True)
    weights = torch.load(previous / "clip" / "checkpoint.pt", weights_only=True)["average"]
    torch.save(weights, work / "clip" / "start.pt")


@torch.no_grad()
def evaluate(work: pathlib.Path, count: int = 400) -> dict:
    """Shares of held-out pairs that are ranked correctly, by kind of damage."""
    tokenizer, model = train_clip.averaged(work)
    examples = damage.Examples(work, held_out=True)
    report = {}
    kinds = ["caption", *damage.KINDS, *(["disturbed"] if examples.softened else []), *(["cached"] if examples.cached else [])]
    for kind in kinds:
        rng = random.Random(f"evaluate {kind}")
        rows = [examples.example(rng, "blur" if kind == "caption" else kind) for _ in range(count)]
        captions = [row.scene.caption() for row in rows]
        if kind == "caption":
            captions += [scenes.altered(row.scene, rng).caption() for row in rows]
            of_images, of_text = embed(model, tokenizer, np.stack([row.better for row in rows]), captions)
            right = (of_images * of_text[:count]).sum(-1) > (of_images * of_text[count:]).sum(-1)
        else:
            of_images, of_text = embed(model, tokenizer, np.stack([row.better for row in rows] + [row.worse for row in rows]), captions)
            right = (of_images[:count] * of_text).sum(-1) > (of_images[count:] * of_text).sum(-1)
        report[kind] = round(right.float().mean().item(), 4)
    return {"pairs_of_a_kind": count, **report}


def write(work: pathlib.Path, output: pathlib.Path) -> None:
    """Writes a CLIP directory for `transformers`, with weights in float16."""
    tokenizer, model = train_clip.averaged(work)
    model.half().save_pretrained(output)
    shutil.copytree(work / "clip" / "tokenizer", output, dirs_exist_ok=True)
    size = scenes.IMAGE_SIZE
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": train_clip.IMAGE_MEAN,
        "image_std": train_clip.IMAGE_STD,
    }
    (output / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")
    (output / "model.safetensors").chmod(0o644)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--start", type=pathlib.Path, help="work directory of train_clip.py")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=40)
    parser.add_argument("--evaluate", action="store_true", help="print held-out figures of the latest checkpoint")
    parser.add_argument("-o", "--output", type=pathlib.Path, help="write the model instead of training")
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    if arguments.evaluate:
        print(json.dumps(evaluate(arguments.work)))
        return
    if arguments.output:
        write(arguments.work, arguments.output)
        return

    start(arguments.work, arguments.start)
    tokenizer = make_tokenizer(arguments.work / "clip" / "tokenizer")
    model = make_clip(tokenizer)
    model.load_state_dict(torch.load(arguments.work / "clip" / "start.pt", weights_only=True))
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.98), weight_decay=0.01)
    run = Run(arguments.work / "clip", model, optimizer, arguments.steps, peak=6e-4, average=0.98, warm_up=50)
    examples = damage.Examples(arguments.work, held_out=False)
    cross_entropy = torch.nn.functional.cross_entropy
    while run.step < run.total:
        run.begin_step()
        rng = random.Random(f"clip {run.step}")
        batch = [examples.example(rng) for _ in range(arguments.batch)]
        count = len(batch)
        images = np.stack([row.better for row in batch] + [row.worse for row in batch])
        captions = [row.scene.caption() for row in batch] + [altered_caption(row.scene, rng) for row in batch]
        of_images, of_text = embed(model, tokenizer, images, captions)
        logits = of_images @ of_text.T * model.logit_scale.exp()
        answers = torch.arange(count)
        own = logits.diagonal()[:count]
        other_caption, other_image = logits[answers, answers + count], logits[answers + count, answers]
        loss = (
            (cross_entropy(logits[:count], answers) + cross_entropy(logits[:, :count].T, answers)) / 2
            + torch.nn.functional.softplus(other_caption - own).mean()
            + torch.nn.functional.softplus(other_image - own).mean()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=4.6052)  # a factor of 100, as in CLIP
        run.end_step(loss.item(), every=50)


if __name__ == "__main__":
    main()
