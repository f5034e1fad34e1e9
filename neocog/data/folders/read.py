"""A folder of pictures as a Dataset: scan, decode once, divide, and say what was assumed."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from neocog.data.choice import Data, Divide
from neocog.data.dataset import Dataset, Split, class_counts
from neocog.data.folders.listing import Listing
from neocog.data.folders.picture_cache import Decoded, Progress, decoded, nothing
from neocog.data.folders.scan import scan
from neocog.data.names import shown, some
from neocog.data.sources.npz import Arrays
from neocog.data.sources.own_arrays import find as find_arrays
from neocog.data.splits import divided, numbered
from neocog.errors import UnreadableError, UsageError
from neocog.pictures.decode import Preprocess, decode

FEWER_COLOURS, ODD_SHARE = 20, 0.05
"""A picture is odd that has so many times fewer colours than is usual, where no more than this share has."""
IMBALANCE = 5
"""How many times as many pictures the largest class may have before a remark is made."""


def read(
    root: Path,
    data: Data,
    *,
    preprocess: Preprocess,
    classes: tuple[str, ...] | None = None,
    divide: Divide = "as trained",
    progress: Progress = nothing,
) -> Dataset:
    """The pictures below `root`, uint8 (N, C, h, w), C 3 unless `preprocess` asks for 1; errors as of `scan`.

    Where the folder has val and no test, val is what is tested, and a share of train is held out instead.
    Where it has neither, a fifth of each class is the test set. Both are decided per file by a hash of the
    seed and its content: copies of a file, and pictures nearly the same, stay on one side, and adding files
    moves none. Of a folder that has neither, `divide` 'as given' trains on everything, and 'all as test'
    tests everything.
    """
    if preprocess.size is None:
        raise UsageError(
            "pictures of a folder need one size; give it, for example --size 128x128 "
            "(in Python preprocess.size=(128, 128))"
        )
    listing = scan(root, classes=classes)
    pictures = decoded(listing, preprocess, progress=progress)
    return assemble(listing, pictures, data, divide=divide, whole=classes is None)


def assemble(
    listing: Listing,
    pictures: Decoded,
    data: Data,
    *,
    divide: Divide = "as trained",
    whole: bool = True,
) -> Dataset:
    """Divide decoded pictures into splits. `whole`: every class must have training pictures."""
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
    remarks += [
        *_copies(listing, pictures),
        *_leaks(rows, listing, pictures),
        *_two_labels(y, pictures),
        *_odd_ones(listing, pictures),
        *_imbalance(splits["train"], listing.classes),
    ]
    return Dataset(
        name=listing.name,
        classes=listing.classes,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        skipped=(*listing.skipped, *pictures.skipped),
        remarks=(*listing.remarks, *remarks),
    )


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to train on: pictures, classes, the median (height, width) of some pictures, whether
    they are grey, and how many times as many pictures the largest class has as the smallest.
    """

    pictures: int
    classes: int
    size: tuple[int, int] | None = None
    grey: bool = False
    imbalance: float = 1.0


SAMPLED = 24
"""Pictures that `extent` decodes to learn their size."""


