"""Signals: while a training runs, Ctrl-C and SIGTERM are wishes that the loop hears after each step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Signals:
    """Which signal came, None before."""

    received: int | None = None


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """While training, Ctrl-C and SIGTERM set a flag that the loop reads after each step; a second Ctrl-C
    ends at once.
    """
    seen = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if seen.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.received = number

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, old in before.items():
            signal.signal(number, old)
