"""How many of the machine's cores are free: what other processes took of them since the command line began.

The sums of a training are cut at its threads, and each piece waits for the slowest. A thread whose core
belongs to another process for every other moment holds all of them up: two threads beside one busy process on
two cores are slower than one (bench/neighbour.py). Nothing is known but on Linux, and nothing in a Python
session, whose user sets torch's threads.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
WORK = (0, 1, 2, 5, 6)
"""Of the columns of a core's line: user, nice, system, irq, softirq (proc(5))."""
LONG_ENOUGH = 0.5
"""Seconds; of less nothing is concluded."""
BUSY = 0.75
"""Of a core: from here on it is taken."""


class Moment(NamedTuple):
    """Seconds: by the clock, of work on this process's cores, and of that by itself and its children."""

    clock: float
    worked: float
    own: float


_begun: Moment | None = None


def watch() -> None:
    """From now on what others do is looked at. The command line says so first thing."""
    global _begun
    _begun = moment()


def usable() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def moment() -> Moment | None:
    """Now; None where the machine does not say what its cores do."""
    try:
        mine = os.sched_getaffinity(0)
        lines = (line.split() for line in STAT.read_text().splitlines() if line.startswith("cpu"))
        counts = {name: [int(count) for count in columns] for name, *columns in lines}
        ticks = sum(counts[f"cpu{core}"][column] for core in mine for column in WORK)
    except (OSError, AttributeError, KeyError, ValueError, IndexError):
        return None
    spent = os.times()
    return Moment(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), sum(spent[:4]))


def taken(since: Moment, now: Moment) -> float:
    """How many cores other processes kept busy in between, in the mean."""
    return max((now.worked - since.worked - (now.own - since.own)) / (now.clock - since.clock), 0.0)


@cache
def free() -> int | None:
    """How many threads shall do the sums of this process: as many as cores are free, one at least. None where
    all are, or nothing is known. Decided once: what a process trains, it trains alike.
    """
    now = moment()
    if _begun is None or now is None or now.clock - _begun.clock < LONG_ENOUGH:
        return None
    lost = int(taken(_begun, now) + 1 - BUSY)
    return max(usable() - lost, 1) if lost else None


def remarks(threads: int) -> tuple[str, ...]:
    """That only so many `threads` do the sums, in one sentence."""
    if free() != threads:
        return ()
    cores = usable()
    many = f"{threads} thread does" if threads == 1 else f"{threads} threads do"
    return (
        f"other processes keep {cores - threads} of {cores} cores busy, so {many} the sums, to the end "
        f"(with OMP_NUM_THREADS={cores} all of them would; results differ in their last bits)",
    )
