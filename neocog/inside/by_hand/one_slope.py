"""One slope: how fast a loss changes with one weight of a layer, as the sum of what comes back to each place
times what the weight saw there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from neocog.errors import UsageError
from neocog.inside.by_hand.windows import Numbers, border, numbers, slide, window


@dataclass(frozen=True, slots=True)
class Slope:
    """Of the weight at `index` of `module.weight`, `words` for what it is: `back` is what comes back to each
    place (the loss's gradient there), `saw` what the weight was multiplied by; the slope is the sum of their
    products.
    """

    words: str
    index: tuple[int, ...]
    back: Numbers = field(repr=False)
    saw: Numbers = field(repr=False)

    @property
    def result(self) -> float:
        return float((self.back * self.saw).sum())

    @property
    def scale(self) -> float:
        """The sum of the absolute products."""
        return float(np.abs(self.back * self.saw).sum())


def slope(
    module: nn.Module, given: Numbers, back: Numbers, channel: int, at: tuple[int, ...] | None
) -> Slope:
    """The slope of one weight of `channel` of what `module` puts out, for the input `given` (C, *sizes) and
    the gradient `back` of the loss with respect to the output.

    `at` is the place in the kernel of a convolution (the middle without one), with the input channel before
    it, counted within its group, where that is not to be 0; of a dense layer the number of the input (the
    strongest without one). Batch normalisation has one weight a channel. `UsageError` for other layers.
    """
    if isinstance(module, _ConvNd):
        index = _of_kernel(module, channel, at)
        return (_of_transposed if module.transposed else _of_convolution)(module, given, back, channel, index)
    if isinstance(module, nn.Linear) and given.ndim == 1:
        number = int(np.abs(given).argmax()) if at is None else at[0]
        if at is not None and (len(at) != 1 or not 0 <= number < len(given)):
            raise UsageError(f"this dense layer has inputs 0 to {len(given) - 1}; give one as --at")
        words = f"channel {channel}, input {number}"
        return Slope(words, (channel, number), back[channel : channel + 1], given[number : number + 1])
    if isinstance(module, _BatchNorm) and module.affine:
        if at is not None:
            raise UsageError("batch normalisation has one weight for each channel; leave --at out")
        mean, var = numbers(module.running_mean)[channel], numbers(module.running_var)[channel]
        saw = (given[channel] - mean) / np.sqrt(var + module.eps)
        return Slope(f"channel {channel}", (channel,), np.ravel(back[channel]), np.ravel(saw))
    raise UsageError(
        f"a step of learning is worked out for convolutions, dense layers and batch normalisations; "
        f"this is a {type(module).__name__}"
    )


def _of_kernel(module: Any, channel: int, at: tuple[int, ...] | None) -> tuple[int, ...]:
    """(input channel of its group, *place in the kernel)."""
    sizes = module.kernel_size
    inner = module.in_channels // module.groups
    index = tuple(k // 2 for k in sizes) if at is None else at
    index = index if len(index) == len(sizes) + 1 else (0, *index)
    if len(index) != len(sizes) + 1 or any(not 0 <= n < m for n, m in zip(index, (inner, *sizes))):
        most = ",".join(str(k - 1) for k in sizes)
        raise UsageError(
            f"--at says where in the kernel, up to {most}, with the input channel before it, "
            f"up to {inner - 1}: give for example {','.join(['0'] * (len(sizes) + 1))}"
        )
    return index


def _said(channel: int, index: tuple[int, ...]) -> str:
    return f"channel {channel}, input channel {index[0]}, at {','.join(map(str, index[1:]))}"


def _of_convolution(
    module: Any, given: Numbers, back: Numbers, channel: int, index: tuple[int, ...]
) -> Slope:
    """At every place of the output the weight saw the pixel below its place in the kernel."""
    inner = module.in_channels // module.groups
    plane = given[channel // (module.out_channels // module.groups) * inner + index[0]]
    saw = np.zeros(back.shape[1:])
    for place in np.ndindex(*saw.shape):
        pixel = [
            window(module, size, n, axis)[tap]
            for axis, (size, n, tap) in enumerate(zip(plane.shape, place, index[1:], strict=True))
        ]
        saw[place] = 0.0 if None in pixel else plane[tuple(pixel)]
    return Slope(_said(channel, index), (channel, *index), back[channel].ravel(), saw.ravel())


def _of_transposed(module: Any, given: Numbers, back: Numbers, channel: int, index: tuple[int, ...]) -> Slope:
    """Every place of the input was brought, times the weight, to one place of the output."""
    each, inner = module.out_channels // module.groups, module.in_channels // module.groups
    number = channel // each * inner + index[0]
    plane = given[number]
    came = np.zeros(plane.shape)
    for place in np.ndindex(*plane.shape):
        to = []
        for axis, (n, tap) in enumerate(zip(place, index[1:], strict=True)):
            _, stride, dilation = slide(module, axis)
            to.append(n * stride - border(module, plane.shape[axis], axis) + tap * dilation)
        if all(0 <= n < size for n, size in zip(to, back.shape[1:])):
            came[place] = back[(channel, *to)]
    return Slope(_said(channel, index), (number, channel % each, *index[1:]), came.ravel(), plane.ravel())
