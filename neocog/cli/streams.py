"""Standard streams that cannot end a command: closed, on a full disk, or with a reader that went away."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO, cast


class Forgiving(io.TextIOBase):
    """A text stream whose failures are not those of the command: what it cannot take is lost."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()


def settle() -> None:
    """Called first: a closed stream becomes the null device, so that no file takes its number, and stderr
    forgives.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = cast(TextIO, Forgiving(sys.stderr or open(os.devnull, "w")))  # noqa: SIM115
