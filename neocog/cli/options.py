"""What an option of the command line is, and those that several verbs share.

A verb's options stand in `neocog/cli/commands/VERB.py`. Types, defaults and accepted words are those of the
verb's function, read of its source by `signature`; an option adds how it is typed and what help says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from neocog.cli.signature import Kind

ACCEPTED = "{accepted}"
"""Stands in help for the words that an option accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """How one parameter is given on the command line.

    help     what help says; ACCEPTED in it stands for the words that are accepted
    flag     as it is typed; without, '--' and the parameter's name
    short    one letter for it: -o
    kind     what argv brings, where the function does not say, or says a type that has no form in words
    default  of an option that the function does not have
    place    of such an option: whether it is typed with a flag, or is an argument
    accepts  the only words accepted, or the dotted name of the Literal that lists them; without, those of
             the parameter where it is a Literal
    least    the least number accepted
    parse    from what argv brings to the parameter's value; raises `UsageError`
    optional whether it may be left out where the function needs it: something else stands for it then
    sets     the parameter's value when a switch is given
    saves    the method of the result that writes the file named here; 'verb' where the verb writes it itself
    metavar  an argument's name in help, where it is not the parameter's
    """

    help: str
    flag: str = ""
    short: str = ""
    kind: Kind | None = None
    default: Any = None
    place: Literal["argument", "option"] = "option"
    accepts: tuple[str, ...] | str = ()
    least: int | None = None
    parse: Callable[[Any], Any] | None = None
    optional: bool = False
    sets: Any = True
    saves: str = ""
    metavar: str = ""


def saved(help: str, *, short: str = "", method: str = "save") -> Option:
    """The option that names a file for the result's `method` to write."""
    return Option(help=help, short=short, kind="path", saves=method)


WHAT = Option(help="A run's folder, a model file, or a network's name.", metavar="RUN")
IMAGES = Option(help="Files, folders, globs; - reads names from stdin.")
DATA = Option(help="A data set's name or a folder of pictures.")
WEIGHTS = Option(
    help="With a network's name: its weights, a file, hub:OWNER/NAME or a release; with a .json: a file."
)
DEVICE = Option(help="auto, cpu, cuda or cuda:N.")
PRECISION = Option(kind="text", accepts="neocog.world.Precision", help=f"{ACCEPTED}.")

CHOICE = Option(help=f"{ACCEPTED}.")
"""Of words that say enough by themselves."""

JSON = Option(kind="switch", help="Print exactly one JSON document.")
QUIET = Option(kind="switch", short="-q", help="No progress and no remarks.")
"""These two every verb has."""
