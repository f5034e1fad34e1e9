"""E8: what does better than E1, by how much, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from neocog.figures.entry import Asked, Entry
from neocog.figures.rivals import Way, holds, identity, points
from neocog.figures.row import Row, claim, missing, seen
from neocog.figures.training import course, right, run_facts, share
from neocog.files import write_bytes
from neocog.runs.run import Run
from neocog.show import charts
from neocog.show.words import plural
from neocog.tasks.spread import paired
from neocog.verbs.summary import summary
from neocog.zoo.chapters import ANSWER, FLATTEN, conv, dense, dropout, pool

WITH_DROPOUT = (
    conv(32, 3), pool(), dropout(0.25), conv(64, 3), pool(), dropout(0.25), conv(128, 3), FLATTEN,
    dense(64), dropout(0.5), ANSWER,
)  # fmt: skip
"""E1's network with dropout after its pools and before its answer."""
LONGER = ("epochs=30",)
STOPPED = ("epochs=30", "data.val=held-out", "data.held_out=0.1", "stop.select=best", "stop.patience=3")
"""Watched are held-out pictures, not the test pictures."""
WAYS = (
    Way(name="trained for 30 epochs", recipe="e1", changes=LONGER),
    Way(name="stopped early", recipe="e1", changes=STOPPED),
    Way(name="dropout, 10 epochs", recipe="e1", layers=WITH_DROPOUT),
    Way(name="dropout, 30 epochs", recipe="e1", changes=LONGER, layers=WITH_DROPOUT),
    Way(name="C2's network, 10 epochs", recipe="e1", changes=("model.name=c2",)),
)
"""The chapter's three exercises, two of them together, and a deeper network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvements:
    """Which of `ways` beat `base`: one run of each, compared picture by picture on the test pictures, with
    the 95 % interval of the difference; and what each costs, in multiply-accumulates of its training.
    `picture` is the file, without its ending, that shows their courses, where something was watched; `needs`
    says in words what it cannot do without.
    """

    base: Way
    ways: tuple[Way, ...]
    picture: str
    needs: str = ""

    @property
    def quick(self) -> bool:
        return False

    @property
    def identity(self) -> str:
        """What decides all trainings but their seeds."""
        return identity(self.base, *self.ways)

    def titles(self) -> dict[str, Way]:
        """What each row is called, and the way it is of."""
        return {self.base.name: self.base, **{f"{way.name} beats {self.base.name}": way for way in self.ways}}

    def is_of(self, row: Row) -> bool:
        """Whether `row` is one of these."""
        return row.what in self.titles() and "right" in row.detail

    def waiting(self, why: str) -> Iterator[Row]:
        yield missing(f"what beats {self.base.name}", why or self.needs)

    def rows(self, asked: Asked) -> Iterator[Row]:
        """A row for `base`, and one for each of `ways`."""
        runs = {title: way.runs(asked, [way.asked.seed])[0] for title, way in self.titles().items()}
        courses = {way.name: course(runs[title]) for title, way in self.titles().items()}
        png = charts.curves(
            {name: line for name, line in courses.items() if line},
            title=f"what beats {self.base.name}",
            x_label="epoch",
            y_label="accuracy, watched",
        )
        write_bytes(asked.file(f"{self.picture}.png"), png)
        answers = {title: right(run, asked) for title, run in runs.items()}
        for title in runs:
            both = [title] if title == self.base.name else [title, self.base.name]
            yield self._row(title, [runs[each] for each in both], [answers[each] for each in both])

    def again(self, row: Row, runs: Sequence[Run], asked: Asked) -> Row:
        """`row` made anew of its runs, that of the base last."""
        return self._row(row.what, runs, [right(run, asked) for run in runs])

    def _row(self, title: str, runs: Sequence[Run], answers: Sequence[Tensor]) -> Row:
        costs = [_cost(run) for run in runs]
        epochs = plural(len(runs[0].metrics()), "epoch")
        if len(runs) == 1:
            told = seen(title, f"{share(answers[0])}, {epochs}")
        else:
            found = paired(answers[1], answers[0])
            times = costs[0] / costs[1]
            said = f"{share(answers[0])}, {points(found)}, {epochs}, {times:.1f} times the cost"
            told = claim(title, said, holds(found))
        detail = {
            "recipe_identity": self.identity,
            "right": [int(each.sum()) for each in answers],
            "cost": costs,
            "runs": [run_facts(run) for run in runs],
        }
        return replace(told, detail=detail)


def _cost(run: Run) -> int:
    """Multiply-accumulates of its training, forward: those of a picture, as often as one was learned from."""
    pictures: int = run.facts()["counts"]["train"]
    return summary(run).walk.macs * pictures * len(run.metrics())


E8 = Entry(
    "E8",
    "exercises: train further, dropout, stop early",
    "E",
    (
        Improvements(
            base=Way(name="E1", recipe="e1"),
            ways=WAYS,
            picture="E8-courses",
            needs="needs Fashion-MNIST's files and trains E1 and five others, more than an hour",
        ),
    ),
)
