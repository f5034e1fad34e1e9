"""Signals that ask for an end: Ctrl-C, SIGTERM, SIGHUP. While a training or painting runs they are wishes,
heard after each step; whatever else a command does ends at once, in one line.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from neocog.errors import Interrupted, UnreadableError


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


class EndAtOnce(KeyboardInterrupt):
    """What a signal raises where nobody waits for a step to end; to all who clean up it is a Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def ended(error: KeyboardInterrupt, more: str = "") -> Interrupted:
    """`error` as one line and an exit code: what happened, and then what `more` says."""
    heard = Signals(error.number if isinstance(error, EndAtOnce) else int(signal.SIGINT))
    return Interrupted(heard.word + more, exit_code=heard.exit_code)


def wishes() -> list[int]:
    """The signals of this system that ask for an end; SIGHUP not where nohup has it ignored. SIGINT even
    where a script's shell, which starts its background jobs so, has it ignored: `kill -INT` means it.
    """
    numbers = [int(signal.SIGINT), int(signal.SIGTERM)]
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.append(int(hangup))
    return numbers


def end_at_once() -> None:
    """From here on SIGTERM and SIGHUP raise `EndAtOnce`, as Ctrl-C raises `KeyboardInterrupt`: what is half
    written is taken away, and one line says so. What is ignored stays ignored. Called in the main thread.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        if number != signal.SIGTERM:  # both the system and a shell say that a terminal is gone
            signal.signal(number, signal.SIG_IGN)
        raise EndAtOnce(number)

    for number in wishes():
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, handler)


@contextlib.contextmanager
def signals() -> Iterator[Signals]:
    """A signal sets a flag that the loop reads after each step; a second Ctrl-C ends at once."""
    seen = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if seen.received is not None and number == signal.SIGINT:
            raise EndAtOnce(number)
        seen.received = number

    before = {number: signal.getsignal(number) for number in wishes()}
    for number in before:
        signal.signal(number, handler)
    try:
        yield seen
    finally:
        for number, old in before.items():
            signal.signal(number, signal.SIG_DFL if old is None else old)
