"""The training loop: a generator of events. Whoever stops asking for the next event has cancelled the job.

On a CPU with the same number of threads, a run killed anywhere and resumed ends with the same bits:
shuffling, augmentation and dropout are drawn from (seed, epoch, step), and the state on disk is weights,
optimizer, step and the epoch's sums.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from neocog._version import __version__
from neocog.data import targets
from neocog.data.batches import DROPOUT, STATISTICS, WEIGHTS, Feed, cuts, stream
from neocog.data.damage import damaging
from neocog.data.dataset import Dataset
from neocog.data.posed import posed
from neocog.data.splits import counted
from neocog.errors import CheckFailed
from neocog.events import Epoch, Event, Finished, Started, Step
from neocog.inside.shape_doctor import built, require_answers, require_pictures, require_spread
from neocog.model import Trained
from neocog.optim.average import Average
from neocog.optim.norms import keep, retaken
from neocog.optim.optimizers import Optimizer
from neocog.recipes.recipe import Phase, Recipe
from neocog.runs.run import Run
from neocog.runs.state import Live, State
from neocog.tasks.table import TASKS, task_name
from neocog.tasks.task import Objective, Outcome, Result, Task, measure
from neocog.training.dropout import masks_of_bits
from neocog.training.own import NOTHING, Own
from neocog.training.plan import Plan
from neocog.training.ranks import ALONE, Ranks
from neocog.training.saving import Saving, Snapshot, saver_of
from neocog.training.sight import SOME, Part, Pictures, Sight, kept, why_not
from neocog.transfer.features import ALL, cut, features, last_stage
from neocog.transfer.start import Borrowed, open_head
from neocog.world import World
from neocog.zoo import Network, begin
from neocog.zoo.modes import learning, training_mode

SAVE_EVERY = 30.0  # seconds between saves within an epoch
CHECK_EVERY = {
    "cpu": 1,
    "cuda": 50,
}  # steps between looks at the loss; on a GPU each look waits for the device


@dataclass(frozen=True, slots=True)
class Training:
    """A job: a recipe with everything it names made real, and what the user brings beside it. `trained` holds
    the network that is being trained. A job that is `part` of another takes its features from there.
    """

    recipe: Recipe
    dataset: Dataset
    trained: Trained
    world: World
    own: Own = NOTHING
    part: Part | None = None
    ranks: Ranks = ALONE

    @property
    def task(self) -> Task:
        if self.own.task is not None:
            return self.own.task(self.dataset.classes)
        kind, classes = TASKS[self.trained.task], self.dataset.classes
        weights = None
        if self.recipe.balance == "loss":
            weights = kind.balanced(self.dataset.train.y, len(classes)).to(self.world.device)
        return kind(classes, self.recipe.label_smoothing, weights, self.trained.preprocess)

    @property
    def plan(self) -> Plan:
        return Plan(self.recipe, len(self.dataset.train))

    def batches(self, epoch: int, *, taken: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The training batches of `epoch` after the first `taken` pictures, as the network sees them."""
        return self.feed(epoch).batches(epoch, taken=taken)

    def feed(self, epoch: int) -> Feed:
        """The training pictures of `epoch` as the network is fed with them."""
        return Feed(
            split=self.dataset.train,
            preprocess=self.trained.preprocess,
            augment=damaging(self.recipe.damage, self.own.varying(self.plan.phase(epoch)[0].augment)),
            batch=self.recipe.batch,
            classes=len(self.dataset.classes),
            seed=self.recipe.seed,
            order="balanced" if self.recipe.balance == "sampler" else self.recipe.order,
            device=self.world.device,
        )

    def sight(self, phase: Phase) -> Sight:
        """What `phase` trains, and with what: features that are kept where it freezes stages and they can
        be, else pictures.
        """
        if self.part is not None:
            return self.part.sight(phase, self.feed)
        network, preprocess = self.trained.network, self.trained.preprocess
        if phase.freeze is None or self.why_not(phase) is not None:
            return Pictures(self.feed, preprocess, self.world.device)
        return kept(phase, network, self.dataset, feed=self.feed, preprocess=preprocess, world=self.world)

    def why_not(self, phase: Phase) -> str | None:
        """Why the features of `phase` cannot be kept; None where they can, or it freezes nothing."""
        return why_not(phase, self.own.varying(phase.augment), self.dataset, self.trained.network)

    def watched(self, network: Network, sight: Sight | None = None) -> Result | None:
        """`network` as it is now, measured on the watched split in float32, as `evaluate` will; seen by
        `sight` (None: from its pictures).
        """
        if self.dataset.val is None:
            return None
        sight = sight or Pictures(self.feed, self.trained.preprocess, self.world.device)
        batches, answering = sight.held_out(self.dataset.val), self.ranks.outputs
        return measure(self.task, sight.learner(network), batches, "val", answering=answering)

    def open_head(self, seen: Callable[[], Tensor]) -> None:
        """Let a new head begin by the features `seen` of the training pictures: see `start.open_head`."""
        first, network = self.recipe.phases[0], self.trained.network
        # The decay of adamw is no L2 penalty, and a sampler's pictures have another optimum.
        held = first.freeze == ALL and first.optim.kind != "adamw" and self.recipe.balance != "sampler"
        strength = first.optim.weight_decay if held else 0.0
        open_head(network, seen, self.dataset.train.y, self.task, strength)

    def with_recipe(self, recipe: Recipe) -> Training:
        """The same with a `recipe` that differs in nothing but its phases."""
        provenance = {**self.trained.provenance, "recipe_identity": recipe.identity}
        return replace(self, recipe=recipe, trained=replace(self.trained, provenance=provenance))

    def snapshot(self, network: Network, epoch: int, report: Result | None) -> Snapshot:
        """`network` as it is after `epoch` (from 1), with its figures."""
        copy = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        metrics: dict[str, Any] = {}
        if report is not None:
            metrics = {f"val_{name}": value for name, value in sorted(report.figures().items())}
            metrics["val_n"] = report.n
        provenance = {**self.trained.provenance, "epoch": epoch, "metrics": metrics}
        return Snapshot(copy, replace(self.trained, provenance=provenance).document())

    def events(self, run: Run, *, stop: Callable[[], bool], live: Live | None = None) -> Iterator[Event]:
        """Train into `run`, from the start or from `live`. `stop` is asked after every step; when true, the
        state is saved.
        """
        plan, saver = self.plan, saver_of(run, self.recipe, self.ranks)
        live = live or self.begun()
        state, entered = live.state, -1
        at, of = state.step, self.recipe.epochs
        yield Started(at, at + plan.left(state), plan.per_epoch, of, epoch=min(state.epoch + 1, of))
        while state.epoch < self.recipe.epochs:
            epoch, (phase, first_epoch) = state.epoch, plan.phase(state.epoch)
            if entered != first_epoch:
                self.free(phase)
                if state.rows == 0 and state.epoch == first_epoch > 0:
                    live.optimizer = Optimizer(phase.optim, live.network)
                entered, sight = first_epoch, self.sight(phase)
                objective = self.ranks.objective(Objective(sight.learner(live.network), self.task))
            begun, seen, lr = time.monotonic(), state.pictures, 0.0
            for (_, end), (x, y) in zip(
                plan.cuts(state), sight.batches(epoch, taken=state.rows), strict=True
            ):
                lr = plan.lr(state)
                loss = self._step(objective, live, x, y, lr)
                state.rows = end
                yield Step(state.step, epoch + 1, loss, state.pictures)
                if end == plan.pictures:
                    break  # the epoch is closed before anything is saved or stopped
                stopping, due = self.ranks.agreed(stop(), saver.due(after=SAVE_EVERY))
                if stopping or due:
                    yield saver.save(live)
                if stopping:
                    yield Finished(state.step, epoch, "interrupted", state.best_epoch)
                    return
            seconds = time.monotonic() - begun
            speed = (state.pictures - seen) / seconds
            yield self._close_epoch(epoch, live, saver, sight, lr, seconds, speed)
            state.close_epoch()
            if self._gives_up(state):
                state.finished = "stopped early"
                break
            wish = stop() and state.epoch < self.recipe.epochs
            stopping, due = self.ranks.agreed(wish, saver.due(after=0.0))
            if stopping or due:
                yield saver.save(live)
            if stopping:
                yield Finished(state.step, state.epoch, "interrupted", state.best_epoch)
                return
        state.finished = state.finished or "done"
        yield saver.save(live)
        yield Finished(state.step, state.epoch, state.finished, state.best_epoch)

    def remarks_of_ranks(self) -> tuple[str, ...]:
        """See `Ranks.require_possible`."""
        smallest = min(end - start for start, end in cuts(self.plan.pictures, self.recipe.batch))
        return self.ranks.require_possible(self.trained.network, self.world, smallest)

    def free(self, phase: Phase) -> None:
        """What `phase` lets learn, learns from now on, and nothing else; where no phase freezes anything,
        that is what the network came with.
        """
        network = self.trained.network
        if all(each.freeze is None for each in self.recipe.phases):
            training_mode(network)
        else:
            after = phase.freeze and last_stage(network, phase.freeze)
            learning(network, after=after)
        if phase.statistics == "kept":
            keep(network)

    def _step(
        self, objective: Callable[[Tensor, Tensor], Outcome], live: Live, x: Tensor, y: Tensor, lr: float
    ) -> Tensor:
        """One step of the optimizer on the batch; returns the loss of the answer."""
        state = live.state
        self.world.seed(counted(self.recipe.seed, DROPOUT, state.step, *self.ranks.counters))
        with self.world.autocast():
            outcome = objective(x, y)
        if state.step % CHECK_EVERY[self.world.device.type] == 0:
            _require_finite_loss(outcome.answer_loss, state.step + 1, lr)
        torch.autograd.backward(live.scaler.scale(outcome.loss))
        live.optimizer.step(lr, live.scaler)
        live.average.update(state.step + 1)
        state.add(len(x), outcome.answer_loss, outcome.right)
        return outcome.answer_loss

    def begun(self) -> Live:
        """What changes while training, fresh."""
        network, (phase, _) = self.trained.network, self.plan.phase(0)
        self.free(phase)
        optimizer = Optimizer(phase.optim, network)
        live = Live(network, optimizer, self.world.scaler(), Average(network, self.recipe.average), State())
        live.state.to(self.world.device)
        return live

    def _close_epoch(
        self,
        epoch: int,
        live: Live,
        saver: Saving,
        sight: Sight,
        lr: float,
        seconds: float,
        speed: float,
    ) -> Epoch:
        """Measure the watched split, remember the best network, and say how the epoch went."""
        state, network = live.state, self.shipped(live, epoch, sight)
        loss = float(state.loss_sum) / state.pictures
        _require_finite_loss(torch.tensor(loss), state.step, lr)
        report, figure = self.watched(network, sight), self.task.figure
        score = report.score if report else (0.0, 0.0)
        better = state.best_score is None or score > state.best_score
        kept = better or report is None or self.recipe.stop.select == "last"
        if better:
            state.best_score = score
        if kept:
            state.best_epoch = epoch + 1
            saver.keep(self.snapshot(network, epoch + 1, report))
        if better:
            state.patience_from = epoch + 1
        return Epoch(
            epoch=epoch + 1,
            step=state.step,
            figures={"loss": loss, figure: float(state.right) / state.pictures},
            held_out=report.figures() if report else dict.fromkeys(("loss", figure)),
            lr=lr,
            seconds=seconds,
            pictures_per_second=speed,
            best=kept,
            watched=self.dataset.watched,
        )

    def shipped(self, live: Live, epoch: int, sight: Sight) -> Network:
        """What is measured and kept after `epoch`: the running mean of the weights where one is asked for,
        with statistics taken anew where they are.
        """
        network = live.average.network
        if self.plan.phase(epoch)[0].statistics != "retaken":
            return network
        drawn = torch.randperm(len(self.dataset.train), generator=stream(self.recipe.seed, STATISTICS, epoch))
        pictures = sight.plain(self.dataset.train, drawn[:SOME])
        return retaken(network, (x for x, _ in pictures), taught=live.network, learner=sight.learner)

    def _gives_up(self, state: State) -> bool:
        patience = self.recipe.stop.patience
        return patience > 0 and self.dataset.val is not None and state.epoch - state.patience_from >= patience


