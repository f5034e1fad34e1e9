"""Own: what a user brings to a training in Python that a recipe, which is data, cannot hold.

def focal(classes): ...                       # an object with the methods of `neocog.tasks.task.Task`
neocog.train("digits", own=neocog.Own(task=focal, augment=flip_some))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neocog.data.batches import Varying
from neocog.tasks.task import Task

MakeTask = Callable[[tuple[str, ...]], Task]
Vary = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Own:
    """`task` makes a task of the class names: a loss, a figure, a tally of one's own. Its `name` is that of
    the built-in task whose answers it gives, which the model file keeps: everything else can read it.

    `augment` varies a batch after the recipe's augmentation: pictures (N, C, H, W), float32 in 0..255,
    targets, and a generator that is a function of seed and step; it returns both.
    """

    task: MakeTask | None = None
    augment: Vary | None = None

    def names(self) -> dict[str, str]:
        """What was brought, by its qualified name, for the run's facts."""
        brought: dict[str, Any] = {"task": self.task, "augment": self.augment}
        return {what: _named(given) for what, given in brought.items() if given is not None}

    def varying(self, before: Varying) -> Varying:
        """The recipe's augmentation, then the user's own."""
        return before if self.augment is None else _Then(before, self.augment)


NOTHING = Own()


@dataclass(frozen=True, slots=True)
class _Then:
    first: Varying
    second: Vary
    is_off: bool = False

    def __call__(
        self, x: Tensor, y: Tensor, classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        return self.second(*self.first(x, y, classes, generator), generator)


def _named(given: Any) -> str:
    kind = given if hasattr(given, "__qualname__") else type(given)
    return f"{kind.__module__}.{kind.__qualname__}"
