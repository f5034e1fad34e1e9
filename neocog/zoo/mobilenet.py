"""MobileNetV2: Inverted Residuals and Linear Bottlenecks, Mark Sandler, Andrew Howard, Menglong Zhu, Andrey
Zhmoginov, Liang-Chieh Chen, CVPR 2018, https://arxiv.org/abs/1801.04381, Table 2.

Differs from the paper: convolutions at stride 2 pad both sides, as torchvision's weights expect; Keras' come
with a manner that says otherwise (`habits`). The stem 'small' is not in the paper.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Network, Residual, conv, pooled
from neocog.zoo.sizes import out_shape

FIRST, LAST = 32, 1280
"""Channels of the convolutions before and after the bottlenecks."""
# Table 2: expansion t, channels c, repeats n, stride s of the first
TABLE_2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv6(width: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU6."""
    stages = conv(width, out, kernel, stride=stride, groups=groups, relu=False)
    stages.add_module("relu", nn.ReLU6())
    return stages


def bottleneck(width: int, out: int, *, expansion: int, stride: int) -> nn.Module:
    """Table 1: 1x1 that widens, 3x3 per channel, 1x1 that narrows without an activation; a shortcut where
    sizes agree.
    """
    inner = width * expansion
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if expansion > 1:
        stages["expand"] = conv6(width, inner, 1)
    stages["depthwise"] = conv6(inner, inner, 3, stride=stride, groups=inner)
    stages["project"] = conv(inner, out, 1, relu=False)
    body = nn.Sequential(stages)
    if stride == 1 and width == out:
        return Residual(body, after=nn.Identity())
    return nn.Sequential(OrderedDict(body=body))


def mobilenet_v2(*, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper") -> Network:
    """Table 2: conv1, bottleneck1 to bottleneck17, conv2.

    `stem='small'` takes the first two strides of 2 as 1, for pictures of 28 to 64 pixels. Raises
    `ShapeError` for a picture that the network cannot take.
    """
    early = 1 if stem == "small" else 2
    stages: dict[str, nn.Module] = {"conv1": conv6(shape[0], FIRST, 3, stride=early)}
    width = FIRST
    for row, (t, c, n, s) in enumerate(TABLE_2, start=1):
        for repeat in range(n):
            stride = 1 if repeat > 0 else early if row == 2 else s
            stages[f"bottleneck{len(stages)}"] = bottleneck(width, c, expansion=t, stride=stride)
            width = c
    stages["conv2"] = conv6(width, LAST, 1)
    out_shape(stages, shape)
    return Network(stages, pooled(LAST, classes))


BOTTLENECKS = 17
"""The sum of n in Table 2."""

_KERAS_NAMES = {
    "Conv1_relu": "conv1",
    "expanded_conv_depthwise_relu": "bottleneck1.body.depthwise",
    "expanded_conv_project_BN": "bottleneck1",
    **{f"block_{n}_expand_relu": f"bottleneck{n + 1}.body.expand" for n in range(1, BOTTLENECKS)},
    **{f"block_{n}_depthwise_relu": f"bottleneck{n + 1}.body.depthwise" for n in range(1, BOTTLENECKS)},
    **{f"block_{n}_project_BN": f"bottleneck{n + 1}.body.project" for n in range(1, BOTTLENECKS)},
    **{f"block_{n}_add": f"bottleneck{n + 1}" for n in (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)},
    "out_relu": "conv2",
}

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="mobilenet_v2",
        title="MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        authors="Mark Sandler, Andrew Howard, Menglong Zhu, Andrey Zhmoginov, Liang-Chieh Chen",
        year=2018,
        url="https://arxiv.org/abs/1801.04381",
        build=mobilenet_v2,
        shape=(3, 224, 224),
        classes=1000,
        parameters=3_504_872,
        macs=300_774_272,
        smallest=1,
        depth=53,
        differs=(
            "stride-2 convolutions pad both sides, as torchvision's weights expect; "
            "stem 'small' (the first two strides of 2 taken as 1) is not in the paper"
        ),
        stems=("paper", "small"),
        aliases=_KERAS_NAMES,
    ),
)
