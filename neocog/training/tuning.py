"""Tuning: for how many epochs borrowed features are tuned, decided by pictures that are left out.

Few pictures are soon learned by heart, and their features with them. So the whole training is done five times
over, each time without a fifth of the pictures, and what is left out is measured after every epoch: tuning
ends where their loss is lowest, which may be before it begins. What is frozen is computed once for all.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from neocog.events import Epoch
from neocog.recipes.borrowing import FEW
from neocog.recipes.recipe import Phase, Recipe, Stop
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.show.words import percent, plural
from neocog.tasks import logistic
from neocog.tasks.intervals import wilson
from neocog.training.loop import Part, Training
from neocog.transfer.features import ALL, cut, features, last_stage
from neocog.world import deterministic
from neocog.zoo.blocks import Network


@dataclass(frozen=True, slots=True)
class Course:
    """What happened to `n` pictures, each left out once: the mean `losses`, and how many were answered
    `right` as a whole, when the head had been trained and after each epoch of tuning.
    """

    losses: tuple[float, ...]
    right: tuple[int, ...]
    n: int

    @property
    def best(self) -> int:
        """The epochs of tuning after which the loss is lowest; 0: none."""
        return self.losses.index(min(self.losses))


def decided(job: Training, changes: Sequence[str]) -> tuple[Training, tuple[str, ...]]:
    """`job` with as many epochs of tuning as pictures that are left out speak for, and why, in a sentence.

    Left as it is where nothing is tuned; where pictures are watched, which then decide; and where `changes`
    of the recipe say for how many epochs.
    """
    recipe = job.recipe
    if not _is_tuned(job) or any(c.startswith("phases.") and ".epochs" in c for c in changes):
        return job, ()
    if job.dataset.val is not None and job.dataset.watched != "test":
        return job, ()
    why_not = _why_not(job)
    if why_not is not None:
        return job, (f"nothing was left out to see whether tuning helps, since {why_not}",)
    course = crossed(job)
    best = course.best
    left = f"left out in turn, {_share(course, 0)} of {course.n:,} are answered right before tuning"
    if best:
        said = f"{left} and {_share(course, best)} after {plural(best, 'epoch')}, where their loss is lowest"
    else:
        said = f"nothing is tuned: {left}, and no epoch of it lowers their loss ({course.losses[0]:.4f})"
    return job.with_recipe(cut_short(recipe, best)), (said,)


def cut_short(recipe: Recipe, epochs: int) -> Recipe:
    """`recipe` with so many epochs after those of the head alone, phases without any left out."""
    left, phases = epochs, []
    for phase in recipe.phases:
        if phase.freeze == ALL:
            phases.append(phase)
        elif left:
            phases.append(phase.model_copy(update={"epochs": min(phase.epochs, left)}))
            left -= phases[-1].epochs
    return recipe.model_copy(update={"phases": tuple(phases)})


def crossed(job: Training) -> Course:
    """The course of `job`, whose features can be kept, over pictures left out; `job` is not trained by it."""
    y = job.dataset.train.y
    network, preprocess = job.trained.network, job.trained.preprocess
    seen = features(network, cut(network, ALL), job.dataset.train, preprocess, world=job.world).x[0]
    fold = logistic.folds(y, min(logistic.FOLDS, len(y)), job.recipe.seed)
    before = sum(phase.epochs for phase in job.recipe.phases if phase.freeze == ALL) - 1
    epochs = job.recipe.epochs - before
    losses, right = [0.0] * epochs, [0.0] * epochs
    figure = job.task.figure
    for number in range(int(fold.max()) + 1):
        out = fold == number
        part = _without(job, seen, out)
        for place, epoch in enumerate(_trained(part)[before:]):
            losses[place] += epoch.held_out["loss"] * int(out.sum())  # type: ignore[operator]
            right[place] += epoch.held_out[figure] * int(out.sum())  # type: ignore[operator]
    return Course(tuple(loss / len(y) for loss in losses), tuple(map(round, right)), len(y))


def _without(job: Training, seen: torch.Tensor, out: torch.Tensor) -> Training:
    """`job` without the pictures `out`, which are watched; `seen` are the features of all."""
    rows, left = ((~out).nonzero()[:, 0], out.nonzero()[:, 0])
    whole = job.dataset
    part = replace(
        job,
        recipe=job.recipe.model_copy(update={"stop": Stop(select="last"), "probes": "off"}),
        dataset=replace(whole, train=whole.train.subset(rows), val=whole.train.subset(left), test=None),
        trained=replace(job.trained, network=copy.deepcopy(job.trained.network)),
        part=Part(job, rows, left),
    )
    part.open_head(lambda: seen[rows])
    return part


def _trained(job: Training) -> list[Epoch]:
    """The epochs of `job`, in a folder that is thrown away."""
    with (
        tempfile.TemporaryDirectory(prefix="neocog-left-out-") as folder,
        deterministic(),
        torch.random.fork_rng(devices=[]),
    ):
        run = Run(Path(folder))
        begin(run, job.recipe, {})
        return [event for event in job.events(run, stop=lambda: False) if isinstance(event, Epoch)]


def _is_tuned(job: Training) -> bool:
    """Whether a head is trained on frozen features first, and some of them are freed then."""
    first, *others = job.recipe.phases
    return job.recipe.start is not None and first.freeze == ALL and bool(others)


def _why_not(job: Training) -> str | None:
    """Why pictures cannot be left out in turn, None where they can."""
    n, y = len(job.dataset.train), job.dataset.train.y
    if n > FEW:
        return f"there are more than {FEW}; data.held_out=0.1 holds some out"
    if not logistic.can_be_left_out(y, len(job.dataset.classes)):
        return "a class has a single picture"
    if any(job.why_not(phase) is not None for phase in job.recipe.phases):
        return "features are not kept"
    network = job.trained.network
    places = [_place(network, phase) for phase in job.recipe.phases]
    if places != sorted(places, reverse=True):
        return "a phase freezes what one before it freed"
    return None


def _place(network: Network, phase: Phase) -> int:
    """How many parameters `phase` freezes."""
    if phase.freeze is None:
        return 0
    return sum(p.numel() for p in network.until(last_stage(network, phase.freeze)).parameters())


def _share(course: Course, epochs: int) -> str:
    right = course.right[epochs]
    return percent(right / course.n, wilson(right, course.n))
