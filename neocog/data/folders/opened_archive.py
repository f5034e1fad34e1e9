"""Where pictures given by a path are: a folder as it is, a table's folder, or an archive unpacked in the
cache, which is hashed to find it there.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from neocog.data.names import shown
from neocog.errors import UsageError
from neocog.files import DAY, cache_dir, sha256_file, sweep
from neocog.pictures.unpack import unpack
from neocog.pictures.walk import TABLE_SUFFIXES, Folders

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


def opened(where: Path, folders: Folders) -> Place | None:
    """The folder that `where` means, whether it is there or not; None for a file that is neither a table nor
    an archive. `folders` keeps what was looked at. `UnreadableError`: a damaged archive.
    """
    if not where.is_file():
        return Place(where, shown(where.resolve().name) or "folder")
    if where.suffix.lower() in TABLE_SUFFIXES:
        return Place(where.parent, shown(where.stem), where.name)
    if not _is_archive(where):
        return None
    root = _unpacked(where)
    inner = _inner(root, folders)
    remarks = [f"unpacked into the cache from {shown(where.name)}"]
    if inner != root:
        remarks.append(f"its pictures lie in {shown(inner.relative_to(root))}/")
    name = where.name.removesuffix(".gz").removesuffix(".tgz")
    return Place(inner, shown(Path(name).stem), None, tuple(remarks))


def _is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar (packed or not), by its content; of gzip, by its name too."""
    try:
        with path.open("rb") as file:
            head = file.read(TAR_MAGIC_AT + len(TAR_MAGIC))
            packed = head[:2] == b"\x1f\x8b" and path.name.lower().endswith((".tar.gz", ".tgz"))
            return packed or head[TAR_MAGIC_AT:] == TAR_MAGIC or zipfile.is_zipfile(file)
    except OSError:
        return False


def _unpacked(archive: Path) -> Path:
    """The archive's content in the cache, keyed by its SHA-256; unpacked once."""
    into = cache_dir() / "unpacked" / sha256_file(archive)[:40]
    if not into.is_dir():
        sweep(into.parent, older_than=DAY)
        try:
            unpack(archive, into)
        except UsageError:
            if not into.is_dir():  # else another process was faster
                raise
    return into


def _inner(root: Path, folders: Folders) -> Path:
    """Down through folders that hold one folder and nothing else, as many archives are packed."""
    while True:
        entries = [e for e in folders.entries(root) if not e.name.startswith((".", "__MACOSX"))]
        if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
            return root
        below = [Path(e) for e in folders.entries(entries[0].path) if not e.name.startswith(".")]
        if not any(path.is_dir() or path.suffix.lower() in TABLE_SUFFIXES for path in below):
            return root  # a folder of nothing but pictures is one class, which `scan` explains
        root = Path(entries[0].path)
