"""Cells with several labels: how a table writes them, found from the whole column."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from neocog.data.names import shown

Way = Literal["one", "marks", "list", "commas", "blanks"]
WORDS: dict[Way, str] = {
    "one": "",
    "marks": "separated by ; or |",
    "list": "written as lists",
    "commas": "separated by commas",
    "blanks": "separated by blanks",
}
PLURALS = frozenset({"labels", "tags", "classes", "categories", "targets", "attributes", "objects"})
"""Names of columns that say that a cell may hold several labels."""
_MARKS = re.compile(r"\s*[;|]\s*")
_LIST = re.compile(r"\s*[\[{(](.*)[\])}]\s*", re.DOTALL)


def way_of(cells: Sequence[str], column: str) -> tuple[Way, tuple[str, ...]]:
    """How the labels of a column are written, and remarks. Class names may have blanks or commas, so those
    part labels only where the column's name is a plural, or every part stands in several cells.
    """
    filled = [cell for cell in cells if cell]
    if filled and all(_LIST.fullmatch(cell) for cell in filled):
        return "list", ()
    if any(_MARKS.search(cell) for cell in filled):
        return "marks", ()
    for way, mark in (("commas", ","), ("blanks", " ")):
        apart = {cell for cell in filled if mark in cell.strip()}
        if not apart:
            continue
        if column.casefold() in PLURALS or _recur(set(filled), mark):
            return ("commas" if way == "commas" else "blanks"), ()
        return "one", (f"'{shown(min(apart))}' is taken for one class; several labels are written cat;dog",)
    return "one", ()


def _recur(cells: set[str], mark: str) -> bool:
    """Whether some part stands in different cells, and hardly any in one alone."""
    parts = [part for cell in cells for part in {p for p in cell.split(mark) if p}]
    once = sum(parts.count(part) == 1 for part in set(parts))
    return len(set(parts)) < len(cells) and 4 * once <= len(set(parts))


def labels(cell: str, way: Way) -> tuple[str, ...]:
    """The labels in a cell, each once."""
    if way == "list":
        found = _LIST.fullmatch(cell)
        parts = [part.strip().strip("'\"") for part in (found[1] if found else cell).split(",")]
    elif way == "marks":
        parts = _MARKS.split(cell)
    elif way in ("commas", "blanks"):
        parts = [part.strip() for part in cell.split("," if way == "commas" else None)]
    else:
        parts = [cell]
    return tuple(dict.fromkeys(part for part in parts if part))
