"""Plan: which epoch and phase a step of a training belongs to, and its learning rate."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.data.batches import cuts, cuts_after
from neocog.optim.schedules import scheduled
from neocog.recipes.recipe import Phase, Recipe
from neocog.runs.state import State


@dataclass(frozen=True, slots=True)
class Plan:
    """Which epoch and phase a step belongs to. Epochs and steps count from 0."""

    recipe: Recipe
    pictures: int

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch."""
        return len(cuts(self.pictures, self.recipe.batch))

    @property
    def steps(self) -> int:
        """Steps of the whole training, were no batch size ever changed."""
        return self.per_epoch * self.recipe.epochs

    def left(self, state: State) -> int:
        """Steps from `state` to the end."""
        whole = self.per_epoch * (self.recipe.epochs - state.epoch)
        return whole - self.per_epoch + len(self.cuts(state)) if state.rows else whole

    def cuts(self, state: State) -> list[tuple[int, int]]:
        """Which of the epoch's pictures each batch takes that is left of it."""
        return cuts_after(state.rows, self.pictures, self.recipe.batch)

    def phase(self, epoch: int) -> tuple[Phase, int]:
        """The phase of `epoch` and the epoch it begins with."""
        first = 0
        for phase in self.recipe.phases:
            if epoch < first + phase.epochs:
                return phase, first
            first += phase.epochs
        raise AssertionError(f"epoch {epoch} is after the last of {self.recipe.epochs}")

    def lr(self, state: State) -> float:
        """The learning rate of the step after `state`: each phase has a schedule of its own, and the place in
        it is that in the epoch's pictures.
        """
        phase, first = self.phase(state.epoch)
        step = (state.epoch - first) * self.per_epoch + state.rows // self.recipe.batch
        return scheduled(phase.optim, step, steps=phase.epochs * self.per_epoch, per_epoch=self.per_epoch)
