"""What a folder of pictures holds: its layout, classes and files, from names and sizes alone; nothing is
opened.

Two layouts: class folders (`pets/cat/1.jpg`), and class folders inside of train, val and test folders. Class
names are fixed once, in natural order, over all splits. Every entry is an item or is skipped with a reason:
found = items + skipped.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from neocog.data.dataset import Skipped, natural
from neocog.data.walk import Walked, walk
from neocog.errors import UnreadableError, UsageError, escaped

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
}
_ORDER = {"train": 0, "val": 1, "test": 2}


class Item(NamedTuple):
    """A picture file: its path below the root, with '/'; class index; split; and size and times, as one
    word.
    """

    path: str
    label: int
    split: SplitName
    stamp: str


@dataclass(frozen=True, slots=True)
class Listing:
    """What `scan` found. Items are in the order train, val, test, then by class, then by name.

    `layout` says in words what was understood; `given` names the splits that the folder itself makes (none
    for plain class folders, whose items all say train). `found` counts the entries met: files, links, and
    folders that were not entered.
    """

    root: Path
    layout: str
    classes: tuple[str, ...]
    given: tuple[SplitName, ...]
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    remarks: tuple[str, ...]
    found: int


class _Placed(NamedTuple):
    """A file with the names of its split folder and class folder."""

    path: str
    stamp: str
    split: SplitName
    folder: str


def scan(root: Path, *, classes: tuple[str, ...] | None = None) -> Listing:
    """Understand the folder `root` without opening a file in it; with `classes`, number them as that trained
    model does.

    Links are followed inside the root only, and every file counts once however many names it has.
    `UnreadableError`: no folder, no or one class, names that differ in case or Unicode form only, or a val or
    test class that train lacks. `UsageError`: a class that is not among `classes`.
    """
    found = walk(root)
    splits = _split_folders(found, root)
    placed, loose = _placed(found, splits)
    folders = _class_names({file.folder for file in placed}, root)
    names = tuple(sorted(folders.values(), key=natural))
    _refuse_emptied(found, splits, folders, root)
    _refuse_too_few(names, found, root, fewest=1 if classes else 2)
    _refuse_twins(names, root)
    remarks = _remarks(found, splits, folders)
    if classes is None:
        remarks += _compare_splits(placed, folders, root)
    else:
        places(names, classes, shown(root))
        remarks += without_pictures([name for name in classes if name not in names])
    number = {name: k for k, name in enumerate(classes or names)}
    items = _in_order(placed, folders, number)
    given = tuple(sorted(set(splits.values()), key=_ORDER.__getitem__))
    skipped = tuple(sorted((*found.skipped, *loose), key=lambda s: natural(s.path)))
    return Listing(
        root, _in_words(splits), classes or names, given, tuple(items), skipped, tuple(remarks), found.found
    )


def places(found: Sequence[str], classes: tuple[str, ...], name: str) -> list[int]:
    """Where each class name of the data stands among a trained model's; `UsageError` where one does not."""
    strange = [c for c in found if c not in classes]
    if strange:
        raise UsageError(
            f"{name} has classes that the model does not know: {_some(strange)}; "
            f"the model's are: {_some(classes)}; remove those pictures, or train a model with them"
        )
    return [classes.index(c) for c in found]


def without_pictures(names: Sequence[str]) -> list[str]:
    """The remark on classes of the model that the data have no pictures of."""
    return [f"no pictures of: {_some(names)}"] if names else []


def shown(path: str | Path) -> str:
    """A path or name for one line of text: nothing in it can end the line or drive a terminal."""
    return escaped(str(path)).replace("\n", "\\n")


def _split_folders(found: Walked, root: Path) -> dict[str, SplitName]:
    """The top folders that are splits, by name; none where the top folders are classes."""
    tops = {path.split("/")[0] for path in found.files if "/" in path}
    nested = {path.split("/")[0] for path in found.files if path.count("/") >= 2}
    named = {top: SPLIT_NAMES[top.casefold()] for top in tops if top.casefold() in SPLIT_NAMES}
    splits = {top: split for top, split in named.items() if top in nested}
    others = tops - set(named)
    if named and not others and "train" not in {named[top] for top in splits}:
        here = ", ".join(f"{shown(top)}/" for top in sorted(named))
        lacking = "no class folders in a training folder" if splits else "no class folders in them"
        raise UnreadableError(
            f"{shown(root)} holds {here} but {lacking}; expected:{_example(root, splits=True)}"
        )
    if "train" not in splits.values() or (others and len(splits) < 2):
        return {}
    twins = [split for split, count in Counter(splits.values()).items() if count > 1]
    if twins:
        both = " and ".join(sorted(shown(top) for top, split in splits.items() if split == twins[0]))
        raise UnreadableError(f"{shown(root)} holds {both}, which both mean {twins[0]}; keep one of them")
    return splits


def _placed(found: Walked, splits: dict[str, SplitName]) -> tuple[list[_Placed], list[Skipped]]:
    """Every picture file in its split and class folder, or skipped because it lies in neither."""
    placed, loose = [], []
    for path, stamp in found.files.items():
        parts = path.split("/")
        if splits and parts[0] not in splits:
            loose.append(Skipped(path, "lies outside of the class folders of " + ", ".join(sorted(splits))))
        elif len(parts) < (3 if splits else 2):
            loose.append(Skipped(path, "lies in no class folder"))
        elif splits:
            placed.append(_Placed(path, stamp, splits[parts[0]], parts[1]))
        else:
            placed.append(_Placed(path, stamp, "train", parts[0]))
    return placed, loose


