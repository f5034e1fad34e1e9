"""VGG: "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.

Simonyan and Zisserman, https://arxiv.org/abs/1409.1556, Table 1. Only 3x3 convolutions; a stage of them ends
in a 2x2/2 max-pool. The networks named `-bn` have batch normalisation after every convolution.

Differs from the paper: see `differs` in the rows of `ARCHITECTURES`.
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType

from torch import nn

from neocog.errors import unknown
from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Network, conv
from neocog.zoo.sizes import dense_head, out_shape

TABLE_1 = {  # widths of the 3x3 convolutions, stage by stage
    "vgg11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),  # column A
    "vgg13": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),  # column B
    "vgg16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),  # column D
    "vgg19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),  # column E
}
DENSE = (4096, 4096)
"""Widths of fc6 and fc7; the names are Caffe's, in which the authors published their weights."""
SMALL_DENSE = (512,)
"""Width of the one dense layer before the logits on small pictures."""


def vgg(name: str, *, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper") -> Network:
    """The column `name` of Table 1, with `-bn` for batch normalisation; UsageError for any other name."""
    column, dash, norm = name.partition("-")
    if column not in TABLE_1 or norm != ("bn" if dash else ""):
        raise unknown("VGG", name, [*TABLE_1, *(f"{n}-bn" for n in TABLE_1)])
    stages: dict[str, nn.Module] = {}
    width = shape[0]
    for s, widths in enumerate(TABLE_1[column], start=1):
        for j, out in enumerate(widths, start=1):
            stages[f"conv{s}_{j}"] = conv(width, out, 3, norm=bool(norm))
            width = out
        stages[f"pool{s}"] = nn.MaxPool2d(2, ceil_mode=stem == "small")
    return Network(
        stages, dense_head(out_shape(stages, shape), SMALL_DENSE if stem == "small" else DENSE, classes)
    )


def _keras(name: str) -> MappingProxyType[str, str]:
    """Keras' names of the layers, in Keras' order."""
    names: dict[str, str] = {}
    for s, widths in enumerate(TABLE_1[name], start=1):
        names |= {f"block{s}_conv{j}": f"conv{s}_{j}" for j in range(1, len(widths) + 1)}
        names[f"block{s}_pool"] = f"pool{s}"
    return MappingProxyType(names | {"flatten": "flatten", "fc1": "fc6", "fc2": "fc7", "predictions": "fc8"})


def _row(name: str, *, parameters: int, macs: int, depth: int) -> Architecture:
    norm = (
        "batch normalisation after every convolution, which has then no bias; "
        if name.endswith("-bn")
        else ""
    )
    return Architecture(
        name=name,
        title="Very Deep Convolutional Networks for Large-Scale Image Recognition",
        authors="Simonyan, Zisserman",
        year=2014,
        url="https://arxiv.org/abs/1409.1556",
        build=partial(vgg, name),
        shape=(3, 224, 224),
        parameters=parameters,
        macs=macs,
        smallest=32,
        depth=depth,
        lr=3e-4 if norm else 1e-4,
        differs=(
            f"{norm}He's weights, with which the deep columns learn from scratch, where the paper starts "
            "them from a trained column A. Stem 'small': one dense layer of 512 units instead of two of "
            "4096, and pools that keep an odd last row, so that pictures of 28 pixels pass all five"
        ),
        stems=("paper", "small"),
        aliases=_keras(name.removesuffix("-bn")),
    )


ARCHITECTURES = (
    _row("vgg11", parameters=132_863_336, macs=7_609_090_048, depth=11),
    _row("vgg13", parameters=133_047_848, macs=11_308_466_176, depth=13),
    _row("vgg16", parameters=138_357_544, macs=15_470_264_320, depth=16),
    _row("vgg19", parameters=143_667_240, macs=19_632_062_464, depth=19),
    _row("vgg11-bn", parameters=132_866_088, macs=7_609_090_048, depth=11),
    _row("vgg13-bn", parameters=133_050_792, macs=11_308_466_176, depth=13),
    _row("vgg16-bn", parameters=138_361_768, macs=15_470_264_320, depth=16),
    _row("vgg19-bn", parameters=143_672_744, macs=19_632_062_464, depth=19),
)
