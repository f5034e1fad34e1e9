"""What can go wrong, as one family of errors with exit codes, and the one printer of error lines.

A message says what was given, what is accepted and what to do, in one line (a `ShapeError` may add the chain
of sizes below it). Everything that is not a `NeocogError` is a bug: exit code 1, with its traceback.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any


class NeocogError(Exception):
    """Anything that a user can cause and mend."""

    exit_code = 1


class UsageError(NeocogError):
    """An unknown option, field or value, or a WHAT that is neither a name nor a path."""

    exit_code = 2


class UnreadableError(NeocogError):
    """Bytes that are missing or cannot be read: a picture, folder, run, weights file or JSON."""

    exit_code = 3


class CheckFailed(NeocogError):
    """A check that the command makes came out badly: a loss that is not finite, a verdict, a parity."""

    exit_code = 4


class ShapeError(NeocogError):
    """A network, or the shapes that meet in it, that cannot be."""

    exit_code = 5


class NetworkNeeded(NeocogError):
    """Something has to be downloaded and cannot be."""

    exit_code = 6


class ExtraMissing(NeocogError):
    """An optional library is not installed."""

    exit_code = 7


class OutOfMemory(NeocogError):
    """The job does not fit into memory."""

    exit_code = 8


class Interrupted(NeocogError):
    """Ctrl-C (130), SIGTERM (143) or a terminal that is gone (3); the state is saved."""

    def __init__(self, message: str, *, exit_code: int = 130) -> None:
        super().__init__(message)
        self.exit_code = exit_code


MOST_NAMES, NEAREST = 24, 8
"""Names up to which all are shown in a message, and how many are of more."""

KERAS_WORDS = {
    "horizontal_flip": "flip", "randomflip": "flip", "randomhorizontalflip": "flip",
    "width_shift_range": "shift_width", "height_shift_range": "shift_height",
    "rotation_range": "rotation", "randomrotation": "rotation",
    "zoom_range": "zoom", "randomzoom": "zoom", "brightness_range": "brightness", "shear_range": "shear",
    "conv1d": "conv", "conv2d": "conv", "conv3d": "conv", "convolution2d": "conv",
    "maxpooling2d": "maxpool", "maxpool2d": "maxpool", "maxpooling1d": "maxpool", "maxpool1d": "maxpool",
    "averagepooling2d": "avgpool", "avgpool2d": "avgpool", "batchnormalization": "batchnorm",
    "batchnorm2d": "batchnorm", "batchnorm1d": "batchnorm", "linear": "dense",
    "globalaveragepooling2d": "globalpool", "globalmaxpooling2d": "globalpool", "zeropadding2d": "pad",
    "batch_size": "batch", "learning_rate": "lr", "kernel_size": "kernel", "strides": "stride",
    "pool_size": "size", "out_channels": "filters", "out_features": "units", "use_bias": "bias",
    "dilation_rate": "dilation", "p": "rate",
}  # fmt: skip
"""Keras' and torch's words, in small letters, for names of ours."""


def unknown(kind: str, given: str, accepted: Iterable[str]) -> UsageError:
    """The error for a name that is not among `accepted`, with 'did you mean' where one is near.

    Of many names the nearest are shown. Keras' words for what we have are known.
    """
    names = sorted(set(accepted))
    plain = {name.lower(): name for name in names}
    theirs = plain.get(KERAS_WORDS.get(given.lower(), given.lower()))
    near = [theirs] if theirs else difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    shown = ", ".join(names)
    if len(names) > MOST_NAMES:
        nearest = difflib.get_close_matches(given, names, n=NEAREST, cutoff=0.0)
        shown = f"{', '.join(nearest)}, ... of {len(names)}"
    return UsageError(f"unknown {kind} '{given}'{hint} (accepted: {shown})")


def optional(module: str, *, extra: str) -> ModuleType:
    """Import an optional library, or raise `ExtraMissing` naming the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ExtraMissing(
            f"this needs {module}, which is not installed; run: pip install neocog[{extra}]"
        ) from error


def escaped(text: str) -> str:
    """`text` with control characters and undecodable bytes written as escapes, so a file name cannot drive
    a terminal.
    """
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )


def error_line(error: NeocogError) -> str:
    """The text that goes to stderr: 'error: ...'."""
    return f"error: {escaped(str(error))}"


def first_complaint(error: Any, *, within: str) -> UsageError:
    """A pydantic ValidationError as one line: where, what was given, what is accepted, and the nearest
    spelling.

    `within` says what was being read ('recipe', 'net.json').
    """
    detail = error.errors()[0]
    place = ".".join(str(part) for part in detail["loc"]) or "value"
    given = repr(detail.get("input"))
    given = given if len(given) <= 60 else given[:57] + "..."
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return UsageError(f"{within}: there is no field '{place}'{more}")
    return UsageError(f"{within}: {place} = {given}: {message[:1].lower()}{message[1:]}{more}")
