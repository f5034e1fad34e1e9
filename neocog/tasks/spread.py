"""Spread: what several trainings of one recipe tell of the next, and the difference of two such groups."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from neocog.tasks.intervals import CONFIDENCE

_STEPS = 2000
"""Of Simpson's rule; even. The integrand is smooth, and the result good to 1e-9."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of two means: second minus first, with its interval."""

    mean: float
    low: float
    high: float

    @property
    def told_apart(self) -> bool:
        """Whether zero lies outside the interval."""
        return self.low > 0 or self.high < 0


def student(confidence: float, freedom: float) -> float:
    """The t within which, on both sides of 0, lies the share `confidence` of Student's distribution with
    `freedom` degrees of freedom (1 or more, not always whole).

    With t = sqrt(freedom) tan(a) the density is that of cos(a) to the power freedom - 1, which is integrated.
    'Student', 'The probable error of a mean', Biometrika 6 (1908).
    """
    whole = _cosines(math.pi / 2, freedom)
    low, high = 0.0, math.pi / 2
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if _cosines(middle, freedom) < confidence * whole else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _cosines(end: float, freedom: float) -> float:
    """The integral of cos(a) ** (freedom - 1) from 0 to `end`, by Simpson's rule."""
    step = end / _STEPS
    heights: list[float] = [max(math.cos(step * i), 0.0) ** (freedom - 1) for i in range(_STEPS + 1)]
    return step / 3 * (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2]))


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The bounds of the mean of which `values`, two or more, are draws."""
    half = student(confidence, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    middle = statistics.fmean(values)
    return middle - half, middle + half


def difference(a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """mean(b) - mean(a) of two groups of two or more draws each, whose deviations may differ.

    B. L. Welch, 'The generalization of Student's problem when several different population variances are
    involved', Biometrika 34 (1947).
    """
    parts = [statistics.variance(group) / len(group) for group in (a, b)]
    between, total = statistics.fmean(b) - statistics.fmean(a), sum(parts)
    if total == 0:
        return Difference(between, between, between)
    terms = [part**2 / (len(group) - 1) for part, group in zip(parts, (a, b), strict=True)]
    half = student(confidence, total**2 / sum(terms)) * math.sqrt(total)
    return Difference(between, between - half, between + half)


def paired(a: Tensor, b: Tensor, z: float = 1.96) -> Difference:
    """mean(b) - mean(a) of two figures (n,) of the same pictures, with its 95 % interval (normal, for many
    pictures).
    """
    apart = b.double() - a.double()
    mean, half = float(apart.mean()), z * float(apart.std()) / math.sqrt(len(apart))
    return Difference(mean, mean - half, mean + half)


def loses_less(ours: Tensor, theirs: Tensor) -> bool | None:
    """Whether the mean of `ours` is below that of `theirs`, losses of the same pictures (n,); None where zero
    lies within the 95 % interval of the mean difference.
    """
    found = paired(ours, theirs)
    return found.mean > 0 if found.told_apart else None
