"""From a verb to its command: what argv gave -> the verb's function -> its result's text or JSON.

Results go to stdout, progress and remarks to stderr; -q leaves out progress and remarks, of every verb.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from neocog.cli import progress
from neocog.cli.command import Command, Given, command
from neocog.cli.options import ACCEPTED, JSON, QUIET, Option
from neocog.cli.signature import REQUIRED, Kind, Parameter, Signature, literal, module_of, read
from neocog.cli.values import alternatives, one_of
from neocog.errors import UsageError, escaped
from neocog.hearing import hearing


@dataclass(frozen=True, slots=True)
class Named:
    """An option of a command: the parameter that it gives, its words, what argv brings for it and the only
    texts that are accepted (none: any).
    """

    parameter: Parameter
    words: Option
    kind: Kind
    accepted: tuple[str, ...]
    own: bool
    """Whether the verb's function has this parameter."""

    @property
    def flag(self) -> str:
        """As it is typed."""
        return self.words.flag or f"--{self.parameter.name.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb as its function and its command's file describe it."""

    name: str
    signature: Signature
    command: Command
    options: Mapping[str, Named]


def verb(name: str) -> Verb:
    """The verb of its module and of neocog/cli/commands/NAME.py; its function is not loaded."""
    found, signature = command(name), read(name)
    own = {parameter.name: parameter for parameter in signature.parameters}
    options = {key: _named(own.get(key), key, words) for key, words in found.options.items()}
    for key, words in (("json", JSON), ("quiet", QUIET)):
        options[key] = _named(None, key, words)
    return Verb(name, signature, found, MappingProxyType(options))


def _named(own: Parameter | None, name: str, words: Option) -> Named:
    parameter = own or Parameter(name, words.default, words.place, words.kind)
    kind = words.kind or parameter.kind
    if kind is None:
        raise TypeError(f"{name}: its type has no form in words; its option needs a kind and a parse")
    accepted = literal(words.accepts) if isinstance(words.accepts, str) else words.accepts
    if kind != "switch":
        accepted = accepted or parameter.choices
    return Named(parameter, words, kind, accepted, own is not None)


def application(name: str) -> typer.Typer:
    """The command of the verb `name`, as an application of its own."""
    found = verb(name)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name, help=f"{found.command.about}\n\nFor example: {found.command.example}")(_function(found))
    return app


def _function(found: Verb) -> Callable[..., None]:
    """What typer calls. Its signature, from which typer makes the options, is made from the verb's."""

    def run(**argv: Any) -> None:
        as_json, quiet = argv.pop("json"), argv.pop("quiet")
        code = _run(found, _given(found, argv, quiet=quiet), as_json=as_json)
        if code:
            raise typer.Exit(code)

    parameters = [_typed(one) for one in found.options.values()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


_TYPES: Mapping[Kind, Any] = MappingProxyType(
    {
        "text": str | None,
        "texts": list[str] | None,
        "path": Path | None,
        "int": int | None,
        "float": float | None,
        "switch": bool,
    }
)


def _typed(one: Named) -> inspect.Parameter:
    """A parameter as typer reads it: type, words, and the default that help shows."""
    parameter, words = one.parameter, one.words
    default = parameter.default if isinstance(parameter.default, str | int | float) else None
    said = words.help.replace(ACCEPTED, alternatives(one.accepted))
    if parameter.place == "argument":
        shown: Any = typer.Argument(help=said, metavar=words.metavar or parameter.name.upper())
    else:
        flags = (one.flag, words.short) if words.short else (one.flag,)
        shown = typer.Option(*flags, help=said, min=words.least)
    if one.kind == "switch":
        default = False
    needed = parameter.default is REQUIRED and not words.optional
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if needed else default,
        annotation=Annotated[_TYPES[one.kind], shown],
    )


def _given(found: Verb, argv: Mapping[str, Any], *, quiet: bool) -> Given:
    """Sort what argv gave, and read its texts."""
    own: dict[str, Any] = {}
    more: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for key, value in argv.items():
        if value is None or value is False or value == []:
            continue
        one = found.options[key]
        if one.words.saves:
            files[key] = value
        if one.words.saves in ("", "verb"):
            (own if one.own else more)[key] = _value(found.name, one, value)
    if not quiet and any(parameter.name == "progress" for parameter in found.signature.parameters):
        own["progress"] = progress.reading()
    return Given(own=own, more=more, files=files, quiet=quiet)


def _value(verb: str, one: Named, value: Any) -> Any:
    if one.kind == "switch":
        return one.words.sets
    if one.accepted:
        value = one_of(verb if one.parameter.place == "argument" else one.parameter.name, value, one.accepted)
    return one.words.parse(value) if one.words.parse is not None else value


def _require_apart(given: Given) -> None:
    """`UsageError` where a file that is to be written is one that is read, under whatever name."""
    values = (
        value for part in (given.own, given.more) for key, value in part.items() if key not in given.files
    )
    texts = (text for value in values for text in (value if isinstance(value, list | tuple) else (value,)))
    read = [str(text) for text in texts if isinstance(text, str | Path)]
    for place in given.files.values():
        for name in read:
            with contextlib.suppress(OSError, ValueError):  # no file, or no name of one
                if Path(name).is_file() and os.path.samefile(name, place):
                    raise UsageError(
                        f"{place} is read by this command; choose another name for what it writes"
                    )


def _run(found: Verb, given: Given, *, as_json: bool) -> int:
    """Call the verb, write what is to be written, print the result; the exit code."""
    _require_apart(given)
    module = importlib.import_module(module_of(found.name))
    with contextlib.nullcontext() if given.quiet else hearing(progress.downloading):
        result = found.command.call(getattr(module, found.signature.function), given)
    for key, path in given.files.items():
        method = found.options[key].words.saves
        if method != "verb":
            getattr(result, method)(path)
        if not given.quiet:
            print(f"wrote {escaped(str(path))}", file=sys.stderr)
    if not given.quiet:
        for line in found.command.remarks(result, given):
            print(escaped(line), file=sys.stderr)
    if as_json:
        print(json.dumps(result.json(), ensure_ascii=False, allow_nan=False))
    else:
        print(found.command.text(result, given))
    return int(getattr(result, "exit_code", 0))
