"""The toy world of the bundled models: captioned scenes of coloured shapes, drawn and detected.

A scene is one to three shapes (colour, kind, size, place) on a plain background. `draw` renders it, `caption` describes it,
`read` detects the shapes in an image. Captions whose hash falls into the held-out share are never used for training.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random

import numpy as np
from scipy import ndimage

IMAGE_SIZE = 64

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 160, 60),
    "blue": (40, 80, 220),
    "yellow": (250, 210, 30),
    "purple": (150, 50, 180),
}
BACKGROUNDS = {
    "white": (245, 245, 245),
    "gray": (128, 128, 128),
    "black": (15, 15, 15),
    "beige": (230, 210, 170),
}
SHAPES = ("circle", "square", "triangle")
RADII = {"small": 6.5, "large": 9.5}
PLACES = {
    "at the top left": (12, 12),
    "at the top": (32, 12),
    "at the top right": (52, 12),
    "on the left": (12, 32),
    "in the center": (32, 32),
    "on the right": (52, 32),
    "at the bottom left": (12, 52),
    "at the bottom": (32, 52),
    "at the bottom right": (52, 52),
}
SHAPE_COUNTS = (1, 2, 2, 3)  # number of shapes, sampled uniformly from this list
FLUX_SHAPE_COUNTS = (1, 2, 2)  # the same for the bundled FLUX model
HELD_OUT_SHARE = 32  # one caption in 32 is held out


@dataclasses.dataclass(frozen=True)
class Shape:
    colour: str
    kind: str
    size: str
    place: str

    def words(self) -> str:
        return f"a {self.size} {self.colour} {self.kind} {self.place}"


@dataclasses.dataclass(frozen=True)
class Scene:
    shapes: tuple[Shape, ...]
    background: str

    def caption(self) -> str:
        words = [shape.words() for shape in self.shapes]
        listed = words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
        return f"{listed} on a {self.background} background"


def is_held_out(caption: str) -> bool:
    return hashlib.sha256(caption.encode()).digest()[0] % HELD_OUT_SHARE == 0


def random_scene(rng: random.Random, counts: tuple[int, ...] = SHAPE_COUNTS) -> Scene:
    """A random scene whose number of shapes is sampled uniformly from `counts`, which may contain duplicates."""
    places = rng.sample(list(PLACES), rng.choice(counts))
    shapes = tuple(
        Shape(rng.choice(list(COLOURS)), rng.choice(SHAPES), rng.choice(list(RADII)), place) for place in places
    )
    return Scene(shapes, rng.choice(list(BACKGROUNDS)))


def altered(scene: Scene, rng: random.Random) -> Scene:
    """The scene with one change: the colour, kind, size or place of a shape, or the background."""
    index = rng.randrange(len(scene.shapes))
    shape = scene.shapes[index]
    what = rng.choice(("colour", "kind", "size", "place", "background"))
    if what == "background":
        return dataclasses.replace(scene, background=rng.choice([b for b in BACKGROUNDS if b != scene.background]))
    choices = {"colour": COLOURS, "kind": SHAPES, "size": RADII, "place": PLACES}[what]
    taken = {other.place for other in scene.shapes} if what == "place" else {getattr(shape, what)}
    changed = dataclasses.replace(shape, **{what: rng.choice([value for value in choices if value not in taken])})
    return dataclasses.replace(scene, shapes=(*scene.shapes[:index], changed, *scene.shapes[index + 1 :]))


def scenes(seed: int, count: int, held_out: bool, counts: tuple[int, ...] = SHAPE_COUNTS) -> list[Scene]:
    """`count` scenes of one side of the split; held-out scenes have distinct captions."""
    rng = random.Random(seed)
    found: list[Scene] = []
    captions = set()
    while len(found) < count:
        scene = random_scene(rng, counts)
        caption = scene.caption()
        if is_held_out(caption) != held_out or (held_out and caption in captions):
            continue
        captions.add(caption)
        found.append(scene)
    return found


def _signed_distance(kind: str, dx: np.ndarray, dy: np.ndarray, radius: float) -> np.ndarray:
    """Distance in pixels to the outline, negative inside; the bounding box of every kind has side 2 * radius."""
    if kind == "circle":
        return np.hypot(dx, dy) - radius
    if kind == "square":
        return np.maximum(np.abs(dx), np.abs(dy)) - radius
    # An upright triangle: base at the bottom of the box, apex at the centre of its top edge.
    side = (2 * np.abs(dx) - dy - radius) / np.sqrt(5)
    return np.maximum(side, dy - radius)


def draw(scene: Scene, rng: random.Random | None = None, size: int = IMAGE_SIZE) -> np.ndarray:
    """RGB image [size, size, 3], uint8; with `rng`, positions and radii vary slightly, as in training."""
    scale = size / IMAGE_SIZE
    ys, xs = np.mgrid[0:size, 0:size] + 0.5
    image = np.empty((size, size, 3), np.float32)
    image[:] = BACKGROUNDS[scene.background]
    for shape in scene.shapes:
        x, y = PLACES[shape.place]
        radius = RADII[shape.size]
        if rng is not None:
            x, y = x + rng.uniform(-1, 1), y + rng.uniform(-1, 1)
            radius += rng.uniform(-0.4, 0.4)
        distance = _signed_distance(shape.kind, xs - x * scale, ys - y * scale, radius * scale)
        coverage = np.clip(0.5 - distance, 0, 1)[..., None]
        image = image * (1 - coverage) + np.array(COLOURS[shape.colour], np.float32) * coverage
    return np.rint(image).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Found:
    colour: str
    kind: str
    size: str
    place: str


_PALETTE = list(COLOURS.items()) + list(BACKGROUNDS.items())
_PALETTE_VALUES = np.array([value for _, value in _PALETTE], np.float32)


def _kind_by_overlap(mask: np.ndarray, scale: float) -> str:
    """The kind whose outline has the largest intersection over union with the blob."""
    ys, xs = np.nonzero(mask)
    box_x, box_y = (xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2
    half = (xs.max() + 1 - xs.min() + ys.max() + 1 - ys.min()) / 4
    grid_y, grid_x = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]] + 0.5
    best, best_overlap = SHAPES[0], -1.0
    for kind in SHAPES:
        for grow in (0.0, 0.5 * scale, 1.0 * scale):
            inside = _signed_distance(kind, grid_x - box_x, grid_y - box_y, half + grow) < 0
            overlap = (inside & mask).sum() / max((inside | mask).sum(), 1)
            if overlap > best_overlap:
                best, best_overlap = kind, overlap
    return best


def read(image: np.ndarray) -> list[Found]:
    """Detects the shapes in an RGB uint8 image: blobs of a palette colour, classified by their outline."""
    scale = image.shape[0] / IMAGE_SIZE
    pixels = image.reshape(-1, 3).astype(np.float32)
    nearest = ((pixels[:, None] - _PALETTE_VALUES[None]) ** 2).sum(-1).argmin(1).reshape(image.shape[:2])
    found = []
    for index, colour in enumerate(COLOURS):
        blobs, count = ndimage.label(nearest == index)
        for blob in range(1, count + 1):
            mask = blobs == blob
            area = mask.sum() / scale**2
            if area < 40:
                continue
            ys, xs = np.nonzero(mask)
            extent = max(xs.max() - xs.min() + 1, ys.max() - ys.min() + 1) / scale
            middle = np.array([(xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2]) / scale
            place = min(PLACES, key=lambda name: np.abs(middle - np.array(PLACES[name])).sum())
            size = "large" if extent > RADII["small"] + RADII["large"] else "small"
            found.append(Found(colour, _kind_by_overlap(mask, scale), size, place))
    return found


def shapes_found(scene: Scene, image: np.ndarray) -> bool:
    """Whether every described shape is in the image with its colour."""
    found = [(blob.colour, blob.kind) for blob in read(image)]
    for shape in scene.shapes:
        if (shape.colour, shape.kind) not in found:
            return False
        found.remove((shape.colour, shape.kind))
    return True


def scene_found(scene: Scene, image: np.ndarray) -> bool:
    """Whether the image shows exactly the described shapes, with colour, size and place."""
    found = sorted((blob.colour, blob.kind, blob.size, blob.place) for blob in read(image))
    return found == sorted((shape.colour, shape.kind, shape.size, shape.place) for shape in scene.shapes)
