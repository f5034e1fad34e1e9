"""Outputs: files that a user names. One takes the place of what neocog itself wrote there before, never of an
input or of anybody else's file.
"""

from __future__ import annotations

import contextlib
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neocog import files
from neocog.errors import UnreadableError, UsageError, escaped

PNG = b"\x89PNG\r\n\x1a\n"
HEAD = 33
"""Bytes of a PNG up to the end of its first chunk, after which the mark stands."""
MARK = b"tEXtSoftware\0neocog"
SEALED = b'{"__metadata__":{"neocog":'
"""How the header of a tensor file of `sealed` begins."""
LARGEST_JSON = 8 << 20
OF_A_RUN = frozenset({".safetensors", ".json", ".jsonl"})
"""Endings of a run's own files, which are no place for an output."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As `files.replacing`. `UnreadableError` where `path` holds what is not of the kind that neocog
    writes there, or a file of a run.
    """
    _require_no_run(path)
    with files.replacing(path) as temporary:
        yield temporary
        _require_same_kind(path, temporary)


def require_place(path: Path, like: bytes) -> None:
    """What `write_bytes` would refuse, refused before long work: `like` is a small output of the same kind.
    It is written beside `path` and taken away again; what stands at `path` stays.
    """
    _require_no_run(path)
    with contextlib.suppress(_Tried), files.replacing(path) as temporary:
        temporary.write_bytes(_marked(like) if like.startswith(PNG) else like)
        _require_same_kind(path, temporary)
        raise _Tried


class _Tried(Exception):
    """Ends an attempt."""


def _require_no_run(path: Path) -> None:
    if path.suffix in OF_A_RUN and (path.parent / "recipe.json").exists() and path.exists():
        raise UnreadableError(
            f"cannot write {path}: it belongs to the run in {path.parent}; choose another name"
        )


def _require_same_kind(path: Path, temporary: Path) -> None:
    if path.is_file() and path.stat().st_size and _kind(path) != _kind(temporary):
        raise UnreadableError(
            f"cannot write {path}: there is another file, which neocog did not write; "
            "choose another name, or take it away first"
        )


def write_bytes(path: Path, data: bytes) -> None:
    """Write an output; a PNG bears the mark that neocog wrote it."""
    with replacing(path) as temporary:
        temporary.write_bytes(_marked(data) if data.startswith(PNG) else data)


def write_png(path: Path, png: bytes) -> None:
    """Write a picture. `UsageError` for a name that says another kind of file: no viewer would be sure."""
    if path.suffix.lower() != ".png":
        raise UsageError(f"a picture is written as .png, not as '{escaped(path.name)}'")
    write_bytes(path, png)


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, files.json_text(value).encode())


def cell(text: str) -> str:
    """A cell of a CSV file that no spreadsheet runs as a formula: with a quote mark before one that could be
    one, and control characters as escapes.
    """
    shown = escaped(text).replace("\n", "\\n")
    return f"'{shown}" if shown.lstrip()[:1] in FORMULAS else shown


FORMULAS = frozenset("=+-@＝＋－＠")


def _marked(png: bytes) -> bytes:
    chunk = struct.pack(">I", len(MARK) - 4) + MARK + struct.pack(">I", zlib.crc32(MARK))
    return png[:HEAD] + chunk + png[HEAD:]


def _kind(path: Path) -> tuple[str, ...]:
    """What a file is, as far as it matters whether another may take its place: files that neocog writes with
    the same verb are of one kind, an input is of none of them.
    """
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(PNG):
        return ("png", "neocog" if MARK in start[: HEAD + 64] else "another's")
    if start.startswith(b"PK"):
        return ("zip", *_members(path))
    if start.startswith(b"\x89HDF"):
        return ("hdf5",)
    text = start.lstrip()[:15].lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return ("html",)
    if text.startswith((b"{", b"[")):
        return ("json", *_keys(path))
    if start[8:9] == b"{":
        return ("safetensors", "neocog" if start[8:].startswith(SEALED) else "another's")
    return ("other", start[:7].hex())


def _members(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(sorted(archive.namelist()))
    except (OSError, zipfile.BadZipFile, ValueError):
        return ("damaged",)


def _keys(path: Path) -> tuple[str, ...]:
    if path.stat().st_size > LARGEST_JSON:
        return ("large",)
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return ("damaged",)
    return tuple(sorted(found)) if isinstance(found, dict) else ("list",)
