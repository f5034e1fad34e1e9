"""DenseNet. Densely Connected Convolutional Networks, Gao Huang, Zhuang Liu, Laurens van der Maaten, Kilian
Weinberger, CVPR 2017, https://arxiv.org/abs/1608.06993, Table 1 (ImageNet) and Table 2 (CIFAR-10: DenseNet
L=40 k=12 and DenseNet-BC L=100 k=12).

Differs from the paper: a transition has a ReLU after its normalisation and the last block is followed by
both, as in the authors' code; densenet161 is the authors' later model and not in Table 1; no dropout (the
paper's 0.2 is for training without augmentation). The stem 'small' is not in the paper. The rows say the
same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from torch import nn

from neocog.errors import UsageError, unknown
from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Grow, Network, conv, pooled
from neocog.zoo.sizes import out_shape


class Row(NamedTuple):
    """Growth rate k, channels before the first block, layers per block, bottleneck width, and compression
    theta.

    The bottleneck's 1x1 gives `bottleneck` * k channels (0: there is none); a transition keeps `compression`
    of its channels.
    """

    growth: int
    first: int
    layers: tuple[int, ...]
    bottleneck: int
    compression: float


# Table 1: DenseNet-BC for ImageNet
TABLE_1: Mapping[str, Row] = {
    "densenet121": Row(32, 64, (6, 12, 24, 16), 4, 0.5),
    "densenet169": Row(32, 64, (6, 12, 32, 32), 4, 0.5),
    "densenet201": Row(32, 64, (6, 12, 48, 32), 4, 0.5),
    "densenet161": Row(48, 96, (6, 12, 36, 24), 4, 0.5),
}
# Table 2: for CIFAR; three blocks of (L - 4) / 3 layers, a layer of BC counting twice
TABLE_2: Mapping[str, Row] = {
    "densenet40": Row(12, 16, (12, 12, 12), 0, 1.0),
    "densenet100": Row(12, 24, (16, 16, 16), 4, 0.5),
}


def dense_layer(width: int, row: Row) -> Grow:
    """BN-ReLU-conv 3x3, with BN-ReLU-conv 1x1 before it where the row has a bottleneck (section 3,
    'Bottleneck layers').
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict(norm1=nn.BatchNorm2d(width), relu1=nn.ReLU())
    if row.bottleneck:
        inner = row.bottleneck * row.growth
        stages["conv1"] = nn.Conv2d(width, inner, 1, bias=False)
        stages["norm2"] = nn.BatchNorm2d(inner)
        stages["relu2"] = nn.ReLU()
        stages["conv2"] = nn.Conv2d(inner, row.growth, 3, padding=1, bias=False)
    else:
        stages["conv1"] = nn.Conv2d(width, row.growth, 3, padding=1, bias=False)
    return Grow(nn.Sequential(stages))


