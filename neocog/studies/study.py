"""study: labels that are likely wrong; what borrowed eyes bring; how accuracy grows; accuracy in folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from neocog.data.dataset import Dataset
from neocog.data.folders.picture_cache import Progress
from neocog.errors import UsageError
from neocog.events import Watcher
from neocog.model import Trained
from neocog.runs.run import Run
from neocog.studies.comparison import Comparison, compare
from neocog.studies.data_size import Growth, Plan, grow
from neocog.studies.folds import FOLDS, Folds
from neocog.studies.folds import folds as left_out
from neocog.transfer.labels import Suspects, labels
from neocog.transfer.lending import EYES

Which = Literal["labels", "transfer", "data-size", "folds"]


def study(
    which: Which,
    photos: str | Path,
    *,
    start: str | Path | Run | Trained | None = None,
    tune: str | None = None,
    models: Sequence[str] = (),
    sizes: Sequence[int] = (),
    seeds: int = 1,
    changes: Sequence[str] = (),
    runs: str | Path | None = None,
    folds: int | None = None,
    device: str = "auto",
    watchers: Sequence[Callable[[Run], Watcher]] = (),
    progress: Progress | None = None,
    dataset: Dataset | None = None,
) -> Suspects | Comparison | Growth | Folds:
    """'labels': the pictures of the folder `photos` (or the training pictures of `dataset`) whose label is
    likely wrong, by heads that have not seen them. The test split is neither used nor changed.

    'transfer': `photos` (a folder, or whatever `train` takes) learned from nothing, on frozen features, and
    with everything after the stage `tune` freed in the end (default: half of the features' parameters). Each
    is a training into a run of its own, all with the same `changes` of the recipe, "field=value".

    'data-size': `photos` (a folder, a data set or a recipe) learned by each of `models` from samples of
    `sizes` training pictures, under so many `seeds`, with `changes` of the recipe: curves,
    and what twice the pictures should bring. Trainings are kept in the folder `runs` and found again.

    'folds': every picture of `photos` (a folder, or whatever `train` takes), whatever its split, answered by
    one of `folds` trainings (default 5), the one that has not seen it: as `train` does with the same `start`,
    `tune` and `changes`.

    `start` lends the eyes: a network of the zoo with public weights, a run, a file (None:
    efficientnet_lite1, for data sizes and folds what `train` takes). `UsageError` for what does not go
    together, of labels and transfer for several labels a picture, of labels for a class of a single picture.
    """
    grown = Plan(
        models=models,
        sizes=sizes,
        seeds=seeds,
        changes=changes,
        start=start,
        runs=Path(runs) if runs else None,
    )
    if tune is not None and which not in ("transfer", "folds"):
        raise UsageError("--tune belongs to study transfer and folds; leave it out")
    if folds is not None and which != "folds":
        raise UsageError("--folds belongs to study folds; leave it out")
    if which == "data-size":
        return grow(photos, grown, device=device, watchers=watchers)
    if replace(grown, changes=()) != Plan(start=start):
        raise UsageError("--models, --sizes, --seeds and --runs belong to study data-size; leave them out")
    if which == "transfer":
        return compare(
            photos,
            start=start or EYES,
            tune=tune,
            device=device,
            watchers=watchers,
            dataset=dataset,
            changes=changes,
        )
    if which == "folds":
        return left_out(
            photos,
            count=FOLDS if folds is None else folds,
            start=start,
            tune=() if tune is None else tune.split(","),
            changes=changes,
            device=device,
            watchers=watchers,
            dataset=dataset,
        )
    if changes:
        raise UsageError("nothing is trained to judge labels; --set belongs to transfer, data-size and folds")
    return labels(photos, start=start or EYES, device=device, progress=progress, dataset=dataset)
