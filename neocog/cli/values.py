"""Texts of the command line as values: sizes, numbers, groups. What is wrong is said with an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neocog.errors import UsageError, unknown


def sizes(text: str, *, least: int, most: int) -> tuple[int, ...]:
    """'32x32x3' -> (32, 32, 3): `least` to `most` whole numbers above 0."""
    parts = text.lower().replace("×", "x").split("x")
    if not (least <= len(parts) <= most and all(p.isdecimal() and int(p) > 0 for p in parts)):
        example = (
            "HEIGHTxWIDTH, for example 32x32" if most == 2 else "HEIGHTxWIDTHxCHANNELS, for example 32x32x3"
        )
        raise UsageError(f"'{text}' is not a size; write {example}")
    return tuple(int(p) for p in parts)


def side_or_sides(text: str) -> tuple[int, int]:
    """'24x32' -> (24, 32); '32' -> (32, 32)."""
    sides = sizes(text, least=1, most=2)
    return sides[0], sides[-1]


def sides_and_channels(text: str) -> tuple[int, ...]:
    """'24x32x3' -> (24, 32, 3); '128x1' and '784' for signals and flat inputs."""
    return sizes(text, least=1, most=4)


def numbers(text: str) -> tuple[int, ...]:
    """'0,17' -> (0, 17)."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"'{text}' is not a list of numbers; write for example 0,17")
    return tuple(int(part) for part in parts)


def groups(texts: Sequence[str]) -> dict[str, list[str]]:
    """['vehicle=automobile,truck'] -> {'vehicle': ['automobile', 'truck']}."""
    found = {}
    for text in texts:
        name, mark, classes = text.partition("=")
        if not mark or not name or not classes:
            raise UsageError(f"'{text}' is not NAME=class,class; for example vehicle=automobile,truck")
        found[name] = classes.split(",")
    return found


def one_of(kind: str, value: str, accepted: Sequence[str]) -> Any:
    """`value`, or the error that lists what is `accepted`."""
    if value not in accepted:
        raise unknown(kind, value, accepted)
    return value


def alternatives(words: Sequence[str]) -> str:
    """('train', 'val', 'test') -> 'train, val or test'."""
    return " or ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)


def listed(text: str) -> tuple[str, ...]:
    """'stage8, stage7' -> ('stage8', 'stage7')."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
