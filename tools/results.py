"""RESULTS.md, made from results/ID.json: `python tools/results.py` writes it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neocog.figures.row import Row
from neocog.figures.table import ENTRIES
from neocog.show.words import percent, plural
from neocog.studies.reproduce import kept, result_file

ROOT = Path(__file__).parent.parent
PAGE, RESULTS = ROOT / "RESULTS.md", ROOT / "results"
KERAS = "keras_chapters.json"
HEAD = """# Results

Every experiment of the five chapters ([what each is](docs/experiments.md)), the published figure, and ours.
Made by `python tools/results.py` from the files in `results/`, which `neocog reproduce ID --out results`
writes.

Ours stands with its 95 % Wilson interval on the test pictures. *same*: it lies within the Wilson interval of
the published figure on as many pictures; *better* and *worse*: outside. A published figure is one run of one
chapter. † marks those that are not from the chapters. *seen*: the chapters print no figure. What stands under
*proof* is for `neocog prove`, which replays what the figure hangs on where its trainings are kept.
*In Keras*: what the same recipe on the same files comes to with Keras 3 (`bench/keras_chapters.py`).

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
    peer = results / KERAS
    keras = json.loads(peer.read_text())["recipes"] if peer.exists() else {}
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
            _line(entry.id, entry.title if alone else f"{entry.title}: {row.what}", row, keras)
            for row in plain
        )


def _line(id: str, what: str, row: Row, keras: Mapping[str, Any]) -> str:
    published = f"{row.published}{' †' if row.outside and row.published else ''}"
    remark = row.remark if row.verdict != "not yet run" else ""
    notes = "".join(f"; {note}" for note in (remark, _in_keras(row, keras)) if note)
    return f"| {id} | {what} | {published} | {row.ours}{notes} | {row.verdict} | {row.short} |"


def _in_keras(row: Row, keras: Mapping[str, Any]) -> str:
    """What Keras makes of the recipe whose published figure stands in `row`; empty where it was not asked."""
    found = keras.get(row.detail.get("recipe", "")) if row.detail.get("published") is not None else None
    if found is None:
        return ""
    shares = found["printed" if row.detail["split"] == "printed" else "test"]
    spread = f" ({len(shares)} seeds: {percent(min(shares))} to {percent(max(shares))})"
    return f"in Keras {percent(statistics.fmean(shares))}{spread if len(shares) > 1 else ''}"


if __name__ == "__main__":
    main()
