"""Columns: which column of a table names the picture, which the class or classes, which the split."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from neocog.data.folders import cells
from neocog.data.folders.cells import Way
from neocog.data.folders.table_rows import Table
from neocog.data.names import SPLIT_NAMES, SplitName, shown, some
from neocog.errors import UnreadableError
from neocog.pictures.decode import PICTURE_SUFFIXES

PICTURE_NAMES = (
    "file_name",
    "filename",
    "file",
    "filepath",
    "file_path",
    "path",
    "image_path",
    "image_name",
    "image_file",
    "image_filename",
    "image",
    "img",
    "img_path",
    "picture",
    "photo",
    "image_id",
    "imageid",
    "id",
    "name",
)
LABEL_NAMES = (
    "label",
    "labels",
    "class_name",
    "classname",
    "class",
    "classes",
    "label_name",
    "category",
    "category_name",
    "target",
    "breed",
    "species",
    "tag",
    "tags",
    "diagnosis",
    "dx",
    "kind",
    "type",
    "label_id",
    "class_id",
    "y",
)
SPLIT_COLUMNS = (
    "split",
    "set",
    "subset",
    "partition",
    "phase",
    "usage",
)
IS_VAL = ("is_valid", "is_val", "is_validation", "is_test")
TRUE, FALSE = frozenset({"1", "1.0", "true", "yes"}), frozenset({"0", "0.0", "false", "no"})
Find = Callable[[str], str | None]
PROBED = 500
"""Rows from which it is found which column names the pictures."""


@dataclass(frozen=True, slots=True)
class Columns:
    """`first` is the first row that is no header; `names` are the header, or 'column 1' and so on.

    `how` the class is said: in one cell, by 0/1 columns, or by the folder that the picture lies in.
    """

    first: int
    names: tuple[str, ...]
    picture: int
    labels: tuple[int, ...]
    how: Literal["cell", "columns", "folder"]
    several: bool
    split: int | None = None
    remarks: tuple[str, ...] = ()
    way: Way = "marks"

    def classes(self, row: Sequence[str], path: str) -> tuple[str, ...] | None:
        """The classes that `row` gives the picture at `path`."""
        if self.how == "columns":
            return tuple(self.names[k] for k in self.labels if row[k].casefold() in TRUE)
        if self.how == "folder":
            folder = path.split("/")[-2:-1]
            return tuple(folder) if folder and folder[0].casefold() not in SPLIT_NAMES else None
        cell = row[self.labels[0]]
        if not self.several:
            return (cell,) if cell else None
        return cells.labels(cell, self.way)

    def split_of(self, row: Sequence[str]) -> SplitName | None:
        if self.split is None:
            return None
        if self._flag is not None:
            return self._flag if row[self.split].casefold() in TRUE else "train"
        return SPLIT_NAMES.get(row[self.split].casefold())

    @property
    def _flag(self) -> SplitName | None:
        """Of a column like is_valid, the split that it marks."""
        name = _plain(self.names[self.split]) if self.split is not None else ""
        return ("test" if name == "is_test" else "val") if name in IS_VAL else None

    def words(self, several: bool) -> str:
        """What was guessed, for people."""
        named = [shown(name) for name in self.names]

        def column(k: int) -> str:
            return f"'{named[k]}'" if self.first else named[k]

        said = f"{'column ' if self.first else ''}{column(self.picture)} names the picture, "
        if self.how == "folder":
            said += "its folder is the class"
        elif self.how == "columns":
            kind = "the 0/1 columns {} are the classes"
            said += kind.format(some([self.names[k] for k in self.labels], 6))
            said += ", several to a picture" if several else ", one to a picture"
        else:
            said += f"{column(self.labels[0])} the class"
            said += f"es, {cells.WORDS[self.way]}" if several else ""
        return said + (f", {column(self.split)} the split" if self.split is not None else "")


def guess(table: Table, find: Find, known: Collection[str] = ()) -> Columns:
    """The columns of `table`; `find` says which picture a cell names, and raises for one outside of the
    folder. `known` are the classes of a trained model.

    `UnreadableError`: no column names pictures that are there, or it cannot be told which is the class.
    """
    first = 1 if _is_header(table, find) else 0
    rows = table.rows[first:]
    names = table.rows[0] if first else tuple(f"column {k + 1}" for k in range(table.width))
    picture = _picture(table, names, rows, find)
    rest = [k for k in range(table.width) if k != picture]
    split, remarks = _split(names, rows, rest) if first else (None, ())
    rest = [k for k in rest if k != split]
    if not rest:
        _refuse_without_folders(table, rows, picture, find)
        return Columns(first, names, picture, (), "folder", False, split, remarks)
    labels = _labels(table, names, rows, rest, headed=bool(first))
    if len(labels) > 1:
        several = any(sum(row[k].casefold() in TRUE for k in labels) != 1 for row in rows)
        return Columns(first, names, picture, labels, "columns", several, split, remarks)
    if (names_too := _names_of(labels[0], rows, rest, known)) is not None:
        numbers, labels = labels[0], (names_too,)
        called = [f"'{shown(names[k])}'" if first else names[k] for k in (numbers, names_too)]
        remarks = (*remarks, f"the numbers of {called[0]} stand for the names of {called[1]}, which are used")
    way, said = cells.way_of([row[labels[0]] for row in rows], names[labels[0]] if first else "")
    several, way = way != "one", "marks" if way == "one" else way
    return Columns(first, names, picture, labels, "cell", several, split, (*remarks, *said), way)


def _names_of(
    numbers: int, rows: Sequence[Sequence[str]], rest: Sequence[int], known: Collection[str]
) -> int | None:
    """The column whose names the numbers of another one stand for, one each; None where there is none, or a
    trained model knows the numbers as its classes.
    """
    said = {row[numbers] for row in rows}
    if not all(re.fullmatch(r"\d{1,6}(\.0*)?", cell) for cell in said) or (known and said <= {*known}):
        return None
    for k in rest:
        pairs = {(row[numbers], row[k]) for row in rows}
        names = {row[k] for row in rows}
        each = len(pairs) == len(names) == len(said)
        if k != numbers and each and 2 <= len(said) < len(rows) and all(_is_word(name) for name in names):
            return k
    return None


def _is_word(name: str) -> bool:
    return any(letter.isalpha() for letter in name) and name.casefold() not in TRUE | FALSE


def _is_header(table: Table, find: Find) -> bool:
    """Whether the first row names columns: no cell of it is a picture, or could be one."""
    first = table.rows[0]
    if table.kind == "list":
        return _plain(first[0]) in PICTURE_NAMES
    suffixes = {PurePosixPath(cell).suffix.lower() for cell in first}
    return not suffixes & PICTURE_SUFFIXES and not any(_there(find, cell) for cell in first)


def _there(find: Find, cell: str) -> bool:
    try:
        return find(cell) is not None
    except UnreadableError:
        return False


def _picture(table: Table, names: Sequence[str], rows: Sequence[Sequence[str]], find: Find) -> int:
    """The column most of whose cells are pictures that are there; of two, the one with the usual name."""
    probed = rows[:: max(1, len(rows) // PROBED)]
    known = [_rank(name, PICTURE_NAMES) for name in names]
    hits = [0] * table.width
    for k in sorted(range(table.width), key=known.__getitem__):
        if known[k] < len(PICTURE_NAMES) or any(_looks_like_a_path(row[k]) for row in probed[:20]):
            hits[k] = sum(_there(find, row[k]) for row in probed)
    best = min(range(table.width), key=lambda k: (-hits[k], known[k]))
    if not hits[best]:
        for row in probed:
            find(row[best])  # raises where a path leads out of the folder, which says more
        shape = f"columns {some(names)}" if len(names) > 1 else "lines"
        example = next((row[best] for row in rows if row[best]), "")
        raise UnreadableError(
            f"{shown(table.path)} names no picture that is there "
            f"({shape}; first row: '{shown(example[:60])}'); "
            f"a column such as file_name must hold paths relative to the folder"
        )
    return best


def _looks_like_a_path(cell: str) -> bool:
    return "/" in cell or "\\" in cell or bool(PurePosixPath(cell).suffix) or bool(re.search(r"\d{2}", cell))


def _split(
    names: Sequence[str], rows: Sequence[Sequence[str]], rest: Sequence[int]
) -> tuple[int | None, tuple[str, ...]]:
    for k in rest:
        if _plain(names[k]) in SPLIT_COLUMNS:
            strange = sorted({row[k] for row in rows if row[k].casefold() not in (*SPLIT_NAMES, "")})
            if not strange:
                return k, ()
            return None, (
                f"column '{shown(names[k])}' holds {some(strange, 3)}, which are no splits; not used",
            )
        if _plain(names[k]) in IS_VAL and all(row[k].casefold() in TRUE | FALSE for row in rows):
            return k, ()
    return None, ()


def _labels(
    table: Table, names: Sequence[str], rows: Sequence[Sequence[str]], rest: list[int], *, headed: bool
) -> tuple[int, ...]:
    """One column, or several whose cells are all 0 or 1."""
    if not headed:
        return (rest[0],)
    known = sorted(
        (k for k in rest if _rank(names[k], LABEL_NAMES) < len(LABEL_NAMES)),
        key=lambda k: _rank(names[k], LABEL_NAMES),
    )
    if known:
        return (known[0],)
    binary = tuple(k for k in rest if truthful([row[k] for row in rows]))
    if len(binary) > 1:
        return binary
    if len(rest) == 1:
        return (rest[0],)
    classes = [k for k in rest if 2 <= len({row[k] for row in rows}) <= max(2, len(rows) // 3)]
    if len(classes) == 1:
        return (classes[0],)
    raise UnreadableError(
        f"{shown(table.path)}: which of the columns {some([names[k] for k in rest])} is the class? "
        f"call it 'label'"
    )


def truthful(cells: Sequence[str]) -> bool:
    """Whether all cells are 0 or 1, and there is a 1."""
    values = {cell.casefold() for cell in cells}
    return values <= TRUE | FALSE and bool(values & TRUE)


def _refuse_without_folders(table: Table, rows: Sequence[Sequence[str]], picture: int, find: Find) -> None:
    """A plain list of paths may leave the classes to the folders; a table with columns may not."""
    there = [row[picture] for row in rows[:PROBED] if _there(find, row[picture])]
    if table.kind != "list" or not any("/" in (find(name) or "") for name in there):
        raise UnreadableError(
            f"{shown(table.path)} names pictures but no classes; write the class behind each, as in 1.jpg,cat"
        )


def _rank(name: str, known: Sequence[str]) -> int:
    plain = _plain(name)
    return known.index(plain) if plain in known else len(known)


def _plain(name: str) -> str:
    """'File Name' and 'file-name' are file_name."""
    return re.sub(r"[\s\-.]+", "_", name.strip().casefold())
