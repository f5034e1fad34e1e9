"""ResNet. Deep Residual Learning for Image Recognition, Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun,
CVPR 2016, https://arxiv.org/abs/1512.03385, Table 1 (ImageNet) and section 4.2 (CIFAR-10).

Differs from the paper: resnet50, resnet101 and resnet152 take the stride of a stage in the 3x3 of its first
block and not in the 1x1 before it, as the weights that most people use (torchvision's) expect; resnet50-keras
keeps the paper's place and adds Keras' biases before the normalisations. The stem 'small' is not in the
paper. The rows say the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import nn

from neocog.errors import UsageError, unknown
from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Network, Residual, conv, pooled
from neocog.zoo.sizes import out_shape

Block = Literal["basic", "bottleneck"]

# Table 1:           block         conv2_x conv3_x conv4_x conv5_x
TABLE_1: Mapping[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
    "resnet50-keras": ("bottleneck", (3, 4, 6, 3)),
}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
"""A bottleneck leaves with this many times the channels of its 3x3 (Table 1: 64 -> 256)."""

# Section 4.2: n, the number of blocks in each of the three stages; the depth is 6n + 2
SECTION_4_2 = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}
WIDTHS_4_2 = (16, 32, 64)


@dataclass(frozen=True, slots=True)
class Manner:
    """What the published weights of the deep ones disagree on."""

    stride_in: Literal["first 1x1", "3x3"]
    bias: bool
    eps: float


TORCH = Manner(stride_in="3x3", bias=False, eps=1e-5)
KERAS = Manner(stride_in="first 1x1", bias=True, eps=1.001e-5)


def option_a(extra: int, stride: int) -> nn.Sequential:
    """The shortcut of section 3.3, A: every `stride`-th pixel, and zeros for the `extra` channels; no
    parameters.

    (N, C, H, W) -> (N, C + extra, ceil(H / stride), ceil(W / stride)). A mean over 1x1 windows is a way to
    pick pixels whose size rule torch's layers already have, and a padding of three axes reaches the channels.
    """
    return nn.Sequential(
        OrderedDict(pick=nn.AvgPool2d(1, stride), zeros=nn.ConstantPad3d((0, 0, 0, 0, 0, extra), 0.0))
    )


def basic(width: int, out: int, stride: int, manner: Manner) -> nn.Sequential:
    """Two 3x3 convolutions (Figure 5, left)."""
    eps, bias = manner.eps, manner.bias
    return nn.Sequential(
        OrderedDict(
            conv1=conv(width, out, 3, stride=stride, bias=bias, eps=eps),
            conv2=conv(out, out, 3, bias=bias, relu=False, eps=eps),
        )
    )


def bottleneck(width: int, out: int, stride: int, manner: Manner) -> nn.Sequential:
    """1x1, 3x3, 1x1 (Figure 5, right)."""
    eps, bias, narrow = manner.eps, manner.bias, out // EXPANSION
    first, second = (stride, 1) if manner.stride_in == "first 1x1" else (1, stride)
    return nn.Sequential(
        OrderedDict(
            conv1=conv(width, narrow, 1, stride=first, bias=bias, eps=eps),
            conv2=conv(narrow, narrow, 3, stride=second, bias=bias, eps=eps),
            conv3=conv(narrow, out, 1, bias=bias, relu=False, eps=eps),
        )
    )


def resnet(name: str, *, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper") -> Network:
    """A column of Table 1, with projection shortcuts where the size changes (option B).

    `stem='small'` begins with one 3x3 convolution at stride 1 and no pooling, for pictures of 28 to 64
    pixels. Raises `UsageError` for a name that Table 1 does not have and `ShapeError` for a picture that is
    too small.
    """
    if name not in TABLE_1:
        raise unknown("ResNet", name, TABLE_1)
    kind, counts = TABLE_1[name]
    manner = KERAS if name.endswith("-keras") else TORCH
    bias, eps = manner.bias, manner.eps
    stages: dict[str, nn.Module] = {}
    if stem == "small":
        stages["conv1"] = conv(shape[0], 64, 3, bias=bias, eps=eps)
    else:
        stages["conv1"] = conv(shape[0], 64, 7, stride=2, bias=bias, eps=eps)
        stages["pool1"] = nn.MaxPool2d(3, 2, 1)
    width = 64
    for s, (narrow, count) in enumerate(zip(WIDTHS, counts, strict=True), start=2):
        out = narrow if kind == "basic" else narrow * EXPANSION
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for b in range(1, count + 1):
            stride = 2 if s > 2 and b == 1 else 1
            body = (basic if kind == "basic" else bottleneck)(width, out, stride, manner)
            shortcut = (
                conv(width, out, 1, stride=stride, bias=bias, relu=False, eps=eps)
                if b == 1 and width != out
                else None
            )
            blocks[f"conv{s}_{b}"] = Residual(body, shortcut)
            width = out
        stages[f"conv{s}_x"] = nn.Sequential(blocks)
    out_shape(stages, shape)
    return Network(stages, pooled(width, classes))


def cifar_resnet(
    name: str, *, shape: Shape = (3, 32, 32), classes: int = 10, stem: Stem = "paper"
) -> Network:
    """A network of section 4.2: 6n + 2 layers, shortcuts without parameters (option A).

    Raises `UsageError` for an unknown name or a stem other than 'paper', and `ShapeError` for a picture that
    is too small.
    """
    if name not in SECTION_4_2:
        raise unknown("CIFAR ResNet", name, SECTION_4_2)
    if stem != "paper":
        raise UsageError(f"{name} has no stem '{stem}': it is made for small pictures; leave stem at 'paper'")
    stages: dict[str, nn.Module] = {"conv1": conv(shape[0], WIDTHS_4_2[0], 3)}
    width = WIDTHS_4_2[0]
    for s, out in enumerate(WIDTHS_4_2, start=2):
        blocks: OrderedDict[str, nn.Module] = OrderedDict()
        for b in range(1, SECTION_4_2[name] + 1):
            stride = 2 if s > 2 and b == 1 else 1
            shortcut = option_a(out - width, stride) if stride > 1 else None
            blocks[f"conv{s}_{b}"] = Residual(basic(width, out, stride, TORCH), shortcut)
            width = out
        stages[f"conv{s}_x"] = nn.Sequential(blocks)
    out_shape(stages, shape)
    return Network(stages, pooled(width, classes))


def _keras_names(name: str) -> dict[str, str]:
    """Keras' names of the outputs of the blocks."""
    counts = TABLE_1[name][1]
    blocks = {
        f"conv{s}_block{b}_out": f"conv{s}_x.conv{s}_{b}"
        for s, count in enumerate(counts, start=2)
        for b in range(1, count + 1)
    }
    return {"conv1_relu": "conv1", "pool1_pool": "pool1", **blocks}


