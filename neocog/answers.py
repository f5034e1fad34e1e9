"""Answers: what a trained network says of every picture of a split, from the very pass that measures it.

Reports and predictions read them, so that a picture shown as wrong is one that the accuracy counted as wrong.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from neocog.data.dataset import Split
from neocog.model import Trained
from neocog.tasks.task import Result, Task


@dataclass(frozen=True, eq=False)
class Answers:
    """One row per picture, in the split's order, on the CPU; `report` is the measurement of the same pass.

    probabilities  (n, classes), float32: of one class in many each row sums to 1, of labels each is by itself
    truth          the task's targets: class indices (n,), int64; or label sets (n, classes), float32
    losses         (n,), float32: the task's, in nats
    """

    task: Task
    report: Result
    probabilities: Tensor
    truth: Tensor
    losses: Tensor

    def __len__(self) -> int:
        return len(self.truth)

    @functools.cached_property
    def predicted(self) -> Tensor:
        """The answers as the task gives them: class indices (n,), int64; or which labels are given,
        (n, classes), bool.
        """
        return self.task.predicted(self.probabilities)

    @functools.cached_property
    def right(self) -> Tensor:
        """(n,), bool; for label sets whether all labels are right."""
        return self.task.right(self.predicted, self.truth)

    def named(self, labels: Tensor) -> str:
        """One row of `truth` or `predicted` in words: a class, or labels joined by ' + ' ('none' of none)."""
        return self.task.named(labels)

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

    def __init__(self, task: Task, split: Split) -> None:
        self.task = task
        self.probabilities = torch.empty(len(split), len(task.classes))
        self.truth = torch.empty_like(split.y)
        self.losses = torch.empty(len(split))
        self.seen = 0

    def __call__(self, logits: Tensor, y: Tensor) -> None:
        rows = slice(self.seen, self.seen + len(y))
        self.probabilities[rows] = self.task.probabilities(logits).cpu()
        self.truth[rows] = y.cpu()
        self.losses[rows] = self.task.losses(logits, y).cpu()
        self.seen += len(y)


def collect(trained: Trained, split: Split, name: str, device: torch.device) -> Answers:
    """Measure `trained` on `split`, called `name` in the report, and keep its answer to every picture.

    Raises `CheckFailed` where an output is not finite. Memory: 4 (classes + 3) bytes a picture.
    """
    kept = _Collector(trained.answers, split)
    report = trained.measure(split, name, device, onlooker=kept)
    return Answers(trained.answers, report, kept.probabilities, kept.truth, kept.losses)
