"""Drawn shapes: held to exact geometry, to Pillow's drawing, and to the accuracies that the chapter found."""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from neocog.data.dataset import class_counts
from neocog.data.names import natural
from neocog.data.sources import drawn_shapes as shapes
from neocog.data.sources.drawn_shapes import COLOURS, SHAPES, Task, describe, read
from neocog.errors import UsageError

TASKS: list[tuple[Task, int, int, int, int]] = [
    ("colour", 6, 3, 5000, 1000),
    ("shape", 5, 1, 5000, 1000),
    ("both", 9, 3, 5400, 900),
]


@pytest.mark.parametrize(("task", "classes", "channels", "train", "test"), TASKS)
def test_sizes_types_and_balance_of_each_task(
    task: Task, classes: int, channels: int, train: int, test: int
) -> None:
    data = read(task)
    assert len(data.classes) == classes
    assert list(data.classes) == sorted(data.classes, key=natural)
    assert data.test is not None
    for split, count in ((data.train, train), (data.test, test)):
        assert split.x.shape == (count, channels, 28, 28)
        assert split.x.dtype == torch.uint8
        assert split.y.dtype == torch.int64
        counts = class_counts(split, classes)
        assert max(counts) - min(counts) <= 1
        assert sum(counts) == count
    assert data.val is None


def test_both_has_600_and_100_of_each_class() -> None:
    data = read("both")
    assert data.test is not None
    assert class_counts(data.train, 9) == [600] * 9
    assert class_counts(data.test, 9) == [100] * 9


@pytest.mark.parametrize("task", ["colour", "shape", "both"])
def test_a_smaller_set_is_the_beginning_of_a_larger_one(task: Task) -> None:
    large, small = read(task, 3, train=1100, test=60), read(task, 3, train=513, test=7)
    assert torch.equal(large.train.x[:513], small.train.x)
    assert torch.equal(large.train.y[:513], small.train.y)
    assert torch.equal(large.test.x[:7], small.test.x)  # type: ignore[union-attr]
    counts = class_counts(small.train, len(small.classes))
    assert max(counts) - min(counts) <= 1


def test_seed_split_and_task_each_change_every_picture() -> None:
    def prints(x: Tensor) -> set[str]:
        return {hashlib.sha256(picture.numpy().tobytes()).hexdigest() for picture in x}

    sets = [
        prints(split.x)
        for seed in (0, 1)
        for split in read("both", seed, train=300, test=300).splits.values()
    ]
    assert all(len(found) == 300 for found in sets)
    assert len(set.union(*sets)) == 1200
    assert not torch.equal(read("both", 0).train.y, read("both", 1).train.y)
    assert torch.equal(read("both", 0).train.x, read("both", 0).train.x)


def test_the_order_is_shuffled() -> None:
    y = read("shape").train.y
    blocks = {tuple(block.tolist()) for block in y.view(-1, 5)}
    assert len(blocks) == math.factorial(5), "all orders of a block occur among 1,000 blocks"


def test_colours_are_named_right() -> None:
    """A named channel carries at least 1 - TINT of the brightness, another at most TINT of it."""
    for task in ("colour", "both"):
        data = read(task, train=600, test=10)  # type: ignore[arg-type]
        brightest = data.train.x.amax(dim=(2, 3)).float()
        present = brightest > 0.5 * brightest.amax(1, keepdim=True)
        for y, channels in zip(data.train.y.tolist(), present.tolist(), strict=True):
            assert tuple(map(float, channels)) == COLOURS[data.classes[y].split()[0]]


def test_every_shape_comes_in_every_colour() -> None:
    facts, data = describe("colour", split="train"), read("colour")
    assert len({(shape, y) for shape, y in zip(facts.shapes, data.train.y.tolist(), strict=True)}) == 30


def drawn(corners: np.ndarray, shape: str, size: int, fine: int = 32) -> np.ndarray:
    """Coverage by Pillow on a grid `fine` times as dense: an independent drawing."""
    canvas = Image.new("L", (size * fine, size * fine))
    pen = ImageDraw.Draw(canvas)
    points = corners * fine - 0.5
    if shape == "circle":
        pen.ellipse([*points[0], *points[2]], fill=255)
    else:
        pen.polygon([tuple(point) for point in points], fill=255)
    return np.asarray(canvas, float).reshape(size, fine, size, fine).mean((1, 3)) / 255


