"""Layers as matrices: a convolution as a sparse one (experiment S8), linear layers in a row as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn
from torch.nn.modules.conv import _ConvNd

from neocog.errors import UsageError
from neocog.inside.by_hand.windows import Numbers, came_from, numbers, output_size, window

MOST_ENTRIES = 4_000_000
"""Weights, each counted as often as it stands there, of the largest matrix that is written out."""
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sparse:
    """A matrix of which only what is there is held: weight n stands in row `rows[n]`, column `columns[n]`;
    sorted by rows and columns, no place twice. `shape` is (rows, columns).
    """

    shape: tuple[int, int]
    rows: Places = field(repr=False)
    columns: Places = field(repr=False)
    weights: Numbers = field(repr=False)

    def times(self, values: Numbers) -> Numbers:
        """The matrix times a column of numbers."""
        return _sums(self.rows, self.weights * values[self.columns], self.shape[0])

    def row(self, number: int) -> tuple[Places, Numbers]:
        """The columns and the weights of one row."""
        here = slice(*np.searchsorted(self.rows, (number, number + 1)))
        return self.columns[here], self.weights[here]

    def full(self) -> Numbers:
        """The matrix with all its zeros."""
        found = np.zeros(self.shape)
        found[self.rows, self.columns] = self.weights
        return found

    @property
    def zeros(self) -> float:
        """The share of places that hold nothing."""
        return 1 - len(self.weights) / prod(self.shape)


def matrix(module: nn.Module, shape: tuple[int, ...]) -> Sparse:
    """The convolution `module` on inputs of `shape` (C, *sizes) as one matrix: what it puts out, flattened,
    is this times the input, flattened, plus its biases. That of a transposed convolution is the matrix of a
    convolution, transposed. `UsageError` for other layers, and where it has too many entries.
    """
    if not isinstance(module, _ConvNd):
        raise UsageError("only a convolution is written out as a sparse matrix; give the --layer of one")
    weights, out = numbers(module.weight), [output_size(module, n, axis) for axis, n in enumerate(shape[1:])]
    if weights.size * prod(out) > MOST_ENTRIES:
        raise UsageError(
            f"{weights.size * prod(out):,} weights are too many to write out; give a smaller layer"
        )
    looks = came_from if module.transposed else window
    seen, there = _looked_at(looks, module, shape[1:], out)
    if (
        module.transposed
    ):  # (in, out of a group, ...), all groups below each other -> (out, in of a group, ...)
        parts = weights.reshape(module.groups, -1, *weights.shape[1:]).swapaxes(1, 2)
        weights = parts.reshape(-1, *parts.shape[2:])
    inner, per_group = weights.shape[1], len(weights) // module.groups
    rows, columns, found = [], [], []
    for channel, kernels in enumerate(weights):
        for number, kernel in enumerate(kernels):
            plane = channel // per_group * inner + number
            places, taps = np.nonzero(there)
            rows.append(channel * prod(out) + places)
            columns.append(plane * prod(shape[1:]) + seen[places, taps])
            found.append(kernel.ravel()[taps])
    size = (len(weights) * prod(out), prod(shape))
    keys, place = np.unique(np.concatenate(rows) * size[1] + np.concatenate(columns), return_inverse=True)
    entries = _sums(place, np.concatenate(found), len(keys))
    return Sparse(size, keys // size[1], keys % size[1], entries)


def _sums(where: Places, values: Numbers, count: int) -> Numbers:
    """The sums of the values that belong to each of `count` numbers."""
    return np.asarray(np.bincount(where, values, count), dtype=np.float64)


def _looked_at(
    looks: Any, module: Any, sizes: Sequence[int], out: Sequence[int]
) -> tuple[Places, npt.NDArray[np.bool_]]:
    """(places of the output, taps of the kernel): which place of a plane is looked at, and whether any is."""
    axes = len(sizes)
    seen, there = np.zeros((1,) * (2 * axes), dtype=np.int64), np.ones((1,) * (2 * axes), dtype=bool)
    for axis, (size, many) in enumerate(zip(sizes, out, strict=True)):
        found = [looks(module, size, place, axis) for place in range(many)]
        table = np.array([[-1 if n is None else n for n in row] for row in found], dtype=np.int64)
        spread = [1] * (2 * axes)
        spread[axis], spread[axes + axis] = table.shape
        seen = seen * size + table.reshape(spread)
        there = there & (table.reshape(spread) >= 0)
    count = prod(out)
    return seen.reshape(count, -1), there.reshape(count, -1)


def as_one(layers: Sequence[nn.Linear]) -> tuple[Numbers, Numbers]:
    """Linear layers in a row as one: its weights (out, in), their product from the last to the first, and its
    biases. Without an activation between them several layers say no more than one.
    """
    weights, bias = np.eye(layers[0].in_features), np.zeros(layers[0].in_features)
    for layer in layers:
        own = numbers(layer.weight)
        bias = own @ bias + (numbers(layer.bias) if layer.bias is not None else 0)
        weights = own @ weights
    return weights, bias
