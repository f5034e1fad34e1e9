"""A folder of pictures as a Dataset: scan, decode once, divide, and say what was assumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neocog.data.cache import Decoded, decoded
from neocog.data.dataset import Dataset, Split, class_counts
from neocog.data.folder import Listing, scan, shown
from neocog.data.splits import hold_out, sample
from neocog.errors import UnreadableError, UsageError
from neocog.image import Preprocess

if TYPE_CHECKING:
    from neocog.data.loading import Data

TEST_SHARE = 0.2
"""Of each class, where a folder brings neither val nor test."""
IMBALANCE = 5
"""How many times as many pictures the largest class may have before a remark is made."""


def read(
    root: Path, data: Data, *, preprocess: Preprocess, classes: tuple[str, ...] | None = None
) -> Dataset:
    """The pictures below `root`, uint8 (N, C, h, w), C 3 unless `preprocess` asks for 1; errors as of `scan`.

    Where the folder has val and no test, val is what is tested, and a share of train is held out instead.
    Where it has neither, a fifth of each class is the test set. Both are decided per file by a hash of the
    seed and its content: copies of a file stay on one side, and adding files moves none.
    """
    if preprocess.size is None:
        raise UsageError(
            "pictures of a folder need one size; give it, for example --size 128x128 "
            "(in Python preprocess.size=(128, 128))"
        )
    listing = scan(root, classes=classes)
    return assemble(listing, decoded(listing, preprocess), data, whole=classes is None)


def assemble(listing: Listing, pictures: Decoded, data: Data, *, whole: bool = True) -> Dataset:
    """Divide decoded pictures into splits. `whole`: every class must have training pictures."""
    y = torch.tensor([listing.items[row.item].label for row in pictures.rows], dtype=torch.int64)
    keys = [row.content for row in pictures.rows]
    rows = {name: _numbers(listing, pictures, name) for name in ("train", "val", "test")}
    if whole:
        _refuse_emptied(
            listing, pictures, torch.bincount(y[rows["train"]], minlength=len(listing.classes)).tolist()
        )
    rows, remarks = _divided(rows, y, keys, data)
    splits = {
        name: Split(
            pictures.take(numbers),
            y[numbers],
            tuple(listing.items[pictures.rows[i].item].path for i in numbers.tolist()),
        )
        for name, numbers in rows.items()
        if len(numbers)
    }
    if "train" not in splits:
        raise UnreadableError(
            f"{shown(listing.root)}: no training picture can be decoded; {_first_reason(pictures)}"
        )
    if data.val == "test" and "test" in splits:
        splits["val"] = splits["test"]
    remarks += [
        *_leaks(rows, pictures),
        *_two_labels(y, pictures),
        *_imbalance(splits["train"], listing.classes),
    ]
    return Dataset(
        name=shown(listing.root.resolve().name) or "folder",
        classes=listing.classes,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        skipped=(*listing.skipped, *pictures.skipped),
        remarks=(*listing.remarks, *remarks),
    )


def _numbers(listing: Listing, pictures: Decoded, split: str) -> Tensor:
    """Which decoded pictures lie in `split`, ascending."""
    numbers = [i for i, row in enumerate(pictures.rows) if listing.items[row.item].split == split]
    return torch.tensor(numbers, dtype=torch.int64)


def _divided(
    rows: dict[str, Tensor], y: Tensor, keys: Sequence[str], data: Data
) -> tuple[dict[str, Tensor], list[str]]:
    """The row numbers of the splits that training sees; own splits where there are any, else held out of
    train.
    """
    train, val, test = rows["train"], rows["val"], rows["test"]
    remarks = []

    def held(share: float, salt: str) -> tuple[Tensor, Tensor]:
        keep, out = hold_out(y[train], share, data.seed, [f"{salt} {keys[i]}" for i in train.tolist()])
        return train[keep], train[out]

    if not len(test) and len(val):
        test, val = val, val[:0]
        remarks.append("val is what is tested, since there is no test; it is never selected by")
    elif not len(test):
        total = len(train)
        train, test = held(TEST_SHARE, "test")
        remarks.append(
            f"{len(test)} of {total} pictures are the test set, about a fifth of each class, "
            f"chosen by a hash of the file"
        )
    if data.val != "held-out":
        if len(val):
            remarks.append(f"the folder's val is not used: what is watched is '{data.val}'")
        val = val[:0]
    elif not len(val) and data.held_out:
        total = len(train)
        train, val = held(data.held_out, "val")
        remarks.append(f"{len(val)} of {total} training pictures are held out as val")
    if data.limit is not None and data.limit < len(train):
        remarks.append(f"{data.limit} of {len(train)} training pictures are used")
        train = train[sample(y[train], data.limit, data.seed, [keys[i] for i in train.tolist()])]
    return {"train": train, "val": val, "test": test}, remarks


def _refuse_emptied(listing: Listing, pictures: Decoded, counts: list[int]) -> None:
    empty = [name for name, count in zip(listing.classes, counts) if not count]
    if empty:
        names = ", ".join(shown(name) for name in empty)
        raise UnreadableError(
            f"{shown(listing.root)}: no training picture of {names} can be decoded; {_first_reason(pictures)}"
        )


def _first_reason(pictures: Decoded) -> str:
    return next((f"{shown(s.path)} {shown(s.reason)}" for s in pictures.skipped), "add some")


def _leaks(rows: dict[str, Tensor], pictures: Decoded) -> list[str]:
    """Exactly the same pixels in two splits."""
    inside = {
        name: Counter(pictures.rows[i].pixels for i in numbers.tolist()) for name, numbers in rows.items()
    }
    remarks = []
    for kept, other in (("train", "val"), ("train", "test"), ("val", "test")):
        count = sum(n for pixels, n in inside[other].items() if pixels in inside[kept])
        if count:
            remarks.append(
                f"{count} pictures of {other} are also in {kept}, pixel for pixel; "
                f"results on {other} will flatter"
            )
    return remarks


def _two_labels(y: Tensor, pictures: Decoded) -> list[str]:
    labels: dict[str, set[int]] = {}
    for row, label in zip(pictures.rows, y.tolist()):
        labels.setdefault(row.pixels, set()).add(label)
    count = sum(len(found) > 1 for found in labels.values())
    return [f"{count} pictures occur under more than one class, pixel for pixel"] if count else []


def _imbalance(train: Split, classes: tuple[str, ...]) -> list[str]:
    counts = [(n, name) for n, name in zip(class_counts(train, len(classes)), classes) if n]
    (few, rare), (many, common) = min(counts), max(counts)
    if many <= IMBALANCE * few:
        return []
    return [
        f"classes are far from balanced: {many} training pictures of {shown(common)}, {few} of {shown(rare)}"
    ]
