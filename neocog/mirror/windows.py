"""Window: a sliding window, the patches that it sees (im2col), and the way back (col2im).

Convolution and pooling are arithmetic on patches; where the patches lie is said here once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from neocog.errors import ShapeError
from neocog.mirror.layers import Array, Shape


@dataclass(frozen=True, slots=True)
class Window:
    """`kernel` numbers per axis, `dilation` apart, moved by `stride`; one entry per spatial axis."""

    kernel: Shape
    stride: Shape
    dilation: Shape

    @property
    def area(self) -> int:
        """K, how many numbers of a channel the window sees at once."""
        return prod(self.kernel)

    def positions(self, sizes: Sequence[int]) -> Shape:
        """How often the window fits on each axis: floor((n - d (k - 1) - 1) / s) + 1 of n numbers."""
        axes = zip(sizes, self.kernel, self.stride, self.dilation, strict=True)
        found = tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in axes)
        if min(found) < 1:
            raise ShapeError(
                f"a window of {list(self.kernel)} (dilation {list(self.dilation)}) does not fit on "
                f"{list(sizes)}; take a smaller window, a larger picture, or padding 'same'"
            )
        return found

    def _views(self, sizes: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """For each of the K places in the window, row by row: the slices that pick what it sees at all
        positions.
        """
        out = self.positions(sizes)
        for place in product(*map(range, self.kernel)):
            axes = zip(place, out, self.stride, self.dilation, strict=True)
            yield (..., *(slice(i * d, i * d + (o - 1) * s + 1, s) for i, o, s, d in axes))

    def patches(self, x: Array) -> Array:
        """(N, C, *sizes) -> (N, C, K, *positions): entry k is what place k of the window sees."""
        return np.stack([x[view] for view in self._views(x.shape[2:])], axis=2)

    def scattered(self, patches: Array, sizes: Sequence[int]) -> Array:
        """The transpose of `patches`: (N, C, K, *positions) -> (N, C, *sizes), each number added where it was
        taken from. What several windows see gets the sum: the gradient of `patches`.
        """
        x = np.zeros((*patches.shape[:2], *sizes), patches.dtype)
        for k, view in enumerate(self._views(sizes)):
            x[view] += patches[:, :, k]
        return x
