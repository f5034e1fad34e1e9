"""One number of a layer worked out by hand, without torch's layers: which values it sees, which weights, the
products and their sum; a convolution as a sparse matrix; linear layers in a row as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import _AvgPoolNd, _LPPoolNd, _MaxPoolNd

from neocog.errors import UsageError

Numbers = npt.NDArray[np.float64]
MOST_ENTRIES = 4_000_000
"""Numbers of the largest matrix that a convolution is written out as."""


@dataclass(frozen=True, slots=True)
class Work:
    """How one number comes about. `values` are what it sees, nan where padding counts for nothing; `weights`
    what they are multiplied by, None where nothing is; `result` is what `words` says of them, with `bias`.
    """

    words: str
    values: Numbers = field(repr=False)
    weights: Numbers | None = field(repr=False)
    bias: float
    result: float

    @property
    def scale(self) -> float:
        """The sum of the absolute products: what the result is exact to a millionth of."""
        terms = self.values if self.weights is None else self.values * self.weights
        return float(np.nansum(np.abs(terms))) + abs(self.bias)


def work(module: nn.Module, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    """How `module` makes the number of `channel` at the place `at` of `given` (C, *sizes), in evaluation.

    `UsageError` for a kind of layer that has no arithmetic of its own to show.
    """
    if isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd):
        return _convolved(module, given, channel, at)
    if isinstance(module, nn.Linear):
        weights = _numbers(module.weight)[channel]
        bias = float(_numbers(module.bias)[channel]) if module.bias is not None else 0.0
        values = given.reshape(-1)
        return Work("sum of products, and the bias", values, weights, bias, float(values @ weights) + bias)
    if isinstance(module, _MaxPoolNd | _AvgPoolNd | _LPPoolNd):
        return _pooled(module, given, channel, at)
    value = given[(channel, *at)]
    if isinstance(module, _BatchNorm):
        mean, var = _numbers(module.running_mean)[channel], _numbers(module.running_var)[channel]
        gamma = float(_numbers(module.weight)[channel]) if module.weight is not None else 1.0
        beta = float(_numbers(module.bias)[channel]) if module.bias is not None else 0.0
        slope = gamma / np.sqrt(var + module.eps)
        made = float((value - mean) * slope + beta)
        words = f"({value:.6g} - {mean:.6g}) / sqrt({var:.6g} + {module.eps:g}) * {gamma:.6g} + {beta:.6g}"
        return Work(words, np.array([value - mean]), np.array([slope]), beta, made)
    name = type(module).__name__
    if name in _ACTIVATIONS:
        return Work(f"{name} of", np.array([value]), None, 0.0, float(_ACTIVATIONS[name](value)))
    raise UsageError(
        f"{name} has no arithmetic of its own to show; give a --layer that is a convolution, a dense layer, "
        f"a pooling, a batch normalisation or one of {', '.join(_ACTIVATIONS)}"
    )


_ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "ReLU": lambda v: max(v, 0.0),
    "ReLU6": lambda v: min(max(v, 0.0), 6.0),
    "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "Tanh": np.tanh,
    "SiLU": lambda v: v / (1 + np.exp(-v)),
    "Identity": lambda v: v,
    "Dropout": lambda v: v,
}


def window(module: Any, size: int, place: int, axis: int) -> list[int | None]:
    """The places along `axis`, of `size` places, that the window of `module` covers at `place` of its output;
    None for a padded zero.
    """
    kernel, stride, dilation = _slide(module, axis)
    border = getattr(module, "padding", 0)
    if border == "same":
        before = dilation * (kernel - 1) // 2
    else:
        before = 0 if border == "valid" else _along(border, axis)
    found: list[int | None] = []
    for tap in range(kernel):
        n = place * stride - before + tap * dilation
        found.append(_inside(n, size, getattr(module, "padding_mode", "zeros")))
    return found


def _inside(n: int, size: int, mode: str) -> int | None:
    if 0 <= n < size:
        return n
    if mode == "reflect":
        return -n if n < 0 else 2 * (size - 1) - n
    if mode == "replicate":
        return 0 if n < 0 else size - 1
    return n % size if mode == "circular" else None


def _along(value: Any, axis: int) -> int:
    return int(value[axis]) if isinstance(value, Sequence) else int(value)


def _slide(module: Any, axis: int) -> tuple[int, int, int]:
    """The window's size, step and spacing along an axis."""
    size = _along(module.kernel_size, axis)
    step = _along(module.stride, axis) if module.stride is not None else size
    return size, step, _along(getattr(module, "dilation", 1), axis)