def prepare(
    recipe: Recipe, dataset: Dataset, world: World, own: Own = NOTHING, start: Borrowed | None = None
) -> Training:
    """Everything the recipe names, made real. Raises before anything is written where the network cannot
    be. `start` gives the network its features; without, they are drawn (or will be read, of a saved state).
    """
    preprocess = recipe.preprocess.resolved(dataset.train.x)
    dataset = posed(dataset, recipe.damage)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = built(recipe.model, shape=dataset.shape, classes=len(dataset.classes))
    if not targets.are_labels(dataset.train.y):
        require_pictures(network, shape=dataset.shape)
    elif recipe.model.layers is not None and own.task is None:
        require_answers(network, shape=dataset.shape, classes=dataset.classes)
    require_spread(network, shape=dataset.shape, batch=recipe.batch)
    begin(recipe.model, network, stream(recipe.seed, WEIGHTS))
    if start is not None:
        start.give(network)
    if world.masks == "bits":
        masks_of_bits(network)
    network = network.to(world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for phase in recipe.phases:  # a stage that there is not is refused before anything is written
        if phase.freeze is not None:
            network.until(last_stage(network, phase.freeze))
    trained = Trained(
        network=network,
        model=recipe.model,
        shape=dataset.shape,
        classes=dataset.classes,
        preprocess=preprocess,
        task=_task_name(recipe, dataset, own),
        provenance={
            "neocog": __version__,
            "data": recipe.data.model_dump(mode="json"),
            "data_fingerprint": dataset.fingerprint,
            "recipe_identity": recipe.identity,
            **({"start": recipe.start.model_dump()} if recipe.start is not None else {}),
            **({"damage": recipe.damage.model_dump()} if recipe.damage is not None else {}),
        },
    )
    job = Training(recipe, dataset, trained, world, own)
    if start is not None:
        seen = partial(features, network, cut(network, ALL), dataset.train, preprocess, world=world)
        job.open_head(lambda: seen().x[0])
    return job


def _task_name(recipe: Recipe, dataset: Dataset, own: Own) -> str:
    """The built-in task whose answers the network gives."""
    asked = own.task(dataset.classes).name if own.task is not None else recipe.task
    return task_name(dataset.train.y, asked)


def _require_finite_loss(loss: Tensor, step: int, lr: float) -> None:
    if not torch.isfinite(loss):
        raise CheckFailed(
            f"the loss is not finite ({float(loss)}) at step {step}, learning rate {lr:g}; "
            "the last good state is kept: "
            f"resume from it with a lower rate, for example --set optim.lr={lr / 10:g}"
        )
