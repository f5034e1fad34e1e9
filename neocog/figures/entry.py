"""Entry: one experiment of the chapters under its id; its parts, each of which makes rows; what they are
asked with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from neocog.errors import Interrupted, NeocogError
from neocog.events import Watcher
from neocog.figures.row import Row, missing
from neocog.runs.run import Run

Effort = Literal["chapter", "quick"]
"""'chapter' does what the chapter did; 'quick' what a few seconds are enough for, without any data file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How an entry is run.

    runs     the folder for trainings and pictures, in which finished trainings are found again
    seeds    where given, in place of a part's own
    weights  those of a public network
    """

    runs: Path
    effort: Effort = "chapter"
    seeds: tuple[int, ...] = ()
    weights: str | Path | None = None
    device: str = "auto"
    watchers: Sequence[Callable[[Run], Watcher]] = ()

    def file(self, name: str) -> Path:
        """Where a picture or another file of that name goes; its folder is made."""
        place = self.runs / "files" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


class Part(Protocol):
    """Something of an entry that is run by itself."""

    @property
    def quick(self) -> bool:
        """Whether it can be run with little effort."""

    def rows(self, asked: Asked) -> Iterator[Row]:
        """Run it. `NeocogError` where something is missing that it needs."""

    def waiting(self, why: str) -> Iterator[Row]:
        """The rows that stand for it while it is not run."""


@runtime_checkable
class Replayable(Protocol):
    """A part whose rows keep in `detail` what they hang on: the `recipe_identity` of what was trained and the
    `runs`, each with its folder's name as `run`.
    """

    @property
    def identity(self) -> str:
        """That `recipe_identity` as today's recipes have it."""

    def is_of(self, row: Row) -> bool:
        """Whether `row` is one of this part."""

    def again(self, row: Row, runs: Sequence[Run], asked: Asked) -> Row:
        """`row` made anew of its runs, in their order."""


@dataclass(frozen=True, slots=True)
class Check:
    """A part that calls verbs and looks at what they give. `needs` says in words what it cannot do without;
    `light` whether it is done in a moment.
    """

    what: str
    work: Callable[[Asked], Iterator[Row]]
    needs: str = ""
    light: bool = True

    @property
    def quick(self) -> bool:
        return self.light and not self.needs

    def rows(self, asked: Asked) -> Iterator[Row]:
        yield from self.work(asked)

    def waiting(self, why: str) -> Iterator[Row]:
        yield missing(self.what, why or self.needs)


@dataclass(frozen=True, slots=True)
class Entry:
    """`id` as in docs/experiments.md, `source` the chapter's letter."""

    id: str
    title: str
    source: str
    parts: tuple[Part, ...]

    @property
    def quick(self) -> bool:
        return any(part.quick for part in self.parts)

    def run(self, asked: Asked) -> Iterator[Row]:
        """The rows of every part; of one that lacks something, rows that say what."""
        for part in self.parts:
            if asked.effort == "quick" and not part.quick:
                continue
            try:
                yield from part.rows(asked)
            except Interrupted:  # the user wants to stop
                raise
            except NeocogError as error:
                yield from part.waiting(str(error).splitlines()[0])

    def waiting(self) -> Iterator[Row]:
        """The rows before anything was run."""
        for part in self.parts:
            yield from part.waiting("")
