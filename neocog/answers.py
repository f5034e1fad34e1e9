"""Answers: what a trained network says of every picture of a split, from the very pass that measures it.

Reports and predictions read them, so that a picture shown as wrong is one that the accuracy counted as wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.data.dataset import Split
from neocog.metrics import Report
from neocog.model import Trained


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One row per picture, in the split's order, on the CPU; `report` is the measurement of the same pass.

    probabilities  (n, classes), float32, each row sums to 1
    truth          (n,), int64, class indices
    losses         (n,), float32, cross-entropy in nats
    """

    report: Report
    probabilities: Tensor
    truth: Tensor
    losses: Tensor

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def predicted(self) -> Tensor:
        """(n,), int64: the likeliest class; of equals the one that `report` counted."""
        return self.probabilities.max(1).indices

    @property
    def right(self) -> Tensor:
        """(n,), bool."""
        return self.predicted == self.truth

    def first(self, verdict: Literal["right", "wrong"]) -> int | None:
        """The first picture that was answered so; None where there is none."""
        rows = (self.right == (verdict == "right")).nonzero().flatten()
        return int(rows[0]) if len(rows) else None

    def worst(self, most: int) -> tuple[int, ...]:
        """Wrongly answered pictures, at most so many, the highest loss first; equal losses in their order."""
        wrong = (~self.right).nonzero().flatten()
        order = self.losses[wrong].sort(descending=True, stable=True).indices
        return tuple(wrong[order[:most]].tolist())


class _Collector:
    """Keeps of every batch what `Answers` holds, in memory set aside once."""

    def __init__(self, n: int, classes: int) -> None:
        self.probabilities = torch.empty(n, classes)
        self.truth = torch.empty(n, dtype=torch.int64)
        self.losses = torch.empty(n)
        self.seen = 0

    def __call__(self, logits: Tensor, y: Tensor) -> None:
        rows = slice(self.seen, self.seen + len(y))
        self.probabilities[rows] = logits.softmax(1).cpu()
        self.truth[rows] = y.cpu()
        self.losses[rows] = F.cross_entropy(logits, y, reduction="none").cpu()
        self.seen += len(y)


def collect(trained: Trained, split: Split, name: str, device: torch.device) -> Answers:
    """Measure `trained` on `split`, called `name` in the report, and keep its answer to every picture.

    Raises `CheckFailed` where an output is not finite. Memory: 4 (classes + 3) bytes a picture.
    """
    kept = _Collector(len(split), len(trained.classes))
    report = trained.measure(split, name, device, onlooker=kept)
    return Answers(report, kept.probabilities, kept.truth, kept.losses)
