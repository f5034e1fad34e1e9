"""Decoded pictures of a folder as a Dataset: divided, and said what was assumed."""

from __future__ import annotations

import torch
from torch import Tensor

from neocog.data.choice import Data, Divide
from neocog.data.dataset import Dataset, Split, class_counts
from neocog.data.folders import remarks as remarks_on
from neocog.data.folders.listing import Listing
from neocog.data.folders.picture_cache import Decoded
from neocog.data.names import shown
from neocog.data.splits import divided
from neocog.errors import UnreadableError
from neocog.pictures.walk import left_out


def assemble(
    listing: Listing,
    pictures: Decoded,
    data: Data,
    *,
    divide: Divide = "as trained",
    whole: bool = True,
) -> Dataset:
    """Divide decoded pictures into splits. `whole`: every class must have training pictures.

    Where the folder has val and no test, val is what is tested, and a share of train is held out instead.
    Where it has neither, a fifth of each class is the test set. Both are decided per file by a hash of the
    seed and its content: copies of a file, and pictures nearly the same, stay on one side, and adding files
    moves none. Of a folder that has neither, `divide` 'as given' trains on everything, and 'all as test'
    tests everything.

    `UnreadableError`: no picture, or none of a class that `whole` asks for, could be decoded.
    """
    y = _labels(listing, pictures)
    rows = {name: _numbers(listing, pictures, name) for name in ("train", "val", "test")}
    if whole:
        _refuse_emptied(listing, pictures, class_counts(Split(y, y[rows["train"]]), len(listing.classes)))
    if not pictures.rows:
        raise UnreadableError(f"{shown(listing.root)}: no picture can be decoded; {_first_reason(pictures)}")
    rows, remarks = divided(rows, y, data, _keys(pictures), divide)
    splits = {
        name: Split(
            pictures.take(numbers),
            y[numbers],
            tuple(listing.items[pictures.rows[i].item].path for i in numbers.tolist()),
        )
        for name, numbers in rows.items()
        if len(numbers) or name == "train"
    }
    if data.val == "test" and "test" in splits:
        splits["val"] = splits["test"]
    remarks += remarks_on.of_pictures(listing, pictures, y, rows)
    skipped = (*listing.skipped, *pictures.skipped)
    return Dataset(
        name=listing.name,
        classes=listing.classes,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        skipped=skipped,
        remarks=(*left_out(skipped, listing.found), *listing.remarks, *pictures.remarks, *remarks),
    )


def _labels(listing: Listing, pictures: Decoded) -> Tensor:
    """int64 (N,), or float32 label sets (N, classes)."""
    labels = [listing.items[row.item].labels for row in pictures.rows]
    if not listing.several:
        return torch.tensor([label for (label,) in labels], dtype=torch.int64)
    y = torch.zeros(len(labels), len(listing.classes))
    for row, of in zip(y, labels):
        row[list(of)] = 1
    return y


def _keys(pictures: Decoded) -> list[str]:
    """What decides a picture's side: its file's hash; for copies of each other, the lowest among them."""
    keys = [row.content for row in pictures.rows]
    for family in pictures.families:
        shared = min(keys[i] for i in family)
        for i in family:
            keys[i] = shared
    return keys


def _numbers(listing: Listing, pictures: Decoded, split: str) -> Tensor:
    """Which decoded pictures lie in `split`, ascending."""
    numbers = [i for i, row in enumerate(pictures.rows) if listing.items[row.item].split == split]
    return torch.tensor(numbers, dtype=torch.int64)


def _refuse_emptied(listing: Listing, pictures: Decoded, counts: list[int]) -> None:
    empty = [name for name, count in zip(listing.classes, counts) if not count]
    if empty:
        names = ", ".join(shown(name) for name in empty)
        raise UnreadableError(
            f"{shown(listing.root)}: no training picture of {names} can be decoded; {_first_reason(pictures)}"
        )


def _first_reason(pictures: Decoded) -> str:
    return next((f"{shown(s.path)} {shown(s.reason)}" for s in pictures.skipped), "add some")
