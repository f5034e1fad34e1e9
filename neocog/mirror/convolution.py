"""Conv: convolution as one matrix product per picture (im2col)."""

from __future__ import annotations

from math import prod

import numpy as np

from neocog.errors import UsageError
from neocog.mirror.layers import Array, Layer, Mode, Shape, per_channel
from neocog.mirror.padding import cropped, padded
from neocog.mirror.windows import Window


class Conv(Layer):
    """y[f, p] = b[f] + sum over c, k of W[f, c, k] x[c, place k of the window at p]: (N, C, *sizes) ->
    (N, F, *positions).

    W is (F, C / groups, *kernel), b (F,); `padding` zeros on both ends of each axis. With G groups, group g
    of the filters sees group g of the channels alone. As in every library the kernel is not flipped, which
    mathematics calls cross-correlation.
    """

    def __init__(
        self,
        channels: int,
        filters: int,
        window: Window,
        *,
        padding: Shape,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if channels % groups or filters % groups:
            raise UsageError(f"conv: {groups} groups must divide {channels} channels and {filters} filters")
        self.window, self.groups = window, groups
        self.amounts = [(n, n) for n in padding]
        self.parameters["weight"] = np.zeros((filters, channels // groups, *window.kernel))
        if bias:
            self.parameters["bias"] = np.zeros(filters)

    def output_shape(self, shape: Shape) -> Shape:
        sizes = [n + a + b for n, (a, b) in zip(shape[1:], self.amounts, strict=True)]
        return (len(self.parameters["weight"]), *self.window.positions(sizes))

    def forward(self, x: Array, mode: Mode) -> Array:
        """Each picture's patches as columns, (C K, P) with P positions; then y = W columns, W as (F, C K)."""
        x = padded(x, self.amounts)
        self.sizes, out = x.shape[2:], self.window.positions(x.shape[2:])
        rows = x.shape[1] // self.groups * self.window.area
        self.columns = self.window.patches(x).reshape(len(x), self.groups, rows, prod(out))
        y = (self._matrix() @ self.columns).reshape(len(x), -1, *out)
        return np.asarray(y + per_channel(self.parameters["bias"], y) if "bias" in self.parameters else y)

    def _matrix(self) -> Array:
        """W as (G, F / G, C / G K)."""
        weight = self.parameters["weight"]
        return weight.reshape(self.groups, len(weight) // self.groups, -1)

    def backward(self, dy: Array) -> Array:
        """dW = sum over pictures of dy columns^T, db = sum of dy, dx = W^T dy, put back where the
        columns came from.
        """
        if "bias" in self.parameters:
            self.gradients["bias"] = dy.sum((0, *range(2, dy.ndim)))
        n, out = len(dy), dy.shape[2:]
        dy = dy.reshape(n, self.groups, -1, prod(out))
        weight = self.parameters["weight"]
        summed = (dy @ self.columns.swapaxes(2, 3)).sum(axis=0).reshape(weight.shape)
        self.gradients["weight"] = summed + self.pull()
        columns = self._matrix().swapaxes(1, 2) @ dy
        patches = columns.reshape(n, weight.shape[1] * self.groups, self.window.area, *out)
        return cropped(self.window.scattered(patches, self.sizes), self.amounts)