_row = partial(
    Architecture,
    title="Deep Residual Learning for Image Recognition",
    authors="Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun",
    year=2015,
    url="https://arxiv.org/abs/1512.03385",
    smallest=1,
)
_imagenet = partial(_row, shape=(3, 224, 224), classes=1000, stems=("paper", "small"))
_cifar = partial(_row, shape=(3, 32, 32), classes=10)

_SMALL = "stem 'small' (one 3x3 at stride 1, no pool) is not in the paper"
_DEEP = (
    "a stage's stride stands in the 3x3 of its first block, not in the 1x1 before it, as torchvision's "
    f"weights expect; {_SMALL}"
)
_LIKE_KERAS = (
    "convolutions have biases although a normalisation follows, and its epsilon is 1.001e-5, as Keras' "
    f"weights expect; {_SMALL}"
)

ARCHITECTURES: tuple[Architecture, ...] = (
    _imagenet(
        name="resnet18",
        build=partial(resnet, "resnet18"),
        parameters=11_689_512,
        macs=1_814_073_344,
        depth=18,
        differs=_SMALL,
    ),
    _imagenet(
        name="resnet34",
        build=partial(resnet, "resnet34"),
        parameters=21_797_672,
        macs=3_663_761_408,
        depth=34,
        differs=_SMALL,
    ),
    _imagenet(
        name="resnet50",
        build=partial(resnet, "resnet50"),
        parameters=25_557_032,
        macs=4_089_184_256,
        depth=50,
        differs=_DEEP,
        aliases=_keras_names("resnet50"),
    ),
    _imagenet(
        name="resnet50-keras",
        build=partial(resnet, "resnet50-keras"),
        parameters=25_583_592,
        macs=3_857_973_248,
        depth=50,
        differs=_LIKE_KERAS,
        aliases=_keras_names("resnet50-keras"),
    ),
    _imagenet(
        name="resnet101",
        build=partial(resnet, "resnet101"),
        parameters=44_549_160,
        macs=7_801_405_440,
        depth=101,
        differs=_DEEP,
        aliases=_keras_names("resnet101"),
    ),
    _imagenet(
        name="resnet152",
        build=partial(resnet, "resnet152"),
        parameters=60_192_808,
        macs=11_513_626_624,
        depth=152,
        differs=_DEEP,
        aliases=_keras_names("resnet152"),
    ),
    _cifar(
        name="resnet20",
        build=partial(cifar_resnet, "resnet20"),
        parameters=269_722,
        macs=40_551_040,
        depth=20,
    ),
    _cifar(
        name="resnet32",
        build=partial(cifar_resnet, "resnet32"),
        parameters=464_154,
        macs=68_862_592,
        depth=32,
    ),
    _cifar(
        name="resnet44",
        build=partial(cifar_resnet, "resnet44"),
        parameters=658_586,
        macs=97_174_144,
        depth=44,
    ),
    _cifar(
        name="resnet56",
        build=partial(cifar_resnet, "resnet56"),
        parameters=853_018,
        macs=125_485_696,
        depth=56,
    ),
    _cifar(
        name="resnet110",
        build=partial(cifar_resnet, "resnet110"),
        parameters=1_727_962,
        macs=252_887_680,
        depth=110,
    ),
)
