"""Xception: Deep Learning with Depthwise Separable Convolutions, François Chollet, CVPR 2017,
https://arxiv.org/abs/1610.02357, Figure 5; details that the figure leaves open as in the author's Keras code,
whose weights are the published ones.

Differs from the paper: weights begin as He et al. 2015 (the paper does not say; Keras' code draws them after
Glorot), no dropout before the last layer, and pictures down to 7 pixels are accepted where Keras refuses less
than 71. The stem 'small' is not in the paper.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import nn

from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Network, Residual, conv, pooled
from neocog.zoo.borders import Same
from neocog.zoo.sizes import out_shape

# Figure 5, entry flow: two plain convolutions, then modules of two separable ones that halve the size
STEM = (32, 64)
ENTRY_FLOW = {"block2": 128, "block3": 256, "block4": 728}
# Middle flow: three separable convolutions of 728 channels, repeated eight times
MIDDLE_FLOW = {f"block{n}": 728 for n in range(5, 13)}
# Exit flow: one more module that halves the size, then two separable convolutions without a shortcut
EXIT_FLOW = {"block13": (728, 1024)}
LAST = {"block14": (1536, 2048)}
EPS = 1e-3
"""Keras' epsilon of batch normalisation."""


def separable(width: int, out: int) -> nn.Sequential:
    """A 3x3 per channel, then a 1x1 across channels with nothing between them, then batch normalisation
    (section 3.1).
    """
    return nn.Sequential(
        OrderedDict(
            depthwise=nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            pointwise=nn.Conv2d(width, out, 1, bias=False),
            norm=nn.BatchNorm2d(out, eps=EPS),
        )
    )


def halve() -> nn.Sequential:
    """Maximum over 3x3 at stride 2 with TensorFlow's `same` padding.

    The padded pixels count as minus infinity: what comes here has no ReLU behind it, so that zeros could win.
    """
    pad = Same((3, 3), (2, 2), border="constant", value=float("-inf"))
    return nn.Sequential(OrderedDict(pad=pad, max=nn.MaxPool2d(3, 2)))


def module(width: int, outs: tuple[int, ...], *, relu_first: bool = True, halved: bool = False) -> Residual:
    """Separable convolutions, each after a ReLU, around which a shortcut runs; with a 1x1 at stride 2 on it
    where the size halves.

    The first module of all leaves out the first ReLU, because the stem ends in one.
    """
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    before = width
    for n, out in enumerate(outs, start=1):
        if relu_first or n > 1:
            stages[f"relu{n}"] = nn.ReLU()
        stages[f"sepconv{n}"] = separable(before, out)
        before = out
    if not halved:
        return Residual(nn.Sequential(stages), after=nn.Identity())
    stages["pool"] = halve()
    shortcut = conv(width, outs[-1], 1, stride=2, relu=False, eps=EPS)
    return Residual(nn.Sequential(stages), shortcut, after=nn.Identity())


def xception(*, shape: Shape = (3, 299, 299), classes: int = 1000, stem: Stem = "paper") -> Network:
    """Figure 5: block1 to block14, named as in Keras.

    `stem='small'` pads the two plain convolutions and gives them stride 1, for pictures of 28 to 64 pixels.
    Raises `ShapeError` for a picture that is too small.
    """
    stride, edge = (1, 1) if stem == "small" else (2, 0)
    first, width = STEM
    stages: dict[str, nn.Module] = {
        "block1": nn.Sequential(
            OrderedDict(
                conv1=conv(shape[0], first, 3, stride=stride, padding=edge, eps=EPS),
                conv2=conv(first, width, 3, padding=edge, eps=EPS),
            )
        )
    }
    for name, out in ENTRY_FLOW.items():
        stages[name] = module(width, (out, out), relu_first=name != "block2", halved=True)
        width = out
    for name, out in MIDDLE_FLOW.items():
        stages[name] = module(width, (out, out, out))
    for name, outs in EXIT_FLOW.items():
        stages[name] = module(width, outs, halved=True)
        width = outs[-1]
    for name, (one, two) in LAST.items():
        stages[name] = nn.Sequential(
            OrderedDict(
                sepconv1=separable(width, one), relu1=nn.ReLU(), sepconv2=separable(one, two), relu2=nn.ReLU()
            )
        )
        width = two
    out_shape(stages, shape)
    return Network(stages, pooled(width, classes))


_KERAS_NAMES = {
    "block1_conv1_act": "block1.conv1",
    "block1_conv2_act": "block1.conv2",
    **{f"block{n}_pool": f"block{n}.body.pool" for n in (2, 3, 4, 13)},
    **{f"block{n}_sepconv{k}_bn": f"block{n}.body.sepconv{k}" for n in (2, 3, 4, 13) for k in (1, 2)},
    **{f"block{n}_sepconv{k}_bn": f"block{n}.body.sepconv{k}" for n in range(5, 13) for k in (1, 2, 3)},
    **{f"block14_sepconv{k}_bn": f"block14.sepconv{k}" for k in (1, 2)},
    **{f"block14_sepconv{k}_act": f"block14.relu{k}" for k in (1, 2)},
}

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        name="xception",
        title="Xception: Deep Learning with Depthwise Separable Convolutions",
        authors="François Chollet",
        year=2016,
        url="https://arxiv.org/abs/1610.02357",
        build=partial(xception),
        shape=(3, 299, 299),
        classes=1000,
        parameters=22_855_952,
        macs=8_357_403_496,
        smallest=7,
        depth=37,  # the paper's 36 convolutional layers (a separable one counts once) and the dense one
        differs=(
            "weights begin as He et al. 2015 (the paper does not say); no dropout before the last layer; "
            "accepts pictures from 7 pixels where Keras refuses less than 71; stem 'small' (padded, stride "
            "1) is not in the paper"
        ),
        stems=("paper", "small"),
        aliases=_KERAS_NAMES,
    ),
)
