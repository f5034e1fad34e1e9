"""What the reader of argv refuses, and a signal that ends a command, as errors of ours: one line each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from neocog.errors import UsageError, unknown
from neocog.signals import ended

REFUSED: Any = typer.BadParameter.__base__
"""Whatever the reader refuses is of this kind, for which typer has no public name."""


@contextlib.contextmanager
def in_one_line(argv: Sequence[str]) -> Iterator[None]:
    """Raise `NeocogError` for what is refused of `argv`, and for Ctrl-C and its like."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise ended(error) from error
    except REFUSED as error:
        raise _said(error, " ".join(("neocog", *argv[:1]))) from error


def _said(error: Any, command: str) -> UsageError:
    """The reader's `error` in our words, with the options that there are, or where help is. `command` is what
    was asked for, where the error does not say.
    """
    command = error.ctx.command_path if error.ctx is not None else command
    if hasattr(error, "possibilities"):  # there is no such option
        options = error.ctx.command.get_params(error.ctx)
        flags = [flag for one in options for flag in one.opts if flag.startswith("--")]
        return unknown(f"option of {command}", error.option_name, flags)
    words = " ".join(error.format_message().split()).rstrip(".")
    return UsageError(f"{words[:1].lower()}{words[1:]}; see: {command} --help")
