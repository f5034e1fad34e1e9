"""Standard streams that cannot end a command: closed, on a full disk, or with a reader that went away."""

from __future__ import annotations

import codecs
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
    """Called first: a closed stream becomes the null device, so that no file takes its number, stderr
    forgives, and what stdout's encoding lacks is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    codecs.register_error(ESCAPES, _escapes)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPES)
    sys.stderr = cast(TextIO, Forgiving(sys.stderr or open(os.devnull, "w")))  # noqa: SIM115


ESCAPES = "neocog.escapes"


def _escapes(error: UnicodeError) -> tuple[str, int]:
    """As JSON writes them in strings: \\u and four digits, of a character beyond those its two halves."""
    assert isinstance(error, UnicodeEncodeError)  # of decoding nobody asks this
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    halves = (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    return "".join(f"\\u{half:04x}" for half in halves), error.end
