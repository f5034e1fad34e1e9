"""One number of a layer worked out by hand: which values it sees, which weights, the products, their sum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.pooling import _AvgPoolNd, _LPPoolNd, _MaxPoolNd

from neocog.errors import UsageError
from neocog.inside.by_hand.windows import ADAPTIVE, Numbers, came_from, covered, inside, numbers, seen
from neocog.zoo.blocks import GlobalPool
from neocog.zoo.borders import L2Pool, Pad, Same, SameAveragePool
from neocog.zoo.fastres import Scale


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
    for kinds, by_hand in _KINDS:
        if isinstance(module, kinds):
            return by_hand(module, given, channel, at)
    value = float(given[(channel, *at)]) if given.ndim == len(at) + 1 else 0.0
    name = type(module).__name__
    if name in ACTIVATIONS:
        return Work(f"{name} of", np.array([value]), None, 0.0, float(ACTIVATIONS[name](module, value)))
    parts = [part for part, _ in module.named_children()]
    if parts:
        raise UsageError(f"this layer is made of others; give one of them as --layer: {', '.join(parts)}")
    raise UsageError(
        f"{name} has no arithmetic of its own to show; give a --layer that is a convolution, a dense layer, "
        f"a pooling, a normalisation, padding or one of {', '.join(ACTIVATIONS)}"
    )


ACTIVATIONS: dict[str, Callable[[Any, float], float]] = {
    "ReLU": lambda m, v: max(v, 0.0),
    "ReLU6": lambda m, v: min(max(v, 0.0), 6.0),
    "LeakyReLU": lambda m, v: v if v >= 0 else m.negative_slope * v,
    "ELU": lambda m, v: v if v > 0 else m.alpha * math.expm1(v),
    "Sigmoid": lambda m, v: 1 / (1 + math.exp(-v)),
    "Tanh": lambda m, v: math.tanh(v),
    "Softplus": lambda m, v: math.log1p(math.exp(m.beta * v)) / m.beta,
    "SiLU": lambda m, v: v / (1 + math.exp(-v)),
    "GELU": lambda m, v: v * (1 + math.erf(v / math.sqrt(2))) / 2,
    "Hardswish": lambda m, v: v * min(max(v + 3, 0.0), 6.0) / 6,
    "Hardsigmoid": lambda m, v: min(max(v + 3, 0.0), 6.0) / 6,
    "Squash": lambda m, v: 1.7159 * math.tanh(v * 2 / 3),
    "Identity": lambda m, v: v,
    "Dropout": lambda m, v: v,
    "Dropout2d": lambda m, v: v,
}
"""By the name of the module's class."""


def _summed(values: Numbers, weights: Numbers, bias: float) -> Work:
    total = float((values * weights).sum()) + bias
    return Work("sum of products, and the bias", values, weights, bias, total)


def _bias(module: Any, channel: int) -> float:
    return float(numbers(module.bias)[channel]) if module.bias is not None else 0.0