def extent(where: Path) -> Extent:
    """The extent of a folder, table, archive or file of arrays, from its listing and a few of its
    pictures.
    """
    arrays = find_arrays(where)
    if arrays is not None:
        train = arrays.splits.get("train")
        if train is None:
            return Extent(0, len(arrays.classes))
        counts = class_counts(train, len(arrays.classes))
        return Extent(
            len(train), len(arrays.classes), train.shape[1:], train.shape[0] == 1, _imbalance_of(counts)
        )
    listing = scan(where)
    items = [item for item in listing.items if item.split == "train"]
    counts = [0] * len(listing.classes)
    for item in items:
        for label in item.labels:
            counts[label] += 1
    sizes, grey = [], True
    for item in items[:: max(len(items) // SAMPLED, 1)]:
        try:
            pixels = decode(listing.root / item.path)
        except UnreadableError:
            continue  # it is reported when everything is decoded
        sizes.append(pixels.shape[:2])
        grey = grey and bool((pixels == pixels[..., :1]).all())
    if not sizes:
        return Extent(len(items), len(listing.classes), imbalance=_imbalance_of(counts))
    height, width = (sorted(sides)[len(sizes) // 2] for sides in zip(*sizes, strict=True))
    return Extent(len(items), len(listing.classes), (height, width), grey, _imbalance_of(counts))


def _imbalance_of(counts: Sequence[int]) -> float:
    return max(counts, default=1) / max(min(counts, default=1), 1)


def of_arrays(arrays: Arrays, data: Data, *, divide: Divide = "as trained") -> Dataset:
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
            return splits[source]
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


def _copies(listing: Listing, pictures: Decoded) -> list[str]:
    """How many pictures are copies, exact and near."""
    near = [family for family in pictures.families if len({pictures.rows[i].pixels for i in family}) > 1]
    if not pictures.families:
        return []
    extra = sum(len(family) - 1 for family in pictures.families)
    said = f"{extra} pictures are copies of others"
    if near:
        said += f", in {len(near)} groups nearly (such as {_pair(near[0][:2], listing, pictures)})"
    return [f"{said}; copies are held out together"]


def _leaks(rows: dict[str, Tensor], listing: Listing, pictures: Decoded) -> list[str]:
    """The same pixels, or nearly, in two splits."""
    inside = {i: name for name, numbers in rows.items() for i in numbers.tolist()}
    exact: Counter[tuple[str, str]] = Counter()
    near: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for family in pictures.families:
        for i in family:
            for kept in {inside.get(j) for j in family} - {inside.get(i), None}:
                assert kept is not None  # taken out just before
                pair = (kept, inside.get(i, ""))
                others = [j for j in family if inside.get(j) == kept]
                if any(pictures.rows[j].pixels == pictures.rows[i].pixels for j in others):
                    exact[pair] += 1
                else:
                    near.setdefault(pair, []).append((others[0], i))
    remarks = []
    for kept, other in (("train", "val"), ("train", "test"), ("val", "test")):
        if count := exact[kept, other]:
            remarks.append(
                f"{count} pictures of {other} are also in {kept}, pixel for pixel; "
                f"results on {other} will flatter"
            )
        if pairs := near.get((kept, other)):
            remarks.append(
                f"{len(pairs)} pictures of {other} are nearly the same as one of {kept} "
                f"(such as {_pair(pairs[0], listing, pictures)}); results on {other} will flatter"
            )
    return remarks


def _two_labels(y: Tensor, pictures: Decoded) -> list[str]:
    exact = near = 0
    for family in pictures.families:
        labels: dict[str, set[str]] = {}
        for i in family:
            labels.setdefault(pictures.rows[i].pixels, set()).add(str(y[i].tolist()))
        exact += sum(len(found) > 1 for found in labels.values())
        near += len(labels) > 1 and len(set().union(*labels.values())) > 1
    remarks = [f"{exact} pictures occur under more than one class, pixel for pixel"] if exact else []
    return remarks + ([f"{near} groups of near copies lie in more than one class"] if near else [])


def _odd_ones(listing: Listing, pictures: Decoded) -> list[str]:
    """Pictures of very few colours among photos: a drawing, or a placeholder that a site sent instead."""
    usual = statistics.median(row.colours for row in pictures.rows)
    odd = [listing.items[row.item].path for row in pictures.rows if row.colours * FEWER_COLOURS < usual]
    if not odd or len(odd) > ODD_SHARE * len(pictures.rows):
        return []
    return [f"far fewer colours than the others have: {some(odd, 5)}; look whether they are placeholders"]


def _pair(pair: Sequence[int], listing: Listing, pictures: Decoded) -> str:
    return " and ".join(shown(listing.items[pictures.rows[i].item].path) for i in pair)


def _imbalance(train: Split, classes: tuple[str, ...]) -> list[str]:
    counts = [(n, name) for n, name in zip(class_counts(train, len(classes)), classes) if n]
    if not counts:
        return []
    (few, rare), (many, common) = min(counts), max(counts)
    if many <= IMBALANCE * few:
        return []
    return [
        f"classes are far from balanced: {many} training pictures of {shown(common)}, {few} of {shown(rare)}"
    ]
