"""Colours and shapes, drawn from a seed: one figure on black, with its own size, place and proportions.

Three tasks. 'colour': name one of six colours whatever the shape (RGB). 'shape': name one of five shapes
whatever the place (grey). 'both': name colour and shape together, three of each (RGB).

Picture i of a split depends on (task, seed, split, i) alone: a smaller set is the beginning of a larger one.
Classes take turns in shuffled blocks, so every beginning is balanced too. Nothing but +, -, *, / and square
roots is used, so the same seed gives the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neocog.data.dataset import Dataset, Split
from neocog.errors import UsageError, unknown

Task: TypeAlias = Literal["colour", "shape", "both"]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]

SHAPES = ("circle", "diamond", "line", "rectangle", "triangle")
COLOURS: dict[str, tuple[float, float, float]] = {
    "blue": (0, 0, 1),
    "cyan": (0, 1, 1),
    "green": (0, 1, 0),
    "pink": (1, 0, 1),
    "red": (1, 0, 0),
    "yellow": (1, 1, 0),
}
"""Red, green and blue of each, 0..1."""

# Lengths are shares of the picture's side. The ranges are chosen so that a dense network 784-128-64-k on grey
# pixels (SGD 0.1, batch 16) finds about 80, 90 and 89 % of 'colour', 'shape' and 'both', as in the chapter.
SIDE = (0.18, 0.75)
"""Width and height of the box around a circle (an ellipse), diamond, rectangle or triangle."""
LENGTH = (0.3, 0.8)
THICKNESS = (0.035, 0.08)
"""Of a line: one pixel to two and a quarter, of 28."""
WANDER = 0.6
"""How far from the middle a figure may lie: 1 touches the border."""
BRIGHTNESS = (0.85, 1.0)
TINT = 0.1
"""By how much each of red, green and blue may be off its pure value."""
_NUMBERS = 12
"""Random numbers that one picture uses."""
_CHUNK = 512
"""Pictures drawn together."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a task shows: classes in natural order, each a shape and a colour; None where any will do."""

    classes: tuple[tuple[str | None, str | None], ...]
    channels: int
    train: int
    test: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(" ".join(word for word in (colour, shape) if word) for shape, colour in self.classes)


