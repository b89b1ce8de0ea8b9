"""Generates images of a bundled model with increasingly aggressive caching, for training the scorers to rank them.

    python scripts/zoo/make_cached.py --ecad .build/release/ecad --work FOLDER [--captions 400] [--held-out 128]

Writes FOLDER/cached.npz: `images` [captions, schedules, 64, 64, 3] uint8 and `captions`, of training captions, and the same for held-out captions
with the prefix `held_out_`. The first schedule is uncached. All schedules of a caption start from the same noise. Existing groups of
captions are reused.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image

import bundled
import scenes

GROUP = 50  # captions per group; a group has one seed
GUIDANCE = "2.5"
# Heuristic and parameters, as on the command line; the first is uncached.
SCHEDULES = [
    ("default",),
    ("fora-attention", "n=2"),
    ("fora", "n=2"),
    ("fora", "n=3"),
    ("fora", "n=4"),
    ("fora", "n=5"),
    ("fora", "n=7"),
    ("fora", "n=10"),
    ("tgate", "m=10", "k=2"),
    ("tgate", "m=6", "k=3"),
    ("evenly", "part=ff", "blocks=4", "steps=15"),
]


def run(*command: str | pathlib.Path) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)


def make_schedules(ecad: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
    files = []
    for index, (heuristic, *parameters) in enumerate(SCHEDULES):
        files.append(folder / f"{index}.ecad")
        options = [word for parameter in parameters for word in ("--parameter", parameter)]
        run(ecad, "schedule", "generate", heuristic, "--model", bundled.ALPHA, *options, "-o", files[-1])
    return files


def make_group(ecad: pathlib.Path, captions: list[str], schedules: list[pathlib.Path], seed: int) -> np.ndarray:
    """[captions, schedules, 64, 64, 3] uint8."""
    with tempfile.TemporaryDirectory() as folder:
        prompts = pathlib.Path(folder) / "prompts.txt"
        prompts.write_text("\n".join(captions) + "\n")
        of_schedules = []
        for schedule in schedules:
            run(
                ecad, "generate", "--model", bundled.ALPHA, "--prompts", prompts, "--schedule", schedule, "--seed", seed,
                "--guidance-scale", GUIDANCE, "--threads", 1, "-o", folder,
            )  # fmt: skip
            files = sorted(pathlib.Path(folder).glob("*.png"))
            of_schedules.append(np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]))
    return np.stack(of_schedules, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ecad", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--captions", type=int, default=400)
    parser.add_argument("--held-out", type=int, default=128)
    arguments = parser.parse_args()
    parts = arguments.work / "cached"
    parts.mkdir(parents=True, exist_ok=True)
    schedules = make_schedules(arguments.ecad.resolve(), parts)
    arrays: dict[str, np.ndarray] = {}
    for prefix, count, held_out in (("held_out_", arguments.held_out, True), ("", arguments.captions, False)):
        captions = [scene.caption() for scene in scenes.scenes(21, count, held_out)]
        groups = []
        for start in range(0, count, GROUP):
            part = parts / f"{prefix}{start}.npy"
            if not part.exists():
                group = make_group(arguments.ecad.resolve(), captions[start : start + GROUP], schedules, 1000 + start)
                np.save(part, group)
                print(part, flush=True)
            groups.append(np.load(part))
        arrays |= {f"{prefix}captions": np.array(captions), f"{prefix}images": np.concatenate(groups)}
    np.savez(arguments.work / "cached.npz", **arrays)


if __name__ == "__main__":
    main()
