"""prove: a figure's chain replayed: pictures, weights, preprocessing, answers, count, interval."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neocog.errors import CheckFailed, UsageError, unknown
from neocog.figures.entry import Asked, Check, Entry, Replayable
from neocog.figures.row import Row
from neocog.figures.table import ENTRIES
from neocog.files import named_as_path
from neocog.runs.run import RECIPE_FILE, open_run
from neocog.studies.chain import Link, OfRun, held, links, of_path, to_the_first_broken
from neocog.studies.reproduce import kept, kept_in, result_file

Verdict = Literal["proved to the bit", "proved within its interval", "broken here", "not proved here"]
Replay = Literal["answers", "training"]


@dataclass(frozen=True, slots=True)
class Proof:
    """The chain of one figure."""

    figure: str
    links: tuple[Link, ...]

    @property
    def verdict(self) -> Verdict:
        """What the weakest link allows."""
        states = {link.state for link in self.links}
        if "broken" in states:
            return "broken here"
        if "not here" in states or not states:
            return "not proved here"
        return "proved within its interval" if "within its interval" in states else "proved to the bit"

    def text(self) -> str:
        """The figure, its links, and the verdict, with the link that broke."""
        broken = next((link.name for link in self.links if link.state == "broken"), None)
        end = f"{self.verdict}: {broken}" if broken else self.verdict
        return "\n".join([self.figure, *(link.text() for link in self.links), end])

    def json(self) -> dict[str, Any]:
        return {
            "figure": self.figure,
            "verdict": self.verdict,
            "links": [link.json() for link in self.links],
        }


@dataclass(frozen=True, slots=True)
class Proofs:
    """Of every figure that was asked about."""

    proofs: tuple[Proof, ...]

    @property
    def exit_code(self) -> int:
        """4 where a link is broken."""
        broken = any(proof.verdict == "broken here" for proof in self.proofs)
        return CheckFailed.exit_code if broken else 0

    def text(self) -> str:
        return "\n\n".join(proof.text() for proof in self.proofs)

    def json(self) -> list[dict[str, Any]]:
        return [proof.json() for proof in self.proofs]

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


def prove(
    what: str | Path,
    *,
    replay: Replay = "answers",
    results: str | Path = "results",
    runs: str | Path | None = None,
    device: str = "auto",
) -> Proofs:
    """Replay the chain of a run's test accuracy, of the figures in a model file, of every figure that
    `results` holds of the experiment `what` (M9), or of the one there with that short id; `runs` has the
    trainings.

    `replay` 'training' trains the recipe again too. A chain ends at its first broken link. `UsageError` for
    what is none of these; whatever else does not hold is a link's word.
    """
    path = Path(what)
    if path.exists():
        chain = of_path(path, device, again=replay == "training")
        return Proofs((Proof(str(path), to_the_first_broken(links(chain.steps()))),))
    name, folder = str(what), Path(results)
    if named_as_path(name):
        raise UsageError(f"there is no run or model file at {name}; give one, or an experiment such as M9")
    asked, again = Asked(runs=kept_in(runs), device=device), replay == "training"
    if short := _short(name, folder):
        return Proofs(tuple(_proofs(*short, asked, again=again)))
    if name.upper() not in ENTRIES:
        raise unknown("run, model file, experiment or short id", name, ENTRIES)
    entry = ENTRIES[name.upper()]
    if not result_file(folder, entry.id).exists():
        raise UsageError(
            f"{folder} holds no result of {entry.id}; make one: neocog reproduce {entry.id} --out {folder}"
        )
    return Proofs(tuple(_proofs(entry, kept(result_file(folder, entry.id)), asked, again=again)))


def _short(name: str, results: Path) -> tuple[Entry, tuple[Row, ...]] | None:
    """The entry and the row whose figure has this short id; None where `name` is no such id."""
    for entry in ENTRIES.values():
        path = result_file(results, entry.id)
        for row in kept(path) if path.exists() else ():
            if row.short == name:
                return entry, (row,)
    return None


def _proofs(entry: Entry, rows: tuple[Row, ...], asked: Asked, *, again: bool) -> Iterator[Proof]:
    replayed = {
        row.what: row
        for part in entry.parts
        if isinstance(part, Check) and part.quick
        for row in part.rows(asked)
    }
    for row in rows:
        if row.verdict == "not yet run":
            continue  # it claims nothing
        figure = f"{entry.id}, {row.what}: {row.ours}".rstrip(": ")
        if row.detail:
            yield Proof(figure, to_the_first_broken(_trained(entry, row, asked, again=again)))
        elif row.what in replayed:
            now = replayed[row.what]
            yield Proof(
                figure, (held("worked out again", now == row, now.ours, f"now {now.ours}, {now.verdict}"),)
            )
        else:
            yield Proof(figure, (Link("worked out again", "not here", "reproduce it to see it again"),))


def _trained(entry: Entry, row: Row, asked: Asked, *, again: bool) -> Iterator[Link]:
    """The chain of every run behind a row; then the row itself, made anew of these runs."""
    replayable = (part for part in entry.parts if isinstance(part, Replayable))
    part = next((part for part in replayable if part.is_of(row)), None)
    if part is None:
        yield Link("recipe", "broken", f"{entry.id} has no such training any more")
        return
    yield held(
        "recipe of today",
        part.identity == row.detail["recipe_identity"],
        part.identity[:12],
        "the recipe has changed",
    )
    found = []
    for one in row.detail["runs"]:
        folder = asked.runs / one["run"]
        if not (folder / RECIPE_FILE).exists():
            said = f"{folder} is not here; neocog reproduce {entry.id} trains it again"
            yield Link(f"run {one['run']}", "not here", said)
        run = open_run(folder)
        found.append(run)
        for link in links(OfRun(run, asked.device, again=again).steps()):
            yield Link(f"{one['run']}: {link.name}", link.state, link.said)
    now = part.again(row, found, asked)
    changed = [name for name, value in now.json().items() if value != row.json()[name]]
    yield held(
        "figure",
        not changed,
        f"{now.ours}, {now.verdict}",
        f"the result's {', '.join(changed)} is another: {now.ours}",
    )
