"""Tasks: what a training minimises and how its result is measured. A loss is a mean over the pictures of a
batch.

The labels decide the task: class indices (N,) make it `Classify`, label sets (N, classes) make it
`MultiLabel`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.tasks.metrics import Report, Tally
from neocog.tasks.multilabel import LabelTally, MultiLabelReport
from neocog.zoo.blocks import Network

TaskName = Literal["classify", "multilabel"]
Onlooker = Callable[[Tensor, Tensor], None]
"""Is shown every batch that is measured: logits (N, classes), float32, and truth."""


def nobody(logits: Tensor, y: Tensor) -> None:
    """The onlooker that looks away."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one training batch: the loss to minimise (a scalar), the plain loss of the answer, and how many were
    right (for label sets: the share of labels that were, added up over the pictures).
    """

    loss: Tensor
    answer_loss: Tensor
    right: Tensor


@dataclass(frozen=True, slots=True)
class Classify:
    """One class of many: cross-entropy on softmax, with label smoothing (Szegedy et al. 2016, section 7) if
    asked. `weights` multiply the loss of each class's pictures.
    """

    classes: tuple[str, ...]
    label_smoothing: float = 0.0
    weights: Tensor | None = None

    name: TaskName = "classify"

    def outcome(self, network: Network, x: Tensor, y: Tensor) -> Outcome:
        """`y` holds class indices (N,), or shares (N, classes) where pictures were mixed."""
        answer, loss, total = _losses(network, x, lambda logits: self._loss(logits, y))
        with torch.no_grad():
            truth = y if y.ndim == 1 else y.argmax(1)
            right = (answer.argmax(1) == truth).sum()
        return Outcome(total, loss.detach(), right)

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        if self.weights is None:
            return F.cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        # Divided by the number of pictures, not by their weights: a batch of rare classes shall count for
        # more.
        losses = F.cross_entropy(
            logits, y, self.weights, reduction="sum", label_smoothing=self.label_smoothing
        )
        return losses / len(y)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, classes), each row summing to 1."""
        return logits.softmax(1)

    def losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """(N,): the plain loss of each picture, unweighted."""
        return F.cross_entropy(logits, y, reduction="none")

    def tally(self) -> Tally | LabelTally:
        """An empty account of an evaluation."""
        return Tally(len(self.classes))


@dataclass(frozen=True, slots=True)
class MultiLabel:
    """A set of labels a picture: one logistic each, binary cross-entropy, mean over labels. `weights`
    multiply the loss of each label where it is given. Label smoothing moves targets towards one half.
    """

    classes: tuple[str, ...]
    label_smoothing: float = 0.0
    weights: Tensor | None = None

    name: TaskName = "multilabel"

    def outcome(self, network: Network, x: Tensor, y: Tensor) -> Outcome:
        """`y` holds label sets (N, classes) of 0 and 1, or shares where pictures were mixed."""
        answer, loss, total = _losses(network, x, lambda logits: self._loss(logits, y))
        with torch.no_grad():
            right = ((answer > 0) == (y > 0.5)).double().mean(1).sum()
        return Outcome(total, loss.detach(), right)

    def _loss(self, logits: Tensor, y: Tensor) -> Tensor:
        target = y * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weights)

    def probabilities(self, logits: Tensor) -> Tensor:
        """(N, classes), each between 0 and 1 for itself."""
        return logits.sigmoid()

    def losses(self, logits: Tensor, y: Tensor) -> Tensor:
        """(N,): the plain loss of each picture, unweighted."""
        return F.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(1)

    def tally(self) -> Tally | LabelTally:
        """An empty account of an evaluation."""
        return LabelTally(len(self.classes))


def _losses(
    network: Network, x: Tensor, loss_of: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """The main logits, their loss, and that loss with the auxiliary heads' by the network's weight."""
    answer, *others = (logits.float() for logits in network.all_logits(x))
    loss = loss_of(answer)
    total = loss
    for logits in others:
        total = total + network.aux_weight * loss_of(logits)
    return answer, loss, total


Task = Classify | MultiLabel
TASKS: dict[TaskName, type[Classify] | type[MultiLabel]] = {"classify": Classify, "multilabel": MultiLabel}


def task_name(y: Tensor) -> TaskName:
    """The task that labels `y` ask for."""
    return "multilabel" if y.ndim == 2 else "classify"


def balanced(y: Tensor, classes: int) -> Tensor:
    """Weights that let each class count alike: n / (classes n_c); for label sets, how many pictures lack the
    label for each that has it. float32 (classes,); a class without pictures gets 1.
    """
    if y.ndim == 2:
        given = y.sum(0)
        return torch.where(given > 0, (len(y) - given) / given.clamp(min=1), 1.0).float()
    counts = torch.bincount(y, minlength=classes)
    return torch.where(counts > 0, len(y) / (classes * counts.clamp(min=1)), 1.0).float()


@torch.inference_mode()
def measure(
    task: Task,
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    split: str,
    *,
    onlooker: Onlooker = nobody,
) -> Report | MultiLabelReport:
    """Measure `network`, in evaluation mode, over `batches`; its mode is restored. `onlooker` sees every
    batch's logits and truth.
    """
    tally = task.tally()
    was_training = network.training
    network.eval()
    try:
        for x, y in batches:
            logits = network(x).float()
            tally.add(logits, y, task.losses(logits, y).double().sum())
            onlooker(logits, y)
    finally:
        network.train(was_training)
    return tally.report(task.classes, split=split)
