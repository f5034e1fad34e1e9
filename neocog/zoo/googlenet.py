"""GoogLeNet: "Going Deeper with Convolutions", CVPR 2015.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich, https://arxiv.org/abs/1409.4842,
Table 1. With true 5x5 convolutions, biases, no batch normalisation, and both auxiliary heads.

Differs from the paper: see `differs` in `ARCHITECTURES`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from torch import nn

from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Concat, GlobalPool, Network, conv
from neocog.zoo.sizes import dense, out_shape, stage_shapes


class Row(NamedTuple):
    """Widths of one inception module, in the columns of Table 1; 'reduce' is the 1x1 before a large one."""

    c1: int
    reduce3: int
    c3: int
    reduce5: int
    c5: int
    pool: int

    @property
    def out(self) -> int:
        return self.c1 + self.c3 + self.c5 + self.pool


TABLE_1: dict[str, Row | None] = {  # None is a 3x3/2 max-pool
    #          1x1 3x3r  3x3 5x5r 5x5 pool
    "3a": Row(64, 96, 128, 16, 32, 32),
    "3b": Row(128, 128, 192, 32, 96, 64),
    "pool3": None,
    "4a": Row(192, 96, 208, 16, 48, 64),
    "4b": Row(160, 112, 224, 24, 64, 64),
    "4c": Row(128, 128, 256, 24, 64, 64),
    "4d": Row(112, 144, 288, 32, 64, 64),
    "4e": Row(256, 160, 320, 32, 128, 128),
    "pool4": None,
    "5a": Row(256, 160, 320, 32, 128, 128),
    "5b": Row(384, 192, 384, 48, 128, 128),
}
AUXILIARY = ("inception4a", "inception4d")
"""The modules that carry an auxiliary head: section 5."""
AUXILIARY_WEIGHT = 0.3


def googlenet(*, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper") -> Network:
    """Nine inception modules; an auxiliary head is there where its maps reach the 5x5 of its pool."""
    stages = _stem(shape[0], stem)
    width = 192
    for name, row in TABLE_1.items():
        if row is None:
            stages[name] = max_pool()
            continue
        stages[f"inception{name}"] = inception(width, row)
        width = row.out
    maps = stage_shapes(stages, shape)
    aux = {name: auxiliary(maps[name], classes) for name in AUXILIARY if min(maps[name][1:]) >= 5}
    head = OrderedDict(pool=GlobalPool(), dropout=nn.Dropout(0.4), fc=nn.Linear(width, classes))
    return Network(stages, nn.Sequential(head), aux=aux, aux_weight=AUXILIARY_WEIGHT)


def inception(width: int, row: Row) -> Concat:
    """Figure 2b: four branches on the same maps, joined along the channels."""
    return Concat(
        {
            "1x1": conv(width, row.c1, 1, norm=False),
            "3x3": _reduced(width, row.reduce3, row.c3, 3),
            "5x5": _reduced(width, row.reduce5, row.c5, 5),
            "pool": nn.Sequential(
                OrderedDict(pool=nn.MaxPool2d(3, 1, 1), project=conv(width, row.pool, 1, norm=False))
            ),
        }
    )


def auxiliary(maps: Shape, classes: int) -> nn.Sequential:
    """Section 5: mean over 5x5/3, 128 1x1 convolutions, 1024 dense units, 70 % dropout, the logits."""
    stages: OrderedDict[str, nn.Module] = OrderedDict(
        pool=nn.AvgPool2d(5, 3), conv=conv(maps[0], 128, 1, norm=False), flatten=nn.Flatten()
    )
    width = math.prod(out_shape(stages, maps))
    return nn.Sequential(
        stages | {"fc1": dense(width, 1024), "dropout": nn.Dropout(0.7), "fc2": nn.Linear(1024, classes)}
    )


def max_pool() -> nn.MaxPool2d:
    """3x3/2 as in Caffe: a window that hangs over the edge counts, so 112 becomes 56."""
    return nn.MaxPool2d(3, 2, ceil_mode=True)


def response_norm() -> nn.LocalResponseNorm:
    """Figure 3's LocalRespNorm with the constants of the authors' network in Caffe."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)


def _stem(width: int, stem: Stem) -> dict[str, nn.Module]:
    if stem == "small":
        first: dict[str, nn.Module] = {"conv1": conv(width, 64, 3, norm=False)}
    else:
        first = {"conv1": conv(width, 64, 7, stride=2, norm=False), "pool1": max_pool()}
    return first | {
        "norm1": response_norm(),
        "conv2_reduce": conv(64, 64, 1, norm=False),
        "conv2": conv(64, 192, 3, norm=False),
        "norm2": response_norm(),
        "pool2": max_pool(),
    }


def _reduced(width: int, reduce: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(reduce=conv(width, reduce, 1, norm=False), conv=conv(reduce, out, kernel, norm=False))
    )


ARCHITECTURES = (
    Architecture(
        name="googlenet",
        title="Going Deeper with Convolutions",
        authors="Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
        year=2014,
        url="https://arxiv.org/abs/1409.4842",
        build=googlenet,
        shape=(3, 224, 224),
        parameters=6_998_552,
        macs=1_582_671_872,
        smallest=31,
        depth=22,
        lr=3e-4,
        differs=(
            "He's weights, which the paper does not print; response normalisation has Caffe's constants (5 "
            "maps, alpha 1e-4, beta 0.75, k 1); auxiliary heads are left out where the maps are smaller "
            "than the 5x5 of their pool. Stem 'small': conv1 is 3x3/1, without pool1"
        ),
        stems=("paper", "small"),
    ),
)
