"""What a folder of pictures holds: its layout, classes and files; no picture is opened.

Class folders (`pets/cat/1.jpg`), class folders inside of train, val and test folders, or a table that names
pictures and classes (`class_tables`). Where a folder has both, the one that says more is taken, and
`Listing.layout` and `remarks` say which and why.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from neocog.data.folders import class_tables
from neocog.data.folders.class_tables import Tables
from neocog.data.folders.listing import (
    Listing,
    Placed,
    Understood,
    compare_splits,
    items,
    places,
    refuse_twins,
    without_pictures,
)
from neocog.data.folders.opened_archive import Place
from neocog.data.folders.second_names import Held, settled
from neocog.data.names import ORDER, SPLIT_NAMES, SplitName, natural, shown, some
from neocog.errors import UnreadableError
from neocog.pictures.walk import A_RUN, Folders, Skipped, Walked, walk

EXPECTED = (
    "cat/1.jpg and dog/2.jpg (a folder for each class; inside of train/, val/, test/ if you like)",
    "labels.csv with the columns file,label (metadata.csv or .jsonl with file_name; several labels: cat;dog)",
    "train.txt with lines like 1.jpg cat (also val.txt, test.txt, meta/train.txt)",
)
"""Three lines on the layouts that are accepted, each to be written below the folder's name."""


def scan(place: Place, *, classes: tuple[str, ...] | None = None, folders: Folders | None = None) -> Listing:
    """Understand the folder at `place` without opening a picture; with `classes`, number them as that trained
    model does. `folders` are those that were listed already.

    Links are followed inside the root only, and a file counts once in each class, however many names it has.
    `UnreadableError`: no folder, no or one class, names that differ in case or Unicode form only, or a val or
    test class that train lacks. `UsageError`: a class that is not among `classes`.
    """
    found = walk(place.root, folders)
    understood = _understood(found, place.root, place.table, classes)
    names = understood.names
    refuse_twins(names, place.root, what="classes")
    remarks = [*place.remarks, *understood.remarks]
    if classes is None:
        remarks += compare_splits(understood.placed, place.root)
        number = {name: k for k, name in enumerate(names)}
    else:
        number = dict(zip(names, places(names, classes, shown(place.name))))
        there = set(number.values())
        remarks += without_pictures([name for k, name in enumerate(classes) if k not in there])
    return Listing(
        root=place.root,
        name=place.name,
        layout=understood.layout,
        classes=classes or names,
        given=understood.given,
        items=items(understood.placed, number),
        skipped=tuple(sorted((*found.skipped, *understood.loose), key=lambda s: natural(s.path))),
        remarks=tuple(remarks),
        found=found.found,
        several=understood.several,
    )


def _understood(found: Walked, root: Path, table: str | None, trained: tuple[str, ...] | None) -> Understood:
    """The table asked for; else class folders or the tables that are there, whichever says more.

    Where classes come from a `trained` model, train may be missing, and one class is enough.
    """
    evaluated, known = trained is not None, trained or ()
    fewest = 1 if evaluated else 2
    if table is not None:
        return class_tables.understand(Tables((table,)), found, root, fewest=fewest, known=known)
    by_folder, trouble = None, UnreadableError("")
    try:
        by_folder = _class_folders(found, root, evaluated=evaluated)
    except UnreadableError as error:
        trouble = error
    remarks = []
    for tables in class_tables.candidates(found):
        try:
            by_table = class_tables.understand(tables, found, root, fewest=fewest, known=known)
        except UnreadableError as error:
            if tables.named:
                remarks.append(f"{tables.words} is not used: {error}")
                trouble = trouble if isinstance(trouble, _AboutTable) else _AboutTable(str(error))
            continue
        if by_folder is None:
            return by_table
        reason = _says_more(by_table, by_folder, tables)
        if reason is None:
            return by_table
        remarks.append(f"{tables.words} is not used: {reason}")
    if by_folder is None:
        raise UnreadableError(str(trouble))
    by_folder.remarks.extend(remarks)
    return by_folder


class _AboutTable(UnreadableError):
    """Why a table that is called like labels cannot be used: it says more than that there are no classes."""


def _says_more(table: Understood, folders: Understood, tables: Tables) -> str | None:
    """None where a table is to be believed rather than the class folders around it, else why it is not."""
    if not tables.named:
        return "the folders say the classes; to use it, give the file itself"
    inside = {file.path: file.classes for file in folders.placed}
    pairs = {(file.classes, inside.get(file.path)) for file in table.placed}
    alike = len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})
    if alike and len(inside) >= len(table.placed) and (folders.given or not table.given):
        return "the class folders say the same"
    return None


