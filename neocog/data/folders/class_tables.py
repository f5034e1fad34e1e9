"""Pictures whose classes stand in tables: which tables of a folder count, and what each row says.

A table is taken where the pictures that it names are there. Every guess is said: which column names the
picture, which the class, which the split.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from neocog.data.folders import table_rows as tables_of
from neocog.data.folders.columns import Columns, guess
from neocog.data.folders.listing import Placed, Understood
from neocog.data.folders.picture_names import Named, Outside
from neocog.data.folders.table_rows import Table
from neocog.data.names import ORDER, SPLIT_NAMES, SplitName, shown, some
from neocog.errors import UnreadableError
from neocog.pictures.walk import Skipped, Walked

LABEL_WORDS = (
    "label labels class classes annotation annotations metadata meta target targets dataset data index list "
    "files images pictures"
)
READ = "the table that says the classes"
CLASS_LISTS = ("classes", "class_names", "classnames", "labels", "names", "categories")
MANY = 10
"""Classes from which on it is odd that most have a single picture."""
LIST_FOLDERS = frozenset({"meta", "splits", "lists", "annotations", "labels"})


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables that belong together, by path. `named`: their names say that they hold labels."""

    paths: tuple[str, ...]
    named: bool = True

    @property
    def words(self) -> str:
        return some(self.paths, 6)


def candidates(found: Walked) -> Iterator[Tables]:
    """The tables of a folder that may say the classes, likeliest first: metadata as imagefolder has it, a
    table per split, tables that are called like labels, any other.
    """
    metadata = [
        path for path in found.tables if PurePosixPath(path).name in ("metadata.csv", "metadata.jsonl")
    ]
    metadata = [p for p in metadata if p.count("/") == 0 or p.split("/")[0].casefold() in SPLIT_NAMES]
    if metadata:
        yield Tables(tuple(metadata))
    folders: dict[str, list[str]] = {}
    for path in found.tables:
        folder = path.rpartition("/")[0]
        if split_of(path) and path not in metadata and (not folder or folder.casefold() in LIST_FOLDERS):
            folders.setdefault(folder, []).append(path)
    for paths in folders.values():
        yield Tables(tuple(sorted(paths, key=lambda path: ORDER[split_of(path) or "train"])))
    used = {*metadata, *(path for paths in folders.values() for path in paths)}
    yield from _in_splits([path for path in found.tables if path not in used])
    others = [p for p in found.tables if p not in used and p.count("/") == 0]
    by_name = {path: not set(_words(path)).isdisjoint(LABEL_WORDS.split(" ")) for path in others}
    for path in sorted(others, key=lambda path: not by_name[path]):
        yield Tables((path,), named=by_name[path])


def _in_splits(paths: list[str]) -> Iterator[Tables]:
    """Tables that lie in the folders of splits: one in each, or those of the same name."""
    inside = [p for p in paths if p.count("/") == 1 and p.split("/")[0].casefold() in SPLIT_NAMES]
    inside.sort(key=lambda path: ORDER[split_of(path) or "train"])
    alone = len(inside) == len({path.split("/")[0] for path in inside})
    groups: dict[str, list[str]] = {}
    for path in inside:
        groups.setdefault("" if alone else path.split("/")[1].casefold(), []).append(path)
    for group in groups.values():
        words = {word for path in group for word in _words(path)}
        yield Tables(tuple(group), named=not words.isdisjoint(LABEL_WORDS.split(" ")))


def split_of(path: str) -> SplitName | None:
    """The split that a table's own name says: train.txt, labels_val.csv, test/metadata.csv."""
    inside = path.split("/")[0].casefold() if "/" in path else ""
    if inside in SPLIT_NAMES:
        return SPLIT_NAMES[inside]
    said = {SPLIT_NAMES[word] for word in _words(path) if word in SPLIT_NAMES}
    return said.pop() if len(said) == 1 else None


def understand(
    tables: Tables, found: Walked, root: Path, *, fewest: int, known: Collection[str] = ()
) -> Understood:
    """What `tables` say of the pictures found. `UnreadableError`: a table cannot be read, names no picture
    that is there or one outside of the folder, says no class, or fewer classes than `fewest`. `known` are the
    classes of a trained model.
    """
    named = Named(found.files, root)
    remarks: list[str] = []
    readings = []
    for path in tables.paths:
        try:
            readings.append(_Reading(tables_of.read(root, path), named, known))
        except Outside:
            raise
        except UnreadableError as error:
            if len(tables.paths) == 1:
                raise
            remarks.append(f"{shown(path)} is not used: {error}")
    if not readings:
        raise UnreadableError(f"{tables.words}: none can be used ({remarks[0]})")
    several = any(reading.columns.several for reading in readings)
    gathered = _Gathered(found, several)
    for reading in readings:
        gathered.add(reading)
    used = set(tables.paths)
    found.skipped[:] = [Skipped(s.path, READ) if s.path in used else s for s in found.skipped]
    given = gathered.splits()
    placed = _with_class_names(gathered.placed(given), found, root, remarks)
    names = {name for file in placed for name in file.classes}
    if len(names) < fewest:
        raise UnreadableError(
            f"{tables.words}: {_few(sorted(names))}; two classes or more are needed, in a column 'label'"
        )
    remarks += named.remarks()
    remarks += _single(placed, readings, several)
    return Understood(
        layout="; ".join(reading.words(several) for reading in readings),
        placed=placed,
        loose=gathered.loose(tables.words),
        given=given,
        remarks=[*remarks, *(r for reading in readings for r in reading.remarks), *gathered.remarks],
        several=several,
    )


@dataclass(slots=True)
class _Row:
    """What a table says of one picture. `classes` None: nothing."""

    classes: tuple[str, ...] | None
    split: SplitName | None
    source: str


