"""Measures how far the PyTorch worker's results differ between backends, for the tolerances in Sources/Basics/Engine.swift.

    PYTHONPATH=cluster/diffusers/src python scripts/engine_agreement.py [--device cuda] [-o FILE] [--against FILE]

Every bundled model generates images uncached and under random schedules: on the CPU with oneDNN and without it, and with other batches; on a
GPU if `--device` names one. Canaries and scores are compared with those of the first variant. `-o` writes the numbers of this machine,
`--against` compares with those of another one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import random
import statistics
from typing import Any

import torch

from ecad_diffusers.schedule import Schedule
from ecad_diffusers.worker.evaluator import Evaluator, Settings

MODELS = pathlib.Path(__file__).parents[1] / "cluster" / "models"
PROMPTS = ["a large red circle above a small blue square", "a yellow triangle"]
SHARES = (0.9, 0.7, 0.5, 0.3, 0.15)


def schedules(evaluator: Evaluator) -> list[tuple[int, Schedule]]:
    draw = random.Random(1)
    genes = evaluator.shape.genes
    return [(number, Schedule(evaluator.shape, tuple(draw.random() < share for _ in range(genes)))) for number, share in enumerate(SHARES)]


def measure(model: str, dtype: torch.dtype, device: torch.device, batch: int | None, steps: int) -> dict[str, Any]:
    guidance = 3.5 if model == "shapes-flux" else 2.5
    settings = Settings(steps, 64, 64, guidance, PROMPTS, "", ["psnr", "ssim", "latent-error"])
    evaluator = Evaluator(str(MODELS / model), settings, None, device, dtype, batch)
    items = [(prompt, seed) for prompt in range(2) for seed in range(2)]
    images = evaluator.evaluate(schedules(evaluator), items, False, False, lambda done, total: None)
    return {"canary": evaluator.canary(), "scores": [image["scores"] for image in images]}


def compare(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """The canary's relative difference; per scorer, in units of its tolerance between CPUs, the median and the largest difference."""
    a, b = torch.tensor(found["canary"]), torch.tensor(expected["canary"])
    text = f"canary {float((a - b).norm() / b.norm()):.2g}"
    tolerances = {"psnr": lambda value: 1 + 0.02 * abs(value), "ssim": lambda value: 0.02, "latent-error": lambda value: 0.01 + 0.02 * abs(value)}
    for name, tolerance in tolerances.items():
        units = [abs(x[name] - y[name]) / tolerance(y[name]) for x, y in zip(found["scores"], expected["scores"])]
        text += f"  {name} {statistics.median(units):.2g} (at most {max(units):.2g})"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("-o", "--output", type=pathlib.Path)
    parser.add_argument("--against", type=pathlib.Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    other = json.loads(options.against.read_text()) if options.against else {}
    all_numbers = {}
    for model in ("shapes-pixart-alpha", "shapes-pixart-sigma", "shapes-flux"):
        for dtype in (torch.float32, torch.bfloat16):
            name = f"{model} {str(dtype).removeprefix('torch.')}"
            numbers = {"batch 4": measure(model, dtype, device, None, options.steps), "batch 1": measure(model, dtype, device, 1, options.steps)}
            if device.type == "cpu":
                with torch.backends.mkldnn.flags(enabled=False) if device.type == "cpu" else contextlib.nullcontext():
                    numbers["without oneDNN"] = measure(model, dtype, device, None, options.steps)
            all_numbers[name] = numbers["batch 4"]
            rows = {variant: compare(found, numbers["batch 4"]) for variant, found in numbers.items() if variant != "batch 4"}
            if name in other:
                rows[f"{options.device} against {options.against}"] = compare(numbers["batch 4"], other[name])
            if dtype is torch.bfloat16:
                rows["bfloat16 against float32"] = compare(numbers["batch 4"], all_numbers[f"{model} float32"])
            for variant, row in rows.items():
                print(f"{name:32} {variant:28} {row}", flush=True)
    if options.output:
        options.output.write_text(json.dumps(all_numbers))


if __name__ == "__main__":
    main()
