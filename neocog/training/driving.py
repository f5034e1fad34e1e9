"""Driving: a job is run to its end in its folder, every event handed to every watcher."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import torch

from neocog.data import targets
from neocog.errors import CheckFailed, Interrupted, OutOfMemory, UnreadableError
from neocog.events import Event, Finished, Started, Watcher
from neocog.recipes.recipe import Recipe
from neocog.runs.run import Run
from neocog.runs.state import Live
from neocog.signals import Signals, ended, signals
from neocog.training.conclusion import Ended, conclude, first_batch, note
from neocog.training.diagnosis.attend import Doctor
from neocog.training.loop import Training
from neocog.training.ranks import is_of_ranks, lost
from neocog.training.watchers import Record
from neocog.world import deterministic


def drive(
    job: Training,
    run: Run,
    live: Live,
    *,
    remarks: Sequence[str],
    watchers: Sequence[Callable[[Run], Watcher]],
    stop: Callable[[], bool] | None,
) -> Run:
    """Run the job from `live` to its end, hand every event to every watcher, and leave the run's pictures and
    figures. The caller holds the run's lock.
    """
    begun = time.monotonic()
    reason, heard = "done", Signals()
    if not job.ranks.first:
        _follow(job, run, live, stop)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(deterministic())
            stack.enter_context(torch.random.fork_rng(devices=[]))
            hearing = stack.enter_context(signals())
            listening: list[Watcher] = [Record(run), *(_entered(stack, make(run)) for make in watchers)]

            def stopping() -> bool:
                return hearing.received is not None or (stop is not None and stop())

            first_batch(job, run)
            events = job.events(run, live=live, stop=stopping)
            if job.recipe.probes == "on" and targets.are_labels(job.dataset.train.y):
                events = Doctor(job).attend(events)
            for event in events:
                if isinstance(event, Finished):
                    reason, heard = event.reason, replace(hearing)
                for watcher in listening:
                    watcher(_with_remarks(event, remarks))
        seconds = time.monotonic() - begun
        if reason != "interrupted":
            conclude(job, run, Ended(live.state.epoch, seconds, reason))
            return run
        note(run, seconds)
    except CheckFailed:
        note(run, time.monotonic() - begun)  # with what was found before it broke off
        raise
    except (RuntimeError, MemoryError) as error:
        raise _explained(error, job.recipe, run) from error
    except (OSError, UnreadableError) as error:
        raise _with_cure(error, run) from error
    except KeyboardInterrupt as error:  # before the first step, in the report, or for the second time
        raise ended(error, f"; to go on: neocog train --resume {run.path}") from error
    raise Interrupted(
        f"{heard.word}; the state is saved. To go on: neocog train --resume {run.path}",
        exit_code=heard.exit_code,
    )


def _follow(job: Training, run: Run, live: Live, stop: Callable[[], bool] | None) -> NoReturn:
    """What a rank beside the first does: its rows of every batch. It writes and says nothing, and its process
    ends with the training.
    """
    reason = "done"
    try:
        with deterministic(), torch.random.fork_rng(devices=[]), signals() as heard:

            def stopping() -> bool:
                return heard.received is not None or (stop is not None and stop())

            events = job.events(run, live=live, stop=stopping)
            if job.recipe.probes == "on":
                events = Doctor(job).attend(events)
            for event in events:
                if isinstance(event, Finished):
                    reason = event.reason
    except (RuntimeError, MemoryError) as error:
        raise _explained(error, job.recipe, run) from error
    except CheckFailed as error:  # which the first rank says
        raise SystemExit(error.exit_code) from error
    raise SystemExit(heard.exit_code if reason == "interrupted" else 0)


def _with_remarks(event: Event, remarks: Sequence[str]) -> Event:
    if isinstance(event, Started) and remarks:
        return replace(event, remarks=tuple(remarks))
    return event


def _entered(stack: contextlib.ExitStack, watcher: Watcher) -> Watcher:
    """A watcher that holds something open (a live line) is closed with the training."""
    if isinstance(watcher, contextlib.AbstractContextManager):
        stack.enter_context(watcher)
    return watcher


def _explained(error: RuntimeError | MemoryError, recipe: Recipe, run: Run) -> BaseException:
    """Out of memory, and other ranks that are gone, in words; anything else is a bug and stays what it is."""
    if is_of_ranks(error):
        return lost(f"neocog train --resume {run.path}")
    if is_out_of_memory(error):
        return too_large(recipe, f"neocog train --resume {run.path} ")
    return error


def too_large(recipe: Recipe, command: str = "") -> OutOfMemory:
    """That the recipe's batch does not fit; half of it is the cure, behind the `command` that takes it."""
    return OutOfMemory(
        f"a batch of {recipe.batch} pictures does not fit into memory; "
        f"try: {command}--batch-size {max(recipe.batch // 2, 1)}"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for that there is not."""
    words = ("out of memory", "can't allocate memory")
    return isinstance(error, MemoryError | OutOfMemory) or any(word in str(error) for word in words)


def _with_cure(error: OSError | UnreadableError, run: Run) -> UnreadableError:
    """What the disk refused, and how the training goes on when that is mended."""
    said = f"{error.filename or run.path}: {error.strerror}" if isinstance(error, OSError) else str(error)
    there = f"; then go on with: neocog train --resume {run.path}" if run.recipe_file.exists() else ""
    return UnreadableError(said + there)
