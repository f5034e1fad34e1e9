"""Driving: a job is run to its end in its folder, every event handed to every watcher."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence

import torch

from neocog.errors import Interrupted, OutOfMemory
from neocog.events import Event, Finished, Started, Watcher
from neocog.recipes.recipe import Recipe
from neocog.runs.run import Run
from neocog.training.conclusion import conclude, first_batch, note
from neocog.training.loop import Training
from neocog.training.signals import signals
from neocog.training.watchers import Record
from neocog.world import deterministic


def drive(
    job: Training,
    run: Run,
    *,
    resume: bool,
    remarks: Sequence[str],
    watchers: Sequence[Callable[[Run], Watcher]],
    stop: Callable[[], bool] | None,
) -> Run:
    """Run the job to its end, hand every event to every watcher, and leave the run's pictures and figures."""
    begun = time.monotonic()
    reason = "done"
    with contextlib.ExitStack() as stack:
        stack.enter_context(run.alone())
        stack.enter_context(deterministic())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        heard = stack.enter_context(signals())
        listening: list[Watcher] = [Record(run), *(_entered(stack, make(run)) for make in watchers)]
        first_batch(job, run)

        def stopping() -> bool:
            return heard.received is not None or (stop is not None and stop())

        try:
            for event in job.events(run, resume=resume, stop=stopping):
                if isinstance(event, Finished):
                    reason = event.reason
                for watcher in listening:
                    watcher(_with_remarks(event, remarks))
        except (RuntimeError, MemoryError) as error:
            raise _explained(error, job.recipe) from error
    seconds = time.monotonic() - begun
    if reason == "interrupted":
        note(run, seconds)
        raise Interrupted(
            f"interrupted; the state is saved. To go on: neocog train --resume {run.path}",
            exit_code=128 + (heard.received or signal.SIGINT),
        )
    conclude(job, run, seconds, reason)
    return run


def _with_remarks(event: Event, remarks: Sequence[str]) -> Event:
    if isinstance(event, Started) and remarks:
        return Started(event.step, event.steps, event.steps_per_epoch, event.epochs, tuple(remarks))
    return event


def _entered(stack: contextlib.ExitStack, watcher: Watcher) -> Watcher:
    """A watcher that holds something open (a live line) is closed with the training."""
    if isinstance(watcher, contextlib.AbstractContextManager):
        stack.enter_context(watcher)
    return watcher


def _explained(error: RuntimeError | MemoryError, recipe: Recipe) -> BaseException:
    """Out of memory in words; anything else is a bug and stays what it is."""
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        half = max(recipe.batch // 2, 1)
        return OutOfMemory(
            f"a batch of {recipe.batch} pictures does not fit into memory; try --batch-size {half}"
        )
    return error
