"""compare: runs beside one another: what they got right of the same pictures, how they learned, what their
recipes differ in.
"""

from __future__ import annotations

import html
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from neocog.answers import ANSWERS_FILE, collect
from neocog.answers import read as read_answers
from neocog.errors import UnreadableError, UsageError
from neocog.model import dataset_of, open_trained
from neocog.outputs import write_png
from neocog.recipes.recipe import Recipe
from neocog.runs.run import Run, open_run
from neocog.show import charts
from neocog.show.words import percent, plural
from neocog.tasks.intervals import McNemar, mcnemar, wilson
from neocog.tasks.spread import Difference, difference
from neocog.world import find

MOST = 12
"""Runs that are compared at a time."""
SURE = 0.05
"""Two are told apart where a difference as large would come by chance less often than that."""

Verdict = Literal["better", "worse", "cannot be told apart"]


@dataclass(frozen=True, slots=True)
class Measured:
    """A run, what it is called here, and which pictures of the split it got right: (n,), bool."""

    run: Run
    name: str
    recipe: Recipe
    right: Tensor = field(repr=False, compare=False)

    @property
    def accuracy(self) -> float:
        return int(self.right.sum()) / len(self.right)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one recipe, under one seed or several."""

    runs: tuple[Measured, ...]

    @property
    def name(self) -> str:
        return (
            self.runs[0].name if len(self.runs) == 1 else f"{self.runs[0].name} and {len(self.runs) - 1} more"
        )

    @property
    def accuracies(self) -> list[float]:
        return [one.accuracy for one in self.runs]

    @property
    def accuracy(self) -> float:
        """The mean."""
        return statistics.fmean(self.accuracies)

    def text(self) -> str:
        """Its accuracy with Wilson's interval; of several the mean and from where to where they lie."""
        n = len(self.runs[0].right)
        if len(self.runs) == 1:
            share = self.accuracy
            return f"{self.name}: {percent(share, wilson(round(share * n), n))}"
        low, high = percent(min(self.accuracies)), percent(max(self.accuracies))
        return f"{self.name}: {percent(self.accuracy)}, {len(self.runs)} seeds from {low} to {high}"

    def json(self) -> dict[str, Any]:
        return {"runs": [str(one.run.path) for one in self.runs], "accuracies": self.accuracies}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two groups. `paired` is McNemar's test where each is a single run, on the same pictures; `spread` is
    the difference of means over seeds where both have several. `p` is corrected for as many tests as are
    made.
    """

    a: Group
    b: Group
    paired: McNemar | None
    spread: Difference | None
    p: float | None

    @property
    def verdict(self) -> Verdict:
        """Of b against a."""
        apart = self.spread.told_apart if self.spread is not None else self.p is not None and self.p < SURE
        if not apart:
            return "cannot be told apart"
        return "better" if self.b.accuracy > self.a.accuracy else "worse"

    def text(self) -> str:
        """The verdict in a sentence, with the numbers behind it."""
        said = {
            "better": f"{self.b.name} is better than {self.a.name}",
            "worse": f"{self.a.name} is better than {self.b.name}",
            "cannot be told apart": f"{self.a.name} and {self.b.name} cannot be told apart",
        }[self.verdict]
        points = 100 * (self.b.accuracy - self.a.accuracy)
        if self.spread is not None:
            low, high = 100 * self.spread.low, 100 * self.spread.high
            return f"{said}: {points:+.2f} points, over seeds {low:+.2f} to {high:+.2f}"
        if self.paired is None:
            return f"{said}: {points:+.2f} points; give several seeds of both, or one of each"
        only = f"{self.paired.only_a:,} only the first got right, {self.paired.only_b:,} only the second"
        return f"{said}: {points:+.2f} points; {only}; p = {self.p:.2g}"

    def json(self) -> dict[str, Any]:
        return {
            "a": self.a.name,
            "b": self.b.name,
            "difference": self.b.accuracy - self.a.accuracy,
            "interval": [self.spread.low, self.spread.high] if self.spread is not None else None,
            "only_a": self.paired.only_a if self.paired is not None else None,
            "only_b": self.paired.only_b if self.paired is not None else None,
            "p": self.p,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """`changes`: field of the recipe -> its value in each group, where they differ."""

    split: str
    n: int
    groups: tuple[Group, ...]
    pairs: tuple[Pair, ...]
    changes: Mapping[str, tuple[Any, ...]]

    def text(self) -> str:
        """Every group, every pair, and what the recipes differ in."""
        lines = [f"{self.n:,} {self.split} pictures", *(f"  {group.text()}" for group in self.groups)]
        lines += ["", *(pair.text() for pair in self.pairs)] if self.pairs else []
        lines += [
            "",
            "the recipes differ in:" if self.changes else "the recipes differ in nothing but the seed",
        ]
        lines += [f"  {name}: {' / '.join(map(_said, values))}" for name, values in self.changes.items()]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        return {
            "split": self.split,
            "n": self.n,
            "groups": [group.json() for group in self.groups],
            "pairs": [pair.json() for pair in self.pairs],
            "changes": {name: list(values) for name, values in self.changes.items()},
        }

    def png(self) -> bytes:
        """The curves of all runs over one another: accuracy on the watched split, else in training."""
        runs = [one for group in self.groups for one in group.runs]
        curves = {one.name: _curve(one.run) for one in runs}
        return charts.curves(curves, title="accuracy over epochs", x_label="epoch", y_label="accuracy")

    def save(self, path: str | Path) -> None:
        """Write the curves as a PNG."""
        write_png(Path(path), self.png())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


def compare(runs: Sequence[str | Path | Run], *, device: str = "auto") -> Comparison:
    """Compare finished runs by their answers to the same pictures: the test split, else the held-out one.

    Runs whose recipes differ in nothing but the seed are one group. Two single runs are put to McNemar's
    test, whose p is multiplied where there are several pairs (Holm, 'A simple sequentially rejective multiple
    test procedure', 1979); of groups of several seeds the difference of means is given with Welch's interval.

    `UsageError` for fewer than two runs, or runs that answered about other pictures.
    """
    if not 2 <= len(runs) <= MOST:
        raise UsageError(f"{plural(len(runs), 'run')} to compare; give 2 to {MOST}")
    opened = [run if isinstance(run, Run) else open_run(Path(run)) for run in runs]
    names = [run.path.name for run in opened]
    alike = len(set(names)) < len(names)
    found = [_measured(run, str(run.path) if alike else run.path.name, device) for run in opened]
    split, pictures = found[0][1:]
    for one, other_split, other in found[1:]:
        if (other_split, other) != (split, pictures):
            raise UsageError(
                f"{one.run.path} answered about other pictures than {found[0][0].run.path} (the "
                f"{other_split} split of other data); compare runs on the same data"
            )
    groups = _grouped([one for one, _, _ in found])
    return Comparison(split, len(found[0][0].right), groups, _pairs(groups), _changes(groups))


def _measured(run: Run, name: str, device: str) -> tuple[Measured, str, str]:
    """The run with its answers, the split they are about, and the fingerprint of its data."""
    if "result" not in run.facts():
        raise UsageError(f"{run.path} is not finished; go on with: neocog train --resume {run.path}")
    if run.recipe().damage is not None:
        raise UsageError(
            f"{run.path} restores pictures and names none; measure it: neocog evaluate {run.path}"
        )
    kept = run.path / ANSWERS_FILE
    if kept.exists():
        saved = read_answers(kept)
        if saved.are_of(run.model_file):
            return Measured(run, name, run.recipe(), saved.right), saved.split, saved.data_fingerprint
    trained = open_trained(run)
    dataset = dataset_of(trained)
    split = next((name for name in ("test", "val") if name in dataset.splits), None)
    if split is None:
        raise UnreadableError(f"{run.path} has neither test nor held-out pictures to be compared on")
    answers = collect(trained, dataset.split(split), split, find(device, "float32").device)
    return Measured(run, name, run.recipe(), answers.right), split, dataset.fingerprint


def _grouped(runs: Sequence[Measured]) -> tuple[Group, ...]:
    """Runs of the same recipe but for the seed, in the order given. A seed that comes twice stands alone."""
    groups: dict[tuple[str, int], list[Measured]] = {}
    for one in runs:
        without = one.recipe.model_copy(update={"seed": 0}).identity
        taken = [m for (name, _), members in groups.items() if name == without for m in members]
        again = sum(m.recipe.seed == one.recipe.seed for m in taken)
        groups.setdefault((without, again), []).append(one)
    return tuple(Group(tuple(members)) for members in groups.values())


def _pairs(groups: Sequence[Group]) -> tuple[Pair, ...]:
    """Every two groups."""
    tested: list[tuple[Group, Group, McNemar | None, Difference | None]] = []
    for a, b in combinations(groups, 2):
        single = len(a.runs) == len(b.runs) == 1
        several = len(a.runs) > 1 and len(b.runs) > 1
        paired = mcnemar(a.runs[0].right, b.runs[0].right) if single else None
        tested.append((a, b, paired, difference(a.accuracies, b.accuracies) if several else None))
    corrected = iter(holm([paired.p for _, _, paired, _ in tested if paired is not None]))
    return tuple(
        Pair(a, b, paired, spread, next(corrected) if paired else None) for a, b, paired, spread in tested
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Chances corrected for being several: the least times their number, the next times one less ..., never
    falling, at most 1.
    """
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    corrected, least = [0.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = least
    return corrected


UNASKED = ("title", "source", "expect", "probes", "seed")
"""Fields of a recipe that decide nothing, or in which a group differs."""


def _changes(groups: Sequence[Group]) -> dict[str, tuple[Any, ...]]:
    flat = [dict(_flat(group.runs[0].recipe.model_dump(mode="json"))) for group in groups]
    names = dict.fromkeys(name for one in flat for name in one if name.split(".")[0] not in UNASKED)
    rows = {name: tuple(one.get(name) for one in flat) for name in names}
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def _flat(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a JSON document by their path; a list of plain values is one leaf."""
    parts: Iterator[tuple[Any, Any]]
    if isinstance(document, dict):
        parts = iter(document.items())
    elif isinstance(document, list) and any(isinstance(item, dict | list) for item in document):
        parts = iter(enumerate(document))
    else:
        yield path, document
        return
    for key, value in parts:
        yield from _flat(value, f"{path}.{key}" if path else str(key))


def _said(value: Any) -> str:
    return "-" if value is None else str(value)


def _curve(run: Run) -> list[tuple[float, float]]:
    key = "val_accuracy" if any("val_accuracy" in epoch for epoch in run.metrics()) else "accuracy"
    return [(epoch["epoch"], epoch[key]) for epoch in run.metrics() if epoch.get(key) is not None]
