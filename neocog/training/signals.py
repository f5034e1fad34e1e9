"""Signals: while a training runs, Ctrl-C, SIGTERM and SIGHUP are wishes, heard after each step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from neocog.errors import UnreadableError


@dataclass(slots=True)
class Signals:
    """Which signal came, None before."""

    received: int | None = None

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as shells say; Ctrl-C's where a watcher asked for the end. A terminal
        that is gone is a place that cannot be written to, as any other.
        """
        if self.received is not None and self.received == getattr(signal, "SIGHUP", None):
            return UnreadableError.exit_code
        return 128 + (self.received or signal.SIGINT)

    @property
    def word(self) -> str:
        """How the line begins that says so."""
        gone = self.exit_code == UnreadableError.exit_code
        return "interrupted, as the terminal is gone" if gone else "interrupted"


def wishes() -> list[int]:
    """The signals of this system that ask for an end; SIGHUP not where nohup has it ignored. SIGINT even
    where a script's shell, which starts its background jobs so, has it ignored: `kill -INT` means it.
    """
    numbers = [int(signal.SIGINT), int(signal.SIGTERM)]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(int(hangup))
    return numbers


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """A signal sets a flag that the loop reads after each step; a second Ctrl-C ends at once."""
    seen = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if seen.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.received = number

    before = {number: signal.getsignal(number) for number in wishes()}
    for number in before:
        signal.signal(number, handler)
    try:
        yield seen
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
