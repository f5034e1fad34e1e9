"""Folds: how well a training does, on all pictures: each is answered by a training that has not seen it."""

from __future__ import annotations

import csv
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from neocog.answers import ANSWERS_FILE, read
from neocog.data.dataset import Dataset, Split
from neocog.data.splits import hold_out
from neocog.errors import UsageError, escaped
from neocog.events import Watcher
from neocog.model import Trained, open_trained
from neocog.outputs import cell, write_bytes
from neocog.runs.run import Run
from neocog.show.words import duration, percent, plural, table
from neocog.tasks import logistic
from neocog.tasks.intervals import wilson
from neocog.training.order import Order
from neocog.transfer.features import ALL
from neocog.verbs.train import train

FOLDS = 5
"""Trainings, where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A picture: its `file`, the `fold` (from 1) that was trained without it, its class and what that
    training answered, in words (several labels are joined), and whether this is right.
    """

    file: str
    fold: int
    truth: str
    answer: str
    right: bool


@dataclass(frozen=True, slots=True)
class Folds:
    """Every picture of `photos`, answered once. `start` names whose eyes the trainings began with (None:
    weights that were drawn), `seconds` is what each of them took, and `tuned` for how many epochs the network
    that each kept had been tuned (empty where tuning was not asked for).
    """

    photos: str
    start: str | None
    answers: tuple[Answered, ...] = field(repr=False)
    seconds: tuple[float, ...] = ()
    tuned: tuple[int, ...] = ()

    @property
    def right(self) -> int:
        """How many pictures are answered right; of several labels all of a picture's."""
        return sum(each.right for each in self.answers)

    @property
    def accuracy(self) -> float:
        return self.right / len(self.answers)

    @property
    def interval(self) -> tuple[float, float]:
        """Of the accuracy, 95 % (Wilson)."""
        return wilson(self.right, len(self.answers))

    def of(self, fold: int) -> tuple[int, int]:
        """Right answers and pictures of a fold, from 1."""
        mine = [each.right for each in self.answers if each.fold == fold]
        return sum(mine), len(mine)

    def text(self) -> str:
        """The whole, and a line for each fold."""
        eyes = f"eyes of {escaped(self.start)}" if self.start else "from nothing"
        rows = [("fold", "right", "of", "accuracy", "took", *(["tuned"] if self.tuned else []))]
        for number, seconds in enumerate(self.seconds, 1):
            right, n = self.of(number)
            row = (str(number), f"{right:,}", f"{n:,}", percent(right / n), duration(seconds))
            epochs = [plural(e, "epoch") if e else "not at all" for e in self.tuned[number - 1 : number]]
            rows.append((*row, *epochs))
        n = len(self.answers)
        whole = f"{percent(self.accuracy, self.interval)} of {n:,} pictures ({self.right:,} right)"
        heading = f"{escaped(self.photos)}, {eyes}, each picture left out once: {whole}"
        return "\n".join([heading, *table(rows)])

    def json(self) -> dict[str, Any]:
        """Everything but the single answers, which `save` writes."""
        folds: list[dict[str, Any]] = []
        for number, seconds in enumerate(self.seconds, 1):
            right, n = self.of(number)
            folds.append({"right": right, "n": n, "seconds": round(seconds, 3)})
        for each, epochs in zip(folds, self.tuned, strict=False):  # none where tuning was not asked for
            each["tuned"] = epochs
        return {
            "photos": self.photos,
            "start": self.start,
            "n": len(self.answers),
            "right": self.right,
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "folds": folds,
        }

    def save(self, path: str | Path) -> None:
        """Write `.csv`: every picture with its fold, class and answer."""
        path = Path(path)
        if path.suffix != ".csv":
            raise UsageError(f"'{path.name}': the answers of folds are written as .csv")
        lines = io.StringIO()
        of = csv.writer(lines, lineterminator="\n")
        of.writerow(["file", "fold", "class", "answer", "right"])
        for each in self.answers:
            of.writerow([cell(each.file), each.fold, cell(each.truth), cell(each.answer), int(each.right)])
        write_bytes(path, lines.getvalue().encode())