def _numbers(tensor: Any) -> Numbers:
    return np.asarray(tensor.detach().cpu(), dtype=np.float64)


def _seen(module: Any, planes: Numbers, at: tuple[int, ...], empty: float) -> Numbers:
    """What the window of `module` covers of `planes` (C, *sizes): (C, *kernel)."""
    axes = [window(module, size, place, axis) for axis, (size, place) in enumerate(zip(planes.shape[1:], at))]
    found = np.full((len(planes), *(len(axis) for axis in axes)), empty)
    for tap in np.ndindex(*found.shape[1:]):
        place = [axis[n] for axis, n in zip(axes, tap, strict=True)]
        if None not in place:
            found[(slice(None), *tap)] = planes[(slice(None), *place)]
    return found


def _convolved(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    weights = _numbers(module.weight)[channel]
    group = channel // (module.out_channels // module.groups)
    planes = given[group * len(weights) : (group + 1) * len(weights)]
    values = _seen(module, planes, at, 0.0)
    bias = float(_numbers(module.bias)[channel]) if module.bias is not None else 0.0
    total = float((values * weights).sum()) + bias
    return Work("sum of products, and the bias", values, weights, bias, total)


def _pooled(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    values = _seen(module, given[channel : channel + 1], at, np.nan)
    here = values[~np.isnan(values)]
    if isinstance(module, _MaxPoolNd):
        return Work("the largest of", values, None, 0.0, float(here.max()))
    if isinstance(module, _LPPoolNd):
        power = float(module.norm_type)
        return Work(
            f"root {power:g} of the sum of powers of",
            values,
            None,
            0.0,
            float((here**power).sum() ** (1 / power)),
        )
    count = values.size if getattr(module, "count_include_pad", True) else here.size
    count = getattr(module, "divisor_override", None) or count
    return Work(f"the sum over {count} of", values, None, 0.0, float(here.sum() / count))


def matrix(module: nn.Module, shape: tuple[int, ...]) -> Numbers:
    """The convolution `module` on inputs of `shape` (C, *sizes) as one matrix: what it puts out, flattened,
    is this times the input, flattened, plus its biases (experiment S8).
    """
    if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
        raise UsageError("only a convolution is written out as a sparse matrix; give the --layer of one")
    weights = _numbers(module.weight)
    out = tuple(_count(module, size, axis) for axis, size in enumerate(shape[1:]))
    rows, columns = len(weights) * int(np.prod(out)), int(np.prod(shape))
    if rows * columns > MOST_ENTRIES:
        raise UsageError(f"{rows:,} x {columns:,} numbers are too many to write out; give a smaller layer")
    found = np.zeros((rows, columns))
    numbers = np.arange(columns).reshape(shape)
    for number, (channel, *at) in enumerate(product(range(len(weights)), *map(range, out))):
        group = channel // (module.out_channels // module.groups)
        planes = numbers[group * weights.shape[1] : (group + 1) * weights.shape[1]].astype(np.float64)
        places = _seen(module, planes, tuple(at), np.nan).ravel()
        for place, weight in zip(places, weights[channel].ravel(), strict=True):
            if not np.isnan(place):
                found[number, int(place)] += weight
    return found


def _count(module: Any, size: int, axis: int) -> int:
    kernel, stride, dilation = _slide(module, axis)
    if module.padding == "same":
        return size
    border = 0 if module.padding == "valid" else _along(module.padding, axis)
    return (size + 2 * border - dilation * (kernel - 1) - 1) // stride + 1


def as_one(layers: Sequence[nn.Linear]) -> tuple[Numbers, Numbers]:
    """Linear layers in a row as one: its weights (out, in) and biases. Without an activation between them
    several layers say no more than one.
    """
    weights, bias = np.eye(layers[0].in_features), np.zeros(layers[0].in_features)
    for layer in layers:
        own = _numbers(layer.weight)
        bias = own @ bias + (_numbers(layer.bias) if layer.bias is not None else 0)
        weights = own @ weights
    return weights, bias