@pytest.mark.parametrize("size", [28, 64])
def test_coverage_agrees_with_pillow_on_a_fine_grid(size: int) -> None:
    (figures, _, _), *_ = shapes._figures("shape", 5, "train", size=size, count=200)
    coverage = figures.coverage(size)
    for i in range(200):
        shape = SHAPES[figures.shape[i]]
        expected = drawn(figures.corners[i], shape, size)
        assert np.abs(coverage[i] - expected).mean() < 0.003, (i, shape)
        inside, outside = expected > 0.999, expected < 0.001
        assert (coverage[i][inside] > 0.85).all()
        assert (coverage[i][outside] < 0.15).all()


def test_area_is_what_the_pixels_hold() -> None:
    facts = describe("shape", split="train", count=500)
    data = read("shape", train=500, test=1)
    picture = data.train.x[:, 0].double()
    held = picture.sum((1, 2)) / picture.amax((1, 2))  # a pixel wholly inside has the figure's own brightness
    for shape in SHAPES:
        rows = torch.tensor([name == shape for name in facts.shapes])
        big = rows & (facts.thickness > 3)
        if shape != "line":
            assert ((held - facts.area)[big].abs() / facts.area[big]).max() < 0.08, shape


def test_area_and_thickness_of_figures_computed_by_hand() -> None:
    box = np.array([[2.0, 3], [8, 3], [8, 7], [2, 7]])
    right = np.array([[2.0, 3], [5, 7], [2, 7], [2, 7]])  # legs 3 and 4, hypotenuse 5: least height 12 / 5
    rhombus = np.array([[5.0, 3], [8, 7], [5, 11], [2, 7]])  # half diagonals 3 and 4, side 5: height 24 / 5
    index = [SHAPES.index(name) for name in ("rectangle", "circle", "triangle", "diamond")]
    figures = shapes._Figures(np.array(index), np.stack([box, box, right, rhombus]))
    assert figures.area.tolist() == pytest.approx([24, 6 * math.pi, 6, 24])
    assert figures.thickness.tolist() == pytest.approx([4, 4, 2.4, 4.8])


def test_figures_lie_inside_and_differ_in_size_place_and_proportions() -> None:
    (figures, _, _), *_ = shapes._figures("shape", 0, "train", size=28, count=500)
    assert figures.corners.min() > -1.2, "a thick line's ends may stand out by half its thickness"
    assert figures.corners.max() < 29.2
    width, height = (figures.corners.max(1) - figures.corners.min(1)).T
    round_ = figures.shape == SHAPES.index("circle")
    proportions = (width / height)[round_]
    assert proportions.min() < 0.5
    assert proportions.max() > 2
    thick = figures.thickness[figures.shape == SHAPES.index("line")]
    assert 0.95 < thick.min() < 1.1
    assert 2 < thick.max() < 2.3
    flat = figures.shape == SHAPES.index("triangle")
    assert (figures.thickness / np.maximum(width, height))[flat].min() < 0.3


@pytest.mark.parametrize("size", [8, 20, 96])
def test_pictures_of_other_sizes_show_the_same_figures(size: int) -> None:
    data, usual = read("both", size=size, train=90, test=9), read("both", train=90, test=9)
    assert data.shape == (3, size, size)
    assert torch.equal(data.train.y, usual.train.y)
    assert torch.allclose(describe("both", size=size).area / size**2, describe("both").area / 28**2)
    shares = [split.x.double().mean((1, 2, 3)) for split in (data.train, usual.train)]
    assert torch.corrcoef(torch.stack(shares))[0, 1] > 0.99


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"task": "color"}, "did you mean 'colour'"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"size": 4}, "size 4 is out of range"),
        ({"size": 4000}, "size 4000 is out of range"),
        ({"train": 0}, "give at least 1"),
        ({"test": -5}, "give at least 1"),
    ],
)
def test_what_cannot_be_drawn(arguments: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(**arguments)  # type: ignore[arg-type]


def grey(x: Tensor) -> Tensor:
    """ITU-R 601 luma, rounded, as 0..1."""
    if x.shape[1] == 3:
        x = (x.float() * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).round()
    return x.float() / 255


def dense_accuracy(task: Task, epochs: int) -> float:
    """Test accuracy of a dense network 784-128-64-k on grey pixels: ReLU, SGD 0.1, batch 16."""
    data = read(task)
    assert data.test is not None
    torch.manual_seed(0)
    sizes = [784, 128, 64, len(data.classes)]
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, y = grey(data.train.x), data.train.y
    for _ in range(epochs):
        for rows in torch.randperm(len(y)).split(16):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        return (network(grey(data.test.x)).argmax(1) == data.test.y).double().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize(("task", "published"), [("colour", 0.80), ("shape", 0.898), ("both", 0.89)])
def test_a_dense_network_finds_what_the_chapter_found(task: Task, published: float) -> None:
    assert dense_accuracy(task, epochs=50) == pytest.approx(published, abs=0.05)
