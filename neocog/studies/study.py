"""study: labels that are likely wrong, as borrowed eyes see them; how accuracy grows with pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from neocog.data.dataset import Dataset
from neocog.data.folders.picture_cache import Progress
from neocog.errors import UsageError
from neocog.events import Watcher
from neocog.model import Trained
from neocog.runs.run import Run
from neocog.studies.data_size import Growth, Plan, grow
from neocog.transfer.labels import Suspects, labels

Which = Literal["labels", "data-size"]


def study(
    which: Which,
    photos: str | Path,
    *,
    start: str | Path | Run | Trained | None = None,
    models: Sequence[str] = (),
    sizes: Sequence[int] = (),
    seeds: int = 1,
    changes: Sequence[str] = (),
    runs: str | Path | None = None,
    device: str = "auto",
    watchers: Sequence[Callable[[Run], Watcher]] = (),
    progress: Progress | None = None,
    dataset: Dataset | None = None,
) -> Suspects | Growth:
    """'labels': the pictures of the folder `photos` (or the training pictures of `dataset`) whose label is
    likely wrong, by heads that have not seen them. The test split is neither used nor changed.

    'data-size': `photos` (a folder, a data set or a recipe) learned by each of `models` from samples of
    `sizes` training pictures, under so many `seeds`, with `changes` of the recipe ("field=value"): curves,
    and what twice the pictures should bring. Trainings are kept in the folder `runs` and found again.

    `start` lends the eyes: a network of the zoo with public weights, a run, a file (None: for labels
    efficientnet_lite1, for data sizes what `train` takes). `UsageError` for what does not go together, for
    pictures with several labels and, for labels, with a class of a single picture.
    """
    grown = Plan(
        models=models,
        sizes=sizes,
        seeds=seeds,
        changes=changes,
        start=start,
        runs=Path(runs) if runs else None,
    )
    if which == "data-size":
        return grow(photos, grown, device=device, watchers=watchers)
    if grown != Plan(start=start):
        raise UsageError(
            "--models, --sizes, --seeds, --set and --runs belong to study data-size; leave them out"
        )
    return labels(
        photos, start=start or "efficientnet_lite1", device=device, progress=progress, dataset=dataset
    )
