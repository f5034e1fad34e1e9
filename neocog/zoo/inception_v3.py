"""Inception V3: "Rethinking the Inception Architecture for Computer Vision", CVPR 2016.

Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, https://arxiv.org/abs/1512.00567, Table 1, figures 5 to 7 and 10,
in the form that the authors released and that Keras and torchvision carry. The modules have Keras' names,
mixed0 to mixed10.

Differs from the paper: see `differs` in `ARCHITECTURES`.
"""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import Literal

from torch import nn

from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Concat, GlobalPool, Network, conv
from neocog.zoo.sizes import stage_shapes

EPS = 1e-3
"""Added to the variance by every batch normalisation of the authors' code."""
GRID_35 = {"mixed0": 32, "mixed1": 64, "mixed2": 64}
"""Modules of figure 5 on maps of 35x35, and the width of the projection after their pool."""
GRID_17 = {"mixed4": 128, "mixed5": 160, "mixed6": 160, "mixed7": 192}
"""Modules of figure 6 on maps of 17x17, and the width within their chains of 7x1 and 1x7."""
GRID_8 = {"mixed9": 1280, "mixed10": 2048}
"""Modules of figure 7 on maps of 8x8, and the width that comes in."""
AUXILIARY = "mixed7"
AUXILIARY_GRID = 17
"""Smallest maps of `mixed7` with an auxiliary head: its 5x5/3 mean must leave 5x5 for its 5x5 convolution."""
AUXILIARY_WEIGHT = 0.4
"""What the authors' code multiplies the auxiliary loss by; the paper does not print it."""


def inception_v3(*, shape: Shape = (3, 299, 299), classes: int = 1000, stem: Stem = "paper") -> Network:
    """Eleven mixed modules; the auxiliary head is there from 299 pixels on."""
    stages = _stem(shape[0], stem)
    width = 192
    for name, projection in GRID_35.items():
        stages[name] = grid35(width, projection)
        width = 224 + projection
    stages["mixed3"] = reduce35(width)
    for name, inner in GRID_17.items():
        stages[name] = grid17(inner)
    stages["mixed8"] = reduce17()
    for name, width in GRID_8.items():
        stages[name] = grid8(width)
    grid = stage_shapes(stages, shape)[AUXILIARY][1:]
    aux = {AUXILIARY: auxiliary(classes)} if min(grid) >= AUXILIARY_GRID else {}
    head = OrderedDict(pool=GlobalPool(), dropout=nn.Dropout(0.2), fc=nn.Linear(2048, classes))
    return Network(stages, nn.Sequential(head), aux=aux, aux_weight=AUXILIARY_WEIGHT)


def grid35(width: int, projection: int) -> Concat:
    """Figure 5: a 5x5 convolution beside two of 3x3 in the place of another. 224 + projection maps."""
    return Concat(
        {
            "1x1": _conv(width, 64, 1),
            "5x5": _chain(reduce=_conv(width, 48, 1), conv=_conv(48, 64, 5)),
            "3x3dbl": _chain(reduce=_conv(width, 64, 1), conv1=_conv(64, 96, 3), conv2=_conv(96, 96, 3)),
            "pool": _projected(width, projection),
        }
    )


def reduce35(width: int) -> Concat:
    """Figure 10: to half the size, without a bottleneck, 480 + width maps."""
    return Concat(
        {
            "3x3": _conv(width, 384, 3, stride=2, padding=0),
            "3x3dbl": _chain(
                reduce=_conv(width, 64, 1),
                conv1=_conv(64, 96, 3),
                conv2=_conv(96, 96, 3, stride=2, padding=0),
            ),
            "pool": nn.MaxPool2d(3, 2),
        }
    )


def grid17(inner: int) -> Concat:
    """Figure 6 with n = 7: 7x7 convolutions as chains of 1x7 and 7x1. 768 maps in and out."""
    return Concat(
        {
            "1x1": _conv(768, 192, 1),
            "7x7": _chain(
                reduce=_conv(768, inner, 1),
                conv1=_conv(inner, inner, (1, 7)),
                conv2=_conv(inner, 192, (7, 1)),
            ),
            "7x7dbl": _chain(
                reduce=_conv(768, inner, 1),
                conv1=_conv(inner, inner, (7, 1)),
                conv2=_conv(inner, inner, (1, 7)),
                conv3=_conv(inner, inner, (7, 1)),
                conv4=_conv(inner, 192, (1, 7)),
            ),
            "pool": _projected(768, 192),
        }
    )


