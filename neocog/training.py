"""The training loop: a generator of events. Whoever stops asking for the next event has cancelled the job.

On a CPU with the same number of threads, a run killed anywhere and resumed ends with the same bits:
shuffling, augmentation and dropout are drawn from (seed, epoch, step), and the state on disk is weights,
optimizer, step and the epoch's sums.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from neocog._version import __version__
from neocog.data.batches import DROPOUT, WEIGHTS, counted, cuts, plain_batches, stream, training_batches
from neocog.data.dataset import Dataset
from neocog.doctor import built
from neocog.errors import CheckFailed
from neocog.events import Epoch, Event, Finished, Saved, Started, Step
from neocog.metrics import Report
from neocog.model import Trained, write_model
from neocog.optim import Optimizer, scheduled
from neocog.recipe import Phase, Recipe
from neocog.run import Run, State
from neocog.tasks import Classify
from neocog.world import World
from neocog.zoo import begin

SAVE_EVERY = 30.0  # seconds between saves within an epoch
SAVE_SHARE = 0.04  # of the time may go into saving; what costs more is saved more rarely
CHECK_EVERY = {
    "cpu": 1,
    "cuda": 50,
}  # steps between looks at the loss; on a GPU each look waits for the device


@dataclass(frozen=True, slots=True)
class Plan:
    """Which epoch and phase a step belongs to. Epochs and steps count from 0."""

    recipe: Recipe
    per_epoch: int

    @property
    def steps(self) -> int:
        return self.per_epoch * self.recipe.epochs

    def phase(self, epoch: int) -> tuple[Phase, int]:
        """The phase of `epoch` and the epoch it begins with."""
        first = 0
        for phase in self.recipe.phases:
            if epoch < first + phase.epochs:
                return phase, first
            first += phase.epochs
        raise AssertionError(f"epoch {epoch} is after the last of {self.recipe.epochs}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model file in memory."""

    weights: dict[str, Tensor]
    document: dict[str, Any]


