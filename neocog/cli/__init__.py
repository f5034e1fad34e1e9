"""argv -> one public function -> its result's text or JSON. Results go to stdout, progress and remarks to
stderr.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from neocog import cores, openmp
from neocog._version import __version__
from neocog.cli import streams
from neocog.cli.refusals import in_one_line
from neocog.errors import NeocogError, UnreadableError, UsageError, error_line, escaped, unknown
from neocog.signals import end_at_once

VERBS = (
    "train",
    "doctor",
    "evaluate",
    "compare",
    "predict",
    "summary",
    "weights",
    "features",
    "explain",
    "look",
    "list",
    "filter",
    "stylize",
    "restore",
    "study",
    "reproduce",
    "prove",
)
"""Every verb, in the order of help: each a file of neocog/verbs, or of neocog/studies where it is made of
others, and one of neocog/cli/commands."""


class Commands(Mapping[str, Any]):
    """The verbs' commands by name, each made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in VERBS:
            raise KeyError(name)
        from neocog.cli.application import application

        return typer.main.get_command(application(name))

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class Verbs(TyperGroup):
    """The verbs as commands of `neocog`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: Mapping[str, Any] = Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing and not cmd_name.startswith("-"):
            raise unknown("verb", cmd_name, VERBS)
        return found

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """What each verb is for; its options, for which its function is read, are not made for that."""
        from neocog.cli.command import command

        with formatter.section("Commands"):
            formatter.write_dl([(name, command(name).about) for name in VERBS])


app = typer.Typer(
    cls=Verbs,
    name="neocog",
    help="Train convolutional networks on pictures, measure them, use them, and see inside.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def about(
    asked: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"neocog {__version__}")
        raise typer.Exit
    if asked.invoked_subcommand is None:
        print(asked.get_help(), file=sys.stderr)
        raise typer.Exit(UsageError.exit_code)


def run(argv: list[str]) -> int:
    """One command, in this process: its exit code."""
    try:
        code = _code(argv)
        sys.stdout.flush()
        return code
    except NeocogError as error:
        print(error_line(error), file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        _give_up_stdout()
        return 0
    except OSError as error:
        if error.errno not in FULL:
            raise
        place = escaped(str(error.filename)) if error.filename else "standard output"
        print(f"error: cannot write to {place}: {error.strerror}; make room there", file=sys.stderr)
        _give_up_stdout()
        return UnreadableError.exit_code


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that takes no more."""


def _code(argv: list[str]) -> int:
    if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in argv):
        raise UsageError("an argument is empty (an unset variable?); leave it out, or say what it shall be")
    try:
        if COMPLETING in os.environ:
            app(prog_name="neocog")
        command = typer.main.get_command(app)
        with in_one_line(argv), command.make_context("neocog", list(argv)) as asked:
            command.invoke(asked)
    except typer.Exit as end:
        return int(end.exit_code)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


COMPLETING = "_NEOCOG_COMPLETE"
"""A shell's question how a line goes on stands there."""


def _give_up_stdout() -> None:
    """What is left in its buffer goes nowhere, or the end of the process would fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    streams.settle()
    end_at_once()
    openmp.wait_briefly(os.environ)
    cores.watch()
    sys.exit(run(sys.argv[1:]))
