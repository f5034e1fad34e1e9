"""The table of a walk: a line for each layer, within the columns of a terminal."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence

from neocog.arithmetic import Row, written
from neocog.show.words import WIDTH

_HEADINGS = ("#", "layer", "kind", "window", "output", "parameters", "MACs", "sees", "stride", "")
_NUMBERS = {0, 5, 6, 7, 8}
"""Columns that stand at the right."""

_NAME, _WINDOW = 1, 3
_NARROW = 14
"""Characters of a window that stand in its column where the whole table is too wide."""

Cells = tuple[str, ...]


def lines(layers: Sequence[Row]) -> list[str]:
    """The headings, a rule and the layers. Where the lines would be wider than WIDTH, remarks stand below
    their layers, then the first words of the names above them, as many as it takes, then long windows below,
    then whole names above; what is too wide even so is wrapped.
    """
    rows = [_cells(row) for row in layers]
    deepest = max((row.name.count(".") for row in layers), default=0)
    for remarks, narrow, above in (
        (True, False, 0),
        *((False, narrow, n) for narrow in (False, True) for n in range(deepest + 1)),
        (False, True, None),
    ):
        found = list(_table(rows, remarks=remarks, narrow=narrow, above=above))
        if max(map(len, found)) <= WIDTH:
            return found
    return [part for line in found for part in _wrapped(line)]


def in_html(layers: Sequence[Row]) -> str:
    """The rows of an HTML table, the headings first."""
    return _html_row(_HEADINGS, "th") + "".join(_html_row(_cells(row), "td") for row in layers)


def _table(rows: Sequence[Cells], *, remarks: bool, narrow: bool, above: int | None) -> Iterator[str]:
    """The table with remarks at the end of the lines or below them, windows of any width or narrow ones, and
    the first `above` words of the names, all where that is None, on lines of their own.
    """
    split = [_split(row, remarks, narrow, above) for row in rows]
    widths = [
        max(map(len, column)) for column in zip(_HEADINGS, *(cells for _, cells, _ in split), strict=True)
    ]
    shown = [_line(cells, widths) for _, cells, _ in split]
    heading = _line(_HEADINGS, widths)
    yield heading
    yield "-" * min(max(map(len, (heading, *shown))), WIDTH)
    indent, before = " " * (widths[0] + 2), ""
    for (place, _, below), line in zip(split, shown, strict=True):
        if place != before:
            yield from [indent + place] if place else []
            before = place
        yield line
        yield from (f"{indent}    {part}" for part in textwrap.wrap(below, WIDTH - len(indent) - 4))


def _split(row: Cells, remarks: bool, narrow: bool, above: int | None) -> tuple[str, Cells, str]:
    """What stands above the line of a layer, in it, and below it."""
    place, cells, words, below = "", list(row), row[_NAME].split("."), []
    if above is None:
        place, cells[_NAME] = row[_NAME], ""
    elif above:
        cut = min(above, len(words) - 1)
        place, cells[_NAME] = ".".join(words[:cut]), f"  {'.'.join(words[cut:])}"
    if narrow and len(row[_WINDOW]) > _NARROW:
        cells[_WINDOW] = ""
        below.append(row[_WINDOW])
    if not remarks:
        below.append(cells.pop())
        cells.append("")
    return place, tuple(cells), "; ".join(filter(None, below))


def _wrapped(line: str) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [line]


def _cells(row: Row) -> Cells:
    sees = "all" if row.receptive_field is None else _axes(row.receptive_field)
    stride = "" if row.stride is None else _axes(row.stride)
    kind = row.kind if row.kind != "activation" else row.label
    parameters, macs = (f"{n:,}" if n else "" for n in (row.parameters, row.macs))
    made = written(row.output)
    return (str(row.index), row.name, kind, row.window, made, parameters, macs, sees, stride, row.remark)


def _axes(sizes: Sequence[float]) -> str:
    """One number where all axes have the same."""
    shown = [f"{n:g}" for n in sizes]
    return shown[0] if len(set(shown)) == 1 else "x".join(shown)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    columns = enumerate(zip(cells, widths, strict=True))
    return "  ".join(c.rjust(w) if n in _NUMBERS else c.ljust(w) for n, (c, w) in columns).rstrip()


def _html_row(cells: Sequence[str], tag: str) -> str:
    align = ("right" if column in _NUMBERS else "left" for column in range(len(cells)))
    shown = (
        f'<{tag} style="text-align:{side}">{html.escape(cell)}</{tag}>'
        for cell, side in zip(cells, align, strict=True)
    )
    return f"<tr>{''.join(shown)}</tr>"
