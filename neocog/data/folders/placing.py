"""Placing: a picture file of a listing read, decoded and brought to the size that is asked for; many at once,
in order.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from neocog.errors import UnreadableError
from neocog.pictures.decode import MAX_FILE_BYTES, Pixels, Preprocess, see
from neocog.pictures.pixels import as_image
from neocog.pictures.seen import Odds, Seen
from neocog.pictures.walk import Skipped

PRINT = Preprocess(size=(16, 16), channels=3, fit="stretch")
"""How the print of a picture is made: of the whole of it, whatever size is asked for."""
PRINT_SHAPE = (3, 16, 16)
GRID = 32
"""Of so many rows and columns the colours of a picture are counted, at most."""
KEPT_BYTES = 64 << 20
"""Of decoded pictures that are kept till they are placed."""
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


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


class PlacedPicture(NamedTuple):
    """A picture as the network gets it, (C, h, w), with its print and what is odd of it."""

    row: Row
    picture: Pixels
    small: Pixels
    odds: Odds


class Sight(NamedTuple):
    """The SHA-256 of a file, and the picture in it."""

    content: str
    seen: Seen


@dataclass(slots=True)
class Sights:
    """Pictures that were decoded by default before it was known how all are to be, by their path: as many as
    take KEPT_BYTES, the rest is forgotten. Threads may share it.
    """

    _kept: dict[str, Sight] = field(default_factory=dict, repr=False)
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def keep(self, path: str, sight: Sight) -> None:
        """Keep the picture where there is room."""
        with self._lock:
            if self._bytes + sight.seen.pixels.nbytes <= KEPT_BYTES:
                self._bytes += sight.seen.pixels.nbytes
                self._kept[path] = sight

    def take(self, path: str, wanted: Preprocess) -> Sight | None:
        """The picture, which is kept no longer; None where there is none, or another comes of decoding it as
        `wanted`.
        """
        sight = self._kept.pop(path, None)
        return sight if sight is not None and sight.seen.serves(wanted) else None

    def clear(self) -> None:
        self._kept.clear()


def sighted(root: Path, path: str, wanted: Preprocess) -> Sight:
    """The picture file at `path` below `root`, decoded; `OSError`, or `UnreadableError` without its name."""
    data = content(os.path.join(root, path))
    return Sight(hashlib.sha256(data).hexdigest(), see(data, wanted=wanted))


def placed(
    root: Path, number: int, path: str, preprocess: Preprocess, sights: Sights
) -> PlacedPicture | Skipped:
    """Item `number`, placed, from `sights` where it is there; or the decoder's reason why it cannot be."""
    try:
        sight = sights.take(path, preprocess) or sighted(root, path, preprocess)
        pixels = sight.seen.pixels
        picture = as_image(pixels)
        found, small = preprocess.place(picture), PRINT.place(picture)
    except OSError as error:
        return Skipped(path, f"cannot be read: {error.strerror or error}")
    except UnreadableError as error:
        return Skipped(path, str(error).removeprefix("<bytes>: "))
    height, width = int(pixels.shape[0]), int(pixels.shape[1])
    digest = hashlib.sha256(found.data).hexdigest()
    row = Row(number, sight.content, digest, height, width, _colours(pixels))
    return PlacedPicture(row, found, small, sight.seen.odds())


def in_order(work: Callable[[_Given], _Made], given: Iterable[_Given]) -> Iterator[_Made]:
    """What `work` makes of everything given, in order; as many threads as cores, a few ahead."""
    workers = min(16, os.cpu_count() or 1)
    pool = ThreadPoolExecutor(workers)
    ahead: deque[Future[_Made]] = deque()
    try:
        for one in given:
            ahead.append(pool.submit(work, one))
            if len(ahead) >= 4 * workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def content(path: str) -> bytes:
    """A regular file's bytes. What has become a pipe since the scan is not waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a regular file any more")
        if status.st_size > MAX_FILE_BYTES:
            raise UnreadableError(f"has more than {MAX_FILE_BYTES >> 20} MiB; save it smaller")
        return file.read(MAX_FILE_BYTES + 1)


def _colours(pixels: Pixels) -> int:
    height, width, _ = pixels.shape
    grid = pixels[:: -(-height // GRID), :: -(-width // GRID)].astype(np.int32)
    return len(np.unique(grid @ np.array([1, 1 << 8, 1 << 16])))
