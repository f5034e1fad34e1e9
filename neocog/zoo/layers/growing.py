"""Layers that make maps larger, or maps of a flat input: the second half of autoencoders; kinds of the layer
list.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from torch import nn

from neocog.errors import ShapeError
from neocog.zoo.architectures import Shape
from neocog.zoo.layers.layer import Layer, Named, activated, spatial

MOST = 2**20
"""Pixels a side, channels and filters, at most."""
Count = Annotated[int, Field(ge=1, le=MOST)]
Reach = Annotated[int, Field(ge=1, le=64)]
TRANSPOSED: tuple[Any, ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LINEAR = ("linear", "bilinear", "trilinear")
"""By number of axes."""


class Unflatten(Layer):
    """A vector as a picture of `sizes`, the channels last: [7, 7, 64]. The numbers run through the first
    channel row by row, then through the next.
    """

    kind: Literal["unflatten"] = "unflatten"
    sizes: tuple[Count, ...] = Field(min_length=2, max_length=4)

    def modules(self, shape: Shape, classes: int) -> Named:
        """A flatten where the input is not flat, and the change of form."""
        if len(shape) > 1:
            yield "flatten", nn.Flatten()
        *sides, channels = self.sizes
        yield "unflatten", nn.Unflatten(1, (channels, *sides))


class Upsample(Layer):
    """Every side `factor` times as long: pixels repeated ('nearest'), or those between mixed ('linear')."""

    kind: Literal["upsample"] = "upsample"
    factor: Reach = 2
    how: Literal["nearest", "linear"] = "nearest"

    def modules(self, shape: Shape, classes: int) -> Named:
        axes = spatial(shape)
        mode = "nearest" if self.how == "nearest" else LINEAR[axes - 1]
        yield "upsample", nn.Upsample(scale_factor=self.factor, mode=mode)


class TransposedConv(Layer):
    """Transposed convolution: every pixel puts `filters` kernels of `kernel` pixels a side down, `stride`
    pixels apart, and what overlaps is added up. `valid` gives (n - 1) stride + kernel pixels a side; `same`
    gives n stride. Where kernel - stride is odd, `same` cuts the larger half off at the beginning, as torch
    does; Keras cuts it off at the end.

    Zeiler, Krishnan, Taylor, Fergus, 'Deconvolutional networks', CVPR 2010.
    """

    kind: Literal["transposed-conv"] = "transposed-conv"
    filters: Count
    kernel: Reach
    stride: Reach = 1
    padding: Literal["valid", "same"] = "valid"
    bias: bool = True
    activation: Literal["none", "relu", "sigmoid", "tanh"] = "none"

    def modules(self, shape: Shape, classes: int) -> Named:
        """The layer and its activation."""
        axes, border, more = spatial(shape), 0, 0
        if self.padding == "same":
            over = self.kernel - self.stride
            if over < 0 or (over % 2 and self.stride == 1):
                needed = f"{self.stride} or more" if over < 0 else "an odd number of"
                raise ShapeError(
                    f"no padding 'same' for a kernel of {self.kernel} at a stride of "
                    f"{self.stride}; give a kernel of {needed} pixels, or 'valid'"
                )
            border, more = (over + 1) // 2, over % 2
        layer = TRANSPOSED[axes - 1](
            shape[0], self.filters, self.kernel, self.stride, border, more, bias=self.bias
        )
        yield "transposed", layer
        yield from activated(self.activation)
