"""How good a classifier is, with error bars: accuracy, per-class scores, confusions, calibration.

A `tally.Tally` counts, `Report` is what comes of it. Where a measure would be 0/0 it is None, never 0 or 1.
Fractions are 0..1; rows of a confusion matrix are the truth.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neocog.data.dataset import Split
from neocog.errors import UsageError, escaped, unknown
from neocog.pictures.names import shown
from neocog.show.words import jsonable, percent, plural, table
from neocog.tasks.intervals import wilson
from neocog.tasks.task import Columns

TOP = 5
PAIRS = 10
"""How many confusions a report names."""

ROWS = 40
"""Classes up to which the text shows all; of more, it shows the ones with the lowest F1."""

OTHER = "other"


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: `precision` of what was called so, `recall` of its `n` pictures, `f1`, their harmonic
    mean."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Macro:
    """Means over the classes where the measure exists."""

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Confused:
    """`n` pictures of the class `truth` were called `predicted`."""

    truth: str
    predicted: str
    n: int

    def text(self) -> str:
        subject = "1 picture of {} was" if self.n == 1 else f"{self.n:,} pictures of {{}} were"
        return f"{subject.format(shown(self.truth))} called {shown(self.predicted)}"


@dataclass(frozen=True, slots=True)
class Bin:
    """The predictions whose confidence is in (low, high]: how many, their mean confidence and their
    accuracy."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether 80 % sure means 80 % right. `error`: mean of |accuracy - confidence| over bins, weighted by
    their pictures."""

    error: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Report:
    """What `evaluate` finds. `interval` and `top5_interval` are 95 % Wilson; `top5` is None for fewer than 6
    classes."""

    split: str
    classes: tuple[str, ...]
    n: int
    loss: float | None
    accuracy: float | None
    interval: tuple[float, float]
    top5: float | None
    top5_interval: tuple[float, float] | None
    confusion: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassScore, ...]
    macro: Macro
    calibration: Calibration | None
    most_confused: tuple[Confused, ...]
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """The report as aligned plain text."""
        lines = [
            f"{self.split}: accuracy {percent(self.accuracy, self.interval)}, {plural(self.n, 'picture')}"
        ]
        if self.top5 is not None:
            lines.append(f"top-{TOP} accuracy {percent(self.top5, self.top5_interval)}")
        if self.loss is not None:
            lines.append(f"loss {self.loss:.4f}")
        if self.calibration is not None:
            lines.append(f"calibration error {percent(self.calibration.error)}")
        listed = self.per_class
        if len(listed) > ROWS:
            listed = tuple(sorted(listed, key=lambda s: 2.0 if s.f1 is None else s.f1)[:ROWS])
            lines.append(f"the {ROWS} of {len(self.classes):,} classes with the lowest F1:")
        rows = [("class", "precision", "recall", "F1", "pictures")]
        means = ClassScore("mean of classes", self.macro.precision, self.macro.recall, self.macro.f1, self.n)
        for score in (*listed, means):
            shares = percent(score.precision), percent(score.recall), percent(score.f1)
            rows.append((shown(score.name), *shares, f"{score.n:,}"))
        lines += ["", *table(rows)]
        for block in ([pair.text() for pair in self.most_confused], list(map(escaped, self.remarks))):
            lines += ["", *block] if block else []
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """The report as one JSON document; fractions 0..1, rows of `confusion` are the truth."""
        document = asdict(self)
        document["per_class"] = [{"class": row.pop("name"), **row} for row in document["per_class"]]
        return jsonable(document)  # type: ignore[no-any-return]

    def save(self, path: str | Path) -> None:
        """Write the confusion matrix as a PNG picture."""
        from neocog import outputs
        from neocog.show import charts

        outputs.write_png(Path(path), charts.confusion(np.array(self.confusion), self.classes))

    @property
    def score(self) -> tuple[float, float]:
        """For choosing between networks, the higher the better: accuracy, then the lower loss."""
        return self.accuracy or 0.0, -math.inf if self.loss is None else -self.loss

    def figures(self) -> dict[str, float | None]:
        """Loss and accuracy, as an epoch's line has them."""
        return {"loss": self.loss, "accuracy": self.accuracy}

    def result(self) -> dict[str, Any]:
        """Accuracy with its interval, number of pictures and loss."""
        return {"accuracy": self.accuracy, "interval": list(self.interval), "n": self.n, "loss": self.loss}

    def headline(self) -> tuple[tuple[str, str], ...]:
        """The figures at the top of a report."""
        if self.accuracy is None:
            return ()
        low, high = (percent(end) for end in self.interval)
        found = [
            (percent(self.accuracy), f"accuracy on {self.split}, 95 % interval {low} to {high}"),
            (f"{self.n:,}", f"{self.split} pictures"),
        ]
        if self.top5 is not None:
            found.append((percent(self.top5), "with the true class among the five likeliest"))
        if self.loss is not None:
            found.append((f"{self.loss:.4f}", "loss (cross-entropy)"))
        return tuple(found)

    def columns(self) -> Columns:
        """The scores of each class for a report's table."""
        fields = ("precision", "recall", "f1")
        rows = tuple(tuple(percent(getattr(s, name)) for name in fields) for s in self.per_class)
        means = tuple(percent(getattr(self.macro, name)) for name in fields)
        return Columns(("precision", "recall", "F1"), rows, means)

    def beside(self, split: Split) -> Report:
        """The same: nothing but an answer can be right."""
        return self

    def with_remarks(self, *remarks: str) -> Report:
        return replace(self, remarks=(*self.remarks, *remarks))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"

    def grouped(self, groups: Mapping[str, Sequence[str]]) -> Report:
        """The same predictions judged by groups: a cat called dog is right where both are 'animal'.

        Classes in no group form 'other'. Loss, top-5 and calibration need the probabilities and are None.
        Raises `UsageError` for a class that is unknown or in two groups.
        """
        members = _members(groups, self.classes)
        names = tuple(members)
        of_class = torch.tensor(
            [next(g for g, name in enumerate(names) if c in members[name]) for c in self.classes]
        )
        fine = torch.tensor(self.confusion, dtype=torch.int64).view(len(of_class), len(of_class))
        half = torch.zeros(len(names), len(of_class), dtype=torch.int64).index_add_(0, of_class, fine)
        coarse = torch.zeros(len(names), len(names), dtype=torch.int64).index_add_(1, of_class, half)
        said = "; ".join(f"{name} = {', '.join(members[name])}" for name in names)
        about_classes = _remarks(self.classes, fine)
        kept = (remark for remark in self.remarks if remark not in about_classes)
        return from_confusion(coarse, names, split=self.split, remarks=(*kept, f"grouped: {said}"))


