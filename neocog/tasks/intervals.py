"""Error bars: the interval around a share, and whether two classifiers differ."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from torch import Tensor

CONFIDENCE = 0.95


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bounds of a share of which `successes` of `n` were seen; (0, 1) for n = 0.

    Edwin B. Wilson, 'Probable inference, the law of succession, and statistical inference', JASA 22 (1927).
    """
    if n == 0:
        return 0.0, 1.0
    z = statistics.NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return low, 1.0 if successes == n else min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two classifiers on the same pictures: how many only one of them got right, and how likely so uneven a
    split is."""

    only_a: int
    only_b: int
    p: float


def mcnemar(a_right: Tensor, b_right: Tensor) -> McNemar:
    """The exact two-sided test on which pictures (N,) classifiers a and b got right (bool); 1 where they
    never differ.

    Quinn McNemar, 'Note on the sampling error of the difference between correlated proportions or
    percentages', Psychometrika 12 (1947), with the binomial distribution in place of its approximation.
    """
    only_a, only_b = int((a_right & ~b_right).sum()), int((~a_right & b_right).sum())
    n = only_a + only_b
    term = tail = 1  # C(n, 0), then the sum of C(n, i) up to the smaller count
    for i in range(min(only_a, only_b)):
        term = term * (n - i) // (i + 1)
        tail += term
    return McNemar(only_a, only_b, min(1.0, 2 * tail / 2**n))
