"""The kinds of the layer list that networks are made of: convolutions, pools, dense layers, and what stands
between them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from neocog.axes import per_axis
from neocog.errors import ShapeError
from neocog.zoo.architectures import Shape
from neocog.zoo.blocks import GlobalPool
from neocog.zoo.borders import Border, L2Pool, Pad, Same, SameAveragePool
from neocog.zoo.layers.layer import Layer, Named, activated, penalised, spatial

Activation = Literal["none", "relu", "sigmoid", "tanh", "softmax"]
WIDEST, LONGEST = 2**20, 2**16
"""Filters or units of one layer, and pixels of one window or border, at most."""
Side = Annotated[int, Field(ge=1, le=LONGEST)]
Edge = Annotated[int, Field(ge=0, le=LONGEST)]
Level = Annotated[float, Field(ge=-1e6, le=1e6)]
Pull = Annotated[float, Field(ge=0, le=1e6)]
Sizes = Side | tuple[Side, ...]
Padding = Literal["valid", "same"] | Edge | tuple[Edge, ...]

# By number of axes. torch types each with its own tuple lengths; what is common to them is what is used here.
CONV: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
MAX_POOL: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE_POOL: tuple[Any, ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
BATCH_NORM: tuple[Any, ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Conv(Layer):
    """Cross-correlation with `filters` kernels, a bias each. `same` is TensorFlow's; `border` says what
    padding holds; `l1` and `l2` penalise the kernels, see `Penalty`.
    """

    kind: Literal["conv"] = "conv"
    filters: int = Field(ge=1, le=WIDEST)
    kernel: Sizes
    stride: Sizes = 1
    padding: Padding = "valid"
    dilation: Sizes = 1
    groups: int = Field(default=1, ge=1)
    bias: bool = True
    border: Border = "zero"
    value: Level = 0.0
    l1: Pull = 0.0
    l2: Pull = 0.0
    activation: Activation = "none"

    def modules(self, shape: Shape, classes: int) -> Named:
        """A padding where the convolution cannot pad for itself, the convolution, the activation."""
        axes = spatial(shape)
        kernel, stride, dilation = (per_axis(v, axes) for v in (self.kernel, self.stride, self.dilation))
        amount = (0,) * axes
        if self.padding == "same":
            # Where the padding is even on both sides whatever the input, the convolution pads for itself:
            # that is faster.
            if (
                set(stride) == {1}
                and all(d * (k - 1) % 2 == 0 for k, d in zip(kernel, dilation))
                and self.border == "zero"
            ):
                amount = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation))
            else:
                yield "pad", Same(kernel, stride, dilation=dilation, border=self.border, value=self.value)
        elif self.padding != "valid":
            amount = per_axis(self.padding, axes)
            if self.border != "zero" and any(amount):
                yield "pad", Pad(amount, border=self.border, value=self.value)
                amount = (0,) * axes
        if shape[0] % self.groups or self.filters % self.groups:
            raise ShapeError(
                f"its {self.groups} groups must divide the {shape[0]} channels of its input and its "
                f"{self.filters} filters (in_channels must be divisible by groups)"
            )
        made = CONV[axes - 1](
            shape[0], self.filters, kernel, stride, amount, dilation, groups=self.groups, bias=self.bias
        )
        yield "conv", penalised(made, l1=self.l1, l2=self.l2)
        yield from activated(self.activation)


class Pool(Layer):
    """Maximum, mean, or root of the sum of squares over windows of `size`, every `stride` pixels (default:
    `size`).
    """

    kind: Literal["maxpool", "avgpool", "l2pool"]
    size: Sizes = 2
    stride: Sizes | None = None
    padding: Padding = "valid"

    def modules(self, shape: Shape, classes: int) -> Named:
        """A padding where the pool cannot pad for itself, and the pool."""
        axes = spatial(shape)
        size = per_axis(self.size, axes)
        stride = per_axis(self.stride, axes) if self.stride is not None else size
        same = self.padding == "same"
        amount = per_axis(self.padding, axes) if not isinstance(self.padding, str) else (0,) * axes
        if self.kind == "avgpool":
            yield (
                "pool",
                SameAveragePool(size, stride) if same else AVERAGE_POOL[axes - 1](size, stride, amount),
            )
            return
        if same:  # padded pixels must never be the maximum
            lowest = float("-inf") if self.kind == "maxpool" else 0.0
            yield "pad", Same(size, stride, border="constant", value=lowest)
        if self.kind == "maxpool":
            yield "pool", MAX_POOL[axes - 1](size, stride, amount)
        else:
            if any(amount):
                yield "pad", Pad(amount)
            yield "pool", L2Pool(size, stride)


class GlobalPooling(Layer):
    """The mean or maximum of each channel over all positions."""

    kind: Literal["globalpool"] = "globalpool"
    how: Literal["average", "max"] = "average"

    def modules(self, shape: Shape, classes: int) -> Named:
        spatial(shape)
        yield "globalpool", GlobalPool(self.how)


class Dense(Layer):
    """A fully connected layer of `units`, a number or "classes"; its input must be flat. `l1` and `l2`
    penalise its weights, see `Penalty`.
    """

    kind: Literal["dense"] = "dense"
    units: Annotated[int, Field(ge=1, le=WIDEST)] | Literal["classes"]
    bias: bool = True
    l1: Pull = 0.0
    l2: Pull = 0.0
    activation: Activation = "none"

    def modules(self, shape: Shape, classes: int) -> Named:
        if len(shape) > 1:
            yield "flatten", nn.Flatten()
        units = classes if self.units == "classes" else self.units
        width = 1
        for n in shape:
            width *= n
        yield "dense", penalised(nn.Linear(width, units, bias=self.bias), l1=self.l1, l2=self.l2)
        yield from activated(self.activation)


class Flatten(Layer):
    """(C, *sizes) -> one vector."""

    kind: Literal["flatten"] = "flatten"

    def modules(self, shape: Shape, classes: int) -> Named:
        yield "flatten", nn.Flatten()


class Dropout(Layer):
    """Sets a share `rate` of the values to zero while training and scales the rest up."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(ge=0, lt=1)

    def modules(self, shape: Shape, classes: int) -> Named:
        yield "dropout", nn.Dropout(self.rate)


class BatchNorm(Layer):
    """Batch normalisation per channel (Ioffe & Szegedy 2015). `momentum` is Keras': 0.99 keeps 99 % of the
    running mean.
    """

    kind: Literal["batchnorm"] = "batchnorm"
    momentum: float = Field(default=0.99, ge=0, le=1)
    eps: float = Field(default=1e-3, gt=0)

    def modules(self, shape: Shape, classes: int) -> Named:
        axes = max(len(shape) - 1, 1)
        yield "norm", BATCH_NORM[axes - 1](shape[0], eps=self.eps, momentum=1 - self.momentum)


class Activate(Layer):
    """An activation as a layer of its own."""

    kind: Literal["relu", "sigmoid", "tanh", "softmax"]

    def modules(self, shape: Shape, classes: int) -> Named:
        yield from activated(self.kind)


class Padded(Layer):
    """A border of `amount` pixels on every side."""

    kind: Literal["pad"] = "pad"
    amount: Edge | tuple[Edge, ...]
    border: Border = "zero"
    value: Level = 0.0

    def modules(self, shape: Shape, classes: int) -> Named:
        yield "pad", Pad(per_axis(self.amount, spatial(shape)), border=self.border, value=self.value)
