"""Classical filters: kernels slid over signals, pictures and volumes; pooling; the arithmetic of one place.

A kernel is cross-correlated, not flipped, as in every framework. Everything is computed in float64 as a sum
of shifted copies, tap after tap, so that sums of whole numbers are exact and no copy of all windows is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neocog.errors import UsageError, unknown
from neocog.inside.kernels import LARGEST, Kernel, Numbers
from neocog.zoo.borders import Border, Same

Pooling = Literal["max", "average", "l2"]
POOLINGS: tuple[Pooling, ...] = ("max", "average", "l2")
BORDERS: tuple[Border, ...] = ("zero", "constant", "reflect", "nearest")
WIDEST = 1_000
"""Pixels: the largest stride, window of pooling and padding."""


@dataclass(frozen=True, slots=True)
class Pool:
    """The maximum, the mean, or the root of the sum of squares of windows of `size` along every spatial axis,
    channel by channel. Padded places count for nothing.
    """

    kind: Pooling
    size: int = 2

    def __post_init__(self) -> None:
        if self.kind not in POOLINGS:
            raise unknown("pooling", self.kind, POOLINGS)
        if not 1 <= self.size <= WIDEST:
            raise UsageError(f"pooling windows of {self.size} pixels; give 1 to {WIDEST}")

    @property
    def name(self) -> str:
        return f"{self.kind} pooling, {self.size}"


@dataclass(frozen=True, slots=True)
class Sliding:
    """How a window moves: `stride` pixels at a time (None: 1, for pooling the window's size); `padding` none
    (valid), TensorFlow's (same: ceil(n / stride) places come out) or so many pixels on every side, which hold
    what `border` says, `value` where that is constant.
    """

    stride: int | None = None
    padding: int | Literal["valid", "same"] = "valid"
    border: Border = "zero"
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.stride is not None and not 1 <= self.stride <= WIDEST:
            raise UsageError(f"a stride of {self.stride}; give 1 to {WIDEST}")
        if isinstance(self.padding, str) and self.padding not in ("valid", "same"):
            raise UsageError(f"padding '{self.padding}'; give valid, same or a number of pixels")
        if isinstance(self.padding, int) and not 0 <= self.padding <= WIDEST:
            raise UsageError(f"a padding of {self.padding} pixels; give 0 to {WIDEST}")
        if self.border not in BORDERS:
            raise unknown("border", self.border, BORDERS)
        if not abs(self.value) <= LARGEST:
            raise UsageError(f"a border of {self.value}; give a number up to {LARGEST:g}")

    def amounts(self, sizes: Sequence[int], window: Sequence[int], stride: int) -> list[tuple[int, int]]:
        """(before, after) of each axis, in pixels."""
        if self.padding == "same":
            return Same(window, (stride,) * len(window)).amounts(sizes)
        n = 0 if self.padding == "valid" else int(self.padding)
        return [(n, n)] * len(sizes)


@dataclass(frozen=True, slots=True)
class Spot:
    """The arithmetic behind one place `at` of what came out.

    `window` (C, k, ...): what is seen there. `products` (outputs, ..., k, ...): with the weights, before they
    are added up; None for pooling. `results`: one number for each channel that comes out.
    """

    at: tuple[int, ...]
    window: Numbers = field(repr=False, compare=False)
    weights: Numbers | None = field(repr=False, compare=False)
    products: Numbers | None = field(repr=False, compare=False)
    results: tuple[float, ...] = ()


# --- sliding -----------------------------------------------------------------------------------------------


def slide(x: Numbers, what: Kernel | Pool, how: Sliding | None = None) -> Numbers:
    """`x` (C, n, ...) with 1 to 3 spatial axes, filtered or pooled: (channels, m, ...), float64.

    m is floor((n + padding - k) / stride) + 1. `UsageError` where the window is larger than the padded input,
    or does not have its axes or channels.
    """
    seen, weights, size, stride = _prepared(x, what, how or Sliding())
    sizes = tuple((n - k) // stride + 1 for n, k in zip(seen.shape[1:], size))
    if isinstance(what, Pool):
        return _pooled(seen, what, sizes, stride)
    assert weights is not None
    mixes = weights.ndim == seen.ndim + 1
    out = np.zeros((len(weights) if mixes else len(seen), *sizes))
    for tap in product(*map(range, size)):
        part = _shifted(seen, tap, sizes, stride)
        if not mixes:
            out += weights[tap] * part
            continue
        for f, c in product(range(len(weights)), range(len(seen))):
            out[f] += weights[(f, c, *tap)] * part[c]
    return out


def spot(x: Numbers, what: Kernel | Pool, at: tuple[int, ...], how: Sliding | None = None) -> Spot:
    """What is multiplied and added at the place `at`, one number an axis, of `slide(x, what, how)`."""
    seen, weights, size, stride = _prepared(x, what, how or Sliding())
    sizes = tuple((n - k) // stride + 1 for n, k in zip(seen.shape[1:], size))
    if len(at) != len(sizes) or not all(0 <= a < n for a, n in zip(at, sizes)):
        most = ",".join(str(n - 1) for n in sizes)
        raise UsageError(f"there is no place {','.join(map(str, at))} in what comes out; it has 0 to {most}")
    window = seen[(slice(None), *(slice(a * stride, a * stride + k) for a, k in zip(at, size)))]
    if isinstance(what, Pool):
        results = _pooled(window, what, (1,) * len(size), stride).reshape(len(seen))
        return Spot(at, window, None, None, tuple(results.tolist()))
    assert weights is not None
    products = weights * window  # over filters, or channels, from the left
    kept = 1 if weights.ndim <= seen.ndim + 1 else 0
    sums = products.reshape(*products.shape[:kept], -1).sum(axis=-1)
    return Spot(at, window, weights, products, tuple(np.atleast_1d(sums).tolist()))


def _prepared(
    x: Numbers, what: Kernel | Pool, how: Sliding
) -> tuple[Numbers, Numbers | None, tuple[int, ...], int]:
    """The padded input, the weights ((k, ...), or (F, C, k, ...)), the window's size and the stride."""
    x = np.asarray(x, dtype=np.float64)
    axes = x.ndim - 1
    if not 1 <= axes <= 3 or x.size == 0:
        raise UsageError(f"a filter was given {x.shape}; it is (channels, n), (C, H, W) or (C, D, H, W)")
    weights, fill = None, how.value if how.border == "constant" else 0.0
    if isinstance(what, Pool):
        size, stride = (what.size,) * axes, how.stride or what.size
        mode: Any = "constant"
        fill = np.nan
    else:
        weights = np.asarray(what.weights, dtype=np.float64)
        weights = weights[None] if weights.ndim == axes + 1 else weights
        if weights.ndim not in (axes, axes + 2) or (weights.ndim > axes and weights.shape[1] != len(x)):
            raise UsageError(
                f"kernel '{what.name}' has weights {what.weights.shape} and the input is {x.shape}; "
                f"give {axes} axes, or those and the channels in front"
            )
        size, stride = weights.shape[-axes:], how.stride or 1
        mode = {"reflect": "reflect", "nearest": "edge"}.get(how.border, "constant")
    pads = how.amounts(x.shape[1:], size, stride)
    if mode == "reflect" and any(max(p) >= n for p, n in zip(pads, x.shape[1:])):
        raise UsageError(f"{max(map(max, pads))} pixels cannot be mirrored from {x.shape[1:]}; pad less")
    filled = {"constant_values": fill} if mode == "constant" else {}
    seen = np.pad(x, [(0, 0), *pads], mode=mode, **filled) if any(map(any, pads)) else x
    if any(k > n for k, n in zip(size, seen.shape[1:])):
        raise UsageError(
            f"a window of {'x'.join(map(str, size))} does not fit into {'x'.join(map(str, seen.shape[1:]))}; "
            f"give a larger picture, a smaller window or more padding"
        )
    return seen, weights, size, stride


def _shifted(seen: Numbers, tap: Sequence[int], sizes: Sequence[int], stride: int) -> Numbers:
    """What the tap at `tap` of the window sees, for every place."""
    return seen[(slice(None), *(slice(t, t + (m - 1) * stride + 1, stride) for t, m in zip(tap, sizes)))]


def _pooled(seen: Numbers, what: Pool, sizes: tuple[int, ...], stride: int) -> Numbers:
    """Padded places are NaN and are left out."""
    out = np.full((len(seen), *sizes), -np.inf if what.kind == "max" else 0.0)
    count = np.zeros_like(out)
    for tap in product(*(range(what.size) for _ in sizes)):
        part = _shifted(seen, tap, sizes, stride)
        there = ~np.isnan(part)
        count += there
        if what.kind == "max":
            np.maximum(out, np.where(there, part, -np.inf), out=out)
        else:
            kept = np.where(there, part, 0.0)
            out += kept if what.kind == "average" else kept * kept
    if not count.all():
        raise UsageError(f"{what.name} has windows that lie in the padding alone; pad less")
    return np.sqrt(out) if what.kind == "l2" else out / count if what.kind == "average" else out


# --- afterwards --------------------------------------------------------------------------------------------


def sigmoid(x: Numbers) -> Numbers:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def pixels(x: Numbers, *, levels: Literal["clip", "scale"], top: float) -> npt.NDArray[np.uint8]:
    """Values as grey levels: cut to 0..`top`, or stretched from their least..greatest, to 0..255, rounded.

    Where all values are one, `scale` gives 0.
    """
    if levels == "clip":
        shares = np.clip(x / top, 0, 1)
    elif levels == "scale":
        spread = float(x.max() - x.min())
        shares = (x - x.min()) / spread if spread > 0 else np.zeros_like(x)
    else:
        raise unknown("levels", levels, ("clip", "scale"))
    return np.rint(255 * shares).astype(np.uint8)


def plain(value: float) -> str:
    """A number as people write it: 4, 0.1111, -8."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"
