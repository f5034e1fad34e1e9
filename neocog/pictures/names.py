"""Names of pictures and classes, in the order in which people count: 2 before 10."""

from __future__ import annotations

import re
from typing import Any


def natural(name: str) -> tuple[Any, ...]:
    """Sort key under which '2' comes before '10': digits compare as numbers, letters without case, the
    name itself last.
    """
    parts = re.split(r"(\d+)", name.casefold())
    return (*((int(p), "") if p.isdecimal() else (-1, p) for p in parts), name)
