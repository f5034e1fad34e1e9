"""Listing: the pictures of a folder with their classes and splits, however the folder says them.

Class folders and tables are two ways to say the same: which file, which split, which class or classes. From
there on there is one path. Class names are fixed once, in natural order, over all splits. Every entry of the
folder is an item or is skipped with a reason: found = items + skipped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from neocog.data.names import ORDER, SplitName, natural, shown, some
from neocog.errors import UnreadableError, UsageError
from neocog.pictures.walk import Skipped


class Item(NamedTuple):
    """A picture file: its path below the root, with '/'; class indices, ascending (one, unless the listing is
    of several labels); split; and size and times, as one word.
    """

    path: str
    labels: tuple[int, ...]
    split: SplitName
    stamp: str

    @property
    def label(self) -> int:
        return self.labels[0]


@dataclass(frozen=True, slots=True)
class Listing:
    """What `scan` found. Items are in the order train, val, test, then by class, then by name.

    `layout` says in words what was understood; `given` names the splits that the folder itself makes (none
    where nothing says them; all items then say train). `found` counts the entries met: files, links, and
    folders that were not entered. `several`: pictures carry label sets, of any number of classes.
    """

    root: Path
    name: str
    layout: str
    classes: tuple[str, ...]
    given: tuple[SplitName, ...]
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    remarks: tuple[str, ...]
    found: int
    several: bool = False


class Placed(NamedTuple):
    """A picture file in its split, with the names of its classes."""

    path: str
    stamp: str
    split: SplitName
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Understood:
    """One reading of a folder: where every picture belongs, in the words of the folder. `loose` are pictures
    that belong nowhere, `given` the splits that the folder makes.
    """

    layout: str
    placed: list[Placed]
    loose: list[Skipped]
    given: tuple[SplitName, ...]
    remarks: list[str]
    several: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in natural order."""
        return tuple(sorted({name for file in self.placed for name in file.classes}, key=natural))


def items(placed: list[Placed], number: dict[str, int]) -> tuple[Item, ...]:
    """By split, class and name; sorted class by class, since keys of natural order take much memory."""
    groups: dict[tuple[int, tuple[int, ...]], list[Item]] = {}
    labels: dict[tuple[str, ...], tuple[int, ...]] = {}
    for path, stamp, split, classes in placed:
        if classes not in labels:
            labels[classes] = tuple(sorted({number[name] for name in classes}))
        of = labels[classes]
        groups.setdefault((ORDER[split], of), []).append(Item(path, of, split, stamp))
    return tuple(
        item for _, group in sorted(groups.items()) for item in sorted(group, key=lambda i: natural(i.path))
    )


def places(found: Sequence[str], classes: tuple[str, ...], name: str) -> list[int]:
    """Where each class name of the data stands among a trained model's, in whichever Unicode form;
    `UsageError` where one does not.
    """
    known = {unicodedata.normalize("NFC", c): place for place, c in enumerate(classes)}
    known.update({c: place for place, c in enumerate(classes)})
    where = [known.get(c, known.get(unicodedata.normalize("NFC", c))) for c in found]
    strange = [c for c, place in zip(found, where) if place is None]
    if strange:
        raise UsageError(
            f"{name} has classes that the model does not know: {some(strange)}; "
            f"the model's are: {some(classes)}; remove those pictures, or train a model with them"
        )
    return [place for place in where if place is not None]


def without_pictures(names: Sequence[str]) -> list[str]:
    """The remark on classes of the model that the data have no pictures of."""
    return [f"no pictures of: {some(names)}"] if names else []


def refuse_twins(names: Sequence[str], root: Path, *, what: str) -> None:
    """Names that people, or other file systems, take for one are an accident; merging them would hide it."""
    seen: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()
        other = seen.setdefault(plain, name)
        if other != name:
            raise UnreadableError(
                f"{shown(root)} has {what} whose names differ only by case, spaces or Unicode form: "
                f"{other!a} and {name!a}; rename or merge them"
            )


def compare_splits(placed: list[Placed], root: Path) -> list[str]:
    """Refuse classes that train lacks; remark on classes that val or test lack."""
    held: dict[str, set[str]] = {}
    for file in placed:
        held.setdefault(file.split, set()).update(file.classes)
    remarks = []
    train = held.get("train", set())
    for split in sorted(set(held) - {"train"}, key=ORDER.__getitem__):
        strange = sorted(held[split] - train, key=natural)
        if strange:
            raise UnreadableError(
                f"{shown(root)}: {split} has classes that train does not have: {some(strange)}; "
                f"train has: {some(sorted(train, key=natural))}; "
                f"add training pictures of them or remove them"
            )
        lacking = sorted(train - held[split], key=natural)
        if lacking:
            remarks.append(f"{split} has no pictures of: {some(lacking)}")
    return remarks
