"""Windows: which places of its input a convolution or pooling looks at, for one place of its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from neocog.zoo.borders import SameAveragePool

Numbers = npt.NDArray[np.float64]
ADAPTIVE = (
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip


def window(module: Any, size: int, place: int, axis: int) -> list[int | None]:
    """The places along `axis`, of `size` places, that the window of `module` covers at `place` of its output;
    None for a padded place that holds nothing.
    """
    if isinstance(module, ADAPTIVE):
        out = _along(module.output_size, axis) or size
        return [*range(place * size // out, -(-(place + 1) * size // out))]
    mode = getattr(module, "padding_mode", "zeros")
    return [inside(n, size, mode) for n in covered(module, size, place, axis)]


def covered(module: Any, size: int, place: int, axis: int) -> list[int]:
    """The same with places in the padding: below zero, and from `size` on."""
    kernel, stride, dilation = slide(module, axis)
    before = border(module, size, axis)
    return [place * stride - before + tap * dilation for tap in range(kernel)]


def border(module: Any, size: int, axis: int) -> int:
    """Padded places before the first, along an axis of `size` places."""
    if isinstance(module, SameAveragePool):
        return module.same.amounts([size] * len(module.kernel_size))[axis][0]
    kernel, _, dilation = slide(module, axis)
    given = getattr(module, "padding", 0)
    if given == "same":
        return dilation * (kernel - 1) // 2
    return 0 if given == "valid" else _along(given, axis)


def slide(module: Any, axis: int) -> tuple[int, int, int]:
    """The window's size, step and spacing along an axis."""
    size = _along(module.kernel_size, axis)
    step = _along(module.stride, axis) if module.stride is not None else size
    return size, step, _along(getattr(module, "dilation", 1), axis)


def inside(n: int, size: int, mode: str) -> int | None:
    """Which place the padded place `n` repeats, by torch's name of the border; None where there is none."""
    if 0 <= n < size:
        return n
    if mode == "reflect":
        return -n if n < 0 else 2 * (size - 1) - n
    if mode in ("replicate", "nearest"):
        return 0 if n < 0 else size - 1
    return n % size if mode == "circular" else None


def seen(module: Any, planes: Numbers, at: tuple[int, ...], empty: float) -> Numbers:
    """What the window of `module` covers of `planes` (C, *sizes): (C, *kernel); `empty` where it holds
    nothing.
    """
    axes = [window(module, size, place, axis) for axis, (size, place) in enumerate(zip(planes.shape[1:], at))]
    found = np.full((len(planes), *(len(axis) for axis in axes)), empty)
    for tap in np.ndindex(*found.shape[1:]):
        place = [axis[n] for axis, n in zip(axes, tap, strict=True)]
        if None not in place:
            found[(slice(None), *tap)] = planes[(slice(None), *place)]
    return found


def came_from(module: Any, size: int, place: int, axis: int) -> list[int | None]:
    """For a transposed convolution, tap by tap: the place along `axis` of its input, of `size`, that the tap
    brings to `place` of its output; None where it brings none.
    """
    kernel, stride, dilation = slide(module, axis)
    starts = [place + border(module, size, axis) - tap * dilation for tap in range(kernel)]
    return [n // stride if n % stride == 0 and 0 <= n // stride < size else None for n in starts]


def output_size(module: Any, size: int, axis: int) -> int:
    """How many places a convolution, or a transposed one, makes of `size` places."""
    kernel, stride, dilation = slide(module, axis)
    reach = dilation * (kernel - 1)
    if module.transposed:
        more = _along(module.output_padding, axis)
        return (size - 1) * stride - 2 * border(module, size, axis) + reach + 1 + more
    if module.padding == "same":
        return size
    return (size + 2 * border(module, size, axis) - reach - 1) // stride + 1


def numbers(tensor: Any) -> Numbers:
    """A tensor in float64."""
    return np.asarray(tensor.detach().cpu(), dtype=np.float64)


def _along(value: Any, axis: int) -> int:
    return int((value[axis] or 0) if isinstance(value, Sequence) else (value or 0))
