"""The NumPy engine: a training whose every sum is done by the NumPy mirror, with the events, the files and
the report of any other.

The first weights are those that the torch engine would begin with; batches and dropout are drawn by NumPy.
What the mirror learned is put into the torch network after every epoch, which is then measured, kept and
shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neocog.data import targets
from neocog.errors import UsageError
from neocog.events import Event, Finished, Started
from neocog.mirror.network import Network, build
from neocog.mirror.training import Settings, from_recipe, train
from neocog.runs.run import Run
from neocog.runs.state import Live
from neocog.training.loop import Training
from neocog.training.own import NOTHING
from neocog.training.saving import Saver
from neocog.training.sight import Pictures
from neocog.zoo import Model


class NumpyTraining(Training):
    """The same job, done by the mirror. `stop` is asked between epochs; such a training cannot be resumed."""

    def events(self, run: Run, *, stop: Callable[[], bool], live: Live | None = None) -> Iterator[Event]:
        """Train into `run` from the start. `UsageError` for what the mirror has not."""
        live = live or self.begun()
        plan, saver, state = self.plan, Saver(run, self.recipe), live.state
        settings = self.settings()
        mirror = self.mirror()
        sight = Pictures(self.feed, self.trained.preprocess, self.world.device)
        x, y = self.dataset.train.x.numpy(), self.dataset.train.y.numpy()
        yield Started(0, plan.steps, plan.per_epoch, self.recipe.epochs)
        for done in train(mirror, x, y, settings):
            live.network.load_state_dict(_tensors(mirror.weights()), strict=False)
            state.step += plan.per_epoch
            state.pictures = len(y)
            state.loss_sum.fill_(done.loss * len(y))
            state.right.fill_(round(done.accuracy * len(y)))
            speed = len(y) / max(done.seconds, 1e-9)
            yield self._close_epoch(state.epoch, live, saver, sight, settings.lr, done.seconds, speed)
            state.close_epoch()
            if stop() and state.epoch < self.recipe.epochs:
                yield saver.save(live)
                yield Finished(state.step, state.epoch, "interrupted", state.best_epoch)
                return
        state.finished = "done"
        yield saver.save(live)
        yield Finished(state.step, state.epoch, state.finished, state.best_epoch)

    def settings(self) -> Settings:
        """What the recipe asks of the mirror; `UsageError` for what that has not."""
        if self.own != NOTHING:
            raise UsageError(
                "the NumPy engine takes no loss and no augmentation of one's own; use the torch engine"
            )
        if not targets.CLASS_INDICES.fits(self.dataset.train.y):
            raise UsageError(
                "the NumPy engine learns one class a picture, these have label sets; use the torch engine"
            )
        preprocess = self.trained.preprocess
        assert preprocess.mean is not None  # it is resolved
        assert preprocess.std is not None
        return from_recipe(self.recipe.json(), mean=preprocess.mean, std=preprocess.std)

    def mirror(self) -> Network:
        """The network in NumPy, float32, with the first weights of the torch network."""
        mirror = build(
            layers(self.recipe.model),
            shape=self.dataset.shape,
            classes=len(self.dataset.classes),
            generator=np.random.default_rng(self.recipe.seed),
            dtype=np.float32,
        )
        state = self.trained.network.state_dict()
        mirror.load({name: state[name].cpu().numpy().copy() for name in mirror.weights()})
        return mirror


def by_numpy(job: Training) -> NumpyTraining:
    """`job`, to be done by the mirror. `UsageError` for what that has not, before anything is written."""
    mirrored = NumpyTraining(job.recipe, job.dataset, job.trained, job.world, job.own)
    mirrored.settings()
    mirrored.mirror()
    return mirrored


def layers(model: Model) -> list[dict[str, Any]]:
    """The layer list of `model`; `UsageError` for a network of the zoo that has none."""
    if model.layers is not None:
        return list(model.json()["layers"])
    from neocog.zoo.chapters import ENTRIES

    if model.name not in ENTRIES:
        raise UsageError(
            f"{model.name} is no layer list, and the NumPy engine computes nothing else; "
            f"use one of {', '.join(ENTRIES)}, a net.json, or the torch engine"
        )
    return list(ENTRIES[model.name].layers)


def _tensors(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}
