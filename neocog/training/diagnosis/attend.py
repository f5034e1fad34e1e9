"""Attend: a doctor who stands beside a training, looks at it on a schedule, and says what is wrong.

He hears the training's events and adds his own (`Finding`). He changes nothing: the bits of a training are
the same with him and without. Looks are at steps 1, 30, 100, 200, 300 and then ever more rarely (each time
half as late again), a pass or two each, so that they stay under 3 % of the time; only where nothing is
learned and no cause is found does he try whether the pictures of a batch can be learned by heart.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from neocog.data import targets
from neocog.data.batches import channels_last
from neocog.errors import CheckFailed
from neocog.events import Epoch, Event, Finding, Started, Step
from neocog.runs.state import State
from neocog.tasks.task import Objective
from neocog.training.diagnosis import held_out, probe
from neocog.training.diagnosis.by_heart import ENOUGH, learned_by_heart
from neocog.training.diagnosis.causes import (
    CAUSES,
    CERTAIN,
    Case,
    Diagnosis,
    labels_astray,
    not_even_by_heart,
)
from neocog.training.diagnosis.evidence import Evidence
from neocog.training.loop import Training

LOOKS = (1, 30, 100, 200, 300)
CONSIDERED = 200
"""Steps before which nobody is said to learn nothing."""
BY_HEART = 64
"""Pictures that the network is asked to learn by heart."""
OF_EACH = 6
"""Pictures of each class that are asked for their answer."""
ASKED = 128
ENOUGH_OF_ONE = 4
"""Pictures of a class that must be asked before it is said that none is taken for it."""
MANY = 4096
"""Targets that are enough to know how common the classes are."""


def due(step: int) -> bool:
    """Whether there is a look after `step` steps."""
    at = LOOKS[-1]
    while at < step:
        at = at * 3 // 2
    return step in LOOKS or step == at


class Doctor:
    """Beside one training. `looks` is what he has seen so far."""

    def __init__(self, job: Training) -> None:
        self.job, self.task, self.network = job, job.task, job.trained.network
        self.objective = Objective(self.network, self.task)
        self.looks: list[Evidence] = []
        self.epochs: list[Epoch] = []
        self.said: set[str] = set()
        self.losses: list[Tensor] = []
        self.before: dict[str, Tensor] = {}
        self.step = 0
        self.rate = 0.0

    def attend(self, events: Iterable[Event]) -> Iterator[Event]:
        """`events`, and after them what he finds. Where the loss stops being a number he says why before the
        training ends with its error.
        """
        try:
            for event in events:
                yield event
                yield from self._hear(event)
        except CheckFailed:
            if self.looks:
                self.looks.append(replace(self.looks[-1], loss=math.nan))
                yield from self._found(self._stuck())
            raise

    def _hear(self, event: Event) -> Iterator[Finding]:
        match event:
            case Started():
                if due(event.step + 1):
                    self.before = probe.sampled(self.network)
            case Step():
                self.step = event.step
                if self._looks_on(event.epoch - 1):
                    self.losses.append(event.loss)
                    if due(event.step):
                        self._look(event)
                        yield from self._found(self._diagnosed())
                    if due(event.step + 1):
                        self.before = probe.sampled(self.network)
            case Epoch():
                self.step = event.step
                self.epochs.append(event)
                yield from self._found(self._compared())

    def _looks_on(self, epoch: int) -> bool:
        """Whether he looks in `epoch` (from 0): not while eyes that were borrowed are frozen, when a look
        would cost more than many steps.
        """
        return self.job.recipe.start is None or self.job.plan.phase(epoch)[0].freeze is None

    def _found(self, diagnosis: Diagnosis | None) -> Iterator[Finding]:
        """What he says, once."""
        if diagnosis is None or diagnosis.name in self.said:
            return
        self.said.add(diagnosis.name)
        yield Finding(
            self.step,
            diagnosis.name,
            diagnosis.sentence,
            diagnosis.cure,
            diagnosis.evidence,
            diagnosis.changes,
        )

    def _look(self, event: Step) -> None:
        """One look, kept in `looks`."""
        x, y = self._pictures
        seen = probe.look(self.objective, x, y, self.job.world.autocast)
        found = torch.stack([loss.float() for loss in self.losses])
        self.losses.clear()
        never, right, others = self._asked() if event.step >= CONSIDERED else ({}, 0.0, 0.0)
        after = probe.sampled(self.network)
        self.looks.append(
            Evidence(
                step=event.step,
                loss=float(found.mean()),
                known=self._known,
                right=right,
                low=float(x.amin()),
                high=float(x.amax()),
                spread=seen.spread,
                dead=seen.layers.dead,
                saturated=seen.layers.saturated,
                gradients=seen.gradients,
                moved=probe.moved(self.before, after) if self.before else {},
                still=tuple(n for n, w in probe.weights(self.network).items() if not w.requires_grad),
                never=never,
                others=others,
                fair=1 / max(len(self.job.dataset.classes), 1),
            )
        )
        self.before = {}
        done = max(event.pictures - self.job.recipe.batch, 0)
        self.rate = self.job.plan.lr(State(epoch=event.epoch - 1, rows=done))

    @functools.cached_property
    def _pictures(self) -> tuple[Tensor, Tensor]:
        """The first batch as the network is given it, and its targets: a look at fewer pictures would have
        every layer set up for another shape, which costs more memory than it saves time.
        """
        return next(self.job.batches(0))

    @functools.cached_property
    def _known(self) -> float:
        """The loss of who answers every picture by how common the classes are, or all alike where the loss
        counts them alike: the lower of the two.
        """
        y = self.job.dataset.train.y[:MANY].to(self.job.world.device)
        classes = len(self.job.dataset.classes)
        members = targets.form_of(y).members(y, classes).double()
        common = ((members.sum(0) + 0.5) / (len(y) + 1)).float()
        one_each = targets.CLASS_INDICES.fits(y)
        guesses = (common.log() if one_each else common.logit(), torch.zeros_like(common))
        return min(float(self.task.loss(guess.expand(len(y), -1), y)) for guess in guesses)

    def _asked(self) -> tuple[dict[str, float], float, float]:
        """Of held-out pictures, or else training pictures, alike many of each class: the classes that none
        is taken for, with their share of the training pictures; the share answered right; and that of the
        pictures which are not of these classes.
        """
        train, classes = self.job.dataset.train, self.job.dataset.classes
        shown = self.job.dataset.val or train
        if not targets.CLASS_INDICES.fits(train.y):
            return {}, 0.0, 0.0
        counts = torch.bincount(train.y, minlength=len(classes))
        of_each = min(OF_EACH, ASKED // len(classes))
        rows = torch.cat([(shown.y == k).nonzero().flatten()[:of_each] for k in range(len(classes))])
        x, y = shown.take(rows)
        x = self.job.trained.preprocess.normalise(channels_last(x.to(self.job.world.device)))
        said = probe.answers(self.network, x, self.job.world.autocast).argmax(1).cpu()
        taken = torch.bincount(said, minlength=len(classes))
        never = [k for k in range(len(classes)) if taken[k] == 0 and int((y == k).sum()) >= ENOUGH_OF_ONE]
        other = ~torch.isin(y, torch.tensor(never, dtype=y.dtype))
        right = (said == y).float()
        shares = {classes[k]: int(counts[k]) / len(train.y) for k in never}
        return shares, float(right.mean()), float(right[other].mean()) if other.any() else 0.0

    def _diagnosed(self) -> Diagnosis | None:
        """What the looks say."""
        case, now = self._case(), self.looks[-1]
        for cause in CERTAIN:
            if (diagnosis := cause(case)) is not None and diagnosis.name not in self.said:
                return diagnosis
        if not math.isfinite(now.loss) or (now.step >= CONSIDERED and now.stuck):
            return None if self.said else self._stuck()
        return held_out.never_answered(case)

    def _case(self) -> Case:
        return Case(self.job.recipe, self.looks, self.rate)

    def _stuck(self) -> Diagnosis:
        """Why nothing is learned."""
        case = self._case()
        for cause in CAUSES:
            if (diagnosis := cause(case)) is not None:
                return diagnosis
        x, y = (part[:BY_HEART] for part in self._pictures)
        share = learned_by_heart(self.network, self.job.recipe.model, self.task, x, y)
        return labels_astray(case, share) if share >= ENOUGH else not_even_by_heart(case, share)

    def _compared(self) -> Diagnosis | None:
        """What the held-out pictures say."""
        val, train = self.job.dataset.val, self.job.dataset.train
        if val is None or self.epochs[-1].step < CONSIDERED // 2:
            return None
        return held_out.unlike(self.epochs, train, val) or held_out.over_fitting(self.epochs)
