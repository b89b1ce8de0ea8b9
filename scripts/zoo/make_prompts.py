"""Writes held-out captions of the bundled models, one per line, and optionally drawings of their scenes.

    python scripts/zoo/make_prompts.py --count 8 --seed 11 -o cluster/prompts/shapes-calibration.txt
    python scripts/zoo/make_prompts.py --count 120 --seed 12 --besides cluster/prompts/shapes-calibration.txt \\
        --images cluster/prompts/shapes-benchmark -o cluster/prompts/shapes-benchmark.txt
"""

from __future__ import annotations

import argparse
import pathlib

from PIL import Image

import scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=("pixart", "flux"), default="pixart", help="family whose part of the world is sampled")
    parser.add_argument("--besides", type=pathlib.Path, help="exclude the captions of this file")
    parser.add_argument("--images", type=pathlib.Path, help="directory for drawings of the scenes, named like those of ecad generate")
    arguments = parser.parse_args()
    counts = scenes.FLUX_SHAPE_COUNTS if arguments.family == "flux" else scenes.SHAPE_COUNTS
    others = set(arguments.besides.read_text().splitlines()) if arguments.besides else set()
    drawn = scenes.scenes(arguments.seed, arguments.count + len(others), True, counts)
    chosen = [scene for scene in drawn if scene.caption() not in others][: arguments.count]
    arguments.output.write_text("".join(scene.caption() + "\n" for scene in chosen))
    if arguments.images:
        arguments.images.mkdir(parents=True, exist_ok=True)
        for index, scene in enumerate(chosen):
            Image.fromarray(scenes.draw(scene)).save(arguments.images / f"{index:05}.png", optimize=True)


if __name__ == "__main__":
    main()
