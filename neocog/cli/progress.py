"""Progress of whatever reads many pictures: a line on stderr after two seconds, then every ten."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def reading() -> Callable[[int, int], None]:
    """Told how many pictures are read, and of how many."""
    due = time.monotonic() + 2

    def tell(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + 10
            print(f"reading pictures: {done} of {total}", file=sys.stderr)

    return tell
