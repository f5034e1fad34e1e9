"""study: what borrowed eyes tell of a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from neocog.data.dataset import Dataset
from neocog.data.folders.picture_cache import Progress
from neocog.model import Trained
from neocog.runs.run import Run
from neocog.transfer.labels import Suspects, labels

Which = Literal["labels"]


def study(
    which: Which,
    photos: str | Path,
    *,
    start: str | Path | Run | Trained = "efficientnet_lite1",
    device: str = "auto",
    progress: Progress | None = None,
    dataset: Dataset | None = None,
) -> Suspects:
    """'labels': the pictures of the folder `photos` (or the training pictures of `dataset`) whose label is
    likely wrong, by heads that have not seen them.

    `start` lends the eyes: a network of the zoo with public weights, a run, a file. The test split is neither
    used nor changed. `UsageError` for pictures with several labels, or with a class of a single picture.
    """
    assert which == "labels"  # the only one there is
    return labels(photos, start=start, device=device, progress=progress, dataset=dataset)
