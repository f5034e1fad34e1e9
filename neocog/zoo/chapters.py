"""The chapters' small networks, as layer lists; ids are those of `docs/experiments.md`.

Weights begin as in Keras: Glorot-uniform kernels, zero biases. `golden` is the parameter count worked out by
hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from neocog.zoo.architectures import Architecture, Shape
from neocog.zoo.layer_list import build, parse

GREY: Shape = (1, 28, 28)
RGB: Shape = (3, 32, 32)
SMALL_RGB: Shape = (3, 28, 28)
FLATTEN = {"kind": "flatten"}
ANSWER = {"kind": "dense", "units": "classes", "activation": "softmax"}
NORM = {"kind": "batchnorm"}
RELU = {"kind": "relu"}


def conv(filters: int, kernel: int, **more: Any) -> dict[str, Any]:
    return {"kind": "conv", "filters": filters, "kernel": kernel, "activation": "relu", **more}


def plain(filters: int, kernel: int, **more: Any) -> dict[str, Any]:
    return {"kind": "conv", "filters": filters, "kernel": kernel, **more}


def dense(units: int, activation: str = "relu") -> dict[str, Any]:
    return {"kind": "dense", "units": units, "activation": activation}


def pool(size: int = 2, **more: Any) -> dict[str, Any]:
    return {"kind": "maxpool", "size": size, **more}


def dropout(rate: float) -> dict[str, Any]:
    return {"kind": "dropout", "rate": rate}


@dataclass(frozen=True, slots=True)
class Entry:
    """A network of the chapters: its layers, and its parameter count worked out by hand; `channels` as in
    `Architecture`.
    """

    title: str
    shape: Shape
    golden: int
    layers: tuple[dict[str, Any], ...]
    classes: int = 10
    channels: Literal[1, 3] | None = None


def _c2_block(filters: int, rate: float) -> tuple[dict[str, Any], ...]:
    one = (conv(filters, 3, padding="same"), NORM)
    return (*one, *one, pool(), dropout(rate))


ENTRIES = {
    "m0": Entry("dense 100 sigmoid", GREY, 79_510, (FLATTEN, dense(100, "sigmoid"), ANSWER)),
    "m1": Entry("softmax regression", GREY, 7_850, (FLATTEN, ANSWER)),
    "m2": Entry("dense 400 sigmoid", GREY, 318_010, (FLATTEN, dense(400, "sigmoid"), ANSWER)),
    "m5": Entry("dense 400 ReLU", GREY, 318_010, (FLATTEN, dense(400), ANSWER)),
    "m6": Entry("one convolution", GREY, 1_084_130, (conv(32, 3), pool(), FLATTEN, dense(200), ANSWER)),
    "m7": Entry(
        "two convolutions, then a pool", GREY, 933_378,
        (conv(32, 3), conv(32, 3), pool(), FLATTEN, dense(200), ANSWER),
    ),
    "m8": Entry(
        "two convolutions, a pool, dropout", GREY, 933_378,
        (conv(32, 3), conv(32, 3), pool(), dropout(0.25), FLATTEN, dense(200), ANSWER),
    ),
    "lenet": Entry(
        "LeNet with ReLU, 20-50-500 (M9)", GREY, 431_080,
        (conv(20, 5), pool(), conv(50, 5), pool(), FLATTEN, dense(500), ANSWER),
    ),
    "m10": Entry(
        "two convolutions, dense 32 with batch norm", GREY, 12_042,
        (conv(8, 5), pool(), conv(16, 5), pool(), FLATTEN, dense(32, "none"), NORM, RELU, ANSWER),
    ),
    "e1": Entry(
        "three convolutions, dense 64", GREY, 167_114,
        (conv(32, 3), pool(), conv(64, 3), pool(), conv(128, 3), FLATTEN, dense(64), ANSWER),
    ),
    "e1-without-pooling": Entry(
        "E1 without its pooling layers", GREY, 4_058_314,
        (conv(32, 3), conv(64, 3), conv(128, 3), FLATTEN, dense(64), ANSWER),
    ),
    "e2": Entry(
        "two convolutions, dense 32", GREY, 266_986,
        (conv(32, 3), pool(), conv(64, 3), FLATTEN, dense(32), ANSWER),
    ),
    "e7-dense": Entry(
        "dense 128-64 with batch norm", GREY, 109_770,
        (FLATTEN, dense(128, "none"), NORM, RELU, dense(64, "none"), NORM, RELU, ANSWER),
    ),
    "e7": Entry("conv 32, dense 128", GREY, 693_962, (conv(32, 3), pool(), FLATTEN, dense(128), ANSWER)),
    "c0": Entry("dense 100 sigmoid", RGB, 308_310, (FLATTEN, dense(100, "sigmoid"), ANSWER)),
    "c1": Entry(
        "one convolution, dense 512", RGB, 3_692_938,
        (conv(32, 3), pool(), dropout(0.25), FLATTEN, dense(512), dropout(0.5), ANSWER),
    ),
    "c2": Entry(
        "three blocks of two convolutions with batch norm", RGB, 308_394,
        (*_c2_block(32, 0.2), *_c2_block(64, 0.3), *_c2_block(128, 0.4), FLATTEN, ANSWER),
    ),
    "c4": Entry(
        "M8's network", RGB, 1_266_754,
        (conv(32, 3), conv(32, 3), pool(), dropout(0.25), FLATTEN, dense(200), ANSWER),
    ),
    "c5": Entry(
        "C4 with two more convolutions", RGB, 387_778,
        (
            conv(32, 3), conv(32, 3), pool(), dropout(0.25),
            conv(64, 3), conv(64, 3), pool(), dropout(0.25), FLATTEN, dense(200), ANSWER,
        ),
    ),
    "c6": Entry(
        "two pairs of convolutions, dense 512", RGB, 1_250_858,
        (
            conv(32, 3, padding="same"), conv(32, 3), pool(), dropout(0.25),
            conv(64, 3, padding="same"), conv(64, 3), pool(), dropout(0.25), FLATTEN, dense(512), dropout(0.5), ANSWER,
        ),
    ),
    "c7": Entry(
        "a strided convolution, dense 64-32", RGB, 40_330,
        (
            conv(16, 3, stride=2, padding="same"), pool(2, padding="same"),
            conv(32, 3, padding="same"), pool(2, padding="same"), FLATTEN, dense(64), dense(32), ANSWER,
        ),
    ),
    "c9": Entry(
        "C2's network with strided convolutions in place of pooling", RGB, 502_154,
        (*(
            layer
            for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4))
            for layer in (
                conv(filters, 3, padding="same"), NORM, conv(filters, 3, padding="same"), NORM,
                conv(filters, 3, stride=2, padding="same"), dropout(rate),
            )
        ), FLATTEN, ANSWER),
    ),
    "g-dense": Entry("dense 128-64 on grey pixels", GREY, 109_386, (FLATTEN, dense(128), dense(64), ANSWER), channels=1),
    "g1": Entry(
        "colours: conv 2 1x1, conv 3 3x3", SMALL_RGB, 3_815,
        (plain(2, 1), RELU, pool(), plain(3, 3), RELU, pool(), FLATTEN, dense(32, "none"), NORM, RELU, ANSWER),
        classes=6,
    ),
    "g2": Entry(
        "shapes: conv 8 3x3, conv 16 3x3", GREY, 19_941,
        (plain(8, 3, padding=1), RELU, pool(), plain(16, 3), RELU, pool(), FLATTEN, dense(32, "none"), NORM, RELU, ANSWER),
        classes=5,
    ),
    "g3": Entry(
        "colours and shapes: G2's network on RGB", SMALL_RGB, 20_217,
        (plain(8, 3, padding=1), RELU, pool(), plain(16, 3), RELU, pool(), FLATTEN, dense(32, "none"), NORM, RELU, ANSWER),
        classes=9,
    ),
}  # fmt: skip


SMALLEST = {
    "m6": 4, "m7": 6, "m8": 6, "lenet": 16, "m10": 16, "e1": 18, "e2": 8, "e7": 4, "c1": 4, "c2": 8, "c4": 6, "c5": 16, "c6": 10, "c7": 1, "c9": 1, "g1": 8, "g2": 8, "g3": 8, "e1-without-pooling": 7,
}  # fmt: skip
"""The smallest square picture that each network takes; dense ones take any."""


def _row(name: str, entry: Entry) -> Architecture:
    return Architecture(
        name=name,
        title=entry.title,
        authors="textbook chapters",
        year=2017,
        url="docs/experiments.md",
        build=partial(_build, name),
        shape=entry.shape,
        classes=entry.classes,
        parameters=entry.golden,
        smallest=SMALLEST.get(name, 1),
        depth=sum(layer["kind"] in ("conv", "dense") for layer in entry.layers),
        init="glorot",
        channels=entry.channels,
    )


def _build(name: str, *, shape: Shape, classes: int, stem: str = "paper") -> Any:
    return build(parse(list(ENTRIES[name].layers)), shape=shape, classes=classes)


ARCHITECTURES: tuple[Architecture, ...] = tuple(_row(name, entry) for name, entry in ENTRIES.items())
