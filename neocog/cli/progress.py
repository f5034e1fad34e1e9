"""Progress of whatever takes long: lines on stderr, some seconds apart."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from neocog.errors import escaped

MEGABYTE = 1e6


def downloading(name: str) -> Callable[[int, int | None], None]:
    """Told how many bytes of file `name` there are, and of how many: a line before the first, then every five
    seconds, and one at the end.
    """
    begun = time.monotonic()
    due, first = begun, 0

    def tell(done: int, total: int | None) -> None:
        """Nothing where a line came less than five seconds before, but for the last byte."""
        nonlocal due, first
        now = time.monotonic()
        if now < due and done != total:
            return
        if due == begun:
            first = done
        due = now + 5
        of = f" of {total / MEGABYTE:,.1f}" if total is not None else ""
        speed = (done - first) / MEGABYTE / max(now - begun, 1e-9)
        rate = f", {speed:,.1f} MB/s" if done > first else ""
        print(f"downloading {escaped(name)}: {done / MEGABYTE:,.1f}{of} MB{rate}", file=sys.stderr)

    return tell


def reading() -> Callable[[int, int], None]:
    """Told how many pictures are read, and of how many: a line after two seconds, then every ten."""
    due = time.monotonic() + 2

    def tell(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + 10
            print(f"reading pictures: {done} of {total}", file=sys.stderr)

    return tell