def from_confusion(
    confusion: Tensor, classes: tuple[str, ...], *, split: str, remarks: tuple[str, ...] = ()
) -> Report:
    """The part of a report that follows from the confusion matrix (classes, classes), int64, alone."""
    truth, called = confusion.sum(1).tolist(), confusion.sum(0).tolist()
    right = confusion.diagonal().tolist()
    n, hits = sum(truth), sum(right)
    scores = tuple(
        ClassScore(name, ratio(r, c), ratio(r, t), ratio(2 * r, t + c), t)
        for name, r, c, t in zip(classes, right, called, truth, strict=True)
    )
    macro = Macro(
        mean(s.precision for s in scores), mean(s.recall for s in scores), mean(s.f1 for s in scores)
    )
    return Report(
        split=split,
        classes=classes,
        n=n,
        loss=None,
        accuracy=ratio(hits, n),
        interval=wilson(hits, n),
        top5=None,
        top5_interval=None,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        per_class=scores,
        macro=macro,
        calibration=None,
        most_confused=_most_confused(confusion, classes),
        remarks=(*remarks, *_remarks(classes, confusion)),
    )


def _most_confused(confusion: Tensor, classes: tuple[str, ...]) -> tuple[Confused, ...]:
    wrong = confusion.clone().fill_diagonal_(0).flatten()
    counts, places = wrong.sort(descending=True, stable=True)
    pairs = zip(counts[:PAIRS].tolist(), places[:PAIRS].tolist(), strict=True)
    return tuple(Confused(classes[p // len(classes)], classes[p % len(classes)], n) for n, p in pairs if n)


def _remarks(classes: tuple[str, ...], confusion: Tensor) -> list[str]:
    """What a reader should know before trusting the figures."""
    truth, called = confusion.sum(1).tolist(), confusion.sum(0).tolist()
    if not sum(truth):
        return ["no pictures: nothing was measured"]
    found = []
    for said, counts in (("no pictures of", truth), ("never predicted", called)):
        names = [name for name, count in zip(classes, counts, strict=True) if not count]
        if names:
            more = f" and {len(names) - 10:,} more" if len(names) > 10 else ""
            found.append(f"{said}: {', '.join(names[:10])}{more}")
    if len(classes) > 1 and int(confusion.trace()) <= max(truth):
        often = classes[truth.index(max(truth))]
        much = "as often" if int(confusion.trace()) == max(truth) else "more often"
        found.append(f"always answering {often} would be right {much}: {percent(max(truth) / sum(truth))}")
    return found


def _members(groups: Mapping[str, Sequence[str]], classes: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Group -> its classes, checked, with 'other' for the rest."""
    taken: dict[str, str] = {}
    for group, names in groups.items():
        for name in names:
            if name not in classes:
                raise unknown("class", name, classes)
            if taken.setdefault(name, group) != group:
                raise UsageError(
                    f"class '{name}' is in the groups '{taken[name]}' and '{group}'; name it in one of them"
                )
    members = {group: tuple(c for c in classes if taken.get(c) == group) for group in groups}
    if empty := [group for group, names in members.items() if not names]:
        raise UsageError(f"group '{empty[0]}' has no classes; write {empty[0]}=class,class")
    rest = tuple(c for c in classes if c not in taken)
    return {**members, OTHER: (*members.get(OTHER, ()), *rest)} if rest else members


def ratio(part: float, whole: float) -> float | None:
    """`part / whole`, or None for a whole of 0."""
    return part / whole if whole else None


def mean(values: Any) -> float | None:
    """The mean of the numbers among `values`, leaving out None."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
