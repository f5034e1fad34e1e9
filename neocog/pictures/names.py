"""Names of pictures and classes, in the order in which people count (2 before 10), and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neocog.errors import escaped


def natural(name: str) -> tuple[Any, ...]:
    """Sort key under which '2' comes before '10': digits compare as numbers, letters without case, the
    name itself last.
    """
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((int(p), "") if p.isdecimal() else (-1, p) for p in parts), name


def shown(path: str | Path) -> str:
    """A path or name for one line of text: nothing in it can end the line or drive a terminal."""
    return escaped(str(path)).replace("\n", "\\n")


def some(names: Sequence[str], most: int = 20) -> str:
    """The first of the names, and how many there are."""
    listed = ", ".join(shown(name) for name in names[:most])
    return listed + (f", ... ({len(names)} in all)" if len(names) > most else "")
