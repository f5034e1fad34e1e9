"""AlexNet and its kin: three variants, and ZFNet.

"ImageNet Classification with Deep Convolutional Neural Networks", Krizhevsky, Sutskever, Hinton, NIPS 2012,
https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html, figure 2 and section 3.
"One weird trick for parallelizing convolutional neural networks", Krizhevsky, 2014,
https://arxiv.org/abs/1404.5997: the single tower `alexnet-owt`.
"Visualizing and Understanding Convolutional Networks", Zeiler and Fergus, ECCV 2014,
https://arxiv.org/abs/1311.2901, figure 3: `zfnet` is AlexNet's table with other numbers.

Differs from the papers: see `differs` in the rows of `ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import nn

from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Network, conv
from neocog.zoo.sizes import dense_head, out_shape


class Row(NamedTuple):
    """One convolution with its ReLU; `pool` is the padding of the 3x3/2 max-pool after it, None for none."""

    out: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    pool: int | None = None


Table = Mapping[str, Row]

FIGURE_2: Table = {  # Krizhevsky et al. 2012: two GPUs are two groups
    #         out  kernel stride padding groups pool
    "conv1": Row(96, 11, 4, 0, 1, 0),
    "conv2": Row(256, 5, 1, 2, 2, 0),
    "conv3": Row(384, 3, 1, 1, 1),
    "conv4": Row(384, 3, 1, 1, 2),
    "conv5": Row(256, 3, 1, 1, 2, 0),
}
MERGED: Table = {name: row._replace(groups=1) for name, row in FIGURE_2.items()}
ONE_WEIRD_TRICK: Table = {  # Krizhevsky 2014, as torchvision has it
    "conv1": Row(64, 11, 4, 2, 1, 0),
    "conv2": Row(192, 5, 1, 2, 1, 0),
    "conv3": Row(384, 3, 1, 1),
    "conv4": Row(256, 3, 1, 1),
    "conv5": Row(256, 3, 1, 1, 1, 0),
}
FIGURE_3: Table = {  # Zeiler & Fergus 2014
    "conv1": Row(96, 7, 2, 1, 1, 1),
    "conv2": Row(256, 5, 2, 0, 1, 1),
    "conv3": Row(384, 3, 1, 1),
    "conv4": Row(384, 3, 1, 1),
    "conv5": Row(256, 3, 1, 1, 1, 0),
}
DENSE = (4096, 4096)
"""Widths of fc6 and fc7."""
SMALL_STEM = {"kernel": 5, "stride": 1, "padding": 2}
"""conv1 and conv2 on small pictures, as in Krizhevsky's own CIFAR-10 networks (cuda-convnet, 2011)."""
SMALL_DENSE = (1024, 1024)
"""Widths of fc6 and fc7 on small pictures."""


def alexnet(*, shape: Shape = (3, 227, 227), classes: int = 1000, stem: Stem = "paper") -> Network:
    """The two towers of 2012, as two groups in conv2, conv4 and conv5."""
    return _tower(FIGURE_2, ("norm", "pool"), shape=shape, classes=classes, stem=stem)


def alexnet_merged(*, shape: Shape = (3, 227, 227), classes: int = 1000, stem: Stem = "paper") -> Network:
    """The two towers made one: every convolution sees all maps."""
    return _tower(MERGED, ("norm", "pool"), shape=shape, classes=classes, stem=stem)