class _Reading:
    """One table with its columns guessed and its pictures found."""

    def __init__(self, table: Table, named: Named, known: Collection[str]) -> None:
        self.table, self.split = table, split_of(table.path)
        self.base = table.path.rpartition("/")[0]
        self.columns: Columns = guess(
            table, lambda name: named.find(name, self._folders(), table.path), known
        )
        self.rows: dict[str, _Row] = {}
        self.refused: dict[str, str] = {}
        self.remarks: list[str] = list(self.columns.remarks)
        self._read(named)

    def _folders(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.base, "", self.split or "")))

    def _read(self, named: Named) -> None:
        columns, missing, again = self.columns, [], 0
        for line, row in zip(self.table.lines[columns.first :], self.table.rows[columns.first :]):
            name = row[columns.picture]
            path = named.find(name, self._folders(), f"{self.table.path}, line {line}")
            if path is None:
                missing.append(f"{name or '(blank)'} (line {line})")
                continue
            said = _Row(columns.classes(row, path), columns.split_of(row) or self.split, self.table.path)
            before = self.rows.setdefault(path, said)
            if before is not said:
                again += 1
                if before != said:
                    one, other = (" + ".join(r.classes or ("none",)) for r in (before, said))
                    self.refused[path] = f"{self.table.path} says two things of it: {one}, and {other}"
        if again:
            self.remarks.append(
                f"{shown(self.table.path)}: {again} rows name a picture that was named before"
            )
        if missing:
            self.remarks.append(
                f"{shown(self.table.path)}: {len(missing)} rows name pictures that are not there, "
                f"or in several folders: {some(missing, 3)}"
            )

    def words(self, several: bool) -> str:
        return f"read {shown(self.table.path)} ({self.table.kind}): {self.columns.words(several)}"


@dataclass(slots=True)
class _Gathered:
    """All that the tables of a folder say, together."""

    found: Walked
    several: bool
    rows: dict[str, _Row] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, reading: _Reading) -> None:
        twice = [path for path in reading.rows if path in self.rows]
        for path, row in reading.rows.items():
            self.rows.setdefault(path, row)
        self.refused.update(reading.refused)
        if twice:
            first = self.rows[twice[0]]
            self.remarks.append(
                f"{len(twice)} pictures of {shown(reading.table.path)} stand in {shown(first.source)} too "
                f"(such as {shown(twice[0])}) and stay there"
            )

    def splits(self) -> tuple[SplitName, ...]:
        """The splits that the tables make, or the folders that all their pictures lie in."""
        said = {row.split for row in self.rows.values()}
        if said == {None}:
            tops = {path.split("/")[0].casefold() for path in self.rows}
            if not tops <= set(SPLIT_NAMES) or not all("/" in path for path in self.rows):
                return ()
            for path, row in self.rows.items():
                row.split = SPLIT_NAMES[path.split("/")[0].casefold()]
            said = {row.split for row in self.rows.values()}
        return tuple(sorted((s for s in said if s is not None), key=ORDER.__getitem__))

    def placed(self, given: tuple[SplitName, ...]) -> list[Placed]:
        """Every picture that has a class and, where there are splits, one of them."""
        placed = []
        for path, row in self.rows.items():
            classes = row.classes
            if path in self.refused:
                continue
            if classes is None or (not classes and not self.several):
                self.refused[path] = f"{row.source} gives it no class"
            elif given and row.split is None:
                self.refused[path] = f"{row.source} gives it no split"
            else:
                placed.append(Placed(path, self.found.files[path], row.split or "train", classes))
        return placed

    def loose(self, tables: str) -> list[Skipped]:
        refused = [Skipped(path, reason) for path, reason in self.refused.items()]
        return refused + [
            Skipped(path, f"is not named in {tables}") for path in self.found.files if path not in self.rows
        ]


def _with_class_names(placed: list[Placed], found: Walked, root: Path, remarks: list[str]) -> list[Placed]:
    """Numbers 0 to n-1 replaced by the names in a classes.txt or the like, where there is one."""
    numbers = {name for file in placed for name in file.classes}
    used = {s.path for s in found.skipped if s.reason == READ}
    lists = [path for path in found.tables if _lists_classes(path) and path not in used]
    if not lists or not all(re.fullmatch(r"\d{1,6}(\.0*)?", number) for number in numbers):
        return placed
    names = tables_of.name_list(tables_of.read(root, lists[0]))
    largest = max((int(float(number)) for number in numbers), default=0)
    if largest >= len(names):
        raise UnreadableError(
            f"{shown(lists[0])} has {len(names)} names, and {largest} is a class; "
            f"classes count from 0: write {largest + 1} names, or remove the file"
        )
    remarks.append(f"the names of the classes are those in {shown(lists[0])}")
    return [
        file._replace(classes=tuple(names[int(float(number))] for number in file.classes)) for file in placed
    ]


def _lists_classes(path: str) -> bool:
    place = PurePosixPath(path)
    return place.suffix == ".txt" and place.stem.casefold() in CLASS_LISTS


def _words(path: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", PurePosixPath(path).stem)  # trainLabels
    return re.findall(r"[a-z]+", apart.casefold())


def _single(placed: list[Placed], readings: list[_Reading], several: bool) -> list[str]:
    """The remark on classes most of which have one picture: then another column may be meant."""
    counts = Counter(name for file in placed for name in file.classes)
    single = sum(count == 1 for count in counts.values())
    if several or len(counts) < MANY or 2 * single < len(counts):
        return []
    return [
        f"{single} of {len(counts)} classes have one picture each: is that the column of the classes? "
        f"(columns: {some(readings[0].columns.names, 12)})"
    ]


def _few(names: list[str]) -> str:
    return f"one class only, '{shown(names[0])}'" if names else "no class is said"
