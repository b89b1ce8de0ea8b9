"""Writes a reference file, the output of the original Python libraries, which `ecad verify` compares the engine with.

    python scripts/make_reference.py text-encoder --model DIR --prompt "a red cube" --prompt "" -o text.safetensors
    python scripts/make_reference.py text-encoder --model DIR --folder text_encoder_2 --prompts prompts.txt -o t5.safetensors
    python scripts/make_reference.py transformer  --model DIR --timesteps 999 500 3 -o transformer.safetensors
    python scripts/make_reference.py vae-decoder  --model DIR --latent-height 16 --latent-width 24 -o vae.safetensors
    python scripts/make_reference.py noise        --seeds 0 7 --shape 4 32 32 -o noise.safetensors
    python scripts/make_reference.py trajectory   --model DIR --prompts prompts.txt --seeds 0 1 --schedule fora.json -o run.safetensors
    python scripts/make_reference.py image-reward --model SCORER --prompt "a red cube" --prompt "a fox" -o reward.safetensors
    python scripts/make_reference.py clip-score   --model CLIP --prompts prompts.txt -o clip.safetensors
    python scripts/make_reference.py frechet      --model INCEPTION --count 12 -o frechet.safetensors

DIR is a model directory in the diffusers layout (PixArt-alpha, PixArt-Sigma or FLUX); SCORER, CLIP and INCEPTION are scorer
directories as described in scripts/convert_scorers.py. Everything runs in float32 on the CPU, whatever type the weights
have; --bfloat16 also measures the libraries' error in bfloat16. Needs torch, diffusers, transformers, sentencepiece, protobuf; written with torch 2.15, diffusers 0.42.1,
transformers 5.23. The requirements of the scorer cases are listed in scripts/reference/scorers.py.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys

import torch

from reference import files


def of_family(case: str):
    """Runs the implementation of the model's family, determined by the transformer's class name."""

    def run(options: argparse.Namespace) -> files.Reference:
        from reference import flux, pixart

        name = json.loads((options.model / "transformer" / "config.json").read_text())["_class_name"]
        return getattr(flux if name == "FluxTransformer2DModel" else pixart, case)(options)

    return run


def noise(options: argparse.Namespace) -> files.Reference:
    """The first draw of each seed's generator, [P, *shape]."""
    from reference import common

    drawn = common.initial_latents(options.seeds, tuple(options.shape))
    return files.Reference({"seeds": options.seeds, "shape": options.shape}, {"noise": drawn}, ("torch",))


def vae_decoder(options: argparse.Namespace) -> files.Reference:
    """The raw decoder output for random latents that are already unscaled and unshifted."""
    from reference import common

    return common.vae_decoder(options)


def of_scorer(case: str):
    """Runs a scorer case; imported lazily, because its packages need another transformers version than diffusers."""

    def run(options: argparse.Namespace) -> files.Reference:
        from reference import scorers

        return getattr(scorers, case)(options)

    return run


def add_images(case: argparse.ArgumentParser) -> None:
    case.add_argument("--height", type=int, default=61, help="pixels of the random images")
    case.add_argument("--width", type=int, default=84, help="pixels of the random images")
    case.add_argument("--seed", type=int, default=0, help="seed of the random images")


def add_prompts(case: argparse.ArgumentParser) -> None:
    case.add_argument("--prompt", action="append", dest="prompts", default=[], help="a prompt; repeatable")
    case.add_argument("--prompts", type=pathlib.Path, dest="prompt_file", help="file with one prompt per line")
    case.add_argument("--max-length", type=int, help="text tokens (default: alpha 120, sigma 300, FLUX 512, CLIP: its tokenizer's)")


def add_latents(case: argparse.ArgumentParser) -> None:
    case.add_argument("--latent-height", type=int, help="rows of the latents (default: the model's native size)")
    case.add_argument("--latent-width", type=int, help="columns of the latents (default: the model's native size)")
    case.add_argument("--seed", type=int, default=0, help="seed of the random inputs")


