"""Rivals: the claim that one way of training does better than another, tried under several seeds of each."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neocog.errors import UsageError
from neocog.figures.entry import Asked
from neocog.figures.row import Row, claim, missing
from neocog.figures.training import course, right, run_facts, there, trained
from neocog.files import sha256, write_bytes
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import Recipe, override
from neocog.runs.run import Run
from neocog.show import charts
from neocog.show.words import percent, plural
from neocog.tasks.spread import Difference, difference, paired
from neocog.zoo import Model
from neocog.zoo.layer_list import parse

THREE = (0, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to train, called `name`: a named `recipe` with `changes`, and with the network of `layers`, where
    there are any, in place of its own. `drawn`: each seed draws the training pictures too.
    """

    name: str
    recipe: str
    changes: tuple[str, ...] = ()
    layers: tuple[Mapping[str, Any], ...] = ()
    drawn: bool = False

    @property
    def asked(self) -> Recipe:
        """The recipe that is trained, under its own seed."""
        recipe = override(RECIPES[self.recipe], self.changes)
        if not self.layers:
            return recipe
        network = Model(layers=parse([dict(layer) for layer in self.layers]), init="glorot")
        return recipe.model_copy(update={"model": network})

    def runs(self, asked: Asked, seeds: Sequence[int]) -> list[Run]:
        return [trained(self.asked, asked, name=self.recipe, seed=seed, drawn=self.drawn) for seed in seeds]

    def kept(self, asked: Asked) -> Run:
        """The run under the recipe's own seed, where it is there; `UsageError` where it is not."""
        run = there(self.asked, asked, self.recipe)
        if run is None:
            raise UsageError(f"needs the training of {self.name}: reproduce {self.recipe.upper()} first")
        return run


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """The claim `what`: that `ours` gets more test pictures right in the end than `theirs`, and more of the
    held-out ones `after` so many epochs. It holds where the 95 % interval of the difference of the means over
    `seeds` (Welch) lies above -`allowed`, a share of the pictures; it does not where that lies below.

    `kept`: nothing is trained for it. It is told of one run of each recipe, which another entry has trained,
    by the test pictures that one of them gets right and the other does not.

    `picture` is the file, without its ending, that shows the mean accuracy of both after every epoch; where
    nothing is watched, the accuracy in the end under every seed.
    """

    what: str
    ours: Way
    theirs: Way
    picture: str
    after: tuple[int, ...] = ()
    allowed: float = 0.0
    seeds: tuple[int, ...] = THREE
    kept: bool = False
    remark: str = ""

    @property
    def quick(self) -> bool:
        return False

    @property
    def identity(self) -> str:
        """What decides both trainings but their seeds."""
        return identity(self.ours, self.theirs)

    def titles(self) -> dict[str, int]:
        """What each row is called, and the epoch it is of; 0 is the end."""
        return {**{f"{self.what}, after {plural(n, 'epoch')}": n for n in self.after}, self.what: 0}

    def is_of(self, row: Row) -> bool:
        """Whether `row` is one of this claim."""
        return row.what in self.titles() and "accuracies" in row.detail

    def waiting(self, why: str) -> Iterator[Row]:
        yield missing(self.what, why)

    def rows(self, asked: Asked) -> Iterator[Row]:
        """A row for each epoch of `after`, and one for the end."""
        sides = [(way, self._runs(way, asked)) for way in (self.ours, self.theirs)]
        (_, ours), (_, theirs) = sides
        courses = {way.name: _course(runs) for way, runs in sides}
        said = ("epoch", "accuracy, watched" if self.kept else "accuracy, held out: mean over seeds")
        if not all(courses.values()):  # nothing was watched
            courses = {
                way.name: [(float(run.recipe().seed), _accuracy(run, 0)) for run in runs]
                for way, runs in sides
            }
            said = ("seed", "accuracy, test pictures")
        png = charts.curves(courses, title=self.what, x_label=said[0], y_label=said[1])
        write_bytes(asked.file(f"{self.picture}.png"), png)
        for title, epoch in self.titles().items():
            yield self._row(title, epoch, ours, theirs, asked)

    def _runs(self, way: Way, asked: Asked) -> list[Run]:
        if self.kept:
            return [way.kept(asked)]
        return way.runs(asked, asked.seeds if len(asked.seeds) > 1 else self.seeds)

    def again(self, row: Row, runs: Sequence[Run], asked: Asked) -> Row:
        """`row` made anew of its runs, ours before theirs."""
        half = len(runs) // 2
        return self._row(row.what, self.titles()[row.what], runs[:half], runs[half:], asked)

    def _row(self, title: str, epoch: int, ours: Sequence[Run], theirs: Sequence[Run], asked: Asked) -> Row:
        a, b = ([_accuracy(run, epoch) for run in runs] for runs in (theirs, ours))
        if self.kept:
            found = paired(right(theirs[0], asked), right(ours[0], asked))
        else:
            found = difference(a, b)
        said = f"{self.ours.name} {_means(b)}, {self.theirs.name} {_means(a)}: {points(found)}"
        told = claim(title, said, holds(found, self.allowed), remark=self.remark)
        detail = {
            "recipes": [self.ours.recipe, self.theirs.recipe],
            "recipe_identity": self.identity,
            "accuracies": [b, a],
            "difference": [found.mean, found.low, found.high],
            "runs": [run_facts(run) for run in (*ours, *theirs)],
        }
        return Row(what=told.what, ours=told.ours, verdict=told.verdict, remark=told.remark, detail=detail)


def identity(*ways: Way) -> str:
    """What decides the trainings of `ways` but their seeds."""
    return sha256(" ".join(way.asked.identity for way in ways).encode())


def holds(found: Difference, allowed: float = 0.0) -> bool | None:
    """Whether the second of two is the better, or at most `allowed` worse; None where that cannot be told."""
    return True if found.low > -allowed else False if found.high < -allowed else None


def points(found: Difference) -> str:
    """The difference of two shares with its interval, in words."""
    mean, low, high = (f"{100 * share:+.2f}" for share in (found.mean, found.low, found.high))
    return f"{mean} points [{low}, {high}]"


def _means(shares: Sequence[float]) -> str:
    mean = percent(statistics.fmean(shares))
    return f"{mean} ({percent(min(shares))} to {percent(max(shares))})" if len(shares) > 1 else mean


def _accuracy(run: Run, epoch: int) -> float:
    if epoch:
        return float(run.metrics()[epoch - 1]["val_accuracy"])
    return float(run.facts()["result"]["test_accuracy"])


def _course(runs: Sequence[Run]) -> list[tuple[float, float]]:
    """(epoch, mean watched accuracy over `runs`); none where nothing is watched."""
    return [
        (together[0][0], statistics.fmean(share for _, share in together))
        for together in zip(*map(course, runs), strict=False)
    ]
