"""A user's own pictures: files, folders, globs, and '-' for names on standard input, decoded side by side.

A file that cannot be read comes with the reason and does not stop the rest.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from neocog.errors import UnreadableError, UsageError
from neocog.pictures.decode import PICTURE_SUFFIXES, Pixels, decode
from neocog.pictures.names import natural

AT_ONCE = 64
"""Pictures in memory at a time, unless the caller says otherwise."""

STDIN = "-"
"""Stands for names on standard input, one a line. A file of this name is given as ./-"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One file: its `pixels`, uint8 (H, W, 3) or what `prepare` made of them; or None and the `error`, which
    says why without naming the file again.
    """

    path: Path
    pixels: Pixels | None = field(default=None, repr=False, compare=False)
    error: str = ""


def named(images: Iterable[str | Path]) -> tuple[Path, ...]:
    """The files that `images` name, in their order: files as they are, whether they exist or not; the
    pictures of folders and what globs match in natural order; for '-' what standard input names likewise.

    `UnreadableError` where a folder holds no pictures or nothing matches a glob; `UsageError` where no file
    is named at all.
    """
    files = tuple(file for image in _listed(images) for file in _files(image))
    if not files:
        raise UsageError("no pictures were given; name files, folders or globs, or - for names on stdin")
    return files


def read(
    files: Sequence[Path],
    prepare: Callable[[Pixels], Pixels] = lambda pixels: pixels,
    *,
    most: int = AT_ONCE,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Reading, ...]]:
    """A `Reading` of each of `files`, in order, at most `most` at a time: each decoded, then through
    `prepare`, several side by side. `progress` hears how many files are done with, of how many: whenever the
    caller asks for more.
    """

    def one(path: Path) -> Reading:
        try:
            return Reading(path, prepare(decode(path)))
        except UnreadableError as error:
            return Reading(path, error=str(error).removeprefix(f"{path}: "))

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), most):
            yield tuple(pool.map(one, files[start : start + most]))
            if progress is not None:
                progress(min(start + most, len(files)), len(files))


def _listed(images: Iterable[str | Path]) -> Iterator[str | Path]:
    for image in images:
        if image == STDIN:
            yield from (line for line in sys.stdin.read().splitlines() if line)
        else:
            yield image


def _files(image: str | Path) -> Sequence[Path]:
    path = Path(image)
    if path.is_dir():
        found = list(_pictures(path))
        if not found:
            raise UnreadableError(
                f"{path}: the folder holds no pictures ({' '.join(sorted(PICTURE_SUFFIXES))})"
            )
    elif not path.exists() and glob.has_magic(str(image)):
        found = [Path(p) for p in glob.glob(str(image), recursive=True)]
        if not found:
            raise UnreadableError(f"{image}: no file matches this pattern")
    else:
        return (path,)
    return sorted(found, key=lambda p: natural(str(p)))


def _pictures(root: Path) -> Iterator[Path]:
    """Everything below `root` that is called like a picture, but for what is hidden; each folder is listed
    once, which `Path.rglob` does twice.
    """
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in (*folders, *files):
            if not _hidden(name) and PurePath(name).suffix.lower() in PICTURE_SUFFIXES:
                yield Path(folder, name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
