"""The kinds of layer of the layer list, each as the steps of the mirror that it is made of.

A function of `KINDS` has the kind's fields as its keywords, with the layer list's defaults, and yields
(word, layer); the word becomes the stage's name. Fields mean what docs/json.md says. Their values are taken
for valid: `zoo.layer_list.parse` is the one that refuses, and writes documents that need no check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from neocog.axes import per_axis
from neocog.errors import ShapeError
from neocog.mirror.convolution import Conv
from neocog.mirror.growing import TransposedConv, Unflatten, Upsample
from neocog.mirror.layers import ACTIVATIONS, BatchNorm, Dense, Dropout, Flatten, Layer, Shape
from neocog.mirror.padding import Border, Pad, Same
from neocog.mirror.pooling import AveragePool, GlobalPool, L2Pool, MaxPool, SameAveragePool
from neocog.mirror.windows import Window

Sizes = int | Sequence[int]
Steps = Iterator[tuple[str, Layer]]


@dataclass(frozen=True, slots=True)
class Site:
    """Where a layer is put: the shape of its input, the classes of the data, the draws of dropout."""

    shape: Shape
    classes: int
    generator: np.random.Generator

    def axes(self, kind: str) -> int:
        """The number of spatial axes, 1 to 3; `ShapeError` where the input is flat."""
        if not 2 <= len(self.shape) <= 4:
            raise ShapeError(
                f"{kind} needs a picture (channels, one to three sizes), but its input is "
                f"{list(self.shape)}; put it before the flatten or dense layer"
            )
        return len(self.shape) - 1


def conv(
    site: Site,
    *,
    filters: int,
    kernel: Sizes,
    stride: Sizes = 1,
    padding: Literal["valid", "same"] | Sizes = "valid",
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    border: Border = "zero",
    value: float = 0.0,
    l1: float = 0.0,
    l2: float = 0.0,
    activation: str = "none",
) -> Steps:
    """A border, unless it is zeros, as many on both ends: those the convolution adds for itself. Then the
    convolution and its activation.
    """
    axes = site.axes("conv")
    window = Window(*(per_axis(v, axes) for v in (kernel, stride, dilation)))
    amount = (0,) * axes
    if padding == "same":
        reach = [d * (k - 1) for k, d in zip(window.kernel, window.dilation, strict=True)]
        if set(window.stride) == {1} and border == "zero" and all(n % 2 == 0 for n in reach):
            amount = tuple(n // 2 for n in reach)
        else:
            yield "pad", Same(window, border=border, value=value)
    elif padding != "valid":
        amount = per_axis(padding, axes)
        if border != "zero" and any(amount):
            yield "pad", Pad(amount, border=border, value=value)
            amount = (0,) * axes
    made = Conv(site.shape[0], filters, window, padding=amount, groups=groups, bias=bias)
    made.l1, made.l2 = l1, l2
    yield "conv", made
    yield from _activated(activation)


def maxpool(
    site: Site, *, size: Sizes = 2, stride: Sizes | None = None, padding: str | Sizes = "valid"
) -> Steps:
    """A border that is never the maximum, where it is `same`, and the pool."""
    window, amount = _pool("maxpool", site, size, stride, padding)
    if padding == "same":
        yield "pad", Same(window, border="constant", value=-np.inf)
    yield "pool", MaxPool(window, padding=amount)


def avgpool(
    site: Site, *, size: Sizes = 2, stride: Sizes | None = None, padding: str | Sizes = "valid"
) -> Steps:
    """One pool: `same` does not count its border, a border in numbers counts."""
    window, amount = _pool("avgpool", site, size, stride, padding)
    yield "pool", SameAveragePool(window) if padding == "same" else AveragePool(window, padding=amount)


def l2pool(
    site: Site, *, size: Sizes = 2, stride: Sizes | None = None, padding: str | Sizes = "valid"
) -> Steps:
    """A border of zeros, where there is one, and the pool."""
    window, amount = _pool("l2pool", site, size, stride, padding)
    if padding == "same":
        yield "pad", Same(window)
    elif any(amount):
        yield "pad", Pad(amount)
    yield "pool", L2Pool(window, padding=(0,) * len(amount))


def _pool(
    kind: str, site: Site, size: Sizes, stride: Sizes | None, padding: str | Sizes
) -> tuple[Window, Shape]:
    """The window, moved by its size unless `stride` says otherwise, and the padding in numbers."""
    axes = site.axes(kind)
    kernel = per_axis(size, axes)
    moved = kernel if stride is None else per_axis(stride, axes)
    amount = (0,) * axes if isinstance(padding, str) else per_axis(padding, axes)
    return Window(kernel, moved, (1,) * axes), amount


def globalpool(site: Site, *, how: Literal["average", "max"] = "average") -> Steps:
    site.axes("globalpool")
    yield "globalpool", GlobalPool(how)


def dense(
    site: Site,
    *,
    units: int | Literal["classes"],
    bias: bool = True,
    l1: float = 0.0,
    l2: float = 0.0,
    activation: str = "none",
) -> Steps:
    """A flatten where the input is not flat, the dense layer, its activation."""
    if len(site.shape) > 1:
        yield "flatten", Flatten()
    width = int(np.prod(site.shape))
    made = Dense(width, site.classes if units == "classes" else units, bias=bias)
    made.l1, made.l2 = l1, l2
    yield "dense", made
    yield from _activated(activation)


def flatten(site: Site) -> Steps:
    yield "flatten", Flatten()


def dropout(site: Site, *, rate: float) -> Steps:
    yield "dropout", Dropout(rate, site.generator)


def batchnorm(site: Site, *, momentum: float = 0.99, eps: float = 1e-3) -> Steps:
    yield "norm", BatchNorm(site.shape[0], momentum=momentum, eps=eps)


def pad(site: Site, *, amount: Sizes, border: Border = "zero", value: float = 0.0) -> Steps:
    yield "pad", Pad(per_axis(amount, site.axes("pad")), border=border, value=value)


def unflatten(site: Site, *, sizes: Sequence[int]) -> Steps:
    """A flatten where the input is not flat, and the change of form."""
    if len(site.shape) > 1:
        yield "flatten", Flatten()
    *sides, channels = sizes
    yield "unflatten", Unflatten((channels, *sides))


def upsample(site: Site, *, factor: int = 2, how: Literal["nearest", "linear"] = "nearest") -> Steps:
    site.axes("upsample")
    yield "upsample", Upsample(factor, how)


def transposed_conv(
    site: Site,
    *,
    filters: int,
    kernel: int,
    stride: int = 1,
    padding: Literal["valid", "same"] = "valid",
    bias: bool = True,
    activation: str = "none",
) -> Steps:
    """The layer, of which `same` cuts kernel - stride off, the larger half at the beginning; its
    activation.
    """
    axes = site.axes("transposed-conv")
    over = kernel - stride if padding == "same" else 0
    window = Window((kernel,) * axes, (stride,) * axes, (1,) * axes)
    cut = [((over + 1) // 2, over // 2)] * axes
    yield "transposed", TransposedConv(site.shape[0], filters, window, cut=cut, bias=bias)
    yield from _activated(activation)


def relu(site: Site) -> Steps:
    return _activated("relu")


def sigmoid(site: Site) -> Steps:
    return _activated("sigmoid")


def tanh(site: Site) -> Steps:
    return _activated("tanh")


def softmax(site: Site) -> Steps:
    return _activated("softmax")


def _activated(word: str) -> Steps:
    if word != "none":
        yield word, ACTIVATIONS[word]()


KINDS: dict[str, Callable[..., Steps]] = {
    "conv": conv, "maxpool": maxpool, "avgpool": avgpool, "l2pool": l2pool, "globalpool": globalpool,
    "dense": dense, "flatten": flatten, "dropout": dropout, "batchnorm": batchnorm, "pad": pad,
    "unflatten": unflatten, "upsample": upsample, "transposed-conv": transposed_conv,
    "relu": relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax,
}  # fmt: skip
