"""MultiLabel: a picture may carry any number of labels, each judged by its own logistic output; how good that
is.

A `LabelTally` keeps every score (average precision needs their order); its `report` is a frozen
`MultiLabelReport`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.data.dataset import Split
from neocog.data.targets import LABEL_SETS
from neocog.errors import CheckFailed, UsageError, escaped
from neocog.pictures.decode import Preprocess
from neocog.pictures.names import shown
from neocog.show.words import jsonable, percent, plural, table
from neocog.tasks.intervals import wilson
from neocog.tasks.metrics import Macro, mean, ratio
from neocog.tasks.task import Columns

THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class MultiLabel:
    """One logistic for each label, binary cross-entropy, mean over labels. `weights` (classes,) multiply the
    loss of each label where it is given. Label smoothing moves targets towards one half.

    Targets are label sets (N, classes), float32, of 0 and 1, or shares where training pictures were mixed.
    """

    classes: tuple[str, ...]
    label_smoothing: float = 0.0
    weights: Tensor | None = None
    preprocess: Preprocess | None = None

    name: str = "multilabel"
    figure: str = "accuracy"

    @classmethod
    def fits(cls, y: Tensor) -> bool:
        """Whether the targets `y` of a data set are label sets."""
        return LABEL_SETS.fits(y)

    @classmethod
    def balanced(cls, y: Tensor, classes: int) -> Tensor:
        """Weights that let both answers of each label count alike: how many pictures lack the label for each
        that has it, float32 (classes,); 1 for a label without pictures.
        """
        given = y.sum(0)
        return torch.where(given > 0, (len(y) - given) / given.clamp(min=1), 1.0).float()

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean binary cross-entropy; see `Task.loss`."""
        target = y * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs, target, pos_weight=self.weights)

    def count(self, outputs: Tensor, y: Tensor) -> Tensor:
        """How many pictures had all labels right; of mixed pictures, labels with the larger share count."""
        return self.right(self.predicted(self.probabilities(outputs)), y).sum()

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(N,): the plain loss of each picture, unweighted."""
        return F.binary_cross_entropy_with_logits(outputs, y, reduction="none").mean(1)

    def tally(self) -> LabelTally:
        """An empty account of an evaluation."""
        return LabelTally(len(self.classes))

    def probabilities(self, outputs: Tensor) -> Tensor:
        """(N, classes), each between 0 and 1 for itself."""
        return outputs.sigmoid()

    def predicted(self, probabilities: Tensor) -> Tensor:
        """(N, classes), bool: which labels are given."""
        return probabilities >= THRESHOLD

    def right(self, predicted: Tensor, y: Tensor) -> Tensor:
        """(N,), bool: whether all labels are right."""
        return (predicted == (y > 0.5)).all(1)

    def named(self, answer: Tensor) -> str:
        """The labels of a row (classes,), joined by ' + '; 'none' of none."""
        return " + ".join(self.classes[i] for i in (answer > 0.5).nonzero().flatten().tolist()) or "none"

    def sureness(self, probabilities: Tensor, predicted: Tensor, truth: Tensor, loss: float) -> Sequence[str]:
        """The picture's loss: no single probability speaks for a set of labels."""
        return [f"loss {loss:.3f}"]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label, given from `threshold` on, and its `n` pictures; `average_precision` needs no threshold."""

    name: str
    threshold: float
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    n: int


@dataclass(frozen=True)
class MultiLabelReport:
    """What `evaluate` finds for label sets. `accuracy`: pictures whose whole label set is right, with its
    interval.

    `mean_average_precision` (mAP) and `macro` are means over the labels where the measure exists; `micro_f1`
    counts all (picture, label) pairs alike.
    """

    split: str
    classes: tuple[str, ...]
    n: int
    loss: float | None
    accuracy: float | None
    interval: tuple[float, float]
    mean_average_precision: float | None
    macro: Macro
    micro_f1: float | None
    per_class: tuple[LabelScore, ...]
    remarks: tuple[str, ...] = ()

    @property
    def score(self) -> tuple[float, float]:
        """What 'best' means: the higher mean average precision, at equal ones the lower loss."""
        return (self.mean_average_precision or 0.0, -(self.loss if self.loss is not None else math.inf))

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
        whole = f"all labels of a picture right, on {self.split}, 95 % interval {low} to {high}"
        found = [
            (percent(self.accuracy), whole),
            (f"{self.n:,}", f"{self.split} pictures"),
            (percent(self.mean_average_precision), "mean average precision"),
            (percent(self.micro_f1), "F1 over all labels"),
        ]
        if self.loss is not None:
            found.append((f"{self.loss:.4f}", "loss (cross-entropy)"))
        return tuple(found)

    def columns(self) -> Columns:
        """The scores of each label for a report's table."""
        fields = ("precision", "recall", "f1", "average_precision")
        rows = tuple(tuple(percent(getattr(s, name)) for name in fields) for s in self.per_class)
        means = (
            *(percent(getattr(self.macro, name)) for name in fields[:3]),
            percent(self.mean_average_precision),
        )
        return Columns(("precision", "recall", "F1", "average precision"), rows, means)

    def grouped(self, groups: Mapping[str, Sequence[str]]) -> MultiLabelReport:
        """Labels are not exclusive, so they form no groups: raises `UsageError`."""
        raise UsageError("groups are of classes, and this network gives several labels to a picture")

    def beside(self, split: Split) -> MultiLabelReport:
        """The same: nothing but an answer can be right."""
        return self

    def with_remarks(self, *remarks: str) -> MultiLabelReport:
        """The same report with more to say."""
        return replace(self, remarks=(*self.remarks, *remarks))

    def text(self) -> str:
        """The report as aligned plain text."""
        lines = [
            f"{self.split}: {plural(self.n, 'picture')}, "
            f"mean average precision {percent(self.mean_average_precision)}",
            f"all labels of a picture right {percent(self.accuracy, self.interval)}",
            f"F1 over all labels {percent(self.micro_f1)}",
        ]
        if self.loss is not None:
            lines.append(f"loss {self.loss:.4f}")
        rows: list[tuple[str, ...]] = [
            ("label", "from", "precision", "recall", "F1", "average precision", "pictures")
        ]
        for s in self.per_class:
            shares = map(percent, (s.precision, s.recall, s.f1, s.average_precision))
            rows.append((shown(s.name), f"{s.threshold:g}", *shares, f"{s.n:,}"))
        macro = self.macro
        shares = map(percent, (macro.precision, macro.recall, macro.f1, self.mean_average_precision))
        rows.append(("mean of labels", "", *shares, f"{self.n:,}"))
        lines += ["", *table(rows)]
        if self.remarks:
            lines += ["", *map(escaped, self.remarks)]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        """The report as one JSON document; fractions 0..1."""
        document = asdict(self)
        document["per_class"] = [{"class": row.pop("name"), **row} for row in document["per_class"]]
        return jsonable(document)  # type: ignore[no-any-return]

    def save(self, path: str | Path) -> None:
        """Labels are not confused with one another, so there is no matrix to draw: raises `UsageError`."""
        raise UsageError(
            f"{path}: label sets have no confusion matrix; write the report instead: --report FILE"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


class LabelTally:
    """The scores and the truth of every picture of an evaluation, on the CPU."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._scores: list[Tensor] = []
        self._truth: list[Tensor] = []
        self._loss = 0.0

    def add(self, logits: Tensor, y: Tensor, loss_sum: Tensor | float = 0.0) -> None:
        """Keep a batch: `logits` (N, classes), label sets `y` (N, classes) of 0 and 1, and the sum of the
        losses."""
        self._scores.append(logits.detach().float().sigmoid().cpu())
        self._truth.append((y > 0.5).cpu())
        self._loss += float(loss_sum)

    def report(
        self,
        classes: Sequence[str],
        *,
        split: str,
        thresholds: float | Sequence[float] = THRESHOLD,
        remarks: Sequence[str] = (),
    ) -> MultiLabelReport:
        """The measures of everything added; a label is given where its probability is at least its threshold.

        `thresholds` is one for all labels or one each. Raises `CheckFailed` where an output is not a number.
        """
        width = self.classes
        limits = [float(thresholds)] * width if isinstance(thresholds, (int, float)) else list(thresholds)
        if len(limits) != width:
            raise UsageError(
                f"{len(limits)} thresholds were given for {width} labels; give one, or one for each"
            )
        empty = torch.zeros(0, width)
        scores, truth = torch.cat([empty, *self._scores]), torch.cat([empty.bool(), *self._truth])
        if bad := int(scores.isnan().any(1).sum()):
            raise CheckFailed(
                f"the network's output is not a number for {plural(bad, 'picture')} of {len(scores):,}; "
                "train again with a lower learning rate"
            )
        given = scores >= torch.tensor(limits)
        exact = int((given == truth).all(1).sum())
        n = len(scores)
        hits, said, there = (
            (a & b).sum(0).tolist() for a, b in ((given, truth), (given, given), (truth, truth))
        )
        averages = [average_precision(scores[:, i], truth[:, i]) for i in range(width)]
        per_class = tuple(
            LabelScore(name, limit, ratio(h, s), ratio(h, t), ratio(2 * h, s + t), average, t)
            for name, limit, h, s, t, average in zip(
                classes, limits, hits, said, there, averages, strict=True
            )
        )
        absent = [s.name for s in per_class if not s.n]
        return MultiLabelReport(
            split=split,
            classes=tuple(classes),
            n=n,
            loss=ratio(self._loss, n),
            accuracy=ratio(exact, n),
            interval=wilson(exact, n),
            mean_average_precision=mean(averages),
            macro=Macro(
                *(mean(getattr(s, name) for s in per_class) for name in ("precision", "recall", "f1"))
            ),
            micro_f1=ratio(2 * sum(hits), sum(said) + sum(there)),
            per_class=per_class,
            remarks=(*remarks, *([f"no pictures with: {', '.join(absent[:10])}"] if absent else [])),
        )


def average_precision(scores: Tensor, truth: Tensor) -> float | None:
    """The area under precision over recall for one label: scores (N,), truth (N,) bool; None without a true
    picture.

    Each step of recall counts with the precision reached there, without interpolation; pictures with equal
    scores come together. (Manning, Raghavan, Schuetze, 'Introduction to Information Retrieval', section 8.4;
    as scikit-learn does.)
    """
    total = int(truth.sum())
    if not total:
        return None
    ordered, order = scores.sort(descending=True)
    hits = truth[order].double().cumsum(0)
    last = torch.ones_like(ordered, dtype=torch.bool)  # the last of each run of equal scores
    last[:-1] = ordered[:-1] != ordered[1:]
    precision = (hits / torch.arange(1, len(hits) + 1))[last]
    recall = hits[last] / total
    return float((precision * recall.diff(prepend=torch.zeros(1, dtype=recall.dtype))).sum())
