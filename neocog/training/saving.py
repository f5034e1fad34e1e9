"""Saver: when the best model and the state of a training are written; Snapshot, a model file in memory."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from neocog.errors import CheckFailed
from neocog.events import Saved
from neocog.model import write_model
from neocog.recipes.recipe import Recipe
from neocog.runs.run import Run
from neocog.runs.state import Live
from neocog.training.ranks import Ranks

SAVE_SHARE = 0.04  # of the time may go into saving; what costs more is saved more rarely


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model file in memory."""

    weights: dict[str, Tensor]
    document: dict[str, Any]


class Saver:
    """Writes best model and state, and decides when: often, but never for more than `SAVE_SHARE` of the
    time.
    """

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self.run = run
        self.recipe = recipe
        self.cost = 0.0
        self.last = time.monotonic()
        self.best: Snapshot | None = None

    def due(self, *, after: float) -> bool:
        return time.monotonic() - self.last >= max(after, self.cost / SAVE_SHARE)

    def keep(self, snapshot: Snapshot) -> None:
        """Remember `snapshot` as the model to ship; it is written before the next state is."""
        self.best = snapshot

    def save(self, live: Live) -> Saved:
        """Write the model to ship, if it is new, then the state; raise `CheckFailed` where a weight is not
        finite.
        """
        start = time.monotonic()
        require_finite(live)
        if self.best is not None:
            self.run.require()
            write_model(self.run.model_file, self.best.weights, self.best.document)
            self.best = None
        self.run.save(live, self.recipe)
        self.last = time.monotonic()
        self.cost = self.last - start
        return Saved(live.state.step, self.cost)


class Saving(Protocol):
    """Whoever sees to it that model and state are written."""

    def due(self, *, after: float) -> bool: ...
    def keep(self, snapshot: Snapshot) -> None: ...
    def save(self, live: Live) -> Saved: ...


@dataclass(frozen=True, slots=True)
class _Together:
    """Of several ranks the first one's `saver` writes (None: another rank's); all wait for it."""

    saver: Saver | None
    ranks: Ranks

    def due(self, *, after: float) -> bool:
        return self.saver is not None and self.saver.due(after=after)

    def keep(self, snapshot: Snapshot) -> None:
        if self.saver is not None:
            self.saver.keep(snapshot)

    def save(self, live: Live) -> Saved:
        begun = time.monotonic()
        if self.saver is not None:
            self.saver.save(live)
        self.ranks.wait()
        return Saved(live.state.step, time.monotonic() - begun)


def saver_of(run: Run, recipe: Recipe, ranks: Ranks) -> Saving:
    """Who saves a training into `run`: of several ranks the first, for all."""
    saver = Saver(run, recipe) if ranks.first else None
    return saver if saver is not None and ranks.number == 1 else _Together(saver, ranks)


def require_finite(live: Live) -> None:
    """Raise `CheckFailed` where a weight is not finite."""
    step = live.state.step
    for name, tensor in live.network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckFailed(
                f"the weights of {name} are not finite at step {step}; the last good state is kept. "
                "Resume from it with a lower learning rate (--set optim.lr=...)"
            )
