"""Comparison: what borrowed eyes bring: the same pictures learned from nothing, on frozen features, and with
features freed in the end; where the test pictures lie among these features.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from neocog.data.dataset import Dataset, Split
from neocog.data.loading import given
from neocog.data.targets import CLASS_INDICES
from neocog.errors import UsageError, escaped
from neocog.events import Watcher
from neocog.model import Trained, dataset_of, open_trained
from neocog.outputs import cell, write_bytes
from neocog.recipes.borrowing import TUNE_EPOCHS
from neocog.runs.run import Run
from neocog.show import charts, grids
from neocog.show.words import duration, percent, table
from neocog.training.order import Order
from neocog.transfer.features import ALL, cut, features
from neocog.transfer.start import NOTHING, borrowed
from neocog.verbs.train import train
from neocog.world import find
from neocog.zoo.blocks import Network

ALIKE = ("data.val=test", "stop.select=last", "stop.patience=0", "coverage=null")
"""What all three trainings have in common: all training pictures are learned from, every epoch is measured on
the test pictures, and nothing is chosen by that.
"""
TUNED = (f"phases.1.epochs={TUNE_EPOCHS}",)
"""What tuning does is what is looked at, whether or not left-out pictures speak for it."""
MOST = 2000
"""Test pictures whose place among the features is looked at, at most, evenly spread."""


@dataclass(frozen=True, slots=True)
class Way:
    """One training: its `name`, the folder of its run, and the share of the `n` test pictures that are
    answered right: after each epoch (`course`), and in the end with its 95 % interval.
    """

    name: str
    run: str
    course: tuple[float, ...]
    accuracy: float
    interval: tuple[float, float]
    n: int
    seconds: float

    def json(self) -> dict[str, Any]:
        named = ("name", "run", "accuracy", "n", "seconds")
        lists = {"interval": list(self.interval), "course": list(self.course)}
        return {key: getattr(self, key) for key in named} | lists


@dataclass(frozen=True, slots=True)
class Embedding:
    """Where the test pictures lie among the features called `name`: `places` (n, 2), along the two directions
    in which they vary most, which hold the share `variance` of it; and `neighbours`, among all features the
    share of pictures whose nearest other test picture is of their class.
    """

    name: str
    places: npt.NDArray[np.float32] = field(repr=False, compare=False)
    variance: float
    neighbours: float

    def json(self) -> dict[str, Any]:
        """All but the places."""
        return {"name": self.name, "variance": self.variance, "neighbours": self.neighbours}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Three trainings on the same pictures with the eyes `start`, of which `tune` was freed, and where the
    test pictures lie: among the features learned from nothing, borrowed, and fine-tuned. `files` and `labels`
    are those of the embedded pictures.
    """

    start: str
    tune: str
    ways: tuple[Way, ...]
    embeddings: tuple[Embedding, ...]
    classes: tuple[str, ...]
    files: tuple[str, ...] = field(repr=False)
    labels: tuple[int, ...] = field(repr=False)

    def text(self) -> str:
        """A line for each training and for each set of features."""
        n = self.ways[0].n
        rows = [("", f"of {n:,} test pictures", "time", "run")]
        rows += [
            (w.name, percent(w.accuracy, w.interval), duration(w.seconds), escaped(w.run)) for w in self.ways
        ]
        rows.append(("features", "nearest of the same class", "variance shown", ""))
        rows += [(e.name, percent(e.neighbours), percent(e.variance), "") for e in self.embeddings]
        heading = f"eyes of {escaped(self.start)}; fine-tuned: everything after {self.tune}"
        return "\n".join([heading, *(line.rstrip() for line in table(rows))])

    def json(self) -> dict[str, Any]:
        """Everything but the places of pictures, which `save` writes as .csv."""
        return {
            "start": self.start,
            "tune": self.tune,
            "ways": [way.json() for way in self.ways],
            "embeddings": [one.json() for one in self.embeddings],
        }

    def save(self, path: str | Path) -> None:
        """Write `.png` (the three courses, and the pictures' places) or `.csv` (the places)."""
        path = Path(path)
        if path.suffix == ".csv":
            write_bytes(path, self._csv().encode())
        elif path.suffix == ".png":
            write_bytes(path, self._png())
        else:
            raise UsageError(f"'{path.name}': a comparison is written as .png or as .csv")

    def _png(self) -> bytes:
        courses = {w.name: [(n, a) for n, a in enumerate(w.course, start=1)] for w in self.ways}
        drawn = charts.curves(
            courses,
            title=f"Eyes of {self.start}",
            x_label="epoch",
            y_label="test accuracy",
            width=charts.CLOUD * len(self.embeddings),
        )
        titles = {
            f"{e.name}: {percent(e.neighbours, digits=0)} lie nearest to their class": e.places
            for e in self.embeddings
        }
        return grids.stacked([drawn, charts.clouds(titles, self.labels, self.classes)])

    def _csv(self) -> str:
        lines = io.StringIO()
        of = csv.writer(lines, lineterminator="\n")
        of.writerow(["file", "class", *(f"{e.name} {axis}" for e in self.embeddings for axis in "xy")])
        for row, (file, label) in enumerate(zip(self.files, self.labels, strict=True)):
            places = [f"{value:.6g}" for e in self.embeddings for value in e.places[row]]
            of.writerow([cell(file), cell(self.classes[label]), *places])
        return lines.getvalue()


