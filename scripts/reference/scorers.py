"""References for scorers: Image Reward, CLIP score and Frechet distance, computed by the packages that define them.

Image Reward needs image-reward 1.5 with transformers 4.44, timm 0.6.13 and fairscale; the others take any transformers 4 and pytorch-fid,
clean-fid. Images are 8-bit and preprocessed by the packages.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import importlib.util
import json
import pathlib
import sys
import types

import numpy
import torch
from PIL import Image
from safetensors.torch import load_file

from reference.files import Reference


def random_images(count: int, height: int, width: int, seed: int) -> list[Image.Image]:
    """Blocks, waves and noise in strong colours, so that the features of different images differ clearly."""
    draw = numpy.random.default_rng(seed)
    images = []
    for _ in range(count):
        y, x = numpy.mgrid[0:height, 0:width]
        planes = []
        for _ in range(3):
            waves = numpy.sin(x * draw.uniform(0.05, 0.9) + y * draw.uniform(-0.9, 0.9) + draw.uniform(0, 6))
            blocks = draw.uniform(-1, 1, (height // 7 + 1, width // 9 + 1))[y // 7, x // 9]
            planes.append(128 + 70 * waves + 90 * blocks + draw.normal(0, 12, (height, width)))
        images.append(Image.fromarray(numpy.clip(numpy.stack(planes, 2), 0, 255).astype(numpy.uint8)))
    return images


def tensor(images: list[Image.Image]) -> torch.Tensor:
    return torch.stack([torch.from_numpy(numpy.array(image)) for image in images]).permute(0, 3, 1, 2).float() / 255


@functools.cache
def image_reward_modules():
    """Modules of the package, imported without its `__init__`, which imports packages that PyPI does not have."""
    spec = importlib.util.find_spec("ImageReward")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("package image-reward is not installed")
    root = pathlib.Path(next(iter(spec.submodule_search_locations)))
    for name, folder in (("ImageReward", root), ("ImageReward.models", root / "models")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    names = ("ImageReward.models.BLIP.med", "ImageReward.models.BLIP.vit", "ImageReward.ImageReward")
    return [importlib.import_module(name) for name in names]


class ImageReward(torch.nn.Module):
    """The modules of the package, with the sizes of a directory's config.json."""

    def __init__(self, config: dict):
        super().__init__()
        med, vit, package = image_reward_modules()
        text = med.BertConfig.from_dict(config["med_config"])
        text.encoder_width = config["vision_width"]
        vision = vit.VisionTransformer(
            img_size=config["image_size"],
            patch_size=config["patch_size"],
            embed_dim=config["vision_width"],
            depth=config["vision_layers"],
            num_heads=config["vision_heads"],
        )
        self.blip = torch.nn.ModuleDict({"visual_encoder": vision, "text_encoder": med.BertModel(config=text, add_pooling_layer=False)})
        self.mlp = package.MLP(text.hidden_size)
        self.preprocess = package._transform(config["image_size"])
        self.mean, self.std = config["reward_mean"], config["reward_std"]

    @torch.no_grad()
    def score(self, ids: torch.Tensor, mask: torch.Tensor, image: Image.Image) -> torch.Tensor:
        tokens = self.blip["visual_encoder"](self.preprocess(image)[None])
        output = self.blip["text_encoder"](
            ids,
            attention_mask=mask,
            encoder_hidden_states=tokens,
            encoder_attention_mask=torch.ones(tokens.shape[:-1], dtype=torch.long),
            return_dict=True,
        )
        return (self.mlp(output.last_hidden_state[:, 0, :].float()) - self.mean) / self.std


def bert_tokenizer(vocabulary: pathlib.Path):
    """BLIP's `init_tokenizer` with a given vocabulary."""
    from transformers import BertTokenizer

    tokenizer = BertTokenizer(vocabulary)
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    tokenizer.add_special_tokens({"additional_special_tokens": ["[ENC]"]})
    return tokenizer


def image_reward(options: argparse.Namespace) -> Reference:
    """Rewards of random images for the prompts."""
    config = json.loads((options.model / "config.json").read_text())
    model = ImageReward(config).eval()
    state = {name: value.float() for name, value in load_file(options.model / "model.safetensors").items()}
    missing, _ = model.load_state_dict(state, strict=False)
    if any("position_ids" not in name for name in missing):
        raise SystemExit(f"{options.model}: missing tensors: {missing}")
    tokenizer = bert_tokenizer(options.model / "vocab.txt")
    length = config["text_length"]
    text = tokenizer(options.prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
    images = random_images(len(options.prompts), options.height, options.width, options.seed)
    rewards = [model.score(text.input_ids[n : n + 1], text.attention_mask[n : n + 1], image)[0] for n, image in enumerate(images)]
    metadata = {"prompts": options.prompts}
    return Reference(metadata, {"images": tensor(images), "rewards": torch.cat(rewards)}, ("image-reward", "transformers", "timm", "torch", "pillow"))


def load_clip(folder: pathlib.Path):
    """The model, its image processor and its tokenizer.

    The image processor is the one that resizes with Pillow, which the CLIP score is defined by: transformers 5 calls it
    CLIPImageProcessorPil, and gives its older name to one that resizes with torchvision, where that is installed.
    """
    import transformers
    from transformers import CLIPModel, CLIPTokenizerFast

    processor = getattr(transformers, "CLIPImageProcessorPil" if int(transformers.__version__.split(".")[0]) >= 5 else "CLIPImageProcessor")
    model = CLIPModel.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="sdpa").eval()
    return model, processor.from_pretrained(folder), CLIPTokenizerFast.from_pretrained(folder)


