"""labels: which labels of a folder of pictures are likely wrong.

Every training picture is answered by a head that was fitted without it (cross-validation, on borrowed
features). Where such an answer is sure of another class than the given one, a person should look. Nothing is
changed, and pictures of the test split are neither shown nor used.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neocog.data import Data, load
from neocog.data.dataset import Dataset
from neocog.data.folders.picture_cache import Progress
from neocog.data.loading import given
from neocog.data.targets import CLASS_INDICES
from neocog.errors import UsageError, escaped
from neocog.model import Kept, Trained
from neocog.outputs import cell, write_bytes
from neocog.pictures.decode import Pixels
from neocog.recipes.borrowing import STRENGTH
from neocog.show import grids
from neocog.show.words import percent
from neocog.tasks import logistic
from neocog.tasks.classify import Classify
from neocog.transfer.features import ALL, cut, features
from neocog.transfer.lending import EYES
from neocog.transfer.start import borrowed
from neocog.world import find
from neocog.zoo.head import Standardise

SHOWN = 60
"""Pictures on a sheet at most."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture whose label is likely wrong: the class that is `given` and the one that is `likely`, each
    with the probability (0..1) that a head gave it which had not seen the picture.
    """

    file: str
    given: str
    likely: str
    given_probability: float
    likely_probability: float
    picture: Pixels | None = field(default=None, repr=False, compare=False)

    def json(self) -> dict[str, Any]:
        """All but the picture."""
        return {
            "file": self.file,
            "given": self.given,
            "likely": self.likely,
            "given_probability": self.given_probability,
            "likely_probability": self.likely_probability,
        }


@dataclass(frozen=True, slots=True)
class Suspects:
    """Suspects, the likeliest wrong first, of `n` pictures, seen by the eyes called `start`."""

    items: tuple[Suspect, ...]
    n: int
    start: str

    def text(self) -> str:
        """One line for each of the first ones."""
        lines = [f"{len(self.items)} of {self.n:,} training pictures look like another class ({self.start})"]
        lines += [
            escaped(
                f"{s.file}: given {s.given} {percent(s.given_probability, digits=1)}, "
                f"likely {s.likely} {percent(s.likely_probability, digits=1)}"
            )
            for s in self.items[:SHOWN]
        ]
        more = len(self.items) - SHOWN
        return "\n".join([*lines, *([f"... and {more} more: -o FILE.csv writes all"] if more > 0 else [])])

    def json(self) -> dict[str, Any]:
        """Eyes, number of pictures, and all suspects in their order."""
        return {"start": self.start, "n": self.n, "suspects": [s.json() for s in self.items]}

    def save(self, path: str | Path) -> None:
        """Write `.csv` (all), or `.png` (the first 60, each with its given and its likely class)."""
        path = Path(path)
        if path.suffix == ".csv":
            write_bytes(path, self._csv().encode())
        elif path.suffix == ".png":
            write_bytes(path, self._sheet())
        else:
            raise UsageError(f"'{path.name}': suspects are written as .csv or as .png")

    def _csv(self) -> str:
        lines = io.StringIO()
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(["file", "given", "likely", "given_probability", "likely_probability"])
        for s in self.items:
            names = map(cell, (s.file, s.given, s.likely))
            table.writerow([*names, f"{s.given_probability:.6f}", f"{s.likely_probability:.6f}"])
        return lines.getvalue()

    def _sheet(self) -> bytes:
        shown = [s for s in self.items[:SHOWN] if s.picture is not None]
        if not shown:
            raise UsageError("no picture looks like another class, so there is nothing to show")
        titles = [f"{s.given}? {s.likely} {percent(s.likely_probability, digits=0)}" for s in shown]
        return grids.grid(
            [s.picture for s in shown if s.picture is not None],
            titles=titles,
            caption=f"given class? likely class; the first {len(shown)} of {len(self.items)}",
        )


def labels(
    what: str | Path,
    *,
    start: str | Path | Kept | Trained = EYES,
    device: str = "auto",
    progress: Progress | None = None,
    dataset: Dataset | None = None,
) -> Suspects:
    """The training pictures of `what`, a folder (or of `dataset`), with labels likely wrong.

    `start` lends its eyes. A picture is a suspect where another class than the given one is likelier;
    suspects are ranked by how much likelier. `UsageError` for pictures with several labels, or fewer than
    two of a class.
    """
    eyes, world = borrowed(start), find(device, "auto")
    preprocess, network = eyes.trained.preprocess, eyes.trained.network.to(world.device)
    if dataset is None:
        whole = Data(name="folder", held_out=0.0, val="none")
        dataset = load(whole, where=Path(what), preprocess=preprocess, progress=progress)
    else:
        dataset = given(dataset, preprocess)
    train, classes = dataset.train, dataset.classes
    if not CLASS_INDICES.fits(train.y):
        raise UsageError("labels are judged where each picture has one class; these have several")
    if min(CLASS_INDICES.counts(train.y, len(classes))) < 2:
        raise UsageError("labels are judged by other pictures of a class; give at least two of each")
    seen = features(network, cut(network, ALL), train, preprocess.resolved(train.x), world=world)
    task, x = Classify(classes), seen.x[0].flatten(1)
    standard = Standardise(x.shape[1])
    standard.fit(x)
    x = standard(x)
    found = logistic.cross_validated(task, x, train.y)
    held = found.strength if found is not None else STRENGTH
    chances = task.probabilities(logistic.left_out(task, x, train.y, (held,))[0])
    stated = chances.gather(1, train.y[:, None])[:, 0]
    likely, guess = chances.max(1)
    order = (likely - stated).sort(descending=True, stable=True).indices
    wrong = [i for i in order.tolist() if int(guess[i]) != int(train.y[i])]
    items = [
        Suspect(
            file=train.names[i] if train.names else f"train[{i}]",
            given=classes[int(train.y[i])],
            likely=classes[int(guess[i])],
            given_probability=float(stated[i]),
            likely_probability=float(likely[i]),
            picture=_shown(train.x[i]) if place < SHOWN else None,
        )
        for place, i in enumerate(wrong)
    ]
    return Suspects(tuple(items), len(train), eyes.start.name)


def _shown(x: torch.Tensor) -> Pixels:
    return np.asarray(x.numpy().copy())
