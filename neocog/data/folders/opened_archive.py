"""Where pictures given by a path are: a folder as it is, a table's folder, or an archive unpacked in the
cache.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from neocog.data.folders.walk import TABLE_SUFFIXES
from neocog.data.names import shown
from neocog.errors import UnreadableError, UsageError
from neocog.files import cache_dir, sha256_file
from neocog.pictures.unpack import unpack

TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257


@dataclass(frozen=True, slots=True)
class Place:
    """`root` is the folder to walk, `name` what the data set is called, `table` the table that was asked for
    (its name in `root`).
    """

    root: Path
    name: str
    table: str | None = None
    remarks: tuple[str, ...] = ()


def opened(where: Path) -> Place:
    """The folder that `where` means. `UnreadableError`: it is missing, or a file that is neither a table nor
    an archive.
    """
    if not where.is_file():
        return Place(where, shown(where.resolve().name) or "folder")
    if where.suffix.lower() in TABLE_SUFFIXES:
        return Place(where.parent, shown(where.stem), where.name)
    if not is_archive(where):
        raise UnreadableError(
            f"{shown(where)} is a file; give a folder of pictures, a zip or tar of one, "
            "a table (.csv, .tsv, .jsonl, .txt) or an .npz of arrays"
        )
    root = _unpacked(where)
    inner = _inner(root)
    remarks = [f"unpacked into the cache from {shown(where.name)}"]
    if inner != root:
        remarks.append(f"its pictures lie in {shown(inner.relative_to(root))}/")
    name = where.name.removesuffix(".gz").removesuffix(".tgz")
    return Place(inner, shown(Path(name).stem), None, tuple(remarks))


def brings_pictures(path: Path) -> bool:
    """Whether a path may be a user's own data: a folder, a table, an archive, or an .npz of arrays."""
    if not path.is_file():
        return path.is_dir()
    return path.suffix.lower() in (*TABLE_SUFFIXES, ".npz") or is_archive(path)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar (packed or not), by its content; of gzip, by its name too."""
    try:
        with path.open("rb") as file:
            head = file.read(TAR_MAGIC_AT + len(TAR_MAGIC))
    except OSError:
        return False
    if path.suffix.lower() == ".npz":
        return False
    packed = head[:2] == b"\x1f\x8b" and path.name.lower().endswith((".tar.gz", ".tgz"))
    return packed or head[TAR_MAGIC_AT:] == TAR_MAGIC or zipfile.is_zipfile(path)


def _unpacked(archive: Path) -> Path:
    """The archive's content in the cache, keyed by its SHA-256; unpacked once."""
    into = cache_dir() / "unpacked" / sha256_file(archive)[:40]
    if not into.is_dir():
        try:
            unpack(archive, into)
        except UsageError:
            if not into.is_dir():  # else another process was faster
                raise
    return into


def _inner(root: Path) -> Path:
    """Down through folders that hold one folder and nothing else, as many archives are packed."""
    while True:
        entries = [e for e in os.scandir(root) if not e.name.startswith((".", "__MACOSX"))]
        if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
            return root
        below = [Path(e) for e in os.scandir(entries[0].path) if not e.name.startswith(".")]
        if not any(path.is_dir() or path.suffix.lower() in TABLE_SUFFIXES for path in below):
            return root  # a folder of nothing but pictures is one class, which `scan` explains
        root = Path(entries[0].path)
