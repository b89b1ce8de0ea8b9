"""Converts published scorer weights to the directories that `ecad score`, `[scorers]` and `ecad verify` read.

    python scripts/convert_scorers.py image-reward ImageReward.pt --med-config med_config.json --vocabulary vocab.txt -o DIR
    python scripts/convert_scorers.py inception pt_inception-2015-12-05-6726825d.pth -o DIR [--preprocessing pytorch-fid]

`ImageReward.pt` and `med_config.json` are from zai-org/ImageReward, `vocab.txt` from bert-base-uncased, the `.pth` file from
mseitzer/pytorch-fid. CLIP models need no conversion: any Hugging Face directory of a `CLIPModel` with safetensors works.
Needs torch and safetensors.

Files of an Image Reward directory:

    config.json         "model_type": "image-reward"
                        "image_size" 224, "patch_size" 16           pixels; images are resized and center-cropped to a square of image_size
                        "vision_width" 1024, "vision_layers" 24, "vision_heads" 16; MLP width: 4 * vision_width
                        "text_length" 35                            token count that texts are padded and truncated to
                        "head_widths" [1024, 128, 64, 16]           output widths of the reward head's layers, except the last, which is 1
                        "reward_mean" 0.16717362830052426, "reward_std" 1.0333394966054072
                        "image_mean", "image_std"                   three numbers each, for values in 0..1; default: those of CLIP
                        "med_config": {...}                         BLIP's med_config.json; used keys: vocab_size,
                                                                    hidden_size, num_hidden_layers, num_attention_heads,
                                                                    intermediate_size, max_position_embeddings, layer_norm_eps
    model.safetensors   the tensors under their published names, `blip.visual_encoder.*`, `blip.text_encoder.*`,
                        `mlp.layers.{0,2,4,6,7}.*`; other tensors are ignored
    vocab.txt           BERT vocabulary, one token per line, with [PAD], [UNK], [CLS] and [SEP]

Absent keys default to the numbers above (those of `med_config` to bert-base-uncased with a vocab_size of 30524). Files of an Inception directory:

    config.json         "model_type": "fid-inception-v3"
                        "preprocessing": "clean-fid" (default) or "pytorch-fid": how images are resized to 299 x 299
                        "width_divisor" 1                           divides the channel count of every layer; for tests
    model.safetensors   torchvision's names (`Conv2d_1a_3x3.conv.weight`, ...); `fc` is not needed
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file

REWARD_MEAN, REWARD_STD = 0.16717362830052426, 1.0333394966054072
VISION_HEADS = {768: 12, 1024: 16}


def read(path: pathlib.Path) -> dict[str, torch.Tensor]:
    """Reads a state dict written by torch.save, plain or nested under "state_dict" or "model"."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise SystemExit(f"{path}: contains no tensors; expected a state dict")
    return tensors


def write(folder: pathlib.Path, config: dict, tensors: dict[str, torch.Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})


def count(tensors: dict[str, torch.Tensor], prefix: str) -> int:
    """One more than the highest layer number after the prefix."""
    numbers = {int(name[len(prefix) :].split(".")[0]) for name in tensors if name.startswith(prefix)}
    if not numbers:
        raise SystemExit(f"no tensor is named {prefix}N; expected the weights of Image Reward")
    return max(numbers) + 1


def image_reward(options: argparse.Namespace) -> None:
    tensors = read(options.weights)
    for name in ("blip.visual_encoder.pos_embed", "blip.text_encoder.embeddings.word_embeddings.weight", "mlp.layers.7.weight"):
        if name not in tensors:
            raise SystemExit(f"{options.weights}: tensor {name} is missing; expected the weights of Image Reward")
    position, patches = tensors["blip.visual_encoder.pos_embed"], tensors["blip.visual_encoder.patch_embed.proj.weight"]
    width, patch = patches.shape[0], patches.shape[2]
    heads = options.vision_heads or VISION_HEADS.get(width)
    if heads is None:
        raise SystemExit(f"--vision-heads is required for a vision width of {width}")
    config = {
        "model_type": "image-reward",
        "image_size": patch * round((position.shape[1] - 1) ** 0.5),
        "patch_size": patch,
        "vision_width": width,
        "vision_layers": count(tensors, "blip.visual_encoder.blocks."),
        "vision_heads": heads,
        "text_length": 35,
        "head_widths": [tensors[f"mlp.layers.{layer}.weight"].shape[0] for layer in (0, 2, 4, 6)],
        "reward_mean": REWARD_MEAN,
        "reward_std": REWARD_STD,
        "med_config": json.loads(options.med_config.read_text()),
    }
    prefixes = ("blip.visual_encoder.", "blip.text_encoder.", "mlp.")
    tensors = {name: value for name, value in tensors.items() if name.startswith(prefixes) and value.is_floating_point()}
    write(options.output, config, tensors)
    shutil.copyfile(options.vocabulary, options.output / "vocab.txt")


def inception(options: argparse.Namespace) -> None:
    tensors = read(options.weights)
    if "Mixed_7c.branch_pool.conv.weight" not in tensors:
        raise SystemExit(f"{options.weights}: tensor Mixed_7c.branch_pool.conv.weight is missing; expected the weights of Inception-v3")
    tensors = {name: value for name, value in tensors.items() if value.is_floating_point() and not name.startswith(("fc.", "AuxLogits."))}
    write(options.output, {"model_type": "fid-inception-v3", "preprocessing": options.preprocessing}, tensors)


def run(arguments: list[object] | None = None) -> None:
    """Parses and runs one command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scorers = parser.add_subparsers(required=True, metavar="SCORER")
    for name, run in (("image-reward", image_reward), ("inception", inception)):
        scorer = scorers.add_parser(name)
        scorer.set_defaults(run=run)
        scorer.add_argument("weights", type=pathlib.Path, help="file written by torch.save")
        scorer.add_argument("-o", "--output", type=pathlib.Path, required=True, help="directory to write")
        if name == "inception":
            scorer.add_argument("--preprocessing", choices=["clean-fid", "pytorch-fid"], default="clean-fid")
        else:
            scorer.add_argument("--med-config", type=pathlib.Path, required=True)
            scorer.add_argument("--vocabulary", type=pathlib.Path, required=True)
            scorer.add_argument("--vision-heads", type=int, help="required for widths other than 768 and 1024")
    options = parser.parse_args(None if arguments is None else [str(argument) for argument in arguments])
    options.run(options)


if __name__ == "__main__":
    run()
