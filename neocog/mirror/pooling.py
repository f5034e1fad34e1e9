"""Pooling: one number for each window of each channel (the largest, the mean, the root of the sum of
squares), or for all of a channel.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from neocog.errors import ShapeError
from neocog.mirror.layers import Array, Layer, Mode, Shape
from neocog.mirror.padding import Same, cropped, padded
from neocog.mirror.windows import Window


class Pool(Layer):
    """(N, C, *sizes) -> (N, C, *positions), with `padding` numbers on both ends of each axis."""

    border = 0.0
    """What the padding holds."""

    def __init__(self, window: Window, *, padding: Shape) -> None:
        super().__init__()
        if any(2 * n > k for n, k in zip(padding, window.kernel, strict=True)):
            raise ShapeError(
                f"pool: padding {list(padding)} is more than half of the window {list(window.kernel)}, "
                "so that a window could lie in it altogether; take less"
            )
        self.window, self.amounts = window, [(n, n) for n in padding]

    def output_shape(self, shape: Shape) -> Shape:
        sizes = [n + a + b for n, (a, b) in zip(shape[1:], self.amounts, strict=True)]
        return (shape[0], *self.window.positions(sizes))

    def seen(self, x: Array) -> Array:
        """The patches of padded x, (N, C, K, *positions)."""
        x = padded(x, self.amounts, self.border)
        self.sizes = x.shape[2:]
        return self.window.patches(x)

    def back(self, patches: Array) -> Array:
        """dx for the gradients of what was seen."""
        return cropped(self.window.scattered(patches, self.sizes), self.amounts)


class MaxPool(Pool):
    """y = the largest number in the window; its place gets all of dy, the first where several are equal."""

    border = -np.inf

    def forward(self, x: Array, mode: Mode) -> Array:
        patches = self.seen(x)
        self.winner = patches.argmax(axis=2)
        return np.take_along_axis(patches, self.winner[:, :, None], axis=2)[:, :, 0]

    def backward(self, dy: Array) -> Array:
        places = np.arange(self.window.area).reshape(-1, *(1,) * (dy.ndim - 2))
        return self.back((self.winner[:, :, None] == places) * dy[:, :, None])


class AveragePool(Pool):
    """y = sum of the window / K, padding counted; each of the K numbers gets dy / K."""

    def forward(self, x: Array, mode: Mode) -> Array:
        return np.asarray(self.seen(x).mean(axis=2))

    def backward(self, dy: Array) -> Array:
        share = dy / self.window.area
        return self.back(np.repeat(share[:, :, None], self.window.area, axis=2))


class SameAveragePool(Layer):
    """The mean under `same` padding, which counts neither in the sum nor in the number."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window, self.same = window, Same(window)

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], *self.window.positions(self.same.output_shape(shape)[1:]))

    def forward(self, x: Array, mode: Mode) -> Array:
        """y = sum of the window / how many of its K places lie in the picture."""
        self.count = self.window.patches(self.same.forward(np.ones_like(x[:1, :1]), mode)).sum(axis=2)
        x = self.same.forward(x, mode)
        self.sizes = x.shape[2:]
        return np.asarray(self.window.patches(x).sum(axis=2) / self.count)

    def backward(self, dy: Array) -> Array:
        share = np.repeat((dy / self.count)[:, :, None], self.window.area, axis=2)
        return self.same.backward(self.window.scattered(share, self.sizes))


class L2Pool(Pool):
    """y = sqrt(sum of x^2 in the window + 1e-12), whose derivative x / y is finite at 0 too."""

    def forward(self, x: Array, mode: Mode) -> Array:
        self.patches = self.seen(x)
        self.y = np.sqrt((self.patches**2).sum(axis=2) + 1e-12)
        return np.asarray(self.y)

    def backward(self, dy: Array) -> Array:
        return self.back(self.patches * (dy / self.y)[:, :, None])


class GlobalPool(Layer):
    """(N, C, *sizes) -> (N, C): each channel's mean or maximum.

    Mean: every one of the n numbers gets dy / n. Maximum: the largest gets dy, in equal parts where
    several are equal.
    """

    def __init__(self, how: Literal["average", "max"] = "average") -> None:
        super().__init__()
        self.how = how

    def output_shape(self, shape: Shape) -> Shape:
        return shape[:1]

    def forward(self, x: Array, mode: Mode) -> Array:
        axes = tuple(range(2, x.ndim))
        y = x.mean(axes) if self.how == "average" else x.max(axes)
        chosen = np.ones_like(x) if self.how == "average" else (x == y.reshape(*y.shape, *(1,) * len(axes)))
        self.share = chosen / chosen.sum(axes, keepdims=True, dtype=x.dtype)
        return np.asarray(y)

    def backward(self, dy: Array) -> Array:
        return np.asarray(self.share * dy.reshape(*dy.shape, *(1,) * (self.share.ndim - 2)))