def add_bfloat16(case: argparse.ArgumentParser) -> None:
    case.add_argument("--bfloat16", action="store_true", help="store the libraries' own error in bfloat16, for ecad verify --precision bfloat16")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = parser.add_subparsers(dest="case", required=True, metavar="CASE")

    def add(name: str, run, help: str, needs_model: bool = True) -> argparse.ArgumentParser:
        case = cases.add_parser(name, help=help, description=run.__doc__ or help)
        case.set_defaults(run=run)
        if needs_model:
            case.add_argument("--model", type=pathlib.Path, required=True, help="model directory in the diffusers layout")
        case.add_argument("-o", "--output", type=pathlib.Path, required=True, help=".safetensors file to write")
        return case

    case = add("text-encoder", of_family("text_encoder"), "prompts to token ids and hidden states")
    case.add_argument("--folder", default="text_encoder", choices=["text_encoder", "text_encoder_2"], help="FLUX has two")
    add_prompts(case)

    case = add("transformer", of_family("transformer"), "one forward pass on random inputs")
    add_latents(case)
    case.add_argument("--timesteps", type=int, nargs="+", default=[999, 500, 3], help="one per batch row")
    case.add_argument("--tokens", type=int, default=12, help="text tokens")

    case = add("vae-decoder", vae_decoder, "random latents to images")
    add_latents(case)
    case.add_argument("--count", type=int, default=2, help="images")

    for each in (cases.choices["transformer"], case):
        add_bfloat16(each)

    case = add("noise", noise, "seeded normal noise", needs_model=False)
    case.add_argument("--seeds", type=int, nargs="+", required=True)
    case.add_argument("--shape", type=int, nargs="+", required=True, help="shape of one draw, for example 4 32 32")

    case = add("trajectory", of_family("trajectory"), "text to image with the latents of every step, with or without a caching schedule")
    add_prompts(case)
    case.add_argument("--negative-prompt", default="")
    case.add_argument("--seeds", type=int, nargs="+", required=True, help="one per prompt")
    case.add_argument("--steps", type=int, default=20)
    case.add_argument("--guidance-scale", type=float, help="default: 4.5, for FLUX 3.5")
    case.add_argument("--height", type=int, help="pixels (default: the model's native size; no aspect-ratio binning)")
    case.add_argument("--width", type=int, help="pixels (default: the model's native size; no aspect-ratio binning)")
    case.add_argument("--schedule", type=pathlib.Path, help="published JSON file; copied next to the output if it is elsewhere")

    add_bfloat16(case)

    for name, help in (("image-reward", "rewards of random images for prompts"), ("clip-score", "CLIP features of random images and prompts")):
        case = add(name, of_scorer(name.replace("-", "_")), help)
        add_prompts(case)
        add_images(case)

    case = add("frechet", of_scorer("frechet"), "features of two sets of random images and the distance between the sets")
    case.add_argument("--count", type=int, default=8, help="images per set")
    case.add_argument("--preprocessing", choices=["clean-fid", "pytorch-fid"], default="clean-fid", help="preprocessing of the input of Inception-v3")
    add_images(case)
    return parser


def run(arguments: list[str]) -> None:
    """Parses and runs one command line; `scripts/fixtures` calls it many times in one process."""
    options = make_parser().parse_args(arguments)
    if getattr(options, "prompt_file", None):
        options.prompts += options.prompt_file.read_text(encoding="utf-8").splitlines()
    if "prompts" in options and not options.prompts:
        raise SystemExit("no prompts given; expected --prompt or --prompts FILE")
    if "model" in options and not options.model.is_dir():
        raise SystemExit(f"--model: {options.model} is not a directory")
    torch.set_num_threads(1)  # the order of additions, hence the last bits, must not depend on the number of cores
    files.write(options.output, options.case, options.run(options))


if __name__ == "__main__":
    run(sys.argv[1:])
