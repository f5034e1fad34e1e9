"""CIFAR-10 in its official binary layout, from the folder `cifar-10-batches-bin` or from the archive.

Krizhevsky, 'Learning multiple layers of features from tiny images', 2009,
https://www.cs.toronto.edu/~kriz/cifar.html: each record is a label byte and 3 x 32 x 32 bytes, red, green,
blue, row by row. (`cifar_pickle` reads the version made for Python.)
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from neocog.data.dataset import Split
from neocog.data.sources.idx import check_labels
from neocog.errors import UnreadableError

FOLDER, ARCHIVE = "cifar-10-batches-bin", "cifar-10-binary.tar.gz"
TRAIN = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST = ("test_batch.bin",)
RECORD = 1 + 3 * 32 * 32
PER_BATCH = 10_000
ARCHIVE_AT_MOST = 512 << 20
"""Unpacked; the published archive has 176 MiB."""
TAIL_AT_MOST = 1 << 20
"""Bytes of padding behind a tar archive's end; tar itself writes 10 KiB at most."""


class _Batches:
    """Memory for the batches of one split, filled in any order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.counts: dict[str, int] = {}
        self.x = torch.empty(len(names) * PER_BATCH, 3, 32, 32, dtype=torch.uint8)
        self.y = torch.empty(len(names) * PER_BATCH, dtype=torch.int64)

    def fill(self, name: str, file: IO[bytes], size: int, path: Path) -> None:
        """Read one batch of `size` bytes into its place."""
        count, rest = divmod(size, RECORD)
        if rest or not 0 < count <= PER_BATCH:
            raise UnreadableError(
                f"{path} has {size} bytes; accepted: 1 to {PER_BATCH} records of {RECORD} bytes; "
                f"fetch CIFAR-10's binary version anew"
            )
        first = self.names.index(name) * PER_BATCH
        for start in range(first, first + count, 1000):
            rows = min(1000, first + count - start)
            data = bytearray(file.read(rows * RECORD))
            if len(data) != rows * RECORD:
                raise UnreadableError(f"{path} ends too early; fetch it anew")
            records = torch.frombuffer(data, dtype=torch.uint8).view(rows, RECORD)
            check_labels(records[:, 0], path, classes=10)
            self.y[start : start + rows] = records[:, 0]
            self.x[start : start + rows] = records[:, 1:].view(rows, 3, 32, 32)
        self.counts[name] = count

    def split(self) -> Split:
        """The batches in the order of their names, without a copy where all are full."""
        if all(self.counts[name] == PER_BATCH for name in self.names):
            return Split(self.x, self.y)
        spans = [slice(k * PER_BATCH, k * PER_BATCH + self.counts[name]) for k, name in enumerate(self.names)]
        return Split(self._joined(self.x, spans), self._joined(self.y, spans))

    @staticmethod
    def _joined(values: Tensor, spans: list[slice]) -> Tensor:
        return torch.cat([values[span] for span in spans])


def read(path: Path) -> dict[str, Split]:
    """`train` and `test` (x uint8 (N, 3, 32, 32), y int64) from the folder or the archive at `path`.

    Every member is read in place; nothing is extracted. `UnreadableError`: a batch missing or cut off, or a
    label above 9.
    """
    splits = {"train": _Batches(TRAIN), "test": _Batches(TEST)}
    place = {name: split for split in splits.values() for name in split.names}
    reader: Callable[[Path, dict[str, _Batches]], None] = _from_folder if path.is_dir() else _from_archive
    try:
        reader(path, place)
    except (EOFError, zlib.error, tarfile.TarError) as error:
        raise UnreadableError(f"{path} is a damaged archive ({error}); fetch it anew") from error
    except OSError as error:
        raise UnreadableError(
            f"cannot read {error.filename or path}: {error.strerror or error}; fetch it anew"
        ) from error
    missing = [name for name, split in place.items() if name not in split.counts]
    if missing:
        raise UnreadableError(f"{path} has no {', '.join(missing)}; it needs {', '.join((*TRAIN, *TEST))}")
    return {name: split.split() for name, split in splits.items()}


def _from_folder(path: Path, place: dict[str, _Batches]) -> None:
    for name, split in place.items():
        file = path / name
        if file.is_file():
            with file.open("rb") as opened:
                split.fill(name, opened, file.stat().st_size, file)


def _from_archive(path: Path, place: dict[str, _Batches]) -> None:
    """The first regular member of each name, in the archive's own order, streamed.

    Read to the end, since gzip's checksum stands there; tarfile's own unpacking does not look at it.
    """
    with gzip.open(path) as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                if member.offset_data + member.size > ARCHIVE_AT_MOST:
                    raise tarfile.ReadError(f"more than {ARCHIVE_AT_MOST >> 20} MiB")
                folder, _, name = member.name.rpartition("/")
                split = place.get(name)
                if split is None or folder.removeprefix("./") != FOLDER:
                    continue
                if member.isreg() and name not in split.counts:
                    file = archive.extractfile(member)
                    assert file is not None  # a regular member has bytes
                    split.fill(name, file, member.size, path / member.name)
        if len(unpacked.read(TAIL_AT_MOST)) == TAIL_AT_MOST:
            raise tarfile.ReadError("more bytes after its end")
