"""Data size: how accuracy grows with the number of training pictures, and what twice as many should bring."""

from __future__ import annotations

import csv
import html
import io
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neocog.errors import UsageError
from neocog.events import Watcher
from neocog.files import sha256
from neocog.model import Trained
from neocog.outputs import write_bytes
from neocog.recipes.chapters import RECIPES
from neocog.runs.run import RECIPE_FILE, RUNS, Run, open_run
from neocog.show import charts
from neocog.show.words import percent, table
from neocog.tasks.intervals import CONFIDENCE, wilson
from neocog.tasks.spread import mean_interval, student
from neocog.verbs.train import resume, train

OWN = "its usual network"
"""Of the recipe that `what` names, where no models are asked for."""
MOST = 60
"""Trainings of a study."""


@dataclass(frozen=True, slots=True)
class Point:
    """One number of training pictures: the accuracy on the same `n` test pictures under each seed."""

    size: int
    accuracies: tuple[float, ...]
    n: int

    @property
    def mean(self) -> float:
        return statistics.fmean(self.accuracies)

    @property
    def interval(self) -> tuple[float, float]:
        """Of one seed Wilson's, on the test pictures; of several their mean's (Student), within 0..1."""
        if len(self.accuracies) == 1:
            return wilson(round(self.mean * self.n), self.n)
        low, high = mean_interval(self.accuracies)
        return max(low, 0.0), min(high, 1.0)


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """error = `factor` * pictures ** -`exponent`, the exponent with the bounds of its interval."""

    factor: float
    exponent: float
    low: float
    high: float

    def gain(self, error: float) -> tuple[float, float, float]:
        """By how much `error` should fall with twice the pictures; least and most, within the interval."""
        gains = [error * (1 - 2**-b) for b in (self.exponent, self.low, self.high)]
        return gains[0], gains[1], gains[2]


def fitted(points: Sequence[Point]) -> PowerLaw | None:
    """The least squares line through (log size, log error) of every training, of three sizes or more; else
    None. A share that is wrong is counted with half a picture more, so that it has a logarithm.

    Cortes et al., 'Learning curves: asymptotic values and rate of convergence', NIPS 1993, without asymptote.
    """
    if len(points) < 3:
        return None
    x = [math.log(point.size) for point in points for _ in point.accuracies]
    y = [
        math.log(((1 - share) * point.n + 0.5) / (point.n + 1))
        for point in points
        for share in point.accuracies
    ]
    middle, height = statistics.fmean(x), statistics.fmean(y)
    spread = sum((value - middle) ** 2 for value in x)
    slope = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True)) / spread
    left = [b - height - slope * (a - middle) for a, b in zip(x, y, strict=True)]
    freedom = len(x) - 2
    half = student(CONFIDENCE, freedom) * math.sqrt(sum(r * r for r in left) / freedom / spread)
    return PowerLaw(math.exp(height - slope * middle), -slope, -slope - half, -slope + half)


@dataclass(frozen=True, slots=True)
class Curve:
    """How one model grows."""

    model: str
    points: tuple[Point, ...]

    def sentence(self) -> str:
        """What twice the pictures should bring."""
        law, last = fitted(self.points), self.points[-1]
        if law is None:
            return f"{self.model}: three sizes or more say what twice the pictures would bring"
        if law.low <= 0:
            return f"{self.model}: these sizes do not say whether more pictures help"
        gain, least, most = (100 * value for value in law.gain(1 - last.mean))
        return (
            f"{self.model}: twice the {last.size:,} pictures should gain about {gain:.1f} points "
            f"({least:.1f} to {most:.1f}): the error falls as the pictures to the power "
            f"{-law.exponent:.2f} ({-law.high:.2f} to {-law.low:.2f})"
        )

    def json(self) -> dict[str, Any]:
        law = fitted(self.points)
        return {
            "model": self.model,
            "points": [
                {
                    "size": p.size,
                    "accuracies": list(p.accuracies),
                    "mean": p.mean,
                    "interval": list(p.interval),
                }
                for p in self.points
            ],
            "exponent": law and [law.exponent, law.low, law.high],
        }


