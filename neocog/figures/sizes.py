"""S1 to S8: output sizes and parameter counts, a network that cannot be, padding, the last layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from neocog.arithmetic import Walk, walk, written
from neocog.errors import ShapeError
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.filters import CROSS, PICTURE, VALID
from neocog.figures.row import Row, fact
from neocog.files import write_json
from neocog.inside.by_hand.matrices import matrix
from neocog.inside.filters import Sliding
from neocog.inside.kernels import numbers
from neocog.tasks.classify import Classify
from neocog.tasks.multilabel import MultiLabel
from neocog.verbs.filter import filter_
from neocog.verbs.summary import summary
from neocog.zoo import ZOO
from neocog.zoo.borders import Border

CONVOLUTIONS = ((28, 5, 1, 0), (32, 3, 1, 1), (227, 11, 4, 0), (33, 3, 2, 0), (7, 2, 1, 1), (12, 6, 3, 2))
"""I, F, S, P of the formula."""
CANNOT_BE = (
    {"kind": "conv", "filters": 16, "kernel": 9, "stride": 2},
    {"kind": "conv", "filters": 32, "kernel": 7},
    {"kind": "conv", "filters": 64, "kernel": 7},
)
EXERCISE = (
    {"kind": "conv", "filters": 16, "kernel": 5},
    {"kind": "maxpool", "size": 3, "stride": 2, "padding": "same"},
    {"kind": "conv", "filters": 32, "kernel": 3, "padding": "same"},
    {"kind": "maxpool", "size": 2, "stride": 2, "padding": "same"},
    {"kind": "conv", "filters": 32, "kernel": 3, "stride": 2, "padding": "same"},
)
COUNTS = {
    "lenet": 431_080,
    "e1": 167_114,
    "e1-without-pooling": 4_058_314,
    "c7": 40_330,
    "vgg16": 138_357_544,
}
CORNERS: Mapping[Border, int] = {"zero": 0, "constant": 7, "reflect": 5, "nearest": 1}
"""What stands beyond the corner of 1 to 9 in rows of three, by hand."""
AUTOENCODERS = {
    "the autoencoder 784-64-32-64-784 (M12)": ((784, 64, 32, 64, 784), 105_392),
    "the autoencoder 512-32-16-512 (M14)": ((512, 32, 16, 512), 25_648),
}


def counted(name: str, *, stem: str = "paper") -> Walk:
    """The walk through a network of the zoo as its paper has it, without memory for its weights."""
    row = ZOO[name]
    with torch.device("meta"):
        network = row.build(shape=row.shape, classes=row.classes, stem=stem)
    return walk(network, row.shape)


def _sizes(asked: Asked) -> Iterator[Row]:
    for i, f, s, p in CONVOLUTIONS:
        layer = nn.Conv2d(3, 4, f, stride=s, padding=p)
        found = summary(layer, input=(i, i, 3)).walk
        o = (i + 2 * p - f) // s + 1
        yield fact(f"I={i} F={f} S={s} P={p}: output", f"{o}x{o}x4", written(found.output))
        yield fact("its weights, F*F*D*M + M", f * f * 3 * 4 + 4, found.parameters)
    dropped = summary(nn.Conv2d(1, 1, 3, stride=2), input=(32, 32, 1)).walk.layers[0]
    yield fact("a stride that leaves pixels over", "warned of", "warned of" if dropped.remark else "silent")
    same = _listed(asked, "same.json", (EXERCISE[1],), (33, 33, 1))
    yield fact("'same' at stride 2 of 33", math.ceil(33 / 2), same.output[-1])
    two = summary(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)), input=(9, 9, 1)).walk.layers[-1]
    yield fact("two stacked 3x3 see", "5x5", "x".join(map(str, two.receptive_field or ())))


def _counts(asked: Asked) -> Iterator[Row]:
    for biases, expected in ((False, 18), (True, 20)):
        words = "with biases" if biases else "without biases"
        found = summary(nn.Conv2d(1, 2, 3, bias=biases), input=(28, 28, 1)).walk.parameters
        yield fact(f"blur and edges on grey, {words}", expected, found)
    for biases, expected in ((False, 39_200), (True, 39_250)):
        words = "with biases" if biases else "without biases"
        found = summary(nn.Linear(784, 50, bias=biases), input=(784,)).walk.parameters
        yield fact(f"dense 784 to 50, {words}", expected, found)
    with torch.device("meta"):
        large = nn.Linear(8 * 8 * 256, 1024)
    yield fact("dense 8x8x256 to 1,024", 16_778_240, sum(p.numel() for p in large.parameters()))
    for name, expected in COUNTS.items():
        yield fact(name, expected, counted(name).parameters)
    for words, (units, expected) in AUTOENCODERS.items():
        layers = [nn.Linear(a, b) for a, b in pairwise(units)]
        yield fact(words, expected, summary(nn.Sequential(*layers), input=(units[0],)).walk.parameters)


def _impossible(asked: Asked) -> Iterator[Row]:
    try:
        _listed(asked, "cannot-be.json", CANNOT_BE, (32, 32, 3))
        said = "accepted"
    except ShapeError as error:
        said = str(error)
    yield fact("the layer that fails", "conv3", "conv3" if "conv3" in said.splitlines()[0] else said)
    yield fact("the sizes that led there", [32, 12, 6], [n for n in (32, 12, 6) if f"{n}x{n}" in said])
    yield fact("what would mend it", "is said", "is said" if len(said.splitlines()) > 1 else "is not said")


def _exercise(asked: Asked) -> Iterator[Row]:
    found = _listed(asked, "exercise.json", EXERCISE, (64, 64, 3))
    sizes = [row.output[-1] for row in found.layers if row.kind in ("conv", "maxpool")]
    yield fact("the sides", [60, 30, 30, 15, 8], sizes)
    yield fact("the output", "8x8x32", written(found.output))


def _one_by_one(asked: Asked) -> Iterator[Row]:
    x = np.arange(27.0).reshape(3, 3, 3)
    made = filter_(x, windows=["1 | 2 | -1"]).outputs[0].values
    yield fact("the size of 3x3x3 under 1x1", "3x3x1", "x".join(map(str, (*made.shape[1:], len(made)))))
    yield fact(
        "each value is x1 + 2 x2 - x3", (x[0] + 2 * x[1] - x[2]).tolist(), made[0].tolist(), outside=True
    )


def _last(asked: Asked) -> Iterator[Row]:
    z = torch.tensor([[1.5, 0.0]])
    two = Classify(("no", "yes"))
    yield fact(
        "two classes: softmax is one logistic", _f(1 / (1 + math.exp(-1.5))), _f(two.probabilities(z)[0, 0])
    )
    loss = -math.log(1 / (1 + math.exp(-1.5)))
    yield fact("its loss, the cross-entropy", _f(loss), _f(two.losses(z, torch.tensor([0]))[0]))
    several = MultiLabel(("a", "b"))
    yield fact("a set of logistics", [_f(0.817574), _f(0.5)], [_f(p) for p in several.probabilities(z)[0]])
    binary = (loss + math.log(2)) / 2
    found = float(several.losses(z, torch.tensor([[1.0, 0.0]]))[0])
    yield fact("its loss, the mean binary cross-entropy", _f(binary), _f(found))


def _padding(asked: Asked) -> Iterator[Row]:
    given = np.arange(1.0, 10).reshape(1, 3, 3)
    for border, corner in CORNERS.items():
        how = Sliding(padding=1, border=border, value=7)
        made = filter_(given, windows=["1 0 0; 0 0 0; 0 0 0"], sliding=how).outputs[0].values
        yield fact(f"the corner under '{border}'", corner, int(made[0, 0, 0]))
    without = filter_(given, windows=["blur"]).outputs[0].values
    yield fact("no padding", "1x1", "x".join(map(str, without.shape[1:])))


def _sparse(asked: Asked) -> Iterator[Row]:
    layer = nn.Conv2d(1, 1, 3, bias=False)
    weights = torch.from_numpy(numbers(CROSS)).float()
    with torch.no_grad():
        layer.weight.copy_(weights[None])
    sparse = matrix(layer, (1, 5, 5)).full()
    yield fact("the matrix of F3's convolution", "9x25", "x".join(map(str, sparse.shape)))
    yield fact("ones in each row", [5] * 9, [int(n) for n in (sparse != 0).sum(1)])
    made = (sparse @ numbers(PICTURE).ravel()).reshape(3, 3).astype(int).tolist()
    yield fact("matrix times picture", VALID, made)


def _listed(asked: Asked, name: str, layers: Sequence[Mapping[str, Any]], size: tuple[int, ...]) -> Walk:
    """The walk through a layer list, written as a file as users write it."""
    path = asked.file(name)
    write_json(path, {"layers": list(layers)})
    return summary(path, input=size).walk


def _f(value: float | torch.Tensor) -> str:
    return f"{float(value):.5f}"


ENTRIES = (
    Entry("S1", "output size", "B, C", (Check("output sizes", _sizes),)),
    Entry("S2", "parameter counts", "A to E", (Check("parameter counts", _counts),)),
    Entry("S3", "a network that cannot be", "D", (Check("a network that cannot be", _impossible),)),
    Entry("S4", "exercise", "D", (Check("the exercise", _exercise),)),
    Entry("S5", "1x1 convolution", "C", (Check("1x1 convolution", _one_by_one),)),
    Entry("S6", "the last layer", "B", (Check("the last layer", _last),)),
    Entry("S7", "padding", "A, B", (Check("padding", _padding),)),
    Entry("S8", "a convolution is a sparse dense layer", "E", (Check("the sparse matrix", _sparse),)),
)