def _convolved(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    weights = numbers(module.weight)[channel]
    group = channel // (module.out_channels // module.groups)
    planes = given[group * len(weights) : (group + 1) * len(weights)]
    return _summed(seen(module, planes, at, 0.0), weights, _bias(module, channel))


def _transposed(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    """Of the taps of all kernels those that bring something to this place; the others see zero."""
    each = module.out_channels // module.groups
    group, width = channel // each, module.in_channels // module.groups
    weights = numbers(module.weight)[group * width : (group + 1) * width, channel % each]
    planes = given[group * width : (group + 1) * width]
    axes = [
        came_from(module, size, place, axis) for axis, (size, place) in enumerate(zip(given.shape[1:], at))
    ]
    values = np.zeros(weights.shape)
    for tap in np.ndindex(*weights.shape[1:]):
        place = [axis[n] for axis, n in zip(axes, tap, strict=True)]
        if None not in place:
            values[(slice(None), *tap)] = planes[(slice(None), *place)]
    return _summed(values, weights, _bias(module, channel))


def _dense(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    return _summed(given.reshape(-1), numbers(module.weight)[channel], _bias(module, channel))


def _pooled(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    everywhere = isinstance(module, GlobalPool)
    plane = given[channel : channel + 1]
    values = plane if everywhere else seen(module, plane, at, np.nan)
    here = values[~np.isnan(values)]
    if (
        isinstance(module, _MaxPoolNd)
        or "Max" in type(module).__name__
        or getattr(module, "how", "") == "max"
    ):
        return Work("the largest of", values, None, 0.0, float(here.max()))
    if isinstance(module, _LPPoolNd | L2Pool):
        power = float(getattr(module, "norm_type", 2))
        root = float((here**power).sum() ** (1 / power))
        return Work(f"root {power:g} of the sum of powers of", values, None, 0.0, root)
    count = _counted(module, given.shape[1:], at) if isinstance(module, _AvgPoolNd) else here.size
    return Work(f"the sum over {count} of", values, None, 0.0, float(here.sum() / count))


def _counted(module: Any, sizes: tuple[int, ...], at: tuple[int, ...]) -> int:
    """What an average divides by: what was asked for, or the places of the window, those beyond the padding
    left out, with or without the padding.
    """
    if getattr(module, "divisor_override", None):
        return int(module.divisor_override)
    count = 1
    for axis, (size, place) in enumerate(zip(sizes, at, strict=True)):
        taps = covered(module, size, place, axis)
        reach = -covered(module, size, 0, axis)[0] if module.count_include_pad else 0
        count *= sum(-reach <= n < size + reach for n in taps)
    return count


def _batch_normed(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    mean, var = numbers(module.running_mean)[channel], numbers(module.running_var)[channel]
    return _normed(module, float(given[(channel, *at)]), mean, var, (channel,))


def _group_normed(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    width = len(given) // module.num_groups
    group = given[channel // width * width : (channel // width + 1) * width]
    return _normed(module, float(given[(channel, *at)]), group.mean(), group.var(), (channel,))


def _layer_normed(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    place = (channel, *at)
    axes = len(module.normalized_shape)
    row = given[place[: given.ndim - axes]]
    return _normed(module, float(given[place]), row.mean(), row.var(), place[given.ndim - axes :])


def _normed(module: Any, value: float, mean: float, var: float, place: tuple[int, ...]) -> Work:
    gamma = float(numbers(module.weight)[place]) if module.weight is not None else 1.0
    beta = float(numbers(module.bias)[place]) if module.bias is not None else 0.0
    slope = gamma / math.sqrt(var + module.eps)
    words = f"({value:.6g} - {mean:.6g}) / sqrt({var:.6g} + {module.eps:g}) * {gamma:.6g} + {beta:.6g}"
    return Work(
        words, np.array([value - mean]), np.array([slope]), beta, float((value - mean) * slope + beta)
    )


def _neighbours_normed(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    """Krizhevsky, Sutskever and Hinton 2012, section 3.3, with alpha over the number of neighbours."""
    first = max(0, channel - module.size // 2)
    near: tuple[Any, ...] = (slice(first, channel + (module.size - 1) // 2 + 1), *at)
    squares = float((given[near] ** 2).sum())
    value, below = float(given[(channel, *at)]), module.k + module.alpha / module.size * squares
    words = (
        f"{value:.6g} / ({module.k:g} + {module.alpha:g} / {module.size} * {squares:.6g}) ^ {module.beta:g}"
    )
    slope = below**-module.beta
    return Work(words, np.array([value]), np.array([slope]), 0.0, value * slope)


def _softmax(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    here: tuple[Any, ...] = (slice(None), *at)
    logits = given[here]
    powers = np.exp(logits - logits.max())
    words = f"exp({logits[channel]:.6g}) over the sum of exp of"
    return Work(words, logits, None, 0.0, float(powers[channel] / powers.sum()))


def _own_slope(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    """PReLU: the slope below zero is learned."""
    value, slopes = float(given[(channel, *at)]), numbers(module.weight)
    slope = 1.0 if value >= 0 else float(slopes[channel if len(slopes) > 1 else 0])
    return Work("value times slope", np.array([value]), np.array([slope]), 0.0, value * slope)


def _scaled(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    value = np.array([given[(channel, *at)]])
    return Work("value times factor", value, np.array([module.factor]), 0.0, float(value[0] * module.factor))


def _moved(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    """Flatten: all numbers stay, in rows of channels."""
    place = tuple(int(n) for n in np.unravel_index(channel, given.shape))
    value = float(given[place])
    words = f"channel {place[0]} at {','.join(map(str, place[1:]))} of what came" if at == () else "stays"
    return Work(words, np.array([value]), None, 0.0, value)


def _padded(module: Any, given: Numbers, channel: int, at: tuple[int, ...]) -> Work:
    """A number moved by the border, or the border's own."""
    sizes = given.shape[1:]
    if isinstance(module, Same):
        before, mode, held = [b for b, _ in module.amounts(sizes)], module.border, module.value
    else:
        before, mode, held = list(module.amount), module.border, module.value
    place = [inside(n - b, size, mode) for n, b, size in zip(at, before, sizes, strict=True)]
    if None in place:
        value = held if mode == "constant" else 0.0
        return Work("the border holds", np.array([value]), None, 0.0, float(value))
    value = float(given[(channel, *place)])
    return Work(f"what came at {','.join(map(str, place))}", np.array([value]), None, 0.0, value)


_POOLS = (_MaxPoolNd, _AvgPoolNd, _LPPoolNd, L2Pool, SameAveragePool, GlobalPool, *ADAPTIVE)
_KINDS: tuple[tuple[Any, Callable[[Any, Numbers, int, tuple[int, ...]], Work]], ...] = (
    (_ConvTransposeNd, _transposed),
    (_ConvNd, _convolved),
    (nn.Linear, _dense),
    (_POOLS, _pooled),
    (_BatchNorm, _batch_normed),
    (nn.GroupNorm, _group_normed),
    (nn.LayerNorm, _layer_normed),
    (nn.LocalResponseNorm, _neighbours_normed),
    (nn.Softmax, _softmax),
    (nn.PReLU, _own_slope),
    (Scale, _scaled),
    (nn.Flatten, _moved),
    ((Same, Pad), _padded),
)
