"""Decoded pictures on disk: a folder's pictures are decoded and placed once, in parallel, then read back.

An entry is two files in the cache, the pixels and an index. Its key hashes the root, every file's name, size
and times, and what `Preprocess.place` depends on. Every picture carries a SHA-256: a damaged or short entry
is noticed and made anew. Where the cache cannot be written, the pictures are kept in memory. Which pictures
are copies of others is found while they pass by, and kept too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neocog.data.folders.copies import Families, groups
from neocog.data.folders.listing import Listing
from neocog.errors import UnreadableError
from neocog.files import DAY, cache_dir, read_json, replacing, sweep, write_text
from neocog.pictures.decode import MAX_FILE_BYTES, Pixels, Preprocess, see
from neocog.pictures.header import Flood, Wrong, require_lean
from neocog.pictures.seen import DECODING, Odds, remarks
from neocog.pictures.walk import Skipped

FORMAT = "neocog pictures 2"
PLACING = frozenset({"size", "channels", "fit", "crop_share", "interpolation", "fill"})
"""The fields of Preprocess that `place` depends on."""
STRICTLY_READ = frozenset({".jpg", ".jpeg", ".jfif", ".mpo", ".tif", ".tiff"})
"""Endings of the kinds whose damage was not always seen."""
WITH_FRAMES, WITH_CHECKSUMS = ".gif", ".png"


Progress = Callable[[int, int], None]
"""Is told how many pictures of how many were read."""
PRINT = Preprocess(size=(16, 16), channels=3, fit="stretch")
"""How the print of a picture is made: of the whole of it, whatever size is asked for."""
PRINT_SHAPE = (3, 16, 16)
GRID = 32
"""Of so many rows and columns the colours of a picture are counted, at most."""


def nothing(done: int, total: int) -> None:
    """The progress that nobody sees."""


class Row(NamedTuple):
    """A decoded picture: its number among the listing's items, SHA-256 of the file and of the placed pixels,
    the height and width that it had, and how many colours a grid of 32x32 of its pixels has.
    """

    item: int
    content: str
    pixels: str
    height: int
    width: int
    colours: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """All pictures of a listing that could be decoded, in its order; `shape` is (C, h, w).

    The pixels are in memory, or in the file at `path`. `families` are the rows that are copies of each other,
    as `copies.groups` has them. `remarks` say what of the pictures is hard to see as they were decoded.
    """

    rows: tuple[Row, ...]
    shape: tuple[int, int, int]
    skipped: tuple[Skipped, ...]
    families: Families
    path: Path | None = None
    memory: Tensor | None = None
    remarks: tuple[str, ...] = ()
    checked: bool = True
    """Whether the checksums of PNG files were looked at, which they were not always."""

    def take(self, numbers: Tensor) -> Tensor:
        """The pictures numbered by the ascending int64 `numbers`, uint8 (n, C, h, w).

        A run without gaps is mapped from the file (or a view); others are read into memory of their own,
        once.
        """
        count = len(numbers)
        first = int(numbers[0]) if count else 0
        unbroken = count > 0 and int(numbers[-1]) - first + 1 == count
        if self.memory is not None:
            return self.memory[first : first + count] if unbroken else self.memory[numbers]
        assert self.path is not None  # one of the two is always set
        if unbroken:
            offset = first * int(np.prod(self.shape))
            return torch.from_numpy(np.memmap(self.path, np.uint8, "c", offset, (count, *self.shape)))
        x = torch.empty(count, *self.shape, dtype=torch.uint8)
        with self.path.open("rb") as file:
            for row, number in zip(x, numbers.tolist()):
                file.seek(number * row.numel())
                file.readinto(row.numpy().data.cast("B"))
        return x


def decoded(listing: Listing, preprocess: Preprocess, *, progress: Progress = nothing) -> Decoded:
    """The pictures of `listing`, placed by `preprocess` (whose size is set), from the cache where it has
    them.

    Files that cannot be decoded are skipped with the decoder's reason. `progress` hears of every picture
    that is decoded.
    """
    path = cache_dir() / "pictures" / f"{_key(listing, preprocess)}.u8"
    kept = _opened(path)
    if kept is not None and (kept.checked or _checked_now(path, listing, kept)):
        return kept
    try:
        _write(path, listing, preprocess, progress)
    except (OSError, UnreadableError) as error:  # no room or no permission: memory will do
        return _in_memory(listing, preprocess, progress, (f"decoded pictures are not kept: {_why(error)}",))
    made = _opened(path)
    return made if made is not None else _in_memory(listing, preprocess, progress)


def _why(error: OSError | UnreadableError) -> str:
    said = str(error).partition(";")[0]
    return f"{said}; NEOCOG_HOME names another place for them"


def _key(listing: Listing, preprocess: Preprocess) -> str:
    digest = hashlib.sha256(
        f"{FORMAT}\0{os.path.realpath(listing.root)}\0".encode("utf-8", "surrogateescape")
    )
    digest.update(preprocess.model_dump_json(include=set(PLACING)).encode())
    added = preprocess.model_dump_json(include=set(DECODING), exclude_defaults=True)
    if added != "{}":
        digest.update(added.encode())
    if any(PurePosixPath(item.path).suffix.lower() in STRICTLY_READ for item in listing.items):
        digest.update(b"\0read strictly")  # before that a damaged one could come in half grey
    if any(item.path.lower().endswith(WITH_FRAMES) for item in listing.items):
        digest.update(b"\0around frames")  # what is there was not always the ground
    for item in listing.items:
        digest.update(f"\0{item.path}\0{item.stamp}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:40]


def _write(path: Path, listing: Listing, preprocess: Preprocess, progress: Progress) -> None:
    """The files of an entry, the index last: without it there is no entry."""
    sweep(path.parent, older_than=DAY)
    rows, skipped, odds = [], [], []
    shape: tuple[int, ...] = ()
    prints = bytearray()
    with replacing(path) as temporary, temporary.open("wb") as file:
        for made in _pictures(listing, preprocess, progress):
            if isinstance(made, Skipped):
                skipped.append(made)
            else:
                shape = made.picture.shape
                file.write(made.picture.data)
                prints += made.small.data
                rows.append(made.row)
                odds.append(made.odds)
    body = {
        "shape": shape,
        "rows": rows,
        "skipped": [(s.path, s.reason) for s in skipped],
        "families": _families(rows, prints),
        "remarks": remarks(odds, preprocess),
        "checked": True,
    }
    write_text(_index(path), json.dumps({"format": FORMAT, "sha256": _check(body), "body": body}))


def _opened(path: Path) -> Decoded | None:
    """The entry at `path`, or None where it is missing, short or damaged in any way."""
    try:
        index = read_json(_index(path))
        body = index["body"]
        if index["format"] != FORMAT or index["sha256"] != _check(body) or len(body["shape"]) != 3:
            return None
        rows = tuple(Row(*row) for row in body["rows"])
        shape = tuple(int(n) for n in body["shape"])
        if not _sound(path, rows, int(np.prod(shape))):
            return None
        families = tuple(tuple(family) for family in body["families"])
    except (UnreadableError, OSError, KeyError, TypeError, ValueError):
        return None
    skipped = tuple(Skipped(*s) for s in body["skipped"])
    said = tuple(body.get("remarks", ()))
    checked = bool(body.get("checked", False))
    return Decoded(rows, shape, skipped, families, path, None, said, checked)  # type: ignore[arg-type]


def _checked_now(path: Path, listing: Listing, kept: Decoded) -> bool:
    """Whether the PNG files of an entry of before agree with their checksums, which is then noted in it."""
    try:
        for row in kept.rows:
            name = listing.items[row.item].path
            if name.lower().endswith(WITH_CHECKSUMS):
                require_lean("PNG", _content(os.path.join(listing.root, name)))
    except (OSError, UnreadableError, Flood, Wrong):
        return False
    with contextlib.suppress(OSError, UnreadableError):
        body = {**read_json(_index(path))["body"], "checked": True}
        write_text(_index(path), json.dumps({"format": FORMAT, "sha256": _check(body), "body": body}))
    return True


def _sound(path: Path, rows: tuple[Row, ...], size: int) -> bool:
    """Whether the file holds exactly the pictures of the index; read with one picture's memory."""
    buffer = bytearray(size)
    with path.open("rb") as file:
        for row in rows:
            if file.readinto(buffer) != size or hashlib.sha256(buffer).hexdigest() != row.pixels:
                return False
        return not file.read(1)


