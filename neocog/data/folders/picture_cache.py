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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neocog.data.folders.copies import Families, groups
from neocog.data.folders.listing import Listing
from neocog.data.folders.placing import PRINT_SHAPE, PlacedPicture, Row, Sights, content, in_order, placed
from neocog.errors import UnreadableError
from neocog.files import DAY, cache_dir, read_json, replacing, sweep, write_text
from neocog.pictures.decode import Preprocess
from neocog.pictures.header import Flood, Wrong, require_lean
from neocog.pictures.seen import DECODING, Odds, remarks
from neocog.pictures.walk import Skipped

FORMAT = "neocog pictures 2"
PLACING = frozenset({"size", "channels", "fit", "crop_share", "interpolation", "fill"})
"""The fields of Preprocess that `place` depends on."""
TIFF = frozenset({".tif", ".tiff"})
STRICTLY_READ = frozenset({".jpg", ".jpeg", ".jfif", ".mpo", *TIFF})
"""Endings of the kinds whose damage was not always seen."""
WITH_FRAMES, WITH_CHECKSUMS = ".gif", ".png"

Progress = Callable[[int, int], None]
"""Is told how many pictures of how many were read."""


def nothing(done: int, total: int) -> None:
    """The progress that nobody sees."""


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


def decoded(
    listing: Listing, preprocess: Preprocess, *, progress: Progress = nothing, sights: Sights | None = None
) -> Decoded:
    """The pictures of `listing`, placed by `preprocess` (whose size is set), from the cache where it has
    them.

    Files that cannot be decoded are skipped with the decoder's reason. `progress` hears of every picture
    that is decoded; those in `sights` are not decoded again.
    """
    sights = sights or Sights()
    path = entry(listing, preprocess, ".u8")
    kept = _opened(path)
    if kept is not None and (kept.checked or _checked_now(path, listing, kept)):
        return kept
    try:
        _write(path, listing, preprocess, progress, sights)
    except (OSError, UnreadableError) as error:  # no room or no permission: memory will do
        why = f"decoded pictures are not kept: {_why(error)}"
        return _in_memory(listing, preprocess, progress, sights, (why,))
    made = _opened(path)
    return made if made is not None else _in_memory(listing, preprocess, progress, sights)


def _why(error: OSError | UnreadableError) -> str:
    said = str(error).partition(";")[0]
    return f"{said}; NEOCOG_HOME names another place for them"


def entry(listing: Listing, preprocess: Preprocess, ending: str) -> Path:
    """Where in the cache what is known of these pictures is kept, as `preprocess` decodes and places them."""
    return cache_dir() / "pictures" / f"{_key(listing, preprocess)}{ending}"


def write_index(path: Path, body: Any) -> None:
    """Keep what JSON can hold, so that damage to it is noticed."""
    write_text(path, json.dumps({"format": FORMAT, "sha256": _check(body), "body": body}))


def read_index(path: Path) -> Any:
    """What was kept at `path`; None where it is missing, short or damaged in any way."""
    try:
        index = read_json(path)
        body = index["body"]
        return body if index["format"] == FORMAT and index["sha256"] == _check(body) else None
    except (UnreadableError, OSError, KeyError, TypeError, ValueError):
        return None


def _key(listing: Listing, preprocess: Preprocess) -> str:
    digest = hashlib.sha256(
        f"{FORMAT}\0{os.path.realpath(listing.root)}\0".encode("utf-8", "surrogateescape")
    )
    digest.update(preprocess.model_dump_json(include=set(PLACING)).encode())
    added = preprocess.model_dump_json(include=set(DECODING), exclude_defaults=True)
    if added != "{}":
        digest.update(added.encode())
    endings = {PurePosixPath(item.path).suffix.lower() for item in listing.items}
    if endings & STRICTLY_READ:
        digest.update(b"\0read strictly")  # before that a damaged one could come in half grey
    if endings & TIFF:
        digest.update(b"\0strip by strip")  # holes were not always seen
    if any(item.path.lower().endswith(WITH_FRAMES) for item in listing.items):
        digest.update(b"\0around frames")  # what is there was not always the ground
    for item in listing.items:
        digest.update(f"\0{item.path}\0{item.stamp}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:40]


def _write(path: Path, listing: Listing, preprocess: Preprocess, progress: Progress, sights: Sights) -> None:
    """The files of an entry, the index last: without it there is no entry."""
    sweep(path.parent, older_than=DAY)
    rows, skipped, odds = [], [], []
    shape: tuple[int, ...] = ()
    prints = bytearray()
    with replacing(path) as temporary, temporary.open("wb") as file:
        for made in _pictures(listing, preprocess, progress, sights):
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
    write_index(_index(path), body)


def _opened(path: Path) -> Decoded | None:
    """The entry at `path`, or None where it is missing, short or damaged in any way."""
    body = read_index(_index(path))
    try:
        if body is None or len(body["shape"]) != 3:
            return None
        rows = tuple(Row(*row) for row in body["rows"])
        shape = tuple(int(n) for n in body["shape"])
        if not _sound(path, rows, int(np.prod(shape))):
            return None
        families = tuple(tuple(family) for family in body["families"])
    except (OSError, KeyError, TypeError, ValueError):
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
                require_lean("PNG", content(os.path.join(listing.root, name)))
    except (OSError, UnreadableError, Flood, Wrong):
        return False
    with contextlib.suppress(OSError, UnreadableError):
        write_index(_index(path), {**read_index(_index(path)), "checked": True})
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
    listing: Listing, preprocess: Preprocess, progress: Progress, sights: Sights, why: tuple[str, ...] = ()
) -> Decoded:
    rows: list[Row] = []
    skipped: list[Skipped] = []
    odds: list[Odds] = []
    prints = bytearray()
    x = torch.empty(0, 3, 1, 1, dtype=torch.uint8)
    for made in _pictures(listing, preprocess, progress, sights):
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


def _pictures(
    listing: Listing, preprocess: Preprocess, progress: Progress, sights: Sights
) -> Iterator[PlacedPicture | Skipped]:
    """Every item decoded and placed, or skipped, in order."""

    def made(number: int) -> PlacedPicture | Skipped:
        return placed(listing.root, number, listing.items[number].path, preprocess, sights)

    total = len(listing.items)
    for number, one in enumerate(in_order(made, range(total)), 1):
        yield one
        progress(number, total)


def _index(path: Path) -> Path:
    return path.with_suffix(".json")


def _check(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
