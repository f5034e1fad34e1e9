"""The table of the zoo in docs/networks.md, made from the zoo: `python tools/networks_table.py` writes it."""

from __future__ import annotations

from pathlib import Path

import torch

from neocog.arithmetic import walk
from neocog.zoo import ZOO, Architecture

PAGE = Path(__file__).parent.parent / "docs" / "networks.md"
BEGIN, END = "<!-- begin: made by tools/networks_table.py -->", "<!-- end -->"
HEAD = ("name", "year", "input", "classes", "layers", "parameters", "MACs", "smallest input", "stems")
UNITS = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def main() -> None:
    """Put the table between the page's markers."""
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n\n{written()}\n\n{END}{after}")


def written() -> str:
    """The table, then what departs from the papers: one line for all networks that say the same."""
    rows = [HEAD, ("---",) * 2 + ("---:",) * 6 + ("---",), *map(_cells, ZOO.values())]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    same: dict[tuple[str, str, str], list[str]] = {}
    for row in ZOO.values():
        if row.url.startswith("http"):
            same.setdefault((row.title, row.url, row.differs), []).append(row.name)
    lines = [
        f"- {', '.join(f'`{name}`' for name in names)} ([{title}]({url})): {differs}."
        for (title, url, differs), names in same.items()
    ]
    return "\n".join([table, "", "Where they differ from the papers:", "", *lines])


def _cells(row: Architecture) -> tuple[str, ...]:
    channels, *sides = row.shape
    return (
        f"`{row.name}`",
        str(row.year) if row.url.startswith("http") else "",
        "x".join(str(n) for n in (*sides, channels)),
        f"{row.classes:,}",
        str(row.depth),
        f"{row.parameters:,}",
        _short(row.macs if row.macs is not None else counted(row)),
        str(row.smallest),
        ", ".join(row.stems),
    )


def counted(row: Architecture) -> int:
    """Multiply-accumulates of a row that does not state them, by the walk that `neocog summary` makes."""
    with torch.device("meta"):
        network = row.build(shape=row.shape, classes=row.classes, stem="paper")
    return walk(network, row.shape).macs


def _short(n: int) -> str:
    """15470264320 -> '15.5 G': three figures, decimal units."""
    for size, unit in UNITS:
        if n >= size:
            return f"{n / size:#.3g}".rstrip(".") + f" {unit}"
    return str(n)


if __name__ == "__main__":
    main()
