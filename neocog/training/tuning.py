"""Tuning: for how many epochs borrowed features are tuned, decided by pictures that are left out.

Few pictures are soon learned by heart, and their features with them. So the whole training is done five times
over, each time without a fifth of the pictures, and what is left out is measured after every epoch: tuning
ends where their loss is lowest, and does not begin where that is no more than chance (the rule of one
standard error, Breiman et al. 1984). What is frozen is computed once for all.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neocog.events import Epoch
from neocog.recipes.borrowing import FEW
from neocog.recipes.recipe import Phase, Recipe, Stop
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.show.words import percent, plural
from neocog.tasks import logistic
from neocog.tasks.doubt import Apart, Limits, apart, limits, together
from neocog.tasks.intervals import wilson
from neocog.training.loop import Training
from neocog.training.sight import Part, Sight
from neocog.transfer.features import ALL, cut, features, last_stage
from neocog.world import deterministic
from neocog.zoo.blocks import Network

LEFT_OUT = "left_out"
"""In the facts of a run: what pictures left out of it fixed."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What happened to N pictures, each left out once: their `losses`, (1 + epochs, N), and how many were
    answered `right` as a whole, when the head had been trained and after each epoch of tuning. Where the
    recipe asks for a coverage, `limits` are what they say of when to doubt the network of then.
    """

    losses: Tensor
    right: tuple[int, ...]
    limits: tuple[Limits, ...] = ()

    @property
    def n(self) -> int:
        return self.losses.shape[1]

    @property
    def best(self) -> int:
        """The epochs of tuning after which the mean loss is lowest, if it is lower than before tuning by more
        than its standard error, picture by picture; else 0: none.
        """
        found = int(self.losses.double().mean(1).argmin())
        gains = (self.losses[0] - self.losses[found]).double()
        return found if float(gains.mean()) > float(gains.std()) / math.sqrt(self.n) else 0

    def loss(self, epochs: int) -> float:
        """The mean after so many epochs."""
        return float(self.losses[epochs].double().mean())


@dataclass(frozen=True, slots=True)
class Decided:
    """The `job` as it is to be trained, why so in sentences, and when to doubt what comes of it, where
    pictures that were left out say that (else None).
    """

    job: Training
    said: tuple[str, ...] = ()
    limits: Limits | None = None

    def facts(self) -> dict[str, Any]:
        """What the run has to remember of it."""
        return (
            {} if self.limits is None else {LEFT_OUT: self.limits.json() | {"of": self.job.recipe.identity}}
        )


def decided(job: Training, changes: Sequence[str]) -> Decided:
    """`job` with as many epochs of tuning as pictures that are left out speak for.

    Left as it is where nothing is tuned; where pictures are watched, which then decide; and where `changes`
    of the recipe say for how many epochs: pictures left out then only say when to doubt the network.
    """
    recipe = job.recipe
    if not _is_tuned(job) or (job.dataset.val is not None and job.dataset.watched != "test"):
        return Decided(job)
    freed = [number for number, phase in enumerate(recipe.phases) if phase.freeze != ALL]
    chosen = any(c.partition("=")[0].strip() == f"phases.{n}.epochs" for c in changes for n in freed)
    if chosen and recipe.coverage is None:
        return Decided(job)
    why_not = _why_not(job)
    if why_not is not None:
        return Decided(job, (f"nothing was left out to see whether tuning helps, since {why_not}",))
    course = crossed(job)
    if chosen:
        return Decided(job, limits=course.limits[-1])
    best = course.best
    left = f"left out in turn, {_share(course, 0)} of {course.n:,} are answered right before tuning"
    if best:
        said = (
            f"{left} and {_share(course, best)} after {plural(best, 'epoch')}, where their loss is lowest: "
            f"{course.loss(best):.4f} in place of {course.loss(0):.4f}"
        )
    else:
        lowest = min(map(course.loss, range(len(course.losses))))
        said = (
            f"nothing is tuned: {left}, and no epoch of it lowers their loss by more than chance does "
            f"({course.loss(0):.4f}, at best {lowest:.4f})"
        )
    found = course.limits[best] if course.limits else None
    return Decided(job.with_recipe(cut_short(recipe, best)), (said,), found)


def limits_of(run: Run, recipe: Recipe) -> Limits | None:
    """What pictures that were left out of the training of `recipe` said of when to doubt its network, as the
    run remembers it. None where none were, or another recipe is followed since.
    """
    kept = dict(run.facts().get(LEFT_OUT, {}))
    return Limits(**kept) if kept.pop("of", None) == recipe.identity else None


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
    parts: list[list[Apart]] = [[] for _ in range(epochs)]
    sights = [(phase, job.sight(phase)) for phase in job.recipe.phases]
    for number in range(int(fold.max()) + 1):
        for place, found in enumerate(_trained(_without(job, seen, fold == number, sights), after=before)):
            parts[place].append(found)
    task, answers, coverage = job.task, job.trained.answers, job.recipe.coverage
    whole = [together(each) for each in parts]
    return Course(
        torch.stack([task.losses(each.outputs, each.y) for each in whole]),
        tuple(int(task.right(task.predicted(task.probabilities(e.outputs)), e.y).sum()) for e in whole),
        tuple(limits(answers, each, coverage) for each in whole) if coverage is not None else (),
    )


def _without(job: Training, seen: Tensor, out: Tensor, sights: Sequence[tuple[Phase, Sight]]) -> Training:
    """`job` without the pictures `out`, which are watched; `seen` are the features of all, `sights` what it
    trains with.
    """
    rows, left = ((~out).nonzero()[:, 0], out.nonzero()[:, 0])
    whole = job.dataset
    part = replace(
        job,
        recipe=job.recipe.model_copy(update={"stop": Stop(select="last"), "probes": "off"}),
        dataset=replace(whole, train=whole.train.subset(rows), val=whole.train.subset(left), test=None),
        trained=replace(job.trained, network=copy.deepcopy(job.trained.network)),
        part=Part(sights, rows, left),
    )
    part.open_head(lambda: seen[rows])
    return part


def _trained(job: Training, *, after: int) -> Iterator[Apart]:
    """How the watched pictures lie to those that `job` learns from, when so many epochs are done and after
    each further one. It is trained in a folder that is thrown away.
    """
    with (
        tempfile.TemporaryDirectory(prefix="neocog-left-out-") as folder,
        deterministic(),
        torch.random.fork_rng(devices=[]),
    ):
        run, live = Run(Path(folder)), job.begun()
        begin(run, job.recipe, {})
        for event in job.events(run, stop=lambda: False, live=live):
            if isinstance(event, Epoch) and event.epoch > after:
                yield _apart(job, live.average.network, event.epoch)


def _apart(job: Training, network: Network, epoch: int) -> Apart:
    """How the watched pictures lie to those that `network` has learned from, after `epoch` (from 1)."""
    sight, data = job.sight(job.plan.phase(epoch - 1)[0]), job.dataset
    assert data.val is not None  # what is left out is watched
    learner, task = sight.learner(network), job.trained.answers
    return apart(learner, task, sight.plain(data.train), sight.held_out(data.val))


def _is_tuned(job: Training) -> bool:
    """Whether a head is trained on frozen features first, and some of them are freed then."""
    first, *others = job.recipe.phases
    return (
        job.recipe.start is not None and first.freeze == ALL and any(phase.freeze != ALL for phase in others)
    )


def _why_not(job: Training) -> str | None:
    """Why pictures cannot be left out in turn, None where they can."""
    n, y = len(job.dataset.train), job.dataset.train.y
    if n > FEW:
        return f"there are more than {FEW}; data.held_out=0.1 holds some out"
    if not logistic.can_be_left_out(y, len(job.dataset.classes), job.recipe.seed):
        return "a class has a single picture, or a label too few"
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