_PLANS: dict[str, _Plan] = {
    "colour": _Plan(tuple((None, colour) for colour in COLOURS), 3, 5000, 1000),
    "shape": _Plan(tuple((shape, None) for shape in SHAPES), 1, 5000, 1000),
    "both": _Plan(
        tuple((s, c) for c in ("blue", "green", "red") for s in ("circle", "rectangle", "triangle")),
        3,
        5400,
        900,
    ),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was drawn, picture by picture: shape names, `area` and `thickness` (both (N,), in pixels).

    `thickness` is the narrowest width: of an ellipse its shorter axis, of a triangle its least height.
    """

    shapes: tuple[str, ...]
    area: Tensor
    thickness: Tensor


def read(
    task: Task = "both", seed: int = 0, *, size: int = 28, train: int | None = None, test: int | None = None
) -> Dataset:
    """The data set of a task, pictures of `size` x `size`.

    `train` and `test` count pictures: 5,000 and 1,000 for 'colour' and 'shape', 600 and 100 of each class for
    'both', unless given.
    """
    plan = _plan(task, seed, size, train, test)
    splits = {
        split: _pictures(task, seed, split, size=size, count=count)
        for split, count in (("train", plan.train), ("test", plan.test))
    }
    return Dataset(name="shapes", classes=plan.names, train=splits["train"], test=splits["test"])


def describe(
    task: Task = "both",
    seed: int = 0,
    *,
    split: Literal["train", "test"] = "test",
    size: int = 28,
    count: int | None = None,
) -> Facts:
    """The facts behind the pictures that `read` returns for the same task, seed and size."""
    plan = _plan(task, seed, size, count, count)
    count = plan.train if split == "train" else plan.test
    figures = [figure for figure, _, _ in _figures(task, seed, split, size=size, count=count)]
    return Facts(
        shapes=tuple(SHAPES[i] for figure in figures for i in figure.shape),
        area=torch.from_numpy(np.concatenate([figure.area for figure in figures])),
        thickness=torch.from_numpy(np.concatenate([figure.thickness for figure in figures])),
    )


def _plan(task: str, seed: int, size: int, train: int | None, test: int | None) -> _Plan:
    if task not in _PLANS:
        raise unknown("task", task, _PLANS)
    if not 0 <= seed < 2**63:
        raise UsageError(f"seed {seed} is out of range; give a whole number from 0 to 2**63 - 1")
    if not 8 <= size <= 512:
        raise UsageError(f"size {size} is out of range; pictures of shapes are 8 to 512 pixels wide")
    plan = _PLANS[task]
    counts = [own if given is None else given for given, own in ((train, plan.train), (test, plan.test))]
    if min(counts) < 1:
        raise UsageError(f"{min(counts)} pictures were asked for; give at least 1")
    return _Plan(plan.classes, plan.channels, *counts)


def _pictures(task: str, seed: int, split: str, *, size: int, count: int) -> Split:
    """Pictures, uint8 (count, C, size, size), labels, int64 (count,), and the shapes as their kinds."""
    channels = _PLANS[task].channels
    x = np.empty((count, channels, size, size), np.uint8)
    labels, kinds = [], []
    start = 0
    for figures, paint, label in _figures(task, seed, split, size=size, count=count):
        coverage = figures.coverage(size)
        stop = start + len(label)
        np.floor(
            coverage[:, None] * (255 * paint[:, :channels, None, None]) + 0.5,
            out=x[start:stop],
            casting="unsafe",
        )
        labels.append(label)
        kinds += [SHAPES[shape] for shape in figures.shape]
        start = stop
    return Split(torch.from_numpy(x), torch.from_numpy(np.concatenate(labels)), kinds=tuple(kinds))


def _figures(
    task: str, seed: int, split: str, *, size: int, count: int
) -> Iterator[tuple[_Figures, Floats, Integers]]:
    """Chunk by chunk: the figures, their paint (n, 3) in 0..1 (grey repeats it) and their class (n,)."""
    classes = _PLANS[task].classes
    key = 4 * tuple(_PLANS).index(task) + 2 * ("train", "test").index(split)
    blocks = _random((seed, key), range(-(-count // len(classes))), len(classes))
    turns = np.argsort(blocks, axis=1).ravel()[:count]
    shape_of = np.array([SHAPES.index(shape) if shape else -1 for shape, _ in classes])
    colour_of = np.array([COLOURS[colour] if colour else (1.0, 1.0, 1.0) for _, colour in classes])
    for start in range(0, count, _CHUNK):
        label = turns[start : start + _CHUNK]
        u = _random((seed, key + 1), range(start, start + len(label)), _NUMBERS)
        shape = np.where(shape_of[label] < 0, (u[:, 11] * len(SHAPES)).astype(np.int64), shape_of[label])
        pure = colour_of[label]
        off = TINT * u[:, 8:11] if task != "shape" else np.zeros((len(label), 3))
        paint = np.abs(pure - off) * _within(u[:, 7], BRIGHTNESS)[:, None]
        yield _placed(shape, u, size), paint, label


def _random(key: tuple[int, int], rows: range, columns: int) -> Floats:
    """Uniform numbers in [0, 1), (len(rows), columns): row i begins stream i of `key` (Philox)."""
    table = np.empty((len(rows), columns))
    for values, row in zip(table, rows, strict=True):
        np.random.Generator(np.random.Philox(key=key, counter=(0, 0, 0, row))).random(out=values)
    return table


def _within(u: Floats, ends: tuple[float, float]) -> Floats:
    return ends[0] + u * (ends[1] - ends[0])


@dataclass(frozen=True, slots=True)
class _Figures:
    """Figures in pixels: `corners` (n, 4, 2) of x and y, in order round the figure; a triangle repeats one.

    An ellipse is inscribed in its corners, which are those of its box.
    """

    shape: Integers
    corners: Floats

    @property
    def round(self) -> NDArray[np.bool_]:
        return np.asarray(self.shape == SHAPES.index("circle"))

    @property
    def area(self) -> Floats:
        x, y = self.corners[..., 0], self.corners[..., 1]
        shoelace = np.abs((x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1)) / 2
        return np.asarray(np.where(self.round, shoelace * (np.pi / 4), shoelace))

    @property
    def thickness(self) -> Floats:
        reach = np.stack(
            [(self.corners @ normal[..., None])[..., 0] - c[:, None] for normal, c in self.sides()]
        )
        return np.asarray(-reach.min(axis=2).max(axis=0))

    def sides(self) -> Iterator[tuple[Floats, Floats]]:
        """The four sides: outward unit normals (n, 2), offsets (n,); outside is where normal . p > offset."""
        following = np.roll(self.corners, -1, axis=1)
        turn = self.corners[..., 0] * following[..., 1] - following[..., 0] * self.corners[..., 1]
        sense = np.sign(turn.sum(1))
        for k in range(4):
            edge = following[:, k] - self.corners[:, k]
            length = np.sqrt((edge**2).sum(1))
            unit = edge * (sense / np.where(length > 0, length, np.inf))[:, None]
            normal = np.stack([unit[:, 1], -unit[:, 0]], axis=1)
            # the side between equal corners has no direction: nothing is outside it
            offset = np.where(length > 0, (normal * self.corners[:, k]).sum(1), np.inf)
            yield normal, offset

    def coverage(self, size: int) -> Floats:
        """How much of each pixel a figure covers, (n, size, size) in 0..1.

        A side's share in a pixel is taken from the distance d between its line and the pixel's middle, as
        clip(1/2 - d, 0, 1); a figure's is the product over its sides.
        """
        middle: Floats = np.arange(size, dtype=np.float64) + 0.5
        covered = np.ones((len(self.shape), size, size))
        for normal, offset in self.sides():
            across, down = normal[:, 0, None] * middle, normal[:, 1, None] * middle - offset[:, None]
            covered *= np.clip(0.5 - (down[:, :, None] + across[:, None, :]), 0, 1)
        covered[self.round] = _ellipses(self.corners[self.round], middle)
        return covered


def _ellipses(box: Floats, middle: Floats) -> Floats:
    """Coverage of the ellipses in these boxes; the distance is of first order, f (f - 1) / |gradient|."""
    centre, radius = (box[:, 0] + box[:, 2]) / 2, (box[:, 2] - box[:, 0]) / 2
    x = (middle - centre[:, 0, None])[:, None, :]
    y = (middle - centre[:, 1, None])[:, :, None]
    a, b = radius[:, 0, None, None], radius[:, 1, None, None]
    level = np.sqrt((x / a) ** 2 + (y / b) ** 2)
    steepness = np.sqrt((x / a**2) ** 2 + (y / b**2) ** 2)
    distance = level * (level - 1) / np.where(steepness > 0, steepness, np.inf)
    return np.asarray(np.clip(0.5 - np.where(level > 0, distance, -1.0), 0, 1))


def _placed(shape: Integers, u: Floats, size: int) -> _Figures:
    """Figures from uniform numbers `u` (n, 12), in pixels."""
    is_line, half_plane = shape == SHAPES.index("line"), 2 * u[:, 1] - 1
    # a direction from the rational parametrisation of the half circle: no cosine, which differs by machine
    direction = np.stack([1 - half_plane**2, 2 * half_plane], axis=1) / (1 + half_plane**2)[:, None]
    span = direction * _within(u[:, 0], LENGTH)[:, None]
    box = np.where(is_line[:, None], np.abs(span), _within(u[:, :2], SIDE))
    centre = 0.5 + WANDER * (u[:, 2:4] - 0.5) * (1 - box)
    outline = _outline(shape, apex=u[:, 5], side=(u[:, 6] * 4).astype(np.int64))
    across = np.stack([-direction[:, 1], direction[:, 0]], axis=1) * _within(u[:, 4], THICKNESS)[:, None]
    along, over = np.array([-0.5, 0.5, 0.5, -0.5]), np.array([-0.5, -0.5, 0.5, 0.5])
    line = span[:, None] * along[None, :, None] + across[:, None] * over[None, :, None]
    corners = centre[:, None] + np.where(is_line[:, None, None], line, outline * box[:, None])
    return _Figures(shape, corners * size)


def _outline(shape: Integers, *, apex: Floats, side: Integers) -> Floats:
    """Corners (n, 4, 2) in the unit box about 0; a triangle stands on one side, its apex on the opposite."""
    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    square = np.broadcast_to(corners, (len(shape), 4, 2))
    diamond = np.broadcast_to(np.array([(0, -0.5), (0.5, 0), (0, 0.5), (-0.5, 0)]), square.shape)
    top = np.stack([apex - 0.5, np.full(len(shape), -0.5)], axis=1)
    triangle = np.stack([top, square[:, 2], square[:, 3], square[:, 3]], axis=1)
    triangle = np.where((side % 2 == 1)[:, None, None], -triangle, triangle)
    triangle = np.where((side >= 2)[:, None, None], triangle[..., ::-1], triangle)
    outline = np.where((shape == SHAPES.index("diamond"))[:, None, None], diamond, square)
    return np.where((shape == SHAPES.index("triangle"))[:, None, None], triangle, outline)