def unit(features: torch.Tensor) -> torch.Tensor:
    return features / features.norm(dim=-1, keepdim=True)


@torch.no_grad()
def clip_score(options: argparse.Namespace) -> Reference:
    """Features of random images and prompts, and their cosines."""
    model, processor, tokenizer = load_clip(options.model)
    images = random_images(len(options.prompts), options.height, options.width, options.seed)
    text = tokenizer(options.prompts, padding="max_length", truncation=True, max_length=model.config.text_config.max_position_embeddings)
    ids, mask = torch.tensor(text.input_ids), torch.tensor(text.attention_mask)
    output = model(input_ids=ids, attention_mask=mask, pixel_values=processor(images, return_tensors="pt").pixel_values)
    image_features, text_features = unit(output.image_embeds), unit(output.text_embeds)
    tensors = {"images": tensor(images), "image_features": image_features, "text_features": text_features}
    tensors["cosine"] = (image_features * text_features).sum(-1)
    return Reference({"prompts": options.prompts}, tensors, ("transformers", "torch", "pillow"))


def inception_network(divisor: int) -> torch.nn.Module:
    """The network of pytorch-fid without resizing and weights, with all channel counts divided by `divisor`."""
    import torchvision.models.inception as layers
    from pytorch_fid import inception

    original = layers.BasicConv2d

    class Narrow(original):
        def __init__(self, inputs: int, outputs: int, **kwargs):
            super().__init__(inputs if inputs == 3 else inputs // divisor, outputs // divisor, **kwargs)

    layers.BasicConv2d = Narrow
    try:
        network = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
        for name, block in {
            "Mixed_5b": inception.FIDInceptionA(192, pool_features=32),
            "Mixed_5c": inception.FIDInceptionA(256, pool_features=64),
            "Mixed_5d": inception.FIDInceptionA(288, pool_features=64),
            "Mixed_6b": inception.FIDInceptionC(768, channels_7x7=128),
            "Mixed_6c": inception.FIDInceptionC(768, channels_7x7=160),
            "Mixed_6d": inception.FIDInceptionC(768, channels_7x7=160),
            "Mixed_6e": inception.FIDInceptionC(768, channels_7x7=192),
            "Mixed_7b": inception.FIDInceptionE_1(1280),
            "Mixed_7c": inception.FIDInceptionE_2(2048),
        }.items():
            setattr(network, name, block)
        network.fc = torch.nn.Identity()
    finally:
        layers.BasicConv2d = original
    return network.eval()


def features_by_inception(folder: pathlib.Path, images: list[Image.Image], preprocessing: str) -> torch.Tensor:
    from pytorch_fid.inception import InceptionV3

    config = json.loads((folder / "config.json").read_text())
    network = inception_network(config.get("width_divisor", 1))
    state = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    missing, _ = network.load_state_dict(state, strict=False)
    if any(not name.startswith("fc.") and not name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"{folder}: missing tensors: {missing}")
    # Uses the forward pass of the package; only the source of the weights is replaced.
    from pytorch_fid import inception as package

    original = package.fid_inception_v3
    package.fid_inception_v3 = lambda: network
    try:
        model = InceptionV3([3], resize_input=preprocessing == "pytorch-fid", normalize_input=preprocessing == "pytorch-fid").eval()
    finally:
        package.fid_inception_v3 = original
    if preprocessing == "pytorch-fid":
        inputs = [tensor([image]) for image in images]
    else:
        from cleanfid.resize import build_resizer

        resize = build_resizer("clean")
        inputs = [(torch.from_numpy(resize(numpy.array(image)).transpose(2, 0, 1))[None] - 128) / 128 for image in images]
    return torch.cat([model(one)[0].flatten(1) for one in inputs])


@torch.no_grad()
def frechet(options: argparse.Namespace) -> Reference:
    """Features of two sets of random images, and the pytorch-fid distance between the sets."""
    from pytorch_fid.fid_score import calculate_frechet_distance

    sets = [random_images(options.count, options.height, options.width, options.seed + number) for number in (0, 1)]
    is_clip = json.loads((options.model / "config.json").read_text())["model_type"] == "clip"
    if is_clip:
        model, processor, _ = load_clip(options.model)
        features = [unit(model.get_image_features(processor(images, return_tensors="pt").pixel_values)) for images in sets]
    else:
        features = [features_by_inception(options.model, images, options.preprocessing) for images in sets]
    statistics = [(one.double().numpy().mean(0), numpy.cov(one.double().numpy(), rowvar=False)) for one in features]
    distance = calculate_frechet_distance(*statistics[0], *statistics[1])
    tensors = {"images_a": tensor(sets[0]), "images_b": tensor(sets[1]), "features_a": features[0], "features_b": features[1]}
    tensors["distance"] = torch.tensor([distance], dtype=torch.float64)
    metadata = {"features": "clip"} if is_clip else {"features": "inception-v3", "preprocessing": options.preprocessing}
    return Reference(metadata, tensors, ("pytorch-fid", "clean-fid", "transformers" if is_clip else "torchvision", "torch", "scipy"))
