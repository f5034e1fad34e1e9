"""A data set fitted to what is asked of it: classes numbered as a trained model does, pictures placed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from neocog.data import targets
from neocog.data.dataset import Dataset, Split, class_counts
from neocog.data.folders import listing
from neocog.pictures.decode import Pixels, Preprocess


def fitted(dataset: Dataset, preprocess: Preprocess | None, classes: tuple[str, ...] | None) -> Dataset:
    """`dataset` with labels numbered by name in the order of `classes`, and every picture through
    `preprocess.place` where that asks for another size or number of channels than there is.

    `UsageError`: a class that is not among `classes`.
    """
    if classes is not None:
        dataset = _renumbered(dataset, classes)
    return dataset if preprocess is None else _placed(dataset, preprocess)


def _renumbered(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The same pictures with labels numbered by name in the order of `classes`."""
    place = torch.tensor(listing.places(dataset.classes, classes, dataset.name))

    def moved(split: Split) -> Split:
        return replace(split, y=targets.form_of(split.y).renumbered(split.y, place, len(classes)))

    changed = _changed(dataset, moved)
    result = replace(dataset, classes=classes, **changed)  # type: ignore[arg-type]
    counts = [sum(of_class) for of_class in zip(*(class_counts(s, len(classes)) for s in changed.values()))]
    return result.with_remarks(*listing.without_pictures([c for c, n in zip(classes, counts) if not n]))


def _placed(dataset: Dataset, preprocess: Preprocess) -> Dataset:
    """Every picture through `preprocess.place`, where it asks for another size or number of channels than
    there is.
    """
    c, h, w = dataset.shape
    zooms = preprocess.fit == "crop" and preprocess.crop_share < 1
    if preprocess.size in (None, (h, w)) and preprocess.channels in (None, c) and not zooms:
        return dataset
    changed = _changed(dataset, lambda split: _placed_split(split, preprocess))
    return replace(dataset, **changed)  # type: ignore[arg-type]


def _changed(dataset: Dataset, change: Callable[[Split], Split]) -> dict[str, Split]:
    """Every split, changed; where val is the test set, it stays the test set."""
    shared = dataset.val is dataset.test
    changed = {name: change(s) for name, s in dataset.splits.items() if not (shared and name == "val")}
    return changed | ({"val": changed["test"]} if shared and dataset.test is not None else {})


def _placed_split(split: Split, preprocess: Preprocess) -> Split:
    first = torch.from_numpy(preprocess.place(_pixels(split.x[0])))
    x = torch.empty(len(split), *first.shape, dtype=torch.uint8)
    for row, picture in enumerate(split.x):
        x[row] = torch.from_numpy(preprocess.place(_pixels(picture)))
    return replace(split, x=x)


def _pixels(picture: Tensor) -> Pixels:
    """(C, H, W) as `place` takes it: (H, W) for one channel, else (H, W, 3)."""
    return picture[0].numpy() if len(picture) == 1 else picture.permute(1, 2, 0).numpy()
