"""What a verb's command is: the file `neocog/cli/commands/VERB.py` holds one as COMMAND."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from neocog.cli.options import Option

PYTHON_ONLY = frozenset({"progress", "watchers", "dataset", "stop", "own"})
"""Parameters of any verb that no option gives. `progress` the command line gives itself, unless -q."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What argv gave, by name, texts turned into values; what was not given is not there.

    own    for parameters of the verb's function
    more   for options that the command line alone has
    files  where the result is to be written
    """

    own: Mapping[str, Any]
    more: Mapping[str, Any]
    files: Mapping[str, Any]
    quiet: bool


def handed_on(verb: Callable[..., Any], given: Given) -> Any:
    """The verb's result for its own parameters."""
    return verb(**given.own)


def worded(result: Any, given: Given) -> str:
    """The result as text."""
    text: str = result.text()
    return text


def no_remarks(result: Any, given: Given) -> Iterable[str]:
    """Nothing to remark."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A verb on the command line.

    about        what it is for, in help
    example      a command, or several with ';' between
    options      by parameter of the verb's function, in the order of help; one that the function lacks is the
                 command line's own, and `call` or `text` makes something of it
    python_only  parameters that no option gives, besides PYTHON_ONLY
    call         the verb's function and what argv gave -> the result
    text         the result as text
    remarks      lines for stderr
    """

    about: str
    example: str
    options: Mapping[str, Option]
    python_only: frozenset[str] = frozenset()
    call: Callable[[Callable[..., Any], Given], Any] = handed_on
    text: Callable[[Any, Given], str] = worded
    remarks: Callable[[Any, Given], Iterable[str]] = no_remarks


def command(verb: str) -> Command:
    """That of neocog/cli/commands/VERB.py."""
    found: Command = importlib.import_module(f"neocog.cli.commands.{verb}").COMMAND
    return found
