"""A user's own data that are arrays: an .npz, or MNIST's and CIFAR's files in a folder of any name."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import torch

from neocog.data.choice import Data, Divide
from neocog.data.dataset import Dataset, Split
from neocog.data.names import SplitName, shown
from neocog.data.sources import cifar, cifar_pickle, npz
from neocog.data.sources.built_in import Found
from neocog.data.sources.layouts import CIFAR, IDX
from neocog.data.sources.npz import Arrays
from neocog.data.splits import divided, numbered
from neocog.pictures.decode import PICTURE_SUFFIXES
from neocog.pictures.walk import Folders

IDX_CLASSES = 256


def find(where: Path, folders: Folders) -> Arrays | None:
    """The arrays at the file or folder `where`; None where it holds none, or pictures as well. `folders`
    keeps what was looked at.

    `UnreadableError`: arrays that are damaged.
    """
    if where.is_file():
        if where.suffix.lower() == ".npz":
            return npz.read(where)
        if where.name not in (cifar.ARCHIVE, cifar_pickle.ARCHIVE):
            return None
    elif not where.is_dir():
        return None
    elif (alone := _only_npz(where, folders)) is not None:
        return npz.read(alone)
    for layout in (CIFAR, IDX):
        found = layout.find(where)
        if found is not None:
            return _arrays(found, shown(where.resolve().name))
    return None


def _arrays(found: Found, name: str) -> Arrays:
    read = found.read(IDX_CLASSES)
    splits: dict[SplitName, Split] = {"train": read["train"], "test": read["test"]}
    count = int(max(split.y.max() for split in splits.values())) + 1
    return Arrays(name, found.words, found.classes or tuple(str(k) for k in range(count)), splits)


def as_dataset(arrays: Arrays, data: Data, *, divide: Divide = "as trained") -> Dataset:
    """Arrays divided as a folder is: by their own splits, else held out by a hash of the pixels."""
    own = {name: arrays.splits.get(name) for name in ("train", "val", "test")}
    first = next(split for split in own.values() if split is not None)
    splits = {name: split or Split(first.x[:0], first.y[:0]) for name, split in own.items()}
    rows, y = numbered({name: split.y for name, split in splits.items()})
    keys = [
        hashlib.sha256(x.contiguous().numpy().data).hexdigest() for split in splits.values() for x in split.x
    ]
    found, remarks = divided(rows, y, data, keys, divide)

    def taken(name: str) -> Split | None:
        numbers = found[name]
        source = next(of for of in rows if not len(numbers) or numbers[0] in rows[of])
        if torch.equal(numbers, rows[source]):
            return replace(splits[source], x=splits[source].x.detach())  # freeing that leaves these
        return splits[source].subset(numbers - rows[source][0]) if len(numbers) else None

    train, test = taken("train") or splits["train"].subset(rows["train"][:0]), taken("test")
    return Dataset(
        name=arrays.name,
        classes=arrays.classes,
        train=train,
        val=test if data.val == "test" else taken("val"),
        test=test,
        remarks=(f"{arrays.layout}", *arrays.remarks, *remarks),
    )


def _only_npz(folder: Path, folders: Folders) -> Path | None:
    """The .npz file of a folder that holds one and no pictures or folders."""
    try:
        entries = [entry for entry in folders.entries(folder) if not entry.name.startswith(".")]
    except OSError:
        return None
    suffixes = [Path(entry.name).suffix.lower() for entry in entries]
    if suffixes.count(".npz") != 1 or not PICTURE_SUFFIXES.isdisjoint(suffixes):
        return None
    if any(entry.is_dir() for entry in entries):
        return None
    return Path(entries[suffixes.index(".npz")].path)
