"""IDX files, the format of MNIST and Fashion-MNIST: a big-endian header, then bytes; plain or gzip.

Header: two zero bytes, the type (8: unsigned byte), the number of dimensions, then one 32-bit size per
dimension (http://yann.lecun.com/exdb/mnist, 'FILE FORMATS'). Sizes are checked with Python's integers before
memory is taken.
"""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import torch
from torch import Tensor

from neocog.data.dataset import Split
from neocog.errors import UnreadableError, escaped

BYTES_AT_MOST = 1 << 31
"""What one file may unpack to; the largest set of this family, EMNIST by class, has 0.55 GB."""
DEFLATE_AT_MOST = 1032
"""No deflate stream unpacks to more than 1032 times its size (zlib technical notes)."""


def read_split(images: Path, labels: Path, *, classes: int) -> Split:
    """Pictures uint8 (N, 1, H, W) and labels int64 (N,) of a pair of IDX files.

    `UnreadableError`: not IDX, shorter or longer than its header says, a label outside 0..classes-1, or
    another number of labels than pictures.
    """
    y = read(labels, dimensions=1)
    x = read(images, dimensions=3)
    if len(x) != len(y):
        raise UnreadableError(
            f"{_shown(images)} holds {len(x)} pictures, {_shown(labels)} {len(y)} labels; fetch both anew"
        )
    check_labels(y, labels, classes=classes)
    return Split(x.unsqueeze(1).detach(), y.long())


def check_labels(y: Tensor, path: Path, *, classes: int) -> None:
    """`UnreadableError` naming the first label of `y` (uint8) that is not below `classes`."""
    wrong = (y.long() >= classes).nonzero()  # 256 itself is 0 as a byte
    if len(wrong):
        row = int(wrong[0])
        raise UnreadableError(
            f"{_shown(path)}: label {int(y[row])} at row {row} (0-based); accepted: 0 to {classes - 1}"
        )


def read(path: Path, *, dimensions: int) -> Tensor:
    """The uint8 tensor in an IDX file of unsigned bytes with so many `dimensions`."""
    with _opened(path) as (file, size, packed):
        head = _exactly(file, 4 + 4 * dimensions, path)
        if head[:4] != bytes((0, 0, 8, dimensions)):
            raise UnreadableError(
                f"{_shown(path)} starts with {head[:4].hex()}, not with 0000080{dimensions}: "
                f"not an IDX file of bytes in {dimensions} dimension{'s' * (dimensions > 1)}; fetch it anew"
            )
        sizes = [int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4)]
        count = math.prod(sizes)
        _check_count(path, sizes, count, size - len(head) if not packed else None, size * DEFLATE_AT_MOST)
        values = torch.empty(sizes, dtype=torch.uint8)
        _fill(file, values.numpy().data.cast("B"), path)
        if file.read(1):
            raise UnreadableError(
                f"{_shown(path)} goes on after the {count} bytes that its header names; fetch it anew"
            )
        return values


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int, bool]]:
    """The file, unpacked on the fly where it is gzip; its size on disk; whether it is packed."""
    try:
        with path.open("rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield cast(BinaryIO, unpacked), size, True
            else:
                yield raw, size, False
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableError(f"{_shown(path)} is a damaged gzip file ({error}); fetch it anew") from error
    except OSError as error:
        raise UnreadableError(f"cannot read {_shown(path)}: {error.strerror or error}") from error


def _check_count(path: Path, sizes: list[int], count: int, present: int | None, at_most: int) -> None:
    """Refuse a header that cannot be true, before memory is taken. `present`: bytes after the header, where
    known.
    """
    said = "x".join(map(str, sizes))
    if count == 0:
        raise UnreadableError(f"{_shown(path)} says that it holds {said}: nothing; fetch it anew")
    if count > BYTES_AT_MOST:
        raise UnreadableError(
            f"{_shown(path)} says that it holds {said} bytes; accepted: up to {BYTES_AT_MOST}"
        )
    if present is not None and present != count:
        raise UnreadableError(
            f"{_shown(path)} says that it holds {said} = {count} bytes and holds {present}; fetch it anew"
        )
    if count > at_most:
        raise UnreadableError(
            f"{_shown(path)} says that it holds {said} = {count} bytes and is too short; fetch it anew"
        )


def _exactly(file: BinaryIO, count: int, path: Path) -> bytes:
    head = bytearray(count)
    _fill(file, memoryview(head), path)
    return bytes(head)


def _fill(file: BinaryIO, view: memoryview, path: Path) -> None:
    """Read straight into `view` until it is full."""
    done = 0
    while done < len(view):
        got = file.readinto(view[done : done + (1 << 20)])  # type: ignore[attr-defined]
        if not got:
            raise UnreadableError(f"{_shown(path)} ends {len(view) - done} bytes too early; fetch it anew")
        done += got


def _shown(path: Path) -> str:
    return escaped(str(path)).replace("\n", "\\n")