def alexnet_owt(*, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper") -> Network:
    """The slimmer single tower of 2014, without response normalisation."""
    return _tower(ONE_WEIRD_TRICK, ("pool",), shape=shape, classes=classes, stem=stem)


def zfnet(*, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper") -> Network:
    """AlexNet mended, with a 7x7/2 first layer, after a look at what its maps had learned."""
    return _tower(FIGURE_3, ("pool", "norm"), shape=shape, classes=classes, stem=stem)


def _tower(table: Table, after: tuple[str, ...], *, shape: Shape, classes: int, stem: Stem) -> Network:
    """The rows of `table`; `after` is the order of what follows conv1 and conv2; conv5 has the pool alone."""
    stages: dict[str, nn.Module] = {}
    width = shape[0]
    for number, (name, row) in enumerate(table.items(), start=1):
        if stem == "small" and number <= 2:
            row = row._replace(**SMALL_STEM)
        stages[name] = conv(
            width, row.out, row.kernel, stride=row.stride, padding=row.padding, groups=row.groups, norm=False
        )
        for kind in after:
            if kind == "pool" and row.pool is not None:
                stages[f"pool{number}"] = nn.MaxPool2d(3, 2, row.pool)
            elif kind == "norm" and number <= 2:
                stages[f"norm{number}"] = response_norm()
        width = row.out
    return Network(
        stages, dense_head(out_shape(stages, shape), SMALL_DENSE if stem == "small" else DENSE, classes)
    )


def response_norm() -> nn.LocalResponseNorm:
    """Section 3.3: b = a / (2 + 1e-4 s)^0.75, s the sum of a^2 over 5 maps, where torch takes the mean."""
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


_SMALL = "Stem 'small': conv1 and conv2 are 5x5/1 with a border of 2, and the dense layers have 1024 units"
_START = "He's weights, where the paper draws with a deviation of 0.01; no biases that start at 1"

ARCHITECTURES = (
    Architecture(
        name="alexnet",
        title="ImageNet Classification with Deep Convolutional Neural Networks",
        authors="Krizhevsky, Sutskever, Hinton",
        year=2012,
        url="https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
        build=alexnet,
        shape=(3, 227, 227),
        parameters=60_965_224,
        macs=724_406_816,
        smallest=67,
        depth=8,
        lr=3e-4,
        differs=(
            f"227 pixels, where the paper prints 224 and counts 55 positions, which 227 gives; {_START}. "
            f"{_SMALL}"
        ),
        stems=("paper", "small"),
    ),
    Architecture(
        name="alexnet-merged",
        title="ImageNet Classification with Deep Convolutional Neural Networks",
        authors="Krizhevsky, Sutskever, Hinton",
        year=2012,
        url="https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
        build=alexnet_merged,
        shape=(3, 227, 227),
        parameters=62_378_344,
        macs=1_135_256_096,
        smallest=67,
        depth=8,
        lr=3e-4,
        differs=(
            f"no groups: the paper's two towers are one; 227 pixels, where the paper prints 224; {_START}. "
            f"{_SMALL}"
        ),
        stems=("paper", "small"),
    ),
    Architecture(
        name="alexnet-owt",
        title="One weird trick for parallelizing convolutional neural networks",
        authors="Krizhevsky",
        year=2014,
        url="https://arxiv.org/abs/1404.5997",
        build=alexnet_owt,
        shape=(3, 224, 224),
        parameters=61_100_840,
        macs=714_188_480,
        smallest=63,
        depth=8,
        lr=3e-4,
        differs=(
            "no response normalisation, and a border of 2 before conv1, as in torchvision, which puts its "
            "dropout before the dense layers and not, as here and in 2012, after them; He's weights. "
            f"{_SMALL}"
        ),
        stems=("paper", "small"),
    ),
    Architecture(
        name="zfnet",
        title="Visualizing and Understanding Convolutional Networks",
        authors="Zeiler, Fergus",
        year=2014,
        url="https://arxiv.org/abs/1311.2901",
        build=zfnet,
        shape=(3, 224, 224),
        parameters=62_357_608,
        macs=1_168_032_896,
        smallest=53,
        depth=8,
        lr=3e-4,
        differs=(
            "the borders, which the paper does not print, are 1 before conv1, pool1 and pool2, for its "
            "sizes 110-55-26-13-6; contrast normalisation has AlexNet's constants; filters are not clipped "
            f"to a length of 0.1; He's weights, where the paper draws with a deviation of 0.01. {_SMALL}"
        ),
        stems=("paper", "small"),
    ),
)
