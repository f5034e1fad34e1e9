"""reproduce: experiments of the chapters by their ids: the published figure, ours, and a verdict."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neocog._version import __version__
from neocog.errors import UnreadableError, UsageError
from neocog.events import Watcher
from neocog.figures.entry import Asked, Effort, Entry
from neocog.figures.row import Row, read
from neocog.figures.table import ENTRIES, chosen
from neocog.files import read_json, write_json
from neocog.runs.run import RUNS, Run
from neocog.show.words import plural
from neocog.world import facts as world_facts
from neocog.world import find

Which = Literal["named", "all", "missing", "list"]
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Reproduced:
    """One entry with its rows."""

    entry: Entry
    rows: tuple[Row, ...]

    def text(self) -> str:
        """A heading, and the rows below it."""
        heading = f"{self.entry.id}  {self.entry.title} ({self.entry.source})"
        return "\n".join([heading, *(row.text() for row in self.rows)])

    def json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "id": self.entry.id,
            "title": self.entry.title,
            "source": self.entry.source,
            "rows": [row.json() for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of every entry that was asked for, in the order of the chapters' list."""

    entries: tuple[Reproduced, ...]

    def text(self) -> str:
        """Every entry, then how many rows came to which verdict."""
        verdicts = [row.verdict for one in self.entries for row in one.rows]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        return "\n\n".join(
            [*(one.text() for one in self.entries), f"{plural(len(self.entries), 'experiment')}: {counts}"]
        )

    def json(self) -> list[dict[str, Any]]:
        return [one.json() for one in self.entries]

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


def reproduce(
    ids: Sequence[str] = (),
    *,
    which: Which = "named",
    effort: Effort = "chapter",
    seeds: int | None = None,
    out: str | Path | None = None,
    runs: str | Path | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    watchers: Sequence[Callable[[Run], Watcher]] = (),
) -> Reproduction:
    """Run the experiments `ids` (M9, C2 ...) as their chapters did, and put our figures beside theirs.

    `which` 'all' takes every experiment, 'missing' those that `out` holds no result of, 'list' runs nothing
    and says what `out` holds. `effort` 'quick' runs what needs no files and no minutes; its trainings are cut
    short and compared with nothing. `seeds` so many, from 0, in place of each recipe's own. `out` is a
    folder: ID.json is written into it after each experiment. Trainings and pictures are kept in `runs`
    (default: runs/figures) and found again there. `weights` are those of the public network that P, T and N
    ask for.

    `UsageError` for unknown ids. What lacks a file or weights is no error: its row says so.
    """
    place = Path(out) if out is not None else None
    entries = _asked_for(ids, which, effort, place)
    known = [_known(one, place) for one in entries]  # what is there and is none is not written over
    if which == "list":
        return Reproduction(tuple(map(Reproduced, entries, known)))
    asked = Asked(
        runs=kept_in(runs),
        effort=effort,
        seeds=tuple(range(seeds or 0)),
        weights=weights,
        device=device,
        watchers=watchers,
    )
    return Reproduction(tuple(_each(entries, asked, place)))


def _asked_for(ids: Sequence[str], which: Which, effort: Effort, out: Path | None) -> tuple[Entry, ...]:
    if which == "named" and not ids and effort == "chapter":
        raise UsageError("say which experiments: ids such as M9 or C2, --all, --missing, --quick, or list")
    entries = chosen(ids) if ids else tuple(ENTRIES.values())
    if effort == "quick":
        entries = tuple(entry for entry in entries if entry.quick)
        if out is not None:
            raise UsageError("--quick cuts trainings short, so its figures are not kept; leave out --out")
    if which == "missing":
        if out is None:
            raise UsageError("--missing means those that a folder of results lacks; say which: --out results")
        entries = tuple(entry for entry in entries if not result_file(out, entry.id).exists())
    return entries


def _each(entries: Sequence[Entry], asked: Asked, out: Path | None) -> Iterator[Reproduced]:
    for entry in entries:
        one = Reproduced(entry, tuple(entry.run(asked)))
        if out is not None and any(row.verdict != "not yet run" for row in one.rows):
            out.mkdir(parents=True, exist_ok=True)
            made = {"neocog": __version__, **world_facts(find(asked.device, "float32"))}
            made.pop("precision")  # of the world; each training says its own
            write_json(result_file(out, entry.id), {**one.json(), "made": made})
        yield one


def kept_in(runs: str | Path | None) -> Path:
    """The folder for the trainings and pictures of experiments."""
    return Path(runs) if runs is not None else Path(os.environ.get("NEOCOG_RUNS_DIR", RUNS)) / "figures"


def result_file(out: Path, id: str) -> Path:
    """Where the result of the experiment `id` stands in the folder `out`."""
    return out / f"{id}.json"


def _known(entry: Entry, out: Path | None) -> tuple[Row, ...]:
    """The rows in `out`, else those of what was not run."""
    if out is None or not result_file(out, entry.id).exists():
        return tuple(entry.waiting())
    return kept(result_file(out, entry.id))


def kept(path: Path) -> tuple[Row, ...]:
    """The rows of a result's file; `UnreadableError` where it is none."""
    document = read_json(path)
    try:
        return tuple(read(row) for row in document["rows"])
    except (KeyError, TypeError) as error:
        raise UnreadableError(
            f"{path} is no result of an experiment ({error}); take it away, or choose another folder"
        ) from error
