"""Names of pictures, classes and splits: their order, the words for a split, and how a name is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from neocog.errors import escaped
from neocog.pictures.names import natural as natural

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
}
"""The split that a folder's, table's or array's word means."""
ORDER = {"train": 0, "val": 1, "test": 2}
"""In which splits come."""


def shown(path: str | Path) -> str:
    """A path or name for one line of text: nothing in it can end the line or drive a terminal."""
    return escaped(str(path)).replace("\n", "\\n")


def some(names: Sequence[str], most: int = 20) -> str:
    """The first of the names, and how many there are."""
    listed = ", ".join(shown(name) for name in names[:most])
    return listed + (f", ... ({len(names)} in all)" if len(names) > most else "")
