"""Damaged images for training the scorers: blurred, noisy, a shape missing or recoloured, from perturbed latents, cached.

    python scripts/zoo/damage.py --work FOLDER [--scenes 1500] [--held-out 256]

writes FOLDER/softened.npz: intact and damaged scenes after a round trip through the bundled autoencoder, so that its blur alone does not
count as damage. `make_cached.py` writes FOLDER/cached.npz, images of the bundled model.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import random

import numpy as np
import torch
from scipy import ndimage

import scenes
from scenes import Scene

# The same damage in training and in the held-out figures. Strengths are in 0..1.
BLUR = (0.8, 2.6)  # standard deviation of a Gaussian in pixels
NOISE = (10.0, 60.0)  # standard deviation, of 255
KINDS = ("blur", "noise", "missing", "recoloured")
SOFTENED = ("whole", "missing", "recoloured", "disturbed a little", "disturbed", "ghost")
SEEDS = {False: 31, True: 32}  # of the softened scenes; the key is whether they are held out


def blurred(image: np.ndarray, strength: float) -> np.ndarray:
    deviation = BLUR[0] + (BLUR[1] - BLUR[0]) * strength
    soft = ndimage.gaussian_filter(image.astype(np.float32), (deviation, deviation, 0), mode="nearest")
    return np.rint(soft).astype(np.uint8)


def noisy(image: np.ndarray, strength: float, seed: int) -> np.ndarray:
    deviation = NOISE[0] + (NOISE[1] - NOISE[0]) * strength
    noise = np.random.default_rng(seed).normal(0, deviation, image.shape)
    return np.rint(np.clip(image + noise, 0, 255)).astype(np.uint8)


def without_a_shape(scene: Scene, rng: random.Random) -> Scene:
    index = rng.randrange(len(scene.shapes))
    return dataclasses.replace(scene, shapes=scene.shapes[:index] + scene.shapes[index + 1 :])


def recoloured(scene: Scene, rng: random.Random) -> Scene:
    index = rng.randrange(len(scene.shapes))
    colour = rng.choice([name for name in scenes.COLOURS if name != scene.shapes[index].colour])
    changed = dataclasses.replace(scene.shapes[index], colour=colour)
    return dataclasses.replace(scene, shapes=(*scene.shapes[:index], changed, *scene.shapes[index + 1 :]))


def drawn(scene: Scene, state: int) -> np.ndarray:
    """Draws the scene; equal values of `state` give equal small variations, even for different scenes."""
    return scenes.draw(scene, random.Random(state))


@dataclasses.dataclass
class Example:
    """An image of a scene and a more damaged one; `kind` is the damage, `whole` whether the better image is intact."""

    scene: Scene
    better: np.ndarray
    worse: np.ndarray
    kind: str
    whole: bool = True


class Examples:
    """Samples examples of one side of the split, from drawn scenes and from images of the bundled model."""

    def __init__(self, work: pathlib.Path, held_out: bool):
        self.held_out = held_out
        self.softened: list[tuple[Scene, np.ndarray]] = []
        self.cached: list[tuple[Scene, np.ndarray, np.ndarray]] = []
        prefix = "held_out_" if held_out else ""
        if (path := work / "softened.npz").exists():
            images = np.load(path)[f"{prefix}images"]
            self.softened = list(zip(scenes.scenes(SEEDS[held_out], len(images), held_out), images))
        if (path := work / "cached.npz").exists():
            file = np.load(path)
            images, captions = file[f"{prefix}images"], file[f"{prefix}captions"]
            by_caption = {scene.caption(): scene for scene in scenes.scenes(21, len(captions), held_out)}
            for caption, row in zip(captions, images):
                # If the uncached image itself is wrong, the distance to it does not measure quality.
                if scenes.scene_found(by_caption[str(caption)], row[0]):
                    distance = (row.astype(np.float32) - row[:1]).__pow__(2).mean((1, 2, 3))
                    self.cached.append((by_caption[str(caption)], row, distance))

    def scene(self, rng: random.Random, counts: tuple[int, ...] = scenes.SHAPE_COUNTS) -> Scene:
        while scenes.is_held_out((scene := scenes.random_scene(rng, counts)).caption()) != self.held_out:
            pass
        return scene

    def drawn_example(self, rng: random.Random, counts: tuple[int, ...]) -> Example:
        """An example of a newly drawn scene whose number of shapes is sampled from `counts`: the easiest kind."""
        kind = rng.choice(KINDS)
        scene, state = self.scene(rng, counts), rng.getrandbits(32)
        whole = drawn(scene, state)
        if kind == "missing":
            return Example(scene, whole, drawn(without_a_shape(scene, rng), state), kind)
        if kind == "recoloured":
            return Example(scene, whole, drawn(recoloured(scene, rng), state), kind)
        strength = rng.random()
        worse = blurred(whole, strength) if kind == "blur" else noisy(whole, strength, rng.getrandbits(32))
        return Example(scene, whole, worse, kind)

    def example(self, rng: random.Random, kind: str | None = None, graded: bool = False) -> Example:
        """`kind`: one of KINDS, "disturbed" or "cached"; random if None. With `graded` the better image may be damaged too, but less."""
        if kind is None:
            kind = rng.choice([*KINDS, *KINDS, *(["disturbed"] if self.softened else []), *(["cached"] * 3 if self.cached else [])])
        if kind == "cached":
            return self._cached(rng, graded)
        if kind == "disturbed":
            scene, images = rng.choice(self.softened)
            whole, little, much, ghost = images[0], images[3], images[4], images[5]
            pairs = [(whole, much), (whole, ghost), *([(whole, little), (little, much)] if graded else [])]
            better, worse = rng.choice(pairs)
            return Example(scene, better, worse, kind, whole=better is whole)
        if self.softened and rng.random() < 0.4:
            scene, images = rng.choice(self.softened)
            whole, missing, other_colour = images[:3]
        else:
            scene, state = self.scene(rng), rng.getrandbits(32)
            whole = drawn(scene, state)
            missing = drawn(without_a_shape(scene, rng), state) if kind == "missing" else whole
            other_colour = drawn(recoloured(scene, rng), state) if kind == "recoloured" else whole
        if kind in ("missing", "recoloured"):
            return Example(scene, whole, missing if kind == "missing" else other_colour, kind)
        if self.cached and rng.random() < 0.25:
            scene, row, _ = rng.choice(self.cached)
            whole = row[0]
        weak, strong = sorted((rng.random(), rng.random()))
        seed = rng.getrandbits(32)
        is_weak = graded and strong - weak > 0.25 and rng.random() < 0.5
        damage = (lambda at: blurred(whole, at)) if kind == "blur" else (lambda at: noisy(whole, at, seed))
        return Example(scene, damage(weak) if is_weak else whole, damage(strong), kind, whole=not is_weak)

    def _cached(self, rng: random.Random, graded: bool) -> Example:
        while True:
            scene, row, distance = rng.choice(self.cached)
            first = rng.randrange(len(row)) if graded else 0
            second = rng.randrange(1, len(row))
            if first == second:
                continue
            better, worse = sorted((first, second), key=lambda index: distance[index])
            # In units of 255 squared: 10 is a PSNR of 38 dB, an invisible difference.
            if distance[worse] > 10 and distance[worse] > 1.6 * distance[better]:
                return Example(scene, row[better], row[worse], "cached", whole=better == 0)


@torch.no_grad()
def soften(vae, images: np.ndarray) -> np.ndarray:
    """Round trip of uint8 scenes [count, 64, 64, 3] through the autoencoder, plain and with perturbed latents: [count, 4, ...]."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = vae.encode(pixels).latent_dist.mean
    noise = torch.randn_like(latents) * latents.std()
    other = latents.roll(1, 0)
    variants = [latents, latents + 0.25 * noise, latents + 0.6 * noise, 0.6 * latents + 0.4 * other]
    rows = [vae.decode(variant).sample for variant in variants]
    values = torch.stack(rows, 1).clamp(-1, 1).permute(0, 1, 3, 4, 2)
    return torch.round((values + 1) * 127.5).byte().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--scenes", type=int, default=1500)
    parser.add_argument("--held-out", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    import bundled  # slow to import, and only needed here

    vae = bundled.autoencoder()
    arrays = {}
    for prefix, count, held_out in (("", arguments.scenes, False), ("held_out_", arguments.held_out, True)):
        rng = random.Random(f"softened {held_out}")
        rows = []
        listed = scenes.scenes(SEEDS[held_out], count, held_out)
        for start in range(0, count, 16):
            some = listed[start : start + 16]
            states = [rng.getrandbits(32) for _ in some]
            whole = soften(vae, np.stack([drawn(scene, state) for scene, state in zip(some, states)]))
            others = [
                soften(vae, np.stack([drawn(change(scene, rng), state) for scene, state in zip(some, states)]))[:, 0]
                for change in (without_a_shape, recoloured)
            ]
            rows.append(np.stack([whole[:, 0], *others, whole[:, 1], whole[:, 2], whole[:, 3]], 1))
        arrays[f"{prefix}images"] = np.concatenate(rows)
    arguments.work.mkdir(parents=True, exist_ok=True)
    np.savez(arguments.work / "softened.npz", **arrays)


if __name__ == "__main__":
    main()
