"""Figures in words: percentages, plurals, aligned tables, JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any


def percent(share: float | None, interval: tuple[float, float] | None = None, *, digits: int = 2) -> str:
    """'98.94 %', with an interval '98.94 % [98.72, 99.12]'; '-' for None. The one spelling of a share."""
    if share is None:
        return "-"
    bounds = f" [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]" if interval else ""
    return f"{100 * share:.{digits}f} %{bounds}"


def plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration(seconds: float) -> str:
    """'0.031 s', '4.2 s', '5 s', '12 s', '3 min 05 s', '2 h 07 min': the one spelling of a time."""
    if seconds < 9.95:
        digits = f"{seconds:.3f}" if 0 < seconds < 0.0995 else f"{seconds:.1f}".removesuffix(".0")
        return f"{digits} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
    )


WIDTH = 100
"""Columns of a table on a terminal, at most."""


def storage(count: float) -> str:
    """Bytes in memory or on disk: 1.5 GB, 28.0 MB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def fitted(rows: Sequence[Sequence[str]]) -> list[str]:
    """Like `table`, within WIDTH columns: the last cells of a row, where they do not fit, stand below
    it, indented. A word that is longer stands alone.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    fitting = next((n for n in range(1, len(widths)) if sum(widths[: n + 1]) + 2 * n > WIDTH), len(widths))
    lines = []
    for line, row in zip(table([row[:fitting] for row in rows]), rows, strict=True):
        rest = "  ".join(cell for cell in row[fitting:] if cell)
        below = textwrap.wrap(rest, WIDTH - 4, break_long_words=False, break_on_hyphens=False)
        lines += [line.rstrip(), *(f"    {words}" for words in below)]
    return lines


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def jsonable(value: Any) -> Any:
    """`value` with tuples as lists, as JSON has them."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    return [jsonable(item) for item in value] if isinstance(value, (list, tuple)) else value