def _in_memory(
    listing: Listing, preprocess: Preprocess, progress: Progress, why: tuple[str, ...] = ()
) -> Decoded:
    rows: list[Row] = []
    skipped: list[Skipped] = []
    odds: list[Odds] = []
    prints = bytearray()
    x = torch.empty(0, 3, 1, 1, dtype=torch.uint8)
    for made in _pictures(listing, preprocess, progress):
        if isinstance(made, Skipped):
            skipped.append(made)
            continue
        if not rows:
            x = torch.empty(len(listing.items), *made.picture.shape, dtype=torch.uint8)
        x[len(rows)] = torch.from_numpy(made.picture)
        prints += made.small.data
        rows.append(made.row)
        odds.append(made.odds)
    shape: Any = tuple(x.shape[1:])
    families, said = _families(rows, prints), (*remarks(odds, preprocess), *why)
    return Decoded(tuple(rows), shape, tuple(skipped), families, memory=x[: len(rows)], remarks=said)


def _families(rows: list[Row], prints: bytearray) -> Families:
    small = np.frombuffer(prints, np.uint8).reshape(len(rows), *PRINT_SHAPE)
    return groups(small, [row.pixels for row in rows])


class _Made(NamedTuple):
    row: Row
    picture: Pixels
    small: Pixels
    odds: Odds