def _in_order(placed: list[_Placed], folders: dict[str, str], number: dict[str, int]) -> list[Item]:
    """By split, class and name; sorted class by class, since keys of natural order take much memory."""
    groups: dict[tuple[int, int], list[Item]] = {}
    for path, stamp, split, folder in placed:
        label = number[folders[folder]]
        groups.setdefault((_ORDER[split], label), []).append(Item(path, label, split, stamp))
    return [
        item for _, group in sorted(groups.items()) for item in sorted(group, key=lambda i: natural(i.path))
    ]


def _class_names(folders: Iterable[str], root: Path) -> dict[str, str]:
    """Folder -> class name. Bytes that are not UTF-8 are written as escapes, so that a model file can hold
    the name.
    """
    names = {folder: os.fsencode(folder).decode("utf-8", "backslashreplace") for folder in folders}
    _refuse_twins(sorted(names.values()), root)
    return names


def _refuse_twins(names: Sequence[str], root: Path) -> None:
    seen: dict[str, str] = {}
    for name in names:
        plain = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()
        other = seen.setdefault(plain, name)
        if other != name:
            raise UnreadableError(
                f"{shown(root)} has class folders whose names differ only by case, spaces or Unicode form: "
                f"{other!a} and {name!a}; rename or merge them"
            )


def _refuse_emptied(found: Walked, splits: dict[str, SplitName], folders: dict[str, str], root: Path) -> None:
    """A class folder whose picture files are all empty is an accident, not the absence of a class."""
    depth = 1 if splits else 0
    for path in found.empty:
        parts = path.split("/")
        if len(parts) > depth + 1 and (not splits or parts[0] in splits) and parts[depth] not in folders:
            raise UnreadableError(
                f"{shown(root)}: every picture of class '{shown(parts[depth])}' is an empty file; "
                f"copy them again"
            )


def _refuse_too_few(names: tuple[str, ...], found: Walked, root: Path, *, fewest: int) -> None:
    if len(names) >= fewest:
        return
    if names:
        inner = [
            f"{path}" for path in found.folders if path.count("/") == 1 and path.startswith(f"{names[0]}/")
        ]
        hint = (
            f" (if its sub-folders are the classes, give {shown(root / names[0])})" if len(inner) > 1 else ""
        )
        said = f"holds one class only, '{shown(names[0])}'; two or more are needed{hint}"
    elif found.files:
        said = f"holds {len(found.files)} pictures but no class folders"
    elif found.found:
        why = Counter(s.reason for s in found.skipped).most_common(1)
        said = f"holds no pictures that can be used ({found.found} found; most: {why[0][0]})"
    else:
        said = "holds no pictures"
    raise UnreadableError(f"{shown(root)} {said}; expected:{_example(root)}")


def _example(root: Path, *, splits: bool = False) -> str:
    base = shown(root.resolve().name or "pictures")
    lines = (
        ("train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg")
        if splits
        else ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
    )
    return "".join(f"\n  {base}/{line}" for line in lines)


def _compare_splits(placed: list[_Placed], folders: dict[str, str], root: Path) -> list[str]:
    """Refuse classes that train lacks; remark on classes that val or test lack."""
    held: dict[str, set[str]] = {}
    for file in placed:
        held.setdefault(file.split, set()).add(folders[file.folder])
    remarks = []
    train = held.get("train", set())
    for split in sorted(set(held) - {"train"}, key=_ORDER.__getitem__):
        strange = sorted(held[split] - train, key=natural)
        if strange:
            raise UnreadableError(
                f"{shown(root)}: {split} has classes that train does not have: {_some(strange)}; "
                f"train has: {_some(sorted(train, key=natural))}; "
                f"add training pictures of them or remove them"
            )
        lacking = sorted(train - held[split], key=natural)
        if lacking:
            remarks.append(f"{split} has no pictures of: {_some(lacking)}")
    return remarks


def _remarks(found: Walked, splits: dict[str, SplitName], folders: dict[str, str]) -> list[str]:
    remarks = []
    depth = 1 if splits else 0
    bare = {
        path.split("/")[depth]
        for path in found.folders
        if path.count("/") == depth and (not splits or path.split("/")[0] in splits)
    } - set(folders)
    if bare:
        remarks.append(f"folders without pictures are no classes: {_some(sorted(bare, key=natural))}")
    flat = {path.split("/")[0] for path in found.files if path.count("/") == 1} if splits else set()
    remarks += [f"{shown(top)}/ holds pictures in no class folder; they are not used" for top in sorted(flat)]
    return remarks


def _in_words(splits: dict[str, SplitName]) -> str:
    if not splits:
        return "class folders; no splits given"
    ordered = sorted(splits.items(), key=lambda pair: (_ORDER[pair[1]], pair[0]))
    named = [shown(top) if top == split else f"{shown(top)} (as {split})" for top, split in ordered]
    return f"class folders in {', '.join(named)}"


def _some(names: Sequence[str], most: int = 20) -> str:
    listed = ", ".join(shown(name) for name in names[:most])
    return listed + (f", ... ({len(names)} in all)" if len(names) > most else "")
