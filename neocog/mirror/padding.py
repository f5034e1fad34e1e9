"""Pad and Same: borders around pictures, and what flows back through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from neocog.errors import ShapeError
from neocog.mirror.layers import Array, Layer, Mode, Shape
from neocog.mirror.windows import Window

Border = Literal["zero", "constant", "reflect", "nearest"]
Amounts = list[tuple[int, int]]
"""(before, after) per spatial axis."""


def padded(x: Array, amounts: Amounts, value: float = 0.0) -> Array:
    """(N, C, *sizes) with a border of `value`."""
    return np.pad(x, [(0, 0), (0, 0), *amounts], constant_values=value) if np.any(amounts) else x


def cropped(x: Array, amounts: Amounts) -> Array:
    """The inner part, without the border: the gradient of `padded`, as the border's numbers are fixed."""
    inner: Any = (slice(a, n - b) for n, (a, b) in zip(x.shape[2:], amounts, strict=True))
    return x[(..., *inner)]


class Pad(Layer):
    """A border of `amount` numbers on both ends of each axis: (N, C, *sizes) -> (N, C, *(sizes + 2 amount)).

    zero: 0; constant: `value`; reflect: the picture mirrored at its edge number, which is not repeated;
    nearest: the edge number. The last two copy numbers of the picture, whose gradients then add up.
    """

    def __init__(self, amount: Sequence[int], *, border: Border = "zero", value: float = 0.0) -> None:
        super().__init__()
        self.amount, self.border = tuple(amount), border
        self.value = value if border == "constant" else 0.0

    def amounts(self, sizes: Sequence[int]) -> Amounts:
        """(before, after) per axis for an input of these `sizes`."""
        return [(n, n) for n in self.amount]

    def output_shape(self, shape: Shape) -> Shape:
        amounts = self.amounts(shape[1:])
        if self.border == "reflect" and any(max(a) >= n for a, n in zip(amounts, shape[1:], strict=True)):
            raise ShapeError(
                f"pad: a border of {amounts} cannot mirror {list(shape[1:])} numbers; take a narrower one"
            )
        return (shape[0], *(n + a + b for n, (a, b) in zip(shape[1:], amounts, strict=True)))

    def forward(self, x: Array, mode: Mode) -> Array:
        self.sizes = x.shape[2:]
        if self.border in ("zero", "constant"):
            return padded(x, self.amounts(self.sizes), self.value)
        for axis, source in self._sources():
            x = x.take(source, axis)
        return x

    def backward(self, dy: Array) -> Array:
        """The inner part of dy; where borders copy, plus each copy's gradient where it was copied from."""
        if self.border in ("zero", "constant"):
            return cropped(dy, self.amounts(self.sizes))
        for axis, source in self._sources():
            dy = np.moveaxis(dy, axis, 0)
            dx = np.zeros((self.sizes[axis - 2], *dy.shape[1:]), dy.dtype)
            np.add.at(dx, source, dy)
            dy = np.moveaxis(dx, 0, axis)
        return dy

    def _sources(self) -> list[tuple[int, Array]]:
        """Each axis of x with the index that every number of the padded axis is copied from."""
        mode: Any = "reflect" if self.border == "reflect" else "edge"
        pairs = zip(self.sizes, self.amounts(self.sizes), strict=True)
        return [(2 + i, np.pad(np.arange(n), pair, mode=mode)) for i, (n, pair) in enumerate(pairs)]


class Same(Pad):
    """TensorFlow's `same` for `window`: as much border as gives ceil(n / stride) positions, the odd number at
    the end.
    """

    def __init__(self, window: Window, *, border: Border = "zero", value: float = 0.0) -> None:
        super().__init__((0,) * len(window.kernel), border=border, value=value)
        self.window = window

    def amounts(self, sizes: Sequence[int]) -> Amounts:
        """total = max((ceil(n / s) - 1) s + d (k - 1) + 1 - n, 0), the smaller half before."""
        w, found = self.window, []
        for n, k, s, d in zip(sizes, w.kernel, w.stride, w.dilation, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            found.append((total // 2, total - total // 2))
        return found