def reduce17() -> Concat:
    """As figure 10, with a 7x7 before the second 3x3: 768 maps to 1280 of half the size."""
    return Concat(
        {
            "3x3": _chain(reduce=_conv(768, 192, 1), conv=_conv(192, 320, 3, stride=2, padding=0)),
            "7x7x3": _chain(
                reduce=_conv(768, 192, 1),
                conv1=_conv(192, 192, (1, 7)),
                conv2=_conv(192, 192, (7, 1)),
                conv3=_conv(192, 192, 3, stride=2, padding=0),
            ),
            "pool": nn.MaxPool2d(3, 2),
        }
    )


def grid8(width: int) -> Concat:
    """Figure 7: the 3x3 convolutions end in a fork of 1x3 and 3x1. 2048 maps."""
    return Concat(
        {
            "1x1": _conv(width, 320, 1),
            "3x3": _chain(reduce=_conv(width, 384, 1), fork=_fork()),
            "3x3dbl": _chain(reduce=_conv(width, 448, 1), conv=_conv(448, 384, 3), fork=_fork()),
            "pool": _projected(width, 192),
        }
    )


def auxiliary(classes: int) -> nn.Sequential:
    """Section 4: the side classifier on the last 17x17 maps, batch-normalised: it regularises."""
    return _chain(
        pool=nn.AvgPool2d(5, 3),
        conv1=_conv(768, 128, 1),
        conv2=_conv(128, 768, 5, padding=0),
        mean=GlobalPool(),
        fc=nn.Linear(768, classes),
    )


def _stem(width: int, stem: Stem) -> dict[str, nn.Module]:
    small = stem == "small"
    stages: dict[str, nn.Module] = {
        "conv1": _conv(width, 32, 3) if small else _conv(width, 32, 3, stride=2, padding=0),
        "conv2": _conv(32, 32, 3, padding="half" if small else 0),
        "conv3": _conv(32, 64, 3),
    }
    if not small:
        stages["pool1"] = nn.MaxPool2d(3, 2)
    return stages | {
        "conv4": _conv(64, 80, 1),
        "conv5": _conv(80, 192, 3, padding="half" if small else 0),
        "pool2": nn.MaxPool2d(3, 2),
    }


def _conv(
    width: int,
    out: int,
    kernel: int | tuple[int, int],
    *,
    stride: int = 1,
    padding: int | Literal["half"] = "half",
) -> nn.Sequential:
    return conv(width, out, kernel, stride=stride, padding=padding, eps=EPS)


def _chain(**stages: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(stages))


def _fork() -> Concat:
    return Concat({"1x3": _conv(384, 384, (1, 3)), "3x1": _conv(384, 384, (3, 1))})


def _projected(width: int, out: int) -> nn.Sequential:
    """The mean over 3x3, the border left out of it as in the authors' code, then 1x1."""
    return _chain(pool=nn.AvgPool2d(3, 1, 1, count_include_pad=False), project=_conv(width, out, 1))


ARCHITECTURES = (
    Architecture(
        name="inception_v3",
        title="Rethinking the Inception Architecture for Computer Vision",
        authors="Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
        year=2015,
        url="https://arxiv.org/abs/1512.00567",
        build=inception_v3,
        shape=(3, 299, 299),
        parameters=23_834_568,
        macs=5_713_216_096,
        smallest=75,
        depth=48,
        differs=(
            "the form that the authors released, whose stem and modules are not quite those of Table 1, and "
            "which counts 48 layers with weights on its longest path where the paper says 42; Keras' copy "
            "has no gamma; means at the border leave the padding out, as the authors and Keras do, where "
            "torchvision counts it; the auxiliary head, weighted 0.4, is left out where the maps of mixed7 "
            "are smaller than 17x17, below 299 pixels; He's weights. Stem 'small': every convolution of the "
            "stem keeps its size, without pool1"
        ),
        stems=("paper", "small"),
        aliases=MappingProxyType(
            {f"mixed{n}": f"mixed{n}" for n in range(11)} | {"avg_pool": "pool", "predictions": "fc"}
        ),
    ),
)
