"""Table: the rows of a CSV, TSV, JSON Lines or plain list file, as text; nothing is guessed about meanings.

What encoding and which delimiter it has is found from the file. A table is a stranger's file: sizes are
bounded, quotes must close, and every row has a line number that an error can name.
"""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from neocog.data.names import shown
from neocog.errors import UnreadableError
from neocog.pictures.decode import PICTURE_SUFFIXES

BYTES_AT_MOST = 256 << 20
DELIMITERS = ",\t;|"
PROBED = 50
"""Rows from which the delimiter is found."""


@dataclass(frozen=True, slots=True)
class Table:
    """`rows` are as wide as the widest; `lines` say where they begin in the file, counted from 1. The keys of
    JSON objects are the first row, as the names of columns are in a CSV file.
    """

    path: str
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    kind: str

    @property
    def width(self) -> int:
        return len(self.rows[0])


def read(root: Path, path: str) -> Table:
    """The table at `path` below `root`; `UnreadableError` where it is no text, is too large or is torn."""
    text = _text(_bytes(root / path, path), path)
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".jsonl":
        rows, lines = _json_lines(text, path)
    elif suffix == ".txt":
        rows, lines = _list(text, path)
    else:
        rows, lines = _cells(text, path, "\t" if suffix == ".tsv" else _delimiter(text))
    if not rows:
        raise UnreadableError(f"{shown(path)} is empty; write a line for each picture")
    width = max(len(row) for row in rows)
    return Table(
        path,
        tuple((*row, *[""] * (width - len(row))) for row in rows),
        tuple(lines),
        {".jsonl": "JSON Lines", ".txt": "list"}.get(suffix, "CSV"),
    )


def _bytes(file: Path, path: str) -> bytes:
    """A regular file's bytes; what has become a pipe since the walk is not waited for."""
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as opened:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode) or status.st_size > BYTES_AT_MOST:
                raise UnreadableError(
                    f"{shown(path)} is no table of less than {BYTES_AT_MOST >> 20} MiB; split it up"
                )
            return opened.read(BYTES_AT_MOST)
    except OSError as error:
        raise UnreadableError(f"cannot read {shown(path)}: {error.strerror or error}") from error


def _text(data: bytes, path: str) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(
            f"{shown(path)} is not UTF-8 text (byte {error.start}); save it as CSV UTF-8"
        ) from error
    if "\0" in text:
        raise UnreadableError(f"{shown(path)} is not text, it has zero bytes; save it as CSV UTF-8")
    return text


def _cells(text: str, path: str, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Rows of a CSV file, quoted line ends and all; blank lines and comments are left out."""
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = 0
    try:
        for row in reader:
            line, before = before + 1, reader.line_num
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(line)
    except csv.Error as error:
        raise UnreadableError(
            f"{shown(path)}, after line {before}: {error}; close the quotes, or remove that line"
        ) from error
    kept = _without_comments(rows)
    rows, lines = [rows[k] for k in kept], [lines[k] for k in kept]
    for row, line in zip(rows, lines):
        if len(row) > len(rows[0]):
            raise UnreadableError(
                f"{shown(path)}, line {line}, has {len(row)} cells where the first has "
                f"{len(rows[0])}; put cells that hold '{delimiter}' in quotes"
            )
    return rows, lines


def _without_comments(rows: list[list[str]]) -> list[int]:
    """Which rows are none of comments: those that begin with # are, unless they are like the others, since
    names may begin so.
    """
    others = {len(row) for row in rows if not row[0].startswith("#")}
    like = others or {len(row) for row in rows}
    return [
        k
        for k, row in enumerate(rows)
        if not row[0].startswith("#") or (len(row) > 1 and len(row) in like and all(row))
    ]


def _delimiter(text: str) -> str:
    """The one by which the first rows all fall into equally many cells, two or more; else the first row's
    most frequent.
    """
    best = ""
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        widths: set[int] = set()
        try:
            for row in reader:
                widths.update({len(row)} if any(row) else ())
                if reader.line_num >= PROBED:
                    break
        except csv.Error:
            continue
        if len(widths) == 1 and widths.pop() > 1:
            return delimiter
        first = text.lstrip().split("\n", 1)[0]
        best = delimiter if first.count(delimiter) > first.count(best or "\0") else best
    return best or ","


def _json_lines(text: str, path: str) -> tuple[list[list[str]], list[int]]:
    """An object a line; the first row is the keys. Lists of texts or numbers are written with ';'."""
    objects: list[dict[str, Any]] = []
    lines = []
    keys: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"{shown(path)}, line {number}, is not JSON ({error}); mend it") from error
        if not isinstance(value, dict):
            raise UnreadableError(
                f'{shown(path)}, line {number}, is no object; write {{"file_name": "1.jpg", "label": "cat"}}'
            )
        keys.update(dict.fromkeys(value))
        objects.append(value)
        lines.append(number)
    rows = [list(keys), *([_cell(value.get(key)) for key in keys] for value in objects)]
    return (rows, [1, *lines]) if objects else ([], [])


def _cell(value: Any) -> str:
    """A JSON value as a cell; objects hold nothing that could be a name or a class."""
    if isinstance(value, list) and not any(isinstance(v, dict | list) for v in value):
        return ";".join(_cell(v) for v in value)
    if value is None or isinstance(value, dict | list):
        return ""
    text = str(int(value) if isinstance(value, bool) else value).strip()
    return text.encode("utf-8", "backslashreplace").decode()  # JSON can write half a character


def _list(text: str, path: str) -> tuple[list[list[str]], list[int]]:
    """Lines 'path', 'path class' or 'path,class'; the path may have blanks, the class may after a tab or
    comma.
    """
    numbered = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    kept = [
        (number, line)
        for number, line in numbered
        if line and (not line.startswith("#") or _names_a_picture(line))
    ]
    for delimiter in "\t,":
        if kept and all(delimiter in line for _, line in kept):
            return _cells(text, path, delimiter)
    rows = [_words(line) for _, line in kept]
    return rows, [number for number, _ in kept]


def _names_a_picture(line: str) -> bool:
    """Whether the first word has the ending of a picture: '#1.jpg cat', but not '# the cats'."""
    first = line.replace(",", " ").replace("\t", " ").split(" ")[0]
    return PurePosixPath(first).suffix.lower() in PICTURE_SUFFIXES


def _words(line: str) -> list[str]:
    """'my cat.jpg 3' -> 'my cat.jpg', '3'; 'my cat.jpg' stays whole."""
    if PurePosixPath(line).suffix.lower() in PICTURE_SUFFIXES:
        return [line]
    name, _, last = line.rpartition(" ")
    return [name.rstrip(), last] if name else [line]


def name_list(table: Table) -> tuple[str, ...]:
    """The class names in a file like classes.txt: a name a line, or its number and the name."""
    return _without_numbers([" ".join(cell for cell in row if cell) for row in table.rows])


def _without_numbers(names: Iterable[str]) -> tuple[str, ...]:
    names = tuple(names)
    pairs = [name.replace(",", " ").replace(":", " ").split(None, 1) for name in names]
    numbered = all(len(pair) == 2 and pair[0] == str(k) for k, pair in enumerate(pairs))
    return tuple(pair[1] for pair in pairs) if numbered else names
