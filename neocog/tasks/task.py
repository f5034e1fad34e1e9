"""Task: what a training minimises and how its result is measured, as one object; Objective, the module that
makes a loss of pictures and targets.

The protocols say what the loop, the report and the verbs ask of a task; `classify` and `multilabel` answer.
Whoever brings a task, a loss or a tally of his own writes an object with these methods and passes it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from neocog.data.dataset import Split
from neocog.zoo.blocks import Ending, Network
from neocog.zoo.layers.layer import penalties
from neocog.zoo.modes import evaluating

Onlooker = Callable[[Tensor, Tensor], None]
"""Is shown every batch that is measured: outputs, float32, and targets."""


def nobody(outputs: Tensor, y: Tensor) -> None:
    """The onlooker that looks away."""


R = TypeVar("R", bound="Result")


@dataclass(frozen=True, slots=True)
class Columns:
    """The measures of each class, and their means, in words, for a table."""

    names: tuple[str, ...] = ()
    of_class: tuple[tuple[str, ...], ...] = ()
    means: tuple[str, ...] = ()


class Result(Protocol):
    """What a measurement of a network on a split comes to. Shares are fractions 0..1, None where there is
    nothing to measure.
    """

    @property
    def split(self) -> str: ...
    @property
    def n(self) -> int: ...
    @property
    def remarks(self) -> tuple[str, ...]: ...

    @property
    def score(self) -> tuple[float, float]:
        """For choosing between networks: the higher the better, the second where the first is equal."""

    def figures(self) -> Mapping[str, float | None]:
        """What is written down of each epoch, and drawn as curves: 'loss', and whatever the task counts."""

    def result(self) -> dict[str, Any]:
        """What `facts.json` keeps of the measurement at a training's end, keys without the split's name."""

    def headline(self) -> Sequence[tuple[str, str]]:
        """The few figures at the top of a report, each with what it is."""

    def columns(self) -> Columns: ...
    def beside(self: R, split: Split) -> R:
        """The same with what the measured pictures say by themselves, for comparison."""

    def with_remarks(self: R, *remarks: str) -> R: ...
    def grouped(self: R, groups: Mapping[str, Sequence[str]]) -> R: ...
    def text(self) -> str: ...
    def json(self) -> dict[str, Any]: ...
    def save(self, path: str | Path) -> None: ...


class Account(Protocol):
    """What an evaluation has seen so far."""

    def add(self, outputs: Tensor, y: Tensor, loss_sum: Tensor) -> None:
        """Count a batch: the network's outputs (N, ...), float32, targets, and the sum of the losses."""

    def report(self, classes: tuple[str, ...], *, split: str) -> Result: ...


class Task(Protocol):
    """`name` is what recipes and model files call it; `figure` what is counted of every training batch beside
    the loss, such as 'accuracy'.
    """

    @property
    def name(self) -> str: ...
    @property
    def figure(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The scalar to minimise: a mean over the pictures of a batch."""

    def count(self, outputs: Tensor, y: Tensor) -> Tensor:
        """`figure`, added up over the pictures of a batch."""

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(N,): the plain loss of each picture, unweighted."""

    def tally(self) -> Account:
        """An empty account of an evaluation."""

    def probabilities(self, outputs: Tensor) -> Tensor:
        """(N, classes), each between 0 and 1."""

    def predicted(self, probabilities: Tensor) -> Tensor:
        """The answers, in the form of the targets."""

    def right(self, predicted: Tensor, y: Tensor) -> Tensor:
        """(N,), bool: which answers are right as a whole."""

    def named(self, answer: Tensor) -> str:
        """One target or one answer in words."""

    def sureness(self, probabilities: Tensor, predicted: Tensor, truth: Tensor, loss: float) -> Sequence[str]:
        """How sure the network was of one answer, in words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one training batch: the loss to minimise (a scalar), the plain loss of the answer, and the task's
    figure, added up over the pictures.
    """

    loss: Tensor
    answer_loss: Tensor
    right: Tensor


class Objective(nn.Module):
    """What a training step calls, so that whatever acts on `forward` (DDP, torch.compile) covers the loss and
    the auxiliary heads too. Their losses count by the network's own weight; the penalties of layers are part
    of what is minimised, not of the answer's loss.
    """

    def __init__(self, network: Network | Ending, task: Task) -> None:
        super().__init__()
        self.network = network
        self.task = task

    def forward(self, x: Tensor, y: Tensor) -> Outcome:
        """`x` (N, C, H, W) is the network's input, `y` the task's targets."""
        answer, *others = (outputs.float() for outputs in self.network.all_logits(x))
        loss = self.task.loss(answer, y)
        total = loss
        for outputs in others:
            total = total + self.network.aux_weight * self.task.loss(outputs, y)
        for penalty in penalties(self.network):
            total = total + penalty
        with torch.no_grad():
            return Outcome(total, loss.detach(), self.task.count(answer, y))


Answering = Callable[[nn.Module, Iterable[tuple[Tensor, Tensor]]], Iterator[tuple[Tensor, Tensor]]]


def in_order(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """What `network` answers to every batch, float32, and its targets."""
    for x, y in batches:
        yield network(x).float(), y


@torch.inference_mode()
def measure(
    task: Task,
    network: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    split: str,
    *,
    onlooker: Onlooker = nobody,
    answering: Answering = in_order,
) -> Result:
    """Measure `network`, in evaluation mode, over `batches`; the mode of each of its modules is restored.
    `onlooker` sees every batch's outputs and targets; `answering` makes them.
    """
    tally = task.tally()
    with evaluating(network):
        for outputs, y in answering(network, batches):
            tally.add(outputs, y, task.losses(outputs, y).double().sum())
            onlooker(outputs, y)
    return tally.report(task.classes, split=split)
