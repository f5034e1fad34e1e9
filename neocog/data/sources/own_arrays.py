"""A user's own data that are arrays: an .npz, or MNIST's and CIFAR's files in a folder of any name."""

from __future__ import annotations

import os
from pathlib import Path

from neocog.data.names import shown
from neocog.data.sources import cifar, cifar_pickle, idx, npz
from neocog.data.sources.finding import recognised
from neocog.data.sources.npz import Arrays
from neocog.pictures.decode import PICTURE_SUFFIXES

IDX_CLASSES = 256


def find(where: Path) -> Arrays | None:
    """The arrays at the file or folder `where`; None where it holds none, or pictures as well.

    `UnreadableError`: arrays that are damaged.
    """
    if where.is_file():
        if where.suffix.lower() == ".npz":
            return npz.read(where)
        if where.name not in (cifar.ARCHIVE, cifar_pickle.ARCHIVE):
            return None
    elif not where.is_dir():
        return None
    elif (alone := _only_npz(where)) is not None:
        return npz.read(alone)
    found = recognised(where)
    if found is None:
        return None
    name = shown(where.resolve().name)
    if found.kind == "cifar-python":
        dataset = cifar_pickle.read(found.paths[0])
        assert dataset.test is not None  # CIFAR-10 has one
        splits = {"train": dataset.train, "test": dataset.test}
        return Arrays(name, "CIFAR-10's batches for Python", cifar_pickle.CLASSES, splits)  # type: ignore[arg-type]
    if found.kind == "cifar":
        splits = cifar.read(found.paths[0])
        return Arrays(name, "CIFAR-10's binary batches", cifar_pickle.CLASSES, splits)  # type: ignore[arg-type]
    images, labels, test_images, test_labels = found.paths
    train = idx.read_split(images, labels, classes=IDX_CLASSES)
    test = idx.read_split(test_images, test_labels, classes=IDX_CLASSES)
    count = int(max(train.y.max(), test.y.max())) + 1
    classes = tuple(str(k) for k in range(count))
    return Arrays(name, "four IDX files, as MNIST has them", classes, {"train": train, "test": test})


def _only_npz(folder: Path) -> Path | None:
    """The .npz file of a folder that holds one and no pictures or folders."""
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return None
    suffixes = [Path(entry.name).suffix.lower() for entry in entries]
    if suffixes.count(".npz") != 1 or not PICTURE_SUFFIXES.isdisjoint(suffixes):
        return None
    if any(entry.is_dir() for entry in entries):
        return None
    return Path(entries[suffixes.index(".npz")].path)