def _class_folders(found: Walked, root: Path, *, evaluated: bool) -> Understood:
    """The folder read as class folders; errors as of `scan`."""
    splits = _split_folders(found, root, evaluated=evaluated)
    files, loose = _files(found, splits)
    held = settled(files, found)
    folders = _class_names({file.folder for file in held.files}, root)
    names = tuple(sorted(folders.values(), key=natural))
    _refuse_emptied(found, splits, folders, root)
    _refuse_too_few(names, found, root, fewest=1 if evaluated else 2)
    lists = {folder: (name,) for folder, name in folders.items()}
    return Understood(
        layout=_in_words(splits),
        placed=[Placed(file.path, file.stamp, file.split, lists[file.folder]) for file in held.files],
        loose=[*loose, *held.loose],
        given=tuple(sorted(set(splits.values()), key=ORDER.__getitem__)),
        remarks=[*held.pools.values(), *_remarks(found, splits, {*folders, *held.pools})],
    )


def _split_folders(found: Walked, root: Path, *, evaluated: bool) -> dict[str, SplitName]:
    """The top folders that are splits, by name; none where the top folders are classes."""
    tops = {path.split("/")[0] for path in found.files if "/" in path}
    nested = {path.split("/")[0] for path in found.files if path.count("/") >= 2}
    named = {top: SPLIT_NAMES[top.casefold()] for top in tops if top.casefold() in SPLIT_NAMES}
    splits = {top: split for top, split in named.items() if top in nested}
    others = tops - set(named)
    complete = "train" in splits.values() or (evaluated and bool(splits))
    if named and not others and not complete:
        here = ", ".join(f"{shown(top)}/" for top in sorted(named))
        lacking = "no class folders in a training folder" if splits else "no class folders in them"
        raise UnreadableError(f"{shown(root)} holds {here} but {lacking}; expected:{_example(root)}")
    if not complete or (others and len(splits) < 2):
        return {}
    twins = [split for split, count in Counter(splits.values()).items() if count > 1]
    if twins:
        both = " and ".join(sorted(shown(top) for top, split in splits.items() if split == twins[0]))
        raise UnreadableError(f"{shown(root)} holds {both}, which both mean {twins[0]}; keep one of them")
    return splits


def _files(found: Walked, splits: dict[str, SplitName]) -> tuple[list[Held], list[Skipped]]:
    """Every picture file in its split and class folder, or skipped because it lies in neither."""
    files, loose = [], []
    for path, stamp in found.files.items():
        parts = path.split("/")
        if splits and parts[0] not in splits:
            loose.append(Skipped(path, "lies outside of the class folders of " + ", ".join(sorted(splits))))
        elif len(parts) < (3 if splits else 2):
            loose.append(Skipped(path, "lies in no class folder"))
        elif splits:
            files.append(Held(path, stamp, splits[parts[0]], parts[1]))
        else:
            files.append(Held(path, stamp, "train", parts[0]))
    return files, loose


def _class_names(folders: Iterable[str], root: Path) -> dict[str, str]:
    """Folder -> class name. Bytes that are not UTF-8 are written as escapes, so that a model file can hold
    the name.
    """
    names = {folder: os.fsencode(folder).decode("utf-8", "backslashreplace") for folder in folders}
    refuse_twins(sorted(names.values()), root, what="class folders")
    return names


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


def _example(root: Path) -> str:
    base = shown(root.resolve().name or "pictures")
    return "".join(f"\n  {base}/{line}" for line in EXPECTED)


def _remarks(found: Walked, splits: dict[str, SplitName], known: set[str]) -> list[str]:
    """On folders that are no classes; those `known` are, or something was said of them."""
    remarks = []
    depth = 1 if splits else 0
    bare = {
        path.split("/")[depth]
        for path in found.folders
        if path.count("/") == depth and (not splits or path.split("/")[0] in splits)
    } - known
    bare -= {
        s.path.split("/")[depth] for s in found.skipped if s.reason == A_RUN and s.path.count("/") > depth
    }
    if bare:
        remarks.append(f"folders without pictures are no classes: {some(sorted(bare, key=natural))}")
    inner = {tuple(path.split("/")[depth : depth + 2]) for path in found.files if path.count("/") > depth}
    below = sorted({pair[1] for pair in inner}, key=natural)
    if not any(path.count("/") == depth + 1 for path in found.files) and len(below) > 1:
        tops = sorted({pair[0] for pair in inner}, key=natural)
        remarks.append(
            f"the classes are {some(tops, 6)}, whose pictures all lie in folders inside: {some(below, 6)}; "
            "if those are the classes, put them in their place"
        )
    flat = {path.split("/")[0] for path in found.files if path.count("/") == 1} if splits else set()
    remarks += [f"{shown(top)}/ holds pictures in no class folder; they are not used" for top in sorted(flat)]
    return remarks


def _in_words(splits: dict[str, SplitName]) -> str:
    if not splits:
        return "class folders; no splits given"
    ordered = sorted(splits.items(), key=lambda pair: (ORDER[pair[1]], pair[0]))
    named = [shown(top) if top == split else f"{shown(top)} (as {split})" for top, split in ordered]
    return f"class folders in {', '.join(named)}"
