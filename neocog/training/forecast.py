"""Forecast: what a training will cost, in time, memory and disk, from a piece of it that is done for real.

The piece is the same training on some of its pictures, two epochs a phase, in a folder that is thrown away:
loop, measurement, state and report are those of the training itself. The second epoch of each phase counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from neocog.answers import ANSWERS_FILE
from neocog.data.batches import plain_batches
from neocog.data.dataset import Split
from neocog.errors import Interrupted, OutOfMemory
from neocog.events import Epoch, Event, Finished, Saved
from neocog.recipes.recipe import Phase
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.show.words import duration, plural, storage
from neocog.tasks.task import measure
from neocog.training.driving import drive, is_out_of_memory, too_large
from neocog.training.loop import Training
from neocog.training.saving import SAVE_SHARE
from neocog.world import deterministic

PROBED = 2.5
"""Seconds of steps that are timed in each phase, where a step is not longer."""
MEASURED = 128
"""Pictures of a held-out split that are measured."""
GENTLE = 1e-4
"""Times the recipe's rate: the piece shall cost what the training does, and learn nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A phase: its epochs, seconds of each (measuring and saving included), and seconds once before the first
    (features that are kept).
    """

    epochs: int
    epoch_seconds: float
    before_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a training will cost. `seconds` are all but reading the pictures, which `reading_seconds` took now
    (most of it only once: decoded pictures are kept); `conclusion_seconds` of them go into measuring the
    saved model and the report. `memory` is the peak of this process in bytes, None where the system does not
    say; `disk` are the bytes of the run's folder.
    """

    stages: tuple[Stage, ...]
    conclusion_seconds: float
    reading_seconds: float
    memory: int | None
    disk: int
    pictures: int
    steps: int
    facts: Mapping[str, Any]
    remarks: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    @property
    def seconds(self) -> float:
        phases = (stage.before_seconds + stage.epochs * stage.epoch_seconds for stage in self.stages)
        return sum(phases) + self.conclusion_seconds

    def text(self) -> str:
        """A few lines for a reader."""
        facts = self.facts
        where = f"{facts['device']}, {facts['precision']}, {plural(facts['threads'], 'thread')}"
        lines = [f"{plural(self.epochs, 'epoch')} of {self.pictures:,} pictures on {where}"]
        for number, stage in enumerate(self.stages, 1):
            name = f"phase {number}: " if len(self.stages) > 1 else ""
            before = f", {duration(stage.before_seconds)} before" if stage.before_seconds >= 0.05 else ""
            lines.append(
                f"{name}{plural(stage.epochs, 'epoch')}, {duration(stage.epoch_seconds)} each{before}"
            )
        lines += [
            f"in all: {duration(self.seconds)}, {duration(self.conclusion_seconds)} of them for the report",
            "memory: not known" if self.memory is None else f"memory: {storage(self.memory)} at most",
            f"disk: {storage(self.disk)}",
        ]
        return "\n".join([*lines, *self.remarks])

    def json(self) -> dict[str, Any]:
        """What `neocog train --dry-run --json` prints."""
        return {
            "epochs": self.epochs,
            "steps": self.steps,
            "pictures": self.pictures,
            "seconds": round(self.seconds, 3),
            "phases": [
                {
                    "epochs": stage.epochs,
                    "epoch_seconds": round(stage.epoch_seconds, 4),
                    "before_seconds": round(stage.before_seconds, 3),
                }
                for stage in self.stages
            ],
            "conclusion_seconds": round(self.conclusion_seconds, 3),
            "reading_seconds": round(self.reading_seconds, 3),
            "memory_bytes": self.memory,
            "disk_bytes": self.disk,
            **{name: self.facts[name] for name in ("device", "precision", "threads")},
            "remarks": list(self.remarks),
        }


