"""What a verb's own file says of its function, read without running it: parameters, types, defaults.

`--help` must not wait for torch, which every verb imports; so the source is parsed and nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["text", "texts", "path", "int", "float", "switch"]
"""What argv brings for an option: a text, texts (it may be given again), a path, a number, its presence."""

PACKAGE = Path(__file__).parent.parent

REQUIRED = object()
"""The default of a parameter that has none."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kind` is None where the type has no form in words; `choices` are those of a Literal."""

    name: str
    default: Any
    place: Literal["argument", "option"]
    kind: Kind | None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """A verb: the name of its function, and its parameters in order."""

    function: str
    parameters: tuple[Parameter, ...]


def module_of(name: str) -> str:
    """The module of the verb `name`: neocog.verbs.NAME, or neocog.studies.NAME of a verb made of verbs."""
    study = PACKAGE / "studies" / f"{name}.py"
    return f"neocog.studies.{name}" if study.is_file() else f"neocog.verbs.{name}"


def read(name: str) -> Signature:
    """The verb `name`: the function of that name (or with a _ behind, where Python has the name already) in
    its module.
    """
    tree = _parsed(module_of(name))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    function = functions.get(name) or functions[f"{name}_"]
    return Signature(function.name, tuple(_parameters(function, _aliases(tree))))


def literal(dotted: str) -> tuple[str, ...]:
    """The words of a Literal: of 'neocog.world.Precision', those that a precision can be."""
    module, _, name = dotted.rpartition(".")
    return _words([_aliases(_parsed(module))[name]])


def _parsed(module: str) -> ast.Module:
    path = PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    if not path.is_file():
        raise LookupError(f"there is no {path.relative_to(PACKAGE.parent).as_posix()}")
    return ast.parse(path.read_text(encoding="utf-8"))


def _aliases(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that the file gives to types: Colour = Literal["given", "grey"]."""
    return {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _parameters(function: ast.FunctionDef, aliases: Mapping[str, ast.expr]) -> Iterator[Parameter]:
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    without = [None] * (len(positional) - len(arguments.defaults))
    for argument, default in zip(positional, [*without, *arguments.defaults], strict=True):
        yield _parameter(argument, default, "argument", aliases)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default, "option", aliases)


def _parameter(
    argument: ast.arg,
    default: ast.expr | None,
    place: Literal["argument", "option"],
    aliases: Mapping[str, ast.expr],
) -> Parameter:
    types = list(_alternatives(argument.annotation, aliases))
    try:
        value = REQUIRED if default is None else ast.literal_eval(default)
    except ValueError:  # a name, such as that of a function: such parameters are given in Python
        return Parameter(argument.arg, default, place, None)
    return Parameter(argument.arg, value, place, _kind(types, aliases), _words(types))


def _words(types: list[ast.expr]) -> tuple[str, ...]:
    """Those of a Literal among `types`."""
    slices = [node.slice for node in types if isinstance(node, ast.Subscript) and _called(node) == "Literal"]
    single = [node.elts if isinstance(node, ast.Tuple) else [node] for node in slices]
    return tuple(str(ast.literal_eval(word)) for words in single for word in words)


def _alternatives(node: ast.expr | None, aliases: Mapping[str, ast.expr]) -> Iterator[ast.expr]:
    """The types in a union, aliases resolved."""
    if isinstance(node, ast.BinOp):
        yield from _alternatives(node.left, aliases)
        yield from _alternatives(node.right, aliases)
    elif isinstance(node, ast.Name) and node.id in aliases:
        yield from _alternatives(aliases[node.id], aliases)
    elif node is not None:
        yield node


def _called(node: ast.expr) -> str:
    """'Sequence' of Sequence[str], 'str' of str."""
    inner = node.value if isinstance(node, ast.Subscript) else node
    return inner.id if isinstance(inner, ast.Name) else ""


def _kind(types: list[ast.expr], aliases: Mapping[str, ast.expr]) -> Kind | None:
    names = {_called(node) for node in types}
    if names & {"str", "Path", "Literal"}:
        return "text"
    for node in types:
        if isinstance(node, ast.Subscript) and _called(node) in ("Sequence", "Iterable"):
            return "texts" if "str" in map(_called, _alternatives(node.slice, aliases)) else None
    return "int" if "int" in names else "float" if "float" in names else None
