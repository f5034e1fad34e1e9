"""EfficientNet-Lite: EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, Mingxing Tan,
Quoc V. Le, ICML 2019, https://arxiv.org/abs/1905.11946, Table 1, as its authors changed it for phones, 2020,
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.

Differs from the paper: no squeeze-excitation, ReLU6 where the paper has swish; stem, head and the repeats of
the first and last stage are not scaled (these are the authors' changes); no dropout and no stochastic depth.
The stem 'small' is not in the paper.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial

from torch import nn

from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Network, Residual, pooled
from neocog.zoo.borders import Same
from neocog.zoo.sizes import out_shape

STEM, LAST = 32, 1280
"""Channels of the convolutions before and after the blocks, whatever the width."""
# Table 1, stages 2 to 8: expansion t, kernel k, channels c, repeats n, stride s of the first
TABLE_1 = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
WIDTH_AND_DEPTH = {
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
"""By which channels and repeats of Table 1 are multiplied (section 3.3; efficientnet_lite_builder.py)."""
DIVISOR = 8
"""Channels are multiples of it."""
EPS = 1e-3
"""TensorFlow's epsilon of batch normalisation."""


def scaled_width(channels: int, factor: float) -> int:
    """`channels` times `factor`, to the nearest multiple of 8 that takes away no more than a tenth."""
    wanted = channels * factor
    nearest = max(DIVISOR, int(wanted + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest if nearest >= 0.9 * wanted else nearest + DIVISOR


def conv6(
    width: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Convolution under TensorFlow's `same` padding, batch normalisation, and ReLU6 where wanted.

    At stride 1 an odd kernel pads both sides alike, so only strided ones need the stage `pad`.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if stride > 1:
        stages["pad"] = Same((kernel, kernel), (stride, stride))
    edge = 0 if stride > 1 else kernel // 2
    stages["conv"] = nn.Conv2d(width, out, kernel, stride, edge, groups=groups, bias=False)
    stages["norm"] = nn.BatchNorm2d(out, eps=EPS)
    if relu:
        stages["relu"] = nn.ReLU6()
    return nn.Sequential(stages)


def mbconv(width: int, out: int, *, expansion: int, kernel: int, stride: int) -> nn.Module:
    """Table 1's MBConv without squeeze-excitation: 1x1 that widens, k x k per channel, 1x1 that narrows
    without an activation; a shortcut where sizes agree.
    """
    inner = width * expansion
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if expansion > 1:
        stages["expand"] = conv6(width, inner, 1)
    stages["depthwise"] = conv6(inner, inner, kernel, stride=stride, groups=inner)
    stages["project"] = conv6(inner, out, 1, relu=False)
    body = nn.Sequential(stages)
    if stride == 1 and width == out:
        return Residual(body, after=nn.Identity())
    return nn.Sequential(OrderedDict(body=body))


def efficientnet_lite(
    name: str, *, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper"
) -> Network:
    """Table 1: stage1, the blocks of stage2 to stage8 (`stage3.mbconv2`), the convolution of stage9.

    `stem='small'` takes the first two strides of 2 as 1, for pictures of 28 to 64 pixels. Raises
    `ShapeError` for a picture that the network cannot take.
    """
    wider, deeper = WIDTH_AND_DEPTH[name]
    early = 1 if stem == "small" else 2
    stages: dict[str, nn.Module] = {"stage1": conv6(shape[0], STEM, 3, stride=early)}
    width = STEM
    for row, (t, k, c, n, s) in enumerate(TABLE_1, start=2):
        out = scaled_width(c, wider)
        repeats = n if row in (2, 1 + len(TABLE_1)) else math.ceil(n * deeper)
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for number in range(1, repeats + 1):
            stride = 1 if number > 1 else early if row == 3 else s
            blocks[f"mbconv{number}"] = mbconv(width, out, expansion=t, kernel=k, stride=stride)
            width = out
        stages[f"stage{row}"] = nn.Sequential(blocks)
    stages["stage9"] = conv6(width, LAST, 1)
    out_shape(stages, shape)
    return Network(stages, pooled(LAST, classes))


def _row(name: str, side: int, *, parameters: int, macs: int, depth: int) -> Architecture:
    return Architecture(
        name=name,
        title="EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        authors="Mingxing Tan, Quoc V. Le",
        year=2019,
        url="https://arxiv.org/abs/1905.11946",
        build=partial(efficientnet_lite, name),
        shape=(3, side, side),
        parameters=parameters,
        macs=macs,
        smallest=1,
        depth=depth,
        differs=(
            "the authors' variant for phones of 2020: no squeeze-excitation, ReLU6 where the paper has "
            "swish, stem, head and the repeats of the first and last stage not scaled; no dropout and no "
            "stochastic depth; stem 'small' (the first two strides of 2 taken as 1) is not in the paper"
        ),
        stems=("paper", "small"),
    )


ARCHITECTURES: tuple[Architecture, ...] = (
    _row("efficientnet_lite0", 224, parameters=4_652_008, macs=385_187_552, depth=50),
    _row("efficientnet_lite1", 240, parameters=5_416_680, macs=600_185_232, depth=65),
    _row("efficientnet_lite2", 260, parameters=6_092_072, macs=859_736_272, depth=65),
)