class Saver:
    """Writes best model and state, and decides when: often, but never for more than `SAVE_SHARE` of the
    time.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.cost = 0.0
        self.last = time.monotonic()
        self.best: Snapshot | None = None

    def due(self, *, after: float) -> bool:
        return time.monotonic() - self.last >= max(after, self.cost / SAVE_SHARE)

    def keep(self, snapshot: Snapshot) -> None:
        """Remember `snapshot` as the model to ship; it is written before the next state is."""
        self.best = snapshot

    def save(self, state: State, job: Training, optimizer: Optimizer, scaler: torch.amp.GradScaler) -> Saved:
        """Write the model to ship, if it is new, then the state; raise `CheckFailed` where a weight is not
        finite.
        """
        start = time.monotonic()
        _require_finite(job, state.step)
        if self.best is not None:
            write_model(self.run.model_file, self.best.weights, self.best.document)
            self.best = None
        self.run.save(state, job.trained.network, optimizer, scaler)
        self.last = time.monotonic()
        self.cost = self.last - start
        return Saved(state.step, self.cost)


@dataclass(frozen=True, slots=True)
class Training:
    """A job: a recipe with everything it names made real. `trained` holds the network that is being
    trained.
    """

    recipe: Recipe
    dataset: Dataset
    trained: Trained
    run: Run
    world: World

    @property
    def task(self) -> Classify:
        return Classify(self.dataset.classes, self.recipe.label_smoothing)

    @property
    def plan(self) -> Plan:
        return Plan(self.recipe, len(cuts(len(self.dataset.train), self.recipe.batch)))

    def batches(self, epoch: int, *, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The training batches of `epoch` from number `first` on, as the network sees them."""
        return training_batches(
            self.dataset.train,
            self.trained.preprocess,
            self.plan.phase(epoch)[0].augment,
            batch=self.recipe.batch,
            classes=len(self.dataset.classes),
            seed=self.recipe.seed,
            epoch=epoch,
            first=first,
            shuffle=self.recipe.order == "shuffled",
            device=self.world.device,
        )

    def watched(self) -> Report | None:
        """The network as it is now, measured on the watched split in float32, as `evaluate` will."""
        if self.dataset.val is None:
            return None
        batches = plain_batches(self.dataset.val, self.trained.preprocess, device=self.world.device)
        return self.task.report(self.trained.network, batches, "val")

    def snapshot(self, epoch: int, report: Report | None) -> Snapshot:
        """The network as it is after `epoch` (from 1), with its figures."""
        copy = {name: tensor.detach().clone() for name, tensor in self.trained.network.state_dict().items()}
        metrics = (
            {"val_accuracy": report.accuracy, "val_loss": report.loss, "val_n": report.n} if report else {}
        )
        provenance = {**self.trained.provenance, "epoch": epoch, "metrics": metrics}
        return Snapshot(copy, replace(self.trained, provenance=provenance).document())

    def events(self, *, resume: bool, stop: Callable[[], bool]) -> Iterator[Event]:
        """Train, from the start or from the saved state. `stop` is asked after every step; when true, the
        state is saved.
        """
        network, plan, world = self.trained.network, self.plan, self.world
        scaler, saver = world.scaler(), Saver(self.run)
        state, optimizer = State(), Optimizer(plan.phase(0)[0].optim, network)
        if resume and self.run.state_file.exists():
            state, optimizer = self._restored(plan, scaler)
        state.loss_sum, state.right = state.loss_sum.to(world.device), state.right.to(world.device)
        yield Started(state.step, plan.steps, plan.per_epoch, self.recipe.epochs)
        network.train()
        for epoch in range(state.step // plan.per_epoch, self.recipe.epochs):
            phase, first_epoch = plan.phase(epoch)
            first_step = first_epoch * plan.per_epoch
            if state.step == first_step and first_step > 0:
                optimizer = Optimizer(phase.optim, network)
            begun, seen = time.monotonic(), state.pictures
            for x, y in self.batches(epoch, first=state.step % plan.per_epoch):
                lr = scheduled(
                    phase.optim,
                    state.step - first_step,
                    steps=phase.epochs * plan.per_epoch,
                    per_epoch=plan.per_epoch,
                )
                torch.manual_seed(counted(self.recipe.seed, DROPOUT, state.step))
                with world.autocast():
                    outcome = self.task.outcome(network, x, y)
                if state.step % CHECK_EVERY[world.device.type] == 0:
                    _require_finite_loss(outcome.answer_loss, state.step + 1, lr)
                torch.autograd.backward(scaler.scale(outcome.loss))
                optimizer.step(lr, scaler)
                state.step += 1
                state.pictures += len(x)
                state.loss_sum += outcome.answer_loss.double() * len(x)
                state.right += outcome.right
                yield Step(state.step, epoch + 1, outcome.answer_loss, state.pictures)
                if state.step % plan.per_epoch == 0:
                    break  # the epoch is closed before anything is saved or stopped
                if stop():
                    yield saver.save(state, self, optimizer, scaler)
                    yield Finished(state.step, epoch + 1, "interrupted", state.best_epoch)
                    return
                if saver.due(after=SAVE_EVERY):
                    yield saver.save(state, self, optimizer, scaler)
            seconds = time.monotonic() - begun
            yield self._close_epoch(epoch, state, saver, lr, seconds, (state.pictures - seen) / seconds)
            state.loss_sum.zero_()
            state.right.zero_()
            state.pictures = 0
            if self._gives_up(epoch + 1, state):
                state.finished = "stopped early"
                break
            if stop() and epoch + 1 < self.recipe.epochs:
                yield saver.save(state, self, optimizer, scaler)
                yield Finished(state.step, epoch + 1, "interrupted", state.best_epoch)
                return
            if saver.due(after=0.0):
                yield saver.save(state, self, optimizer, scaler)
        state.finished = state.finished or "done"
        yield saver.save(state, self, optimizer, scaler)
        yield Finished(state.step, state.step // plan.per_epoch, state.finished, state.best_epoch)

    def _restored(self, plan: Plan, scaler: torch.amp.GradScaler) -> tuple[State, Optimizer]:
        """State and optimizer from disk. The optimizer is that of the phase which the last done step
        belongs to.
        """
        done = int(self.run.saved()["step"])
        last_epoch = min(max(done - 1, 0) // plan.per_epoch, self.recipe.epochs - 1)
        optimizer = Optimizer(plan.phase(last_epoch)[0].optim, self.trained.network)
        state = self.run.load(self.trained.network, optimizer, scaler)
        if state.finished == "stopped early":
            state.patience_from = state.step // plan.per_epoch
        state.finished = ""
        return state, optimizer

    def _close_epoch(
        self, epoch: int, state: State, saver: Saver, lr: float, seconds: float, speed: float
    ) -> Epoch:
        """Measure the watched split, remember the best network, and say how the epoch went."""
        loss = float(state.loss_sum) / state.pictures
        _require_finite_loss(torch.tensor(loss), state.step, lr)
        report = self.watched()
        score = report.score if report else (0.0, 0.0)
        better = state.best_score is None or score > state.best_score
        kept = better or report is None or self.recipe.stop.select == "last"
        if better:
            state.best_score = score
        if kept:
            state.best_epoch = epoch + 1
            saver.keep(self.snapshot(epoch + 1, report))
        if better:
            state.patience_from = epoch + 1
        return Epoch(
            epoch=epoch + 1,
            step=state.step,
            loss=loss,
            accuracy=int(state.right) / state.pictures,
            val_loss=report.loss if report else None,
            val_accuracy=report.accuracy if report else None,
            lr=lr,
            seconds=seconds,
            pictures_per_second=speed,
            best=kept,
        )

    def _gives_up(self, epoch: int, state: State) -> bool:
        patience = self.recipe.stop.patience
        return patience > 0 and self.dataset.val is not None and epoch - state.patience_from >= patience


def prepare(recipe: Recipe, dataset: Dataset, world: World, run: Run) -> Training:
    """Everything the recipe names, made real. Raises before anything is written where the network cannot
    be.
    """
    preprocess = recipe.preprocess.resolved(dataset.train.x)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = built(recipe.model, shape=dataset.shape, classes=len(dataset.classes))
    begin(recipe.model, network, stream(recipe.seed, WEIGHTS))
    network = network.to(world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = Trained(
        network=network,
        model=recipe.model,
        shape=dataset.shape,
        classes=dataset.classes,
        preprocess=preprocess,
        provenance={
            "neocog": __version__,
            "data": recipe.data.model_dump(mode="json"),
            "data_fingerprint": dataset.fingerprint,
            "recipe_identity": recipe.identity,
        },
    )
    return Training(recipe, dataset, trained, run, world)


def _require_finite_loss(loss: Tensor, step: int, lr: float) -> None:
    if not torch.isfinite(loss):
        raise CheckFailed(
            f"the loss is not finite ({float(loss)}) at step {step}, learning rate {lr:g}; "
            "the last good state is kept: "
            f"resume from it with a lower rate, for example --set optim.lr={lr / 10:g}"
        )


def _require_finite(job: Training, step: int) -> None:
    for name, tensor in job.trained.network.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckFailed(
                f"the weights of {name} are not finite at step {step}; the last good state is kept. "
                "Resume from it with a lower learning rate (--set optim.lr=...)"
            )