def folds(
    photos: str | Path,
    *,
    count: int = FOLDS,
    start: str | Path | Run | Trained | None = None,
    tune: Sequence[str] = (),
    changes: Sequence[str] = (),
    device: str = "auto",
    watchers: Sequence[Callable[[Run], Watcher]] = (),
    dataset: Dataset | None = None,
) -> Folds:
    """Put all pictures together, whatever their split, divide them into `count` folds with every class spread
    over them, and train without each in turn, as `train` does with the same `start`, `tune` and `changes`.

    What `train` decides by the training pictures is decided anew in each fold. The trainings are thrown away.
    `UsageError` where there are fewer pictures than folds.
    """
    order = Order(what=photos, start=start, tune=tune, changes=changes, device=device, dataset=dataset)
    if tune:  # which decides what is held out; for how long to tune is each fold's to decide
        order = replace(order, changes=[*changes, "coverage=null", "phases.1.epochs=1"])
    ready = order.ready()
    whole, recipe = ready.job.dataset, ready.job.recipe
    everything = together(list(whole.splits.values()))
    if len(everything) < 2 * count:
        raise UsageError(
            f"{len(everything)} pictures are too few for {count} folds; give {2 * count} or more, "
            "or ask for fewer folds"
        )
    watched = recipe.data.held_out if whole.val is not None and dataset is None else 0.0
    numbers = logistic.folds(everything.y, count, recipe.seed)
    found: dict[int, Answered] = {}
    seconds, tuned = [], []
    for fold in range(count):
        out = (numbers == fold).nonzero()[:, 0]
        part = _without(whole, everything, numbers != fold, out, watched, recipe.seed)
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="neocog-folds-") as folder:
            run = train(
                photos, start=start, tune=tune, changes=changes, device=device, watchers=watchers,
                dataset=part, out=Path(folder) / f"fold{fold + 1}",
            )  # fmt: skip
            said = read(run.path / ANSWERS_FILE)
            tuned += [_epochs_of_tuning(run)] if tune else []
        seconds.append(time.monotonic() - begun)
        right = said.right.tolist()
        for place, row in enumerate(out.tolist()):
            name = everything.names[row] if everything.names else f"picture[{row}]"
            truth, answer = said.named(said.truth[place]), said.named(said.predicted[place])
            found[row] = Answered(name, fold + 1, truth, answer, right[place])
    begun_with = recipe.start.name if recipe.start is not None else None
    answers = tuple(found[row] for row in range(len(everything)))
    return Folds(str(photos), begun_with, answers, tuple(seconds), tuple(tuned))


def _epochs_of_tuning(run: Run) -> int:
    """For how many epochs the network that `run` kept was tuned, after those of the head alone."""
    head = sum(phase.epochs for phase in run.recipe().phases if phase.freeze == ALL)
    return max(int(open_trained(run.path).provenance["epoch"]) - head, 0)


def together(splits: Sequence[Split]) -> Split:
    """All pictures of `splits` one after the other, each split once."""
    each = list({id(split): split for split in splits}.values())
    names, kinds = (
        tuple(word for split in each for word in getattr(split, words)) if all(
            len(getattr(split, words)) for split in each
        ) else () for words in ("names", "kinds")
    )  # fmt: skip
    return Split(torch.cat([split.x for split in each]), torch.cat([split.y for split in each]), names, kinds)


def _without(
    whole: Dataset, everything: Split, keep: torch.Tensor, out: torch.Tensor, watched: float, seed: int
) -> Dataset:
    """The data set whose test pictures are `out`; a share of the others is `watched`."""
    rows = keep.nonzero()[:, 0]
    learned, held = hold_out(everything.y[rows], watched, seed)
    return replace(
        whole,
        train=everything.subset(rows[learned]),
        val=everything.subset(rows[held]) if watched else None,
        test=everything.subset(out),
        fingerprint="",
        remarks=(),
    )