def transition(width: int, out: int) -> nn.Sequential:
    """BN-ReLU-conv 1x1, then halve the size by averages."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(width),
            relu=nn.ReLU(),
            conv=nn.Conv2d(width, out, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


def densenet(
    name: str, *, shape: Shape = (3, 224, 224), classes: int = 1000, stem: Stem = "paper"
) -> Network:
    """A column of Table 1: four dense blocks.

    `stem='small'` begins with one 3x3 convolution at stride 1 and no pooling, for pictures of 28 to 64
    pixels. Raises `UsageError` for a name that the table does not have and `ShapeError` for a picture that is
    too small.
    """
    if name not in TABLE_1:
        raise unknown("DenseNet", name, TABLE_1)
    row = TABLE_1[name]
    if stem == "small":
        stages: dict[str, nn.Module] = {"conv1": conv(shape[0], row.first, 3)}
    else:
        stages = {"conv1": conv(shape[0], row.first, 7, stride=2), "pool1": nn.MaxPool2d(3, 2, 1)}
    return _dense_blocks(stages, row, shape, classes)


def cifar_densenet(
    name: str, *, shape: Shape = (3, 32, 32), classes: int = 10, stem: Stem = "paper"
) -> Network:
    """A row of Table 2: three dense blocks on full-size pictures.

    Raises `UsageError` for an unknown name or a stem other than 'paper', and `ShapeError` for a picture that
    is too small.
    """
    if name not in TABLE_2:
        raise unknown("CIFAR DenseNet", name, TABLE_2)
    if stem != "paper":
        raise UsageError(f"{name} has no stem '{stem}': it is made for small pictures; leave stem at 'paper'")
    row = TABLE_2[name]
    # The first convolution has no normalisation after it: every dense layer begins with its own.
    stages: dict[str, nn.Module] = {"conv1": conv(shape[0], row.first, 3, bias=False, norm=False, relu=False)}
    return _dense_blocks(stages, row, shape, classes)


def _dense_blocks(stages: dict[str, nn.Module], row: Row, shape: Shape, classes: int) -> Network:
    """Everything after the stem: dense1, transition1, dense2 ... norm, relu, and the head."""
    width = row.first
    for d, count in enumerate(row.layers, start=1):
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for n in range(1, count + 1):
            layers[f"layer{n}"] = dense_layer(width, row)
            width += row.growth
        stages[f"dense{d}"] = nn.Sequential(layers)
        if d < len(row.layers):
            out = int(width * row.compression)
            stages[f"transition{d}"] = transition(width, out)
            width = out
    stages["norm"] = nn.BatchNorm2d(width)
    stages["relu"] = nn.ReLU()
    out_shape(stages, shape)
    return Network(stages, pooled(width, classes))


def _keras_names(name: str) -> dict[str, str]:
    """Keras' names of the outputs of layers and transitions; `conv1/relu` is Keras 2's, `conv1_relu` Keras
    3's.
    """
    layers = {
        f"conv{d + 1}_block{n}_concat": f"dense{d}.layer{n}"
        for d, count in enumerate(TABLE_1[name].layers, start=1)
        for n in range(1, count + 1)
    }
    pools = {f"pool{d + 1}_pool": f"transition{d}" for d in range(1, len(TABLE_1[name].layers))}
    return {"conv1/relu": "conv1", "conv1_relu": "conv1", **layers, **pools, "bn": "norm"}


_row = partial(
    Architecture,
    title="Densely Connected Convolutional Networks",
    authors="Gao Huang, Zhuang Liu, Laurens van der Maaten, Kilian Q. Weinberger",
    year=2016,
    url="https://arxiv.org/abs/1608.06993",
)
_imagenet = partial(_row, shape=(3, 224, 224), classes=1000, smallest=29, stems=("paper", "small"))
_cifar = partial(_row, shape=(3, 32, 32), classes=10, smallest=4)

_RELU = "a ReLU in every transition and after the last block, as in the authors' code; no dropout"
_SMALL = f"{_RELU}; stem 'small' (one 3x3 at stride 1, no pool) is not in the paper"

ARCHITECTURES: tuple[Architecture, ...] = (
    _imagenet(
        name="densenet121",
        build=partial(densenet, "densenet121"),
        parameters=7_978_856,
        macs=2_834_161_664,
        depth=121,
        differs=_SMALL,
        aliases=_keras_names("densenet121"),
    ),
    _imagenet(
        name="densenet161",
        build=partial(densenet, "densenet161"),
        parameters=28_681_000,
        macs=7_727_907_072,
        depth=161,
        differs=f"the authors' later model, not in Table 1 (k = 48); {_SMALL}",
        aliases=_keras_names("densenet161"),
    ),
    _imagenet(
        name="densenet169",
        build=partial(densenet, "densenet169"),
        parameters=14_149_480,
        macs=3_359_843_328,
        depth=169,
        differs=_SMALL,
        aliases=_keras_names("densenet169"),
    ),
    _imagenet(
        name="densenet201",
        build=partial(densenet, "densenet201"),
        parameters=20_013_928,
        macs=4_291_365_888,
        depth=201,
        differs=_SMALL,
        aliases=_keras_names("densenet201"),
    ),
    _cifar(
        name="densenet40",
        build=partial(cifar_densenet, "densenet40"),
        parameters=1_019_722,
        macs=264_812_928,
        depth=40,
        differs=_RELU,
    ),
    _cifar(
        name="densenet100",
        build=partial(cifar_densenet, "densenet100"),
        parameters=769_162,
        macs=287_929_692,
        depth=100,
        differs=_RELU,
    ),
)
