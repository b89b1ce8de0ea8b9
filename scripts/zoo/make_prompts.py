"""Writes captions that the bundled models were not trained on, one a line.

    python scripts/zoo/make_prompts.py --count 8 --seed 11 -o cluster/prompts/shapes-calibration.txt
"""

from __future__ import annotations

import argparse
import pathlib

import scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--family", choices=("pixart", "flux"), default="pixart", help="whose part of the world")
    arguments = parser.parse_args()
    counts = scenes.FLUX_SHAPE_COUNTS if arguments.family == "flux" else scenes.SHAPE_COUNTS
    captions = [scene.caption() for scene in scenes.scenes(arguments.seed, arguments.count, True, counts)]
    arguments.output.write_text("\n".join(captions) + "\n")


if __name__ == "__main__":
    main()