@dataclass(frozen=True, slots=True)
class Growth:
    """The curves of all models, on the same pictures."""

    what: str
    n: int
    curves: tuple[Curve, ...]

    def text(self) -> str:
        """A row for each size, a column for each model; then what twice the pictures should bring."""
        rows = [["pictures", *(curve.model for curve in self.curves)]]
        rows += [
            [f"{points[0].size:,}", *(percent(p.mean, p.interval) for p in points)]
            for points in zip(*(curve.points for curve in self.curves), strict=True)
        ]
        heading = f"{self.what}: accuracy on {self.n:,} test pictures"
        return "\n".join([heading, *table(rows), "", *(curve.sentence() for curve in self.curves)])

    def json(self) -> dict[str, Any]:
        return {"what": self.what, "n": self.n, "curves": [curve.json() for curve in self.curves]}

    def png(self) -> bytes:
        """M11's plot: accuracy over the number of training pictures, a curve for each model."""
        series = {c.model: [(float(p.size), p.mean) for p in c.points] for c in self.curves}
        return charts.curves(
            series, title=f"How much data: {self.what}", x_label="training pictures", y_label="test accuracy"
        )

    def save(self, path: str | Path) -> None:
        """Write `.png` (the curves) or `.csv` (every accuracy)."""
        place = Path(path)
        if place.suffix == ".png":
            write_bytes(place, self.png())
        elif place.suffix == ".csv":
            lines = io.StringIO()
            cells = csv.writer(lines, lineterminator="\n")
            cells.writerow(["model", "pictures", "accuracy"])
            for curve in self.curves:
                cells.writerows([curve.model, p.size, a] for p in curve.points for a in p.accuracies)
            write_bytes(place, lines.getvalue().encode())
        else:
            raise UsageError(f"'{place.name}': a study of data sizes is written as .png or as .csv")

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is trained: `models` (none: the usual network), each on `sizes` training pictures under so many
    `seeds`, with `changes` of the recipe; `start` lends features. Runs are kept in the folder `runs`.
    """

    models: Sequence[str] = ()
    sizes: Sequence[int] = ()
    seeds: int = 1
    changes: Sequence[str] = ()
    start: str | Path | Run | Trained | None = None
    runs: Path | None = None


def grow(
    what: str | Path, plan: Plan, *, device: str = "auto", watchers: Sequence[Callable[[Run], Watcher]] = ()
) -> Growth:
    """Train what `what` names (as `train` takes it) on samples of its training pictures, and measure each on
    the same test pictures. The sample of a size holds every class in its share, and those of smaller sizes;
    each seed draws others. A model that is a recipe of the same data is trained as that says.

    Finished trainings are found again, unfinished ones are gone on with. `UsageError` for no sizes, for
    more than 60 trainings, and where no picture is a test picture.
    """
    models, sizes = tuple(plan.models) or (OWN,), sorted(set(plan.sizes))
    if not sizes or sizes[0] < 1:
        raise UsageError("say on how many training pictures: sizes of 1 or more, such as 300,600,1200")
    if len(models) * len(sizes) * plan.seeds > MOST:
        raise UsageError(
            f"{len(models)} models, {len(sizes)} sizes and {plan.seeds} seeds are more than {MOST} "
            "trainings; give fewer"
        )
    counts: set[int] = set()
    curves = []
    for model in models:
        points = []
        for size in sizes:
            results = [
                _run(what, model, size, seed, plan, device, watchers).facts()["result"]
                for seed in range(plan.seeds)
            ]
            if results[0]["test_accuracy"] is None:
                raise UsageError(f"{what} has no test pictures to compare on; give data that do")
            counts |= {result["test_n"] for result in results}
            points.append(Point(size, tuple(r["test_accuracy"] for r in results), results[0]["test_n"]))
        curves.append(Curve(model, tuple(points)))
    assert len(counts) == 1, "the test pictures are the same in every training"
    return Growth(Path(what).name, counts.pop(), tuple(curves))


def _run(
    what: str | Path,
    model: str,
    size: int,
    seed: int,
    plan: Plan,
    device: str,
    watchers: Sequence[Callable[[Run], Watcher]],
) -> Run:
    """The finished run of one model on one sample: found, gone on with, or made."""
    by_recipe = model in RECIPES and str(what) in (RECIPES[model].data.name, model)
    changes = [*plan.changes, f"data.limit={size}", f"seed={seed}", f"data.seed={seed}"]
    folder = _folder(what, model, changes, plan)
    if (folder / RECIPE_FILE).exists():
        run = open_run(folder)
        return run if "result" in run.facts() else resume(folder, device=device, watchers=watchers)
    given: Mapping[str, Any] = {"changes": changes, "out": folder, "device": device, "watchers": watchers}
    if by_recipe or model == OWN:
        return train(model if by_recipe else what, start=plan.start, **given)
    return train(what, model=model, start=plan.start, **given)


def _folder(what: str | Path, model: str, changes: Sequence[str], plan: Plan) -> Path:
    """Where a training is kept: named by all that was asked for."""
    place = Path(what).absolute() if Path(what).exists() else what
    asked = "\n".join([str(place), model, str(plan.start), *changes])
    folder = plan.runs or Path(os.environ.get("NEOCOG_RUNS_DIR", RUNS)) / "data-size"
    name = model if model != OWN else Path(what).stem
    return folder / f"{name}-{sha256(asked.encode())[:8]}"