def _pictures(listing: Listing, preprocess: Preprocess, progress: Progress) -> Iterator[_Made | Skipped]:
    """Every item decoded and placed, or skipped, in order; as many threads as cores, a few pictures ahead."""
    workers = min(16, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    ahead: deque[Future[_Made | Skipped]] = deque()
    total = len(listing.items)
    try:
        for number, item in enumerate(listing.items):
            ahead.append(pool.submit(_make, listing.root, number, item.path, preprocess))
            if len(ahead) >= 4 * workers:
                yield ahead.popleft().result()
                progress(number + 1 - len(ahead), total)
        while ahead:
            yield ahead.popleft().result()
            progress(total - len(ahead), total)
    finally:
        pool.shutdown(cancel_futures=True)


def _make(root: Path, number: int, path: str, preprocess: Preprocess) -> _Made | Skipped:
    try:
        data = _content(os.path.join(root, path))
        seen = see(data, wanted=preprocess)
        pixels = seen.pixels
        placed, small = preprocess.place(pixels), PRINT.place(pixels)
    except OSError as error:
        return Skipped(path, f"cannot be read: {error.strerror or error}")
    except UnreadableError as error:
        return Skipped(path, str(error).removeprefix("<bytes>: "))
    digests = hashlib.sha256(data).hexdigest(), hashlib.sha256(placed.data).hexdigest()
    height, width = int(pixels.shape[0]), int(pixels.shape[1])
    return _Made(Row(number, *digests, height, width, _colours(pixels)), placed, small, seen.odds())


def _colours(pixels: Pixels) -> int:
    height, width, _ = pixels.shape
    grid = pixels[:: -(-height // GRID), :: -(-width // GRID)].astype(np.int32)
    return len(np.unique(grid @ np.array([1, 1 << 8, 1 << 16])))


def _content(path: str) -> bytes:
    """A regular file's bytes. What has become a pipe since the scan is not waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a regular file any more")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableError(f"has more than {MAX_FILE_BYTES >> 20} MiB; save it smaller")
        return file.read(MAX_FILE_BYTES + 1)


def _index(path: Path) -> Path:
    return path.with_suffix(".json")


def _check(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