def compare(
    photos: str | Path,
    *,
    start: str | Path | Run | Trained,
    tune: str | None = None,
    device: str = "auto",
    watchers: Sequence[Callable[[Run], Watcher]] = (),
    dataset: Dataset | None = None,
    changes: Sequence[str] = (),
) -> Comparison:
    """Train `photos` three times, each into a run of its own with the same `changes`, and look at the test
    pictures. `tune` is the stage after which everything is freed (default: the last one after which half of
    the features' parameters come).

    `UsageError` for pictures with several labels, and where no picture is a test picture.
    """
    eyes, world = borrowed(start), find(device, "auto")
    if tune is not None and "," in tune:
        raise UsageError(f"--tune {tune}: study transfer frees what comes after one stage; name one")
    stage = tune or half(eyes.trained.network)
    eyes.trained.network.until(stage)
    order = Order(what=photos, start=NOTHING, changes=[*ALIKE, *changes], device=device, dataset=dataset)
    _require_test(order.ready().job.dataset)  # before anything is trained
    kinds: list[tuple[str, Any, tuple[str, ...]]] = [
        ("from nothing", NOTHING, ()),
        ("frozen", start, ()),
        ("fine-tuned", start, (stage,)),
    ]
    runs = {
        name: train(
            photos, start=begun, tune=freed, changes=[*ALIKE, *(TUNED if freed else ()), *changes],
            device=device, watchers=watchers, dataset=dataset,
        )
        for name, begun, freed in kinds
    }  # fmt: skip
    ways = tuple(_way(name, run) for name, run in runs.items())
    looks = (("from nothing", None), ("borrowed", eyes.trained), ("fine-tuned", None))
    found, seen = [], None
    for name, lender in looks:
        trained = open_trained(runs["fine-tuned" if lender is not None else name])
        split = _some(_tested(trained, dataset))
        network = (lender or trained).network.to(world.device)
        x = features(network, cut(network, ALL), split, trained.preprocess, world=world).x[0].flatten(1)
        found.append(embedding(name, x, split.y))
        seen = split
    assert seen is not None  # there are three looks
    files = seen.names or tuple(f"test[{n}]" for n in range(len(seen)))
    return Comparison(
        eyes.start.name, stage, ways, tuple(found), trained.classes, files, tuple(seen.y.tolist())
    )


def half(network: Network) -> str:
    """The last stage after which at least half of the features' parameters come."""
    stages = dict(network.features.named_children())
    left = whole = sum(_size(module) for module in stages.values())
    chosen = next(iter(stages))
    for name, module in stages.items():
        left -= _size(module)
        if 2 * left < whole:
            break
        chosen = name
    return chosen


def embedding(name: str, x: Tensor, y: Tensor) -> Embedding:
    """Of features `x` (N, width), N at least 2, with classes `y` (N,)."""
    centred = (x - x.mean(0)).double()
    left, spread, _ = torch.linalg.svd(centred, full_matrices=False)
    places = left[:, :2] * spread[:2]
    places = nn.functional.pad(places, (0, 2 - places.shape[1]))
    places = places * torch.where(places.sum(0) < 0, -1.0, 1.0)  # whichever way round a library turns them
    power = spread.square()
    apart = torch.cdist(centred, centred).fill_diagonal_(float("inf"))
    same = (y[apart.argmin(1)] == y).double().mean()
    shown = float(power[:2].sum() / power.sum()) if float(power.sum()) else 1.0
    return Embedding(name, np.asarray(places.float()), shown, float(same))


def _way(name: str, run: Run) -> Way:
    facts, result = run.facts(), run.facts()["result"]
    course = tuple(float(epoch["val_accuracy"]) for epoch in run.metrics())
    low, high = result["test_interval"]
    return Way(
        name, str(run.path), course, result["test_accuracy"], (low, high), result["test_n"], facts["seconds"]
    )


def _tested(trained: Trained, dataset: Dataset | None) -> Split:
    whole = dataset_of(trained) if dataset is None else given(dataset, trained.preprocess)
    return _require_test(whole)


def _require_test(whole: Dataset) -> Split:
    if whole.test is None:
        raise UsageError(
            "no picture is a test picture, so there is nothing to compare; give some a test split"
        )
    if not CLASS_INDICES.fits(whole.test.y):
        raise UsageError(
            "trainings are compared where each picture has one class; these have several labels, "
            "which train and study folds take"
        )
    return whole.test


def _some(split: Split) -> Split:
    return split.subset(torch.arange(0, len(split), -(-len(split) // MOST)))


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
