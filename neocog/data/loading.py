"""load: from the recipe's `Data` to a Dataset.

Files are looked for at the path given, in NEOCOG_DATA, in the cache, among Keras' downloads; then they are
downloaded. What is held in memory is the pictures once: they are read, split and compacted in place.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from neocog.data import photos
from neocog.data.choice import GIVEN, Data, Divide
from neocog.data.dataset import Dataset, Split
from neocog.data.fitted import fitted
from neocog.data.folders.picture_cache import Progress, nothing
from neocog.data.own import OwnData, open_own
from neocog.data.sources.built_in import BuiltIn, Layout
from neocog.data.sources.finding import find
from neocog.data.sources.table import DATASETS
from neocog.data.splits import divided, numbered, parted
from neocog.errors import UnreadableError, UsageError, escaped
from neocog.pictures.decode import Preprocess


def load(
    data: Data,
    *,
    where: Path | None = None,
    opened: OwnData | None = None,
    preprocess: Preprocess | None = None,
    classes: tuple[str, ...] | None = None,
    divide: Divide = "as trained",
    progress: Progress | None = None,
) -> Dataset:
    """Read `data`, divide it, and place every picture as `preprocess` says where that differs from how it is
    stored.

    `where` is the folder of pictures (or a zip or tar of one, a table of labels, an .npz), or a folder with a
    built-in set's files; `opened` takes the place of the user's own that were opened before. `classes` are
    those of a trained model: labels are then numbered by name in that order (what was opened has its own).
    For a folder `preprocess.size` is needed. Of a folder that says no val or test, `divide` 'all as test'
    tests every picture and trains on none, 'as given' holds none out. `progress` hears how many pictures of
    how many were decoded.

    `UsageError`: no folder or size given, a class that the model does not know. `UnreadableError`: files
    missing or damaged.
    """
    if data.name == GIVEN:
        raise UsageError(
            "these pictures were given in Python and are in no file; give them again as dataset="
        )
    if data.name == photos.NAME:
        if where is None:
            raise UsageError("photos that are to be restored lie somewhere; say where: --data FOLDER")
        dataset = photos.read(Path(where), data, preprocess or Preprocess())
    elif data.name == "folder":
        if opened is None:
            if where is None:
                raise UsageError(
                    "data 'folder' needs the path of the folder; give it as where=, "
                    "or name a folder in place of a data set"
                )
            opened = open_own(Path(where), classes=classes)
        dataset = opened.dataset(data, preprocess=preprocess, divide=divide, progress=progress or nothing)
    else:
        dataset = fitted(_built_in(data, where), preprocess, classes)
    return replace(dataset, fingerprint=fingerprint(dataset))


def given(dataset: Dataset, preprocess: Preprocess) -> Dataset:
    """`dataset`, made in Python, with the fingerprint of its pictures, and these placed as `preprocess` says.
    Pictures that have its size and channels are taken to be placed already.
    """
    known = replace(dataset, fingerprint=dataset.fingerprint or fingerprint(dataset))
    channels, *size = dataset.shape
    wanted = (preprocess.channels or channels, *(preprocess.size or size))
    return known if wanted == dataset.shape else fitted(known, preprocess, None)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 over class names, then pictures and labels of every split in order; read chunk by chunk, never
    copied.
    """
    digest = hashlib.sha256("\0".join(dataset.classes).encode("utf-8", "surrogateescape"))
    for name, split in dataset.splits.items():
        digest.update(f"{name} {tuple(split.x.shape)} {split.x.dtype} {split.y.dtype}".encode())
        for values in (split.x, split.y):
            for start in range(0, len(values), 4096):
                digest.update(values[start : start + 4096].contiguous().numpy().data)
    return digest.hexdigest()


def _built_in(data: Data, where: Path | None) -> Dataset:
    row = DATASETS[data.name]
    if row.layout is not None:
        splits = _read(data.name, row, row.layout, where)
        dataset = Dataset(name=data.name, classes=row.classes, train=splits["train"], test=splits["test"])
        dataset = dataset.with_remarks(*_odd_counts(row, splits))
        del splits
    else:
        if where is not None:
            raise UsageError(f"{data.name} needs no files; leave out {escaped(str(where))}")
        assert row.make is not None  # a row has one of the two
        dataset = row.make(data)
    return _divided(dataset, data)


def _read(name: str, row: BuiltIn, layout: Layout, where: Path | None) -> dict[str, Split]:
    """The set's own splits, from wherever its files are."""
    found = find(name, row, layout, where)
    splits = found.read(len(row.classes))
    for split in splits.values():
        if split.shape != row.shape:
            _, h, w = split.shape
            raise UnreadableError(
                f"{escaped(str(found.paths[0].parent))} holds pictures of {h}x{w}; "
                f"{name} has {row.shape[1]}x{row.shape[2]}; fetch it anew, or keep another data set elsewhere"
            )
    return splits


def _odd_counts(row: BuiltIn, splits: dict[str, Split]) -> list[str]:
    return [
        f"{name} has {len(splits[name])} pictures where the published set has {count}"
        for name, count in row.counts.items()
        if len(splits[name]) != count
    ]


def _divided(dataset: Dataset, data: Data) -> Dataset:
    """A built-in set, divided by its rows' places; the training pictures that are not used are given up."""
    rows, y = numbered({name: split.y for name, split in dataset.splits.items()})
    found, remarks = divided(rows, y, data)
    watched = {"test": dataset.test, "none": None, "held-out": dataset.val}[data.val]
    if data.val == "held-out" and watched is None and len(found["val"]):
        train, watched = _shared(dataset.train, found["train"], found["val"])
    else:
        (train,) = _shared(dataset.train, found["train"])
    return replace(dataset, train=train, val=watched).with_remarks(*remarks)


def _shared(split: Split, *parts: Tensor) -> list[Split]:
    """The rows of each of `parts` of a split that is not needed any more: the split itself where they are all
    of it, in its own memory where they are most of it, else copied.
    """
    if len(parts[0]) == len(split):
        return [split]
    if 2 * sum(map(len, parts)) < len(split):
        return [split.subset(rows) for rows in parts]
    pictures = parted(split.x, *parts)
    return [Split(x, split.y[rows], *split.words(rows)) for x, rows in zip(pictures, parts, strict=True)]
