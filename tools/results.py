"""RESULTS.md, made from results/ID.json: `python tools/results.py` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from neocog.figures.row import Row
from neocog.figures.table import ENTRIES
from neocog.show.words import plural
from neocog.studies.reproduce import kept, result_file

ROOT = Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "RESULTS.md", ROOT / "results"
HEAD = """# Results

Every experiment of the five chapters ([what each is](docs/experiments.md)), the published figure, and ours.
Made by `python tools/results.py` from the files in `results/`, which `neocog reproduce ID --out results`
writes.

Ours stands with its 95 % Wilson interval on the test pictures. *same*: it lies within the Wilson interval of
the published figure on as many pictures; *better* and *worse*: outside. A published figure is one run of one
chapter. † marks those that are not from the chapters. *seen*: the chapters print no figure. What stands under
*proof* is for `neocog prove`, which replays what the figure hangs on where its trainings are kept.

Trainings ran on a CPU. Fashion-MNIST is here in another order than the original's, so *500 pictures* are
another 500. CIFAR-10 went through JPEG once.
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(written(RESULTS))


def written(results: Path) -> str:
    """The page for a folder of results."""
    lines = [
        "| id | what | published | ours | verdict | proof |",
        "|---|---|---|---|---|---|",
        *_rows(results),
    ]
    return "\n".join([HEAD, *lines]) + "\n"


def _rows(results: Path) -> Iterator[str]:
    for entry in ENTRIES.values():
        path = result_file(results, entry.id)
        rows = kept(path) if path.exists() else tuple(entry.waiting())
        plain = [row for row in rows if row.detail or row.verdict != "same"]
        agreed = [row for row in rows if row not in plain]
        if agreed:
            said = plural(len(agreed), "fact")
            yield f"| {entry.id} | {entry.title} | {said} | as published | same | |"
        alone = len(rows) == 1
        yield from (
            _line(entry.id, entry.title if alone else f"{entry.title}: {row.what}", row) for row in plain
        )


def _line(id: str, what: str, row: Row) -> str:
    published = f"{row.published}{' †' if row.outside and row.published else ''}"
    note = f"; {row.remark}" if row.remark and row.verdict != "not yet run" else ""
    return f"| {id} | {what} | {published} | {row.ours}{note} | {row.verdict} | {row.short} |"


if __name__ == "__main__":
    main()
