"""A user's own pictures: files, folders, globs, and '-' for names on standard input, decoded side by side.

What cannot be found or read comes with the reason and does not stop the rest.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from neocog.errors import UnreadableError, UsageError
from neocog.files import require_named
from neocog.pictures.decode import AS_IT_IS, PICTURE_SUFFIXES, Pixels, Preprocess, see
from neocog.pictures.names import natural
from neocog.pictures.walk import Skipped, left_out, walk

AT_ONCE = 64
"""Pictures in memory at a time, unless the caller says otherwise."""

STDIN = "-"
"""Stands for names on standard input, one a line. A file of this name is given as ./-"""


@dataclass(frozen=True, slots=True)
class Reading:
    """One file: its `pixels`, uint8 (H, W, 3) or what `prepare` made of them; or None and the `error`, which
    says why without naming the file again. `note` says what of it is hard to see as it was decoded.
    """

    path: Path
    pixels: Pixels | None = field(default=None, repr=False, compare=False)
    error: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """The `files` that were named, in their order; `refused` says of some of them why they are none.
    `remarks` say what was left out of folders.
    """

    files: tuple[Path, ...]
    refused: Mapping[Path, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def read(
        self,
        prepare: Callable[[Pixels], Pixels] = lambda pixels: pixels,
        *,
        most: int = AT_ONCE,
        progress: Callable[[int, int], None] | None = None,
        wanted: Preprocess = AS_IT_IS,
    ) -> Iterator[tuple[Reading, ...]]:
        """As `read`, of these files."""
        return read(self.files, prepare, most=most, progress=progress, refused=self.refused, wanted=wanted)


def named(images: Iterable[str | Path]) -> tuple[Path, ...]:
    """The files alone of what `find` finds."""
    return find(images).files


def find(images: Iterable[str | Path]) -> Named:
    """The files that `images` name, in their order: files as they are, whether they exist or not; the
    pictures of folders and what globs match in natural order; for '-' what standard input names likewise.

    A folder without pictures and a glob without a match are refused, each for itself. `UnreadableError` where
    every one of `images` is; `UsageError` where one is empty, or no file is named at all.
    """
    files: list[Path] = []
    refused: dict[Path, str] = {}
    remarks: list[str] = []
    empty: list[UnreadableError] = []
    for image in _listed(images):
        try:
            meant = _files(image, remarks)
        except UnreadableError as error:
            empty.append(error)
            refused[Path(image)] = str(error).removeprefix(f"{image}: ")
            meant = (Path(image),)
        if meant == (Path(image),) and (why := _why_not(image)):
            refused.setdefault(Path(image), why)
        files += meant
    if empty and len(empty) == len(files):
        raise empty[0]
    if not files:
        raise UsageError("no pictures were given; name files, folders or globs, or - for names on stdin")
    return Named(tuple(files), refused, tuple(remarks))


def read(
    files: Sequence[Path],
    prepare: Callable[[Pixels], Pixels] = lambda pixels: pixels,
    *,
    most: int = AT_ONCE,
    progress: Callable[[int, int], None] | None = None,
    refused: Mapping[Path, str] = MappingProxyType({}),
    wanted: Preprocess = AS_IT_IS,
) -> Iterator[tuple[Reading, ...]]:
    """A `Reading` of each of `files`, in order, at most `most` at a time: each decoded as `wanted`, then
    through `prepare`, several
    side by side; those that are `refused` only get the reason. `progress` hears how many
    files are done with, of how many: whenever the caller asks for more.
    """

    def one(path: Path) -> Reading:
        if path in refused:
            return Reading(path, error=refused[path])
        try:
            seen = see(path, wanted=wanted)
            return Reading(path, prepare(seen.pixels), note=seen.note(wanted))
        except UnreadableError as error:
            return Reading(path, error=str(error).removeprefix(f"{path}: "))

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(files), most):
            yield tuple(pool.map(one, files[start : start + most]))
            if progress is not None:
                progress(min(start + most, len(files)), len(files))


def _listed(images: Iterable[str | Path]) -> Iterator[str | Path]:
    for image in images:
        require_named(image)
        if image == STDIN:
            yield from filter(str.strip, _lines())
        else:
            yield image


def _lines() -> Iterator[str]:
    """The lines of standard input, whatever bytes they hold; the mark that Windows begins a file with is no
    part of the first.
    """
    raw = getattr(sys.stdin, "buffer", None)
    text = os.fsdecode(raw.read()) if raw is not None else sys.stdin.read()
    for line in text.removeprefix("\ufeff").removeprefix(os.fsdecode(b"\xef\xbb\xbf")).split("\n"):
        yield line.removesuffix("\r")


def _files(image: str | Path, remarks: list[str]) -> Sequence[Path]:
    path = _there(image)
    if path is not None and path.is_dir():
        walked = walk(path)
        remarks += (f"{path}: {line}" for line in left_out(walked.skipped, walked.found))
        if not walked.files:
            raise UnreadableError(
                f"{path}: the folder holds no pictures ({' '.join(sorted(PICTURE_SUFFIXES))})"
                + "".join(f"; {line}" for line in left_out(walked.skipped, walked.found))
            )
        return [path / file for file in sorted(walked.files, key=natural)]
    if path is not None:
        return (path,)
    if glob.has_magic(str(image)) and _ADDRESS.match(str(image)) is None:
        return _matching(str(image), remarks)
    return (Path(image),)


def _there(image: str | Path) -> Path | None:
    """The file or folder that `image` names: as it is written, without quotes around it, in the other
    Unicode form, or as a file: address; None where there is none.
    """
    text = str(image)
    forms = [text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD") if not text.isascii())]
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
        forms.append(text[1:-1])
    if text.casefold().startswith(("file:///", "file://localhost/")):
        forms.append(unquote(urlsplit(text).path))
    return next((Path(form) for form in forms if os.path.lexists(form)), None)


def _matching(pattern: str, remarks: list[str]) -> Sequence[Path]:
    """The files that match, in natural order. Of the folders that the pattern begins with, one that is there
    as it is written is meant so, brackets and all.
    """
    parts, known = Path(pattern).parts, 0
    while known < len(parts) - 1 and os.path.isdir(os.path.join(*parts[: known + 1])):
        known += 1
    start = glob.escape(os.path.join(*parts[:known])) if known else ""
    found = [Path(p) for p in glob.glob(os.path.join(start, *parts[known:]), recursive=True)]
    files = sorted((p for p in found if not p.is_dir()), key=lambda p: natural(str(p)))
    if not files:
        raise UnreadableError(f"{pattern}: no file matches this pattern")
    folders = [Skipped(str(p), "a folder, which is to be named itself") for p in found if p.is_dir()]
    if "**" not in pattern:
        remarks += (f"{pattern}: {line}" for line in left_out(folders, len(found)))
    return files


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def _why_not(image: str | Path) -> str:
    """What to say of a name under which there is no file, where more is known than that."""
    if os.path.lexists(image):
        return ""
    if _ADDRESS.match(str(image)):
        return f"is an address, not a file; download it, and name the file (given: {image})"
    path = Path(image)
    try:
        beside = sorted(entry.name for entry in os.scandir(path.parent))
    except (OSError, ValueError):
        return ""
    near = [name for name in beside if name.casefold() == path.name.casefold()]
    return f"does not exist; there is {near[0]}, in other letters" if near else ""
