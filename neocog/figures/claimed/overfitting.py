"""Q6: over-fitting: a parabola against a polynomial that goes through every point; training against test
accuracy of a smaller and a larger network.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.rivals import THREE, holds, points
from neocog.figures.row import Row, claim
from neocog.figures.training import trained
from neocog.files import write_bytes
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.show import charts
from neocog.show.words import percent
from neocog.tasks.spread import difference
from neocog.verbs.evaluate import evaluate

POINTS, NOISE, HIGH = 10, 0.15, 9
"""Points on a parabola over -1..1, their standard deviation from it, and the degree that goes through all."""
DRAWS, SURE = 200, 0.95
"""Of the noise; the share of them in which a claim must hold."""
FEW = ("data.limit=1000",)
"""Digits that both networks learn from, so that they can be known by heart."""
NETWORKS = {"M5": "m5", "M8": "m8"}
"""Name -> recipe: 318,010 and 933,378 parameters."""


def parabola(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 0.8 * x**2 - 0.3


def fitted(degree: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], Any]:
    """Noisy points of the parabola, x and y (`POINTS`,), and the polynomial that least squares finds."""
    generator = np.random.default_rng(seed)
    x = np.linspace(-1, 1, POINTS)
    y = parabola(x) + generator.normal(0, NOISE, POINTS)
    return x, y, np.polynomial.Polynomial.fit(x, y, degree)


def errors(degree: int, seed: int) -> tuple[float, float]:
    """The mean squared error at the points, and against the parabola between them."""
    x, y, found = fitted(degree, seed)
    between = np.linspace(-1, 1, 201)
    return float(((found(x) - y) ** 2).mean()), float(((found(between) - parabola(between)) ** 2).mean())


def _polynomial(asked: Asked) -> Iterator[Row]:
    x, y, _ = fitted(2, 0)
    between = np.linspace(-1, 1, 201)
    gap = [(float(x[0]), math.nan)]  # after each point, so that no line joins them
    lines = {
        "points": [place for point in zip(x.tolist(), y.tolist(), strict=True) for place in (point, *gap)]
    }
    for name, degree in (("degree 2", 2), (f"degree {HIGH}", HIGH)):
        curve = fitted(degree, 0)[2](between)
        lines[name] = list(zip(between.tolist(), curve.tolist(), strict=True))
    png = charts.curves(lines, title="Q6: fitted to ten noisy points", x_label="x", y_label="y")
    write_bytes(asked.file("Q6-polynomial.png"), png)
    low, high = ([errors(degree, seed) for seed in range(DRAWS)] for degree in (2, HIGH))
    for title, which, ours, theirs in (
        (f"degree {HIGH} is nearer to the points than degree 2", 0, high, low),
        (f"degree 2 is nearer to the parabola behind them than degree {HIGH}", 1, low, high),
    ):
        wins = sum(a[which] < b[which] for a, b in zip(ours, theirs, strict=True))
        mine, other = (statistics.median(row[which] for row in rows) for rows in (ours, theirs))
        yield claim(
            title,
            f"in {wins:,} of {DRAWS:,} draws; median squared error {mine:.2g} against {other:.2g}",
            True if wins > SURE * DRAWS else False if wins < (1 - SURE) * DRAWS else None,
        )


def _gap(asked: Asked) -> Iterator[Row]:
    """How much more both networks get right of the digits that they learned from."""
    gaps: dict[str, list[float]] = {}
    words = []
    for name, recipe in NETWORKS.items():
        runs = [trained(override(RECIPES[recipe], FEW), asked, name=recipe, seed=seed) for seed in THREE]
        here: list[Any] = [evaluate(run, split="train", device=asked.device) for run in runs]
        there = [float(run.facts()["result"]["test_accuracy"]) for run in runs]
        gaps[name] = [report.accuracy - share for report, share in zip(here, there, strict=True)]
        shares = (statistics.fmean(report.accuracy for report in here), statistics.fmean(there))
        words.append(f"{name} {percent(shares[0])} of its 900 digits, {percent(shares[1])} of test digits")
    smaller, larger = gaps.values()
    found = difference(smaller, larger)
    yield claim(
        "M8 with 933,378 parameters over-fits more than M5 with 318,010",
        f"{'; '.join(words)}: gaps {points(found)} apart",
        holds(found),
        remark="both on 1,000 digits; M8 convolves and drops out, which counts for more than their number",
    )


Q6 = Entry(
    "Q6",
    "overfitting",
    "B",
    (
        Check("a parabola and a polynomial", _polynomial),
        Check("training against test accuracy", _gap, "trains M5 and M8 on 1,000 digits of MNIST, a minute"),
    ),
)
