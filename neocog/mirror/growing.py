"""Growing: layers that make maps larger, or maps of a flat input, for the second half of autoencoders."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import numpy as np

from neocog.errors import ShapeError
from neocog.mirror.layers import Array, Layer, Mode, Shape, per_channel
from neocog.mirror.padding import Amounts, cropped, padded
from neocog.mirror.windows import Window


class Unflatten(Layer):
    """(N, C * sizes) -> (N, C, *sizes): the numbers fill the first channel row by row, then the next."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def output_shape(self, shape: Shape) -> Shape:
        if shape != (prod(self.shape),):
            raise ShapeError(f"unflatten: {list(shape)} numbers cannot be laid out as {list(self.shape)}")
        return self.shape

    def forward(self, x: Array, mode: Mode) -> Array:
        return x.reshape(len(x), *self.shape)

    def backward(self, dy: Array) -> Array:
        return dy.reshape(len(dy), -1)


class Upsample(Layer):
    """Every side `factor` times as long: (N, C, *sizes) -> (N, C, *(factor sizes)).

    Along each axis y = A x with A (factor n, n). nearest: row i holds 1 at floor(i / factor). linear: pixel i
    lies at (i + 1/2) / factor - 1/2 of the old pixels, at most at their ends, and is mixed from both
    neighbours.
    """

    def __init__(self, factor: int, how: Literal["nearest", "linear"]) -> None:
        super().__init__()
        self.factor, self.how = factor, how

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *(n * self.factor for n in shape[1:]))

    def forward(self, x: Array, mode: Mode) -> Array:
        self.sizes = x.shape[2:]
        for axis, n in enumerate(self.sizes, 2):
            x = _along(axis, self._matrix(n, x.dtype), x)
        return x

    def backward(self, dy: Array) -> Array:
        """dx = A^T dy along each axis."""
        for axis, n in enumerate(self.sizes, 2):
            dy = _along(axis, self._matrix(n, dy.dtype).T, dy)
        return dy

    def _matrix(self, n: int, dtype: np.dtype[Any]) -> Array:
        new = np.arange(n * self.factor)
        if self.how == "nearest":
            return np.eye(n, dtype=dtype)[new // self.factor]
        place = ((new + 0.5) / self.factor - 0.5).clip(0, n - 1)
        left = np.floor(place).astype(int)
        share = (place - left)[:, None].astype(dtype)
        rows = np.eye(n, dtype=dtype)
        return np.asarray((1 - share) * rows[left] + share * rows[np.minimum(left + 1, n - 1)])


def _along(axis: int, matrix: Array, x: Array) -> Array:
    return np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)


class TransposedConv(Layer):
    """Each number puts F kernels down, `window.stride` apart, and what overlaps is added up; of the result
    `cut` is taken off at both ends: (N, C, *sizes) -> (N, F, *((n - 1) stride + kernel - cut)).

    W is (C, F, *kernel), b (F,). It is the way back of `Conv` with the same window, used as the way forward.
    """

    def __init__(self, channels: int, filters: int, window: Window, *, cut: Amounts, bias: bool) -> None:
        super().__init__()
        self.window, self.cut = window, cut
        self.parameters["weight"] = np.zeros((channels, filters, *window.kernel))
        if bias:
            self.parameters["bias"] = np.zeros(filters)

    def output_shape(self, shape: Shape) -> Shape:
        whole = zip(self._whole(shape[1:]), self.cut, strict=True)
        return (self.parameters["weight"].shape[1], *(n - a - b for n, (a, b) in whole))

    def _whole(self, sizes: Shape) -> Shape:
        axes = zip(sizes, self.window.kernel, self.window.stride, strict=True)
        return tuple((n - 1) * s + k for n, k, s in axes)

    def _matrix(self) -> Array:
        """W as (C, F K)."""
        weight = self.parameters["weight"]
        return weight.reshape(len(weight), -1)

    def forward(self, x: Array, mode: Mode) -> Array:
        """Columns W^T x, as (F K, P) for P places, each put where its kernel lies."""
        sizes = x.shape[2:]
        self.x = x.reshape(*x.shape[:2], -1)
        filters = self.parameters["weight"].shape[1]
        patches = (self._matrix().T @ self.x).reshape(len(x), filters, self.window.area, *sizes)
        y = cropped(self.window.scattered(patches, self._whole(sizes)), self.cut)
        return np.asarray(y + per_channel(self.parameters["bias"], y) if "bias" in self.parameters else y)

    def backward(self, dy: Array) -> Array:
        """dx = W columns, dW = sum over pictures of x columns^T, where the columns are the patches of dy."""
        if "bias" in self.parameters:
            self.gradients["bias"] = dy.sum((0, *range(2, dy.ndim)))
        patches = self.window.patches(padded(dy, self.cut))
        sizes, weight = patches.shape[3:], self.parameters["weight"]
        columns = patches.reshape(len(dy), -1, prod(sizes))
        self.gradients["weight"] = (self.x @ columns.swapaxes(1, 2)).sum(axis=0).reshape(weight.shape)
        return np.asarray((self._matrix() @ columns).reshape(len(dy), len(weight), *sizes))