def forecast(
    job: Training, facts: Mapping[str, Any], *, reading_seconds: float, remarks: tuple[str, ...] = ()
) -> Forecast:
    """What `job` will cost. Its network is not trained by this in any way that counts, but its weights are
    changed: do not train with it afterwards.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="neocog-dry-run-") as folder:
            return _forecast(job, facts, Path(folder), reading_seconds, remarks)
    except Interrupted as error:
        raise Interrupted("the dry run was interrupted", exit_code=error.exit_code) from None
    except (RuntimeError, MemoryError, OutOfMemory) as error:
        if not is_out_of_memory(error):
            raise
        raise too_large(job.recipe) from None


def _forecast(
    job: Training, facts: Mapping[str, Any], folder: Path, reading: float, remarks: tuple[str, ...]
) -> Forecast:
    steps = _worth(job, folder / "first")
    piece = _piece(job, steps)
    run = _begun(piece, folder / "run", facts)
    watch = Stopwatch()
    live = piece.begun()
    drive(piece, run, live, remarks=(), watchers=[lambda _: watch], stop=None)
    ended = time.monotonic()
    measured = job.dataset.test if job.dataset.test is not None else job.dataset.val
    missing = len(measured) - len(_some(measured, MEASURED)) if measured is not None else 0
    stages = tuple(_stage(job, piece, watch, number) for number in range(len(job.recipe.phases)))
    return Forecast(
        stages=stages,
        conclusion_seconds=ended - watch.finished + missing * _of_one_picture(job, measured),
        reading_seconds=reading,
        memory=_peak(),
        disk=_disk(run, job, piece),
        pictures=len(job.dataset.train),
        steps=job.plan.steps,
        facts=facts,
        remarks=(*remarks, *_not_seen(job, piece)),
    )


def _worth(job: Training, folder: Path) -> int:
    """So many batches are worth `PROBED` seconds in the slowest phase; at least one, at most all."""
    piece = _piece(job, 1)
    run, watch = _begun(piece, folder, {}), Stopwatch()
    with deterministic(), torch.random.fork_rng(devices=[]):
        for event in piece.events(run, stop=lambda: False):
            watch(event)
    slowest = max(epoch.seconds for epoch, _ in watch.epochs[1::2])
    return min(max(round(PROBED / max(slowest, 1e-6)), 1), job.plan.per_epoch)


def _begun(job: Training, folder: Path, facts: Mapping[str, Any]) -> Run:
    folder.mkdir()
    run = Run(folder)
    begin(run, job.recipe, dict(facts))
    return run


def _piece(job: Training, steps: int) -> Training:
    """`job` on so many batches, two epochs a phase, watched and measured on a few pictures."""
    dataset = job.dataset
    val, test = (_some(each, MEASURED) if each is not None else None for each in (dataset.val, dataset.test))
    few = replace(
        dataset,
        train=_some(dataset.train, steps * job.recipe.batch),
        val=test if dataset.val is dataset.test else val,
        test=test,
    )
    recipe = job.recipe.model_copy(
        update={
            "phases": tuple(_gentle(phase) for phase in job.recipe.phases),
            "stop": job.recipe.stop.model_copy(update={"patience": 0}),
            "probes": "off",
        }
    )
    return replace(job, recipe=recipe, dataset=few)


def _gentle(phase: Phase) -> Phase:
    optim = phase.optim
    slow = {"lr": optim.rate * GENTLE, "schedule": "constant", "warmup": 0.0}
    return phase.model_copy(update={"epochs": 2, "optim": optim.model_copy(update=slow)})


def _some(split: Split, most: int) -> Split:
    """At most so many pictures, evenly spread; copied, since a training may let go of its pictures."""
    n = len(split)
    return split.subset(torch.arange(min(n, most)) * n // max(min(n, most), 1))


class Stopwatch:
    """Hears a training's events: `epochs` are the epochs, each with the time of its end, `cost` the seconds
    of the last save, `finished` when the last step was over.
    """

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.epochs: list[tuple[Epoch, float]] = []
        self.cost = 0.0
        self.finished = self.begun

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case Epoch():
                self.epochs.append((event, now))
            case Saved():
                self.cost = event.seconds
            case Finished():
                self.finished = now


def _stage(job: Training, piece: Training, watch: Stopwatch, number: int) -> Stage:
    """The phase `number` (from 0) of the whole training, from its two epochs in the piece."""
    phase = job.recipe.phases[number]
    (first, first_end), (second, second_end) = watch.epochs[2 * number : 2 * number + 2]
    before = watch.epochs[2 * number - 1][1] if number else watch.begun
    held_out = max(second_end - first_end - second.seconds - watch.cost, 0.0)
    whole, part = (len(each.dataset.val or ()) for each in (job, piece))
    pass_seconds = second.seconds / piece.plan.per_epoch * job.plan.per_epoch
    pass_seconds += held_out * (whole / part if part else 1.0)
    once = 0.0
    if phase.freeze is not None and piece.why_not(piece.recipe.phases[number]) is None:
        once = max(first_end - before - first.seconds - held_out, 0.0)
        once *= (len(job.dataset.train) + whole) / (len(piece.dataset.train) + part)
    return Stage(
        epochs=phase.epochs,
        epoch_seconds=pass_seconds + min(watch.cost, SAVE_SHARE * pass_seconds),
        before_seconds=once,
    )


def _of_one_picture(job: Training, split: Split | None) -> float:
    """Seconds in which the network answers one picture of `split`, in float32, as at the end."""
    if split is None:
        return 0.0
    few = _some(split, MEASURED)
    begun = time.monotonic()
    batches = plain_batches(few, job.trained.preprocess, device=job.world.device)
    measure(job.task, job.trained.network, batches, "some")
    return (time.monotonic() - begun) / max(len(few), 1)


def _not_seen(job: Training, piece: Training) -> Iterator[str]:
    """Where the piece is unlike the whole."""
    for number, (whole, part) in enumerate(zip(job.recipe.phases, piece.recipe.phases, strict=True), 1):
        if whole.freeze is not None and job.why_not(whole) is not None and piece.why_not(part) is None:
            yield f"phase {number} takes longer than said here: {job.why_not(whole)}"


def _peak() -> int | None:
    """The most memory that this process has held, in bytes."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _disk(run: Run, job: Training, piece: Training) -> int:
    """Bytes of the run's folder: what grows with the measured pictures and with the epochs is stretched."""
    sizes = {path.name: path.stat().st_size for path in run.path.rglob("*") if path.is_file()}
    name = "test" if job.dataset.test is not None else "val"
    if ANSWERS_FILE in sizes and name in piece.dataset.splits:
        sizes[ANSWERS_FILE] *= len(job.dataset.split(name)) // max(len(piece.dataset.split(name)), 1)
    for grows in (run.metrics_file.name, run.events_file.name):
        sizes[grows] = sizes.get(grows, 0) * job.recipe.epochs // piece.recipe.epochs
    return sum(sizes.values())
