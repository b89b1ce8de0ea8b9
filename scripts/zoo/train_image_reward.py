"""Trains an ImageReward model to score images of the bundled models against their captions.

    python scripts/zoo/train_image_reward.py --work FOLDER [--steps 3400]
    python scripts/zoo/train_image_reward.py --work FOLDER --evaluate
    python scripts/zoo/train_image_reward.py --work FOLDER -o cluster/models/shapes-image-reward

Resumes from FOLDER/image_reward/checkpoint.pt. As in the original, the loss is Bradley-Terry on pairs: a caption against an altered one, and an image
against a more damaged one (run `damage.py` and `make_cached.py` with the same FOLDER first). Two auxiliary heads, used only in training, speed up
the binding of words to shapes: they predict which word of a caption is wrong and what each image patch shows.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import random

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

import damage
import image_reward
import scenes
from image_reward import ImageReward, Sizes
from muon import Muon
from scenes import Scene
from team import Team
from training import Run

PEAK = 1.5e-3
PATCH = 8
# Curriculum: until a step, only scenes with these numbers of shapes. Words bind much faster with one shape, and short captions are cheaper.
CURRICULUM = ((300, (1,)), (420, (1, 2, 2)))
VISION_INTERVAL = 2  # after the first stage the vision encoder, which learns faster, is updated at every second step only


def vocabulary_words() -> list[str]:
    words = {"a", "and", "on", "background", ",", *scenes.COLOURS, *scenes.BACKGROUNDS, *scenes.SHAPES, *scenes.RADII}
    for place in scenes.PLACES:
        words |= set(place.split())
    return sorted(words)


class Vocabulary:
    """Token ids of the words of captions, equal to those of BERT's tokenizer."""

    def __init__(self, path: pathlib.Path):
        self.ids = {word: index for index, word in enumerate(path.read_text().splitlines())}

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, texts: list[list[str]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask, [count, length of the longest text]."""
        length = 2 + max(len(words) for words in texts)
        ids = torch.zeros(len(texts), length, dtype=torch.long)
        for row, words in zip(ids, texts):
            row[: len(words) + 2] = torch.tensor([self.ids[word] for word in ("[CLS]", *words, "[SEP]")])
        return ids, (ids != self.ids["[PAD]"]).float()


def words_of(caption: str) -> list[str]:
    return caption.replace(",", " , ").split()


def compared(text: Scene, truth: Scene) -> tuple[list[str], list[int]]:
    """The words of the caption of `text`, with a label each: 1 if wrong for `truth`, 0 if right, -1 if neutral."""
    words: list[str] = []
    labels: list[int] = []

    def add(phrase: str, label: int) -> None:
        words.extend(phrase.split())
        labels.extend([label] * len(phrase.split()))

    for index, (shape, true) in enumerate(zip(text.shapes, truth.shapes)):
        if index:
            add("and" if index == len(text.shapes) - 1 else ",", -1)
        add("a", -1)
        for part in ("size", "colour", "kind", "place"):
            value = getattr(shape, part)
            add(value, int(value != getattr(true, part)))
    add("on a", -1)
    add(text.background, int(text.background != truth.background))
    add("background", -1)
    return words, labels


def moved(scene: Scene, rng: random.Random) -> Scene:
    """The scene with one shape at another place."""
    index = rng.randrange(len(scene.shapes))
    free = [place for place in scenes.PLACES if place not in {shape.place for shape in scene.shapes}]
    shape = dataclasses.replace(scene.shapes[index], place=rng.choice(free))
    return dataclasses.replace(scene, shapes=(*scene.shapes[:index], shape, *scene.shapes[index + 1 :]))


def altered_scene(scene: Scene, changes: int, rng: random.Random) -> Scene:
    """A training scene with up to `changes` changes; places, which are learnt last, change more often."""
    while True:
        other = scene
        for _ in range(changes):
            other = moved(other, rng) if rng.random() < 0.4 else scenes.altered(other, rng)
        if other != scene and not scenes.is_held_out(other.caption()):
            return other


class Training(nn.Module):
    """The model with its auxiliary heads."""

    ATTRIBUTES = (("colour", scenes.COLOURS), ("kind", scenes.SHAPES), ("size", scenes.RADII))

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.model = ImageReward(sizes)
        self.wrong_word = nn.Linear(sizes.text_width, 1)
        classes = [1 + len(names) for _, names in self.ATTRIBUTES] + [len(scenes.BACKGROUNDS)]
        self.classes = classes
        self.patch = nn.Linear(sizes.vision_width, sum(classes))
        # Directions that encode the row and the column of a token, needed for words about places.
        edge = sizes.image // sizes.patch
        directions = torch.randn(2, edge, sizes.vision_width, generator=torch.Generator().manual_seed(0))
        self.register_buffer("directions", nn.functional.normalize(directions, dim=-1), persistent=False)

    def patch_labels(self, scene: Scene) -> np.ndarray:
        """Class labels, [attributes and background, patches]; 0 is "no shape"."""
        count = scenes.IMAGE_SIZE // PATCH
        middles = (np.arange(count) + 0.5) * PATCH
        labels = np.zeros((4, count, count), np.int64)
        labels[3] = list(scenes.BACKGROUNDS).index(scene.background)
        for shape in scene.shapes:
            x, y = scenes.PLACES[shape.place]
            near = scenes.RADII[shape.size]
            inside = (np.abs(middles[None, :] - x) < near) & (np.abs(middles[:, None] - y) < near)
            for row, (name, names) in enumerate(self.ATTRIBUTES):
                labels[row][inside] = 1 + list(names).index(getattr(shape, name))
        return labels.reshape(4, -1)

    def patch_loss(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss for tokens [count, patches, width] and labels [count, 4, patches]."""
        parts = self.patch(tokens).split(self.classes, -1)
        losses = [nn.functional.cross_entropy(part.mT, labels[:, row]) for row, part in enumerate(parts)]
        edge = self.directions.shape[1]
        places = torch.arange(edge * edge).expand(len(tokens), -1)
        rows, columns = (tokens @ directions.T for directions in self.directions)
        where = nn.functional.cross_entropy(rows.mT, places // edge) + nn.functional.cross_entropy(columns.mT, places % edge)
        return sum(losses) / len(losses) + 0.3 * where


def make(work: pathlib.Path) -> tuple[Vocabulary, Training]:
    path = work / "image_reward" / "vocab.txt"
    if not path.exists():
        image_reward.make_vocabulary(path, vocabulary_words())
    vocabulary = Vocabulary(path)
    # Two extra rows, like those for [DEC] and [ENC] in the original.
    return vocabulary, Training(Sizes(vocabulary=len(vocabulary) + 2))


def averaged(work: pathlib.Path) -> tuple[Vocabulary, ImageReward]:
    vocabulary, training = make(work)
    training.load_state_dict(torch.load(work / "image_reward" / "checkpoint.pt", weights_only=True)["average"])
    return vocabulary, training.model.eval()


def losses(
    training: Training, vocabulary: Vocabulary, batch: list[damage.Example], rng: random.Random, trains_vision: bool
) -> dict:
    """The terms of the loss and the shares of correctly ranked pairs; `trains_vision`: whether to update the vision encoder."""
    count = len(batch)
    # Damage is learnt faster than wrong words: half of the worse images and a quarter of the very wrong captions suffice.
    worse, far = range(count // 2), range(count - count // 4, count)
    images = np.stack([row.better for row in batch] + [batch[index].worse for index in worse])
    with torch.set_grad_enabled(trains_vision):
        vision = training.model.blip["visual_encoder"](image_reward.pixel_values(images))
    true = [compared(row.scene, row.scene) for row in batch]
    near = [compared(altered_scene(row.scene, 1, rng), row.scene) for row in batch]
    wrong = [compared(altered_scene(batch[index].scene, rng.randint(2, 5), rng), batch[index].scene) for index in far]
    texts = [*true, *near, *wrong, *(true[index] for index in worse)]
    shown = [*range(count), *range(count), *far, *range(count, count + len(worse))]
    ids, present = vocabulary.batch([words for words, _ in texts])
    tokens = training.model.blip["text_encoder"](ids, present, vision[shown])
    rewards = training.model.mlp(tokens[:, 0])
    of_true, of_near, of_wrong, of_worse = rewards.split([count, count, len(far), len(worse)])

    # A caption can be compared only with images that show the scene correctly.
    whole = [index for index, row in enumerate(batch) if row.whole]
    is_whole = set(whole)
    flags = torch.full(ids.shape, -1.0)
    for index, image in enumerate(shown[: 2 * count + len(far)]):
        if image in is_whole:
            flags[index, 1 : 1 + len(texts[index][1])] = torch.tensor(texts[index][1], dtype=torch.float32)
    labelled = flags >= 0
    word_logits = training.wrong_word(tokens)[..., 0][labelled]
    weights = 1 + 2 * flags[labelled]  # most words are correct
    softplus = nn.functional.softplus
    near_margin = of_near[whole] - of_true[whole]
    parts = {
        "near": softplus(near_margin).mean(),
        "far": softplus((of_wrong - of_true[far])[[index in is_whole for index in far]]).sum() / len(far),
        "worse": softplus(of_worse - of_true[worse]).mean(),
        "word": nn.functional.binary_cross_entropy_with_logits(word_logits, flags[labelled], weights),
        "near right": (near_margin < 0).float().mean(),
        "worse right": (of_worse < of_true[worse]).float().mean(),
    }
    if trains_vision:
        labels = torch.from_numpy(np.stack([training.patch_labels(batch[index].scene) for index in whole]))
        parts["patch"] = training.patch_loss(vision[whole, 1:], labels)
    return parts


@torch.no_grad()
def rewards_of(model: ImageReward, vocabulary: Vocabulary, images: np.ndarray, captions: list[str]) -> torch.Tensor:
    ids, present = vocabulary.batch([words_of(caption) for caption in captions])
    return model(image_reward.pixel_values(images), ids, present)


def evaluate(work: pathlib.Path, count: int = 400) -> dict:
    """Shares of held-out pairs that are ranked correctly, by kind of damage."""
    vocabulary, model = averaged(work)
    examples = damage.Examples(work, held_out=True)
    report = {}
    kinds = ["caption", *damage.KINDS, *(["disturbed"] if examples.softened else []), *(["cached"] if examples.cached else [])]
    for kind in kinds:
        rng = random.Random(f"evaluate {kind}")
        rows = [examples.example(rng, "blur" if kind == "caption" else kind) for _ in range(count)]
        captions = [row.scene.caption() for row in rows]
        better = rewards_of(model, vocabulary, np.stack([row.better for row in rows]), captions)
        if kind == "caption":
            others = [scenes.altered(row.scene, rng).caption() for row in rows]
            worse = rewards_of(model, vocabulary, np.stack([row.better for row in rows]), others)
        else:
            worse = rewards_of(model, vocabulary, np.stack([row.worse for row in rows]), captions)
        report[kind] = round((better > worse).float().mean().item(), 4)
    return {"pairs_of_a_kind": count, **report}


def spread(work: pathlib.Path, vocabulary: Vocabulary, model: ImageReward) -> tuple[float, float]:
    """Mean and standard deviation of the rewards of intact and damaged training images."""
    examples = damage.Examples(work, held_out=False)
    rng = random.Random("spread")
    rows = [examples.example(rng) for _ in range(600)]
    captions = [row.scene.caption() for row in rows]
    both = [rewards_of(model, vocabulary, np.stack([getattr(row, side) for row in rows]), captions) for side in ("better", "worse")]
    values = torch.cat(both)
    return values.mean().item(), values.std().item()


def write(work: pathlib.Path, output: pathlib.Path) -> None:
    vocabulary, model = averaged(work)
    sizes = Sizes(vocabulary=len(vocabulary) + 2)
    mean, deviation = spread(work, vocabulary, model)
    output.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, output / "model.safetensors", metadata={"format": "pt"})
    (output / "model.safetensors").chmod(0o644)
    (output / "vocab.txt").write_bytes((work / "image_reward" / "vocab.txt").read_bytes())
    config = {
        "model_type": "image-reward",
        "image_size": sizes.image,
        "patch_size": sizes.patch,
        "vision_width": sizes.vision_width,
        "vision_layers": sizes.vision_layers,
        "vision_heads": sizes.vision_heads,
        "text_length": sizes.tokens,
        "head_widths": image_reward.HEAD[:-1],
        "reward_mean": round(mean, 6),
        "reward_std": round(deviation, 6),
        "med_config": {
            "vocab_size": sizes.vocabulary,
            "hidden_size": sizes.text_width,
            "num_hidden_layers": sizes.text_layers,
            "num_attention_heads": sizes.text_heads,
            "intermediate_size": 4 * sizes.text_width,
            "max_position_embeddings": sizes.positions,
            "layer_norm_eps": 1e-12,
        },
    }
    (output / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def make_optimizer(training: Training) -> Muon:
    matrices, others = [], []
    for name, parameter in training.named_parameters():
        hidden = parameter.ndim == 2 and (".blocks." in name or ".layer." in name)
        (matrices if hidden else others).append(parameter)
    return Muon([{"params": matrices, "matrices": True, "scale": 2.0}, {"params": others}], Team(1, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=3400)
    parser.add_argument("--batch", type=int, default=32)
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

    vocabulary, training = make(arguments.work)
    run = Run(
        arguments.work / "image_reward", training, make_optimizer(training), arguments.steps, peak=PEAK, average=0.98
    )
    examples = damage.Examples(arguments.work, held_out=False)
    recent: dict[str, list[float]] = {}
    while run.step < run.total:
        run.begin_step()
        rng = random.Random(f"image reward {run.step}")
        torch.manual_seed(run.step)
        counts = next((counts for steps, counts in CURRICULUM if run.step < steps), None)
        batch = [
            examples.drawn_example(rng, counts) if counts else examples.example(rng, graded=True)
            for _ in range(arguments.batch)
        ]
        parts = losses(training, vocabulary, batch, rng, trains_vision=run.step < CURRICULUM[0][0] or run.step % VISION_INTERVAL == 0)
        loss = sum(value for name, value in parts.items() if not name.endswith("right"))
        run.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(training.parameters(), 1.0)
        run.optimizer.step()
        for name, value in parts.items():
            recent.setdefault(name, []).append(value.item())
        if (run.step + 1) % 25 == 0:
            print({name: round(sum(values) / len(values), 3) for name, values in recent.items()}, flush=True)
            recent.clear()
        run.end_step(loss.item(), every=100)


if __name__ == "__main__":
    main()
