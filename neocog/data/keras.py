"""mnist.npz as Keras keeps it in its cache: a zip of four .npy arrays; headers are checked before memory is
taken.

Nothing is unpickled: an array of objects is refused by its header.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neocog.data.dataset import Split
from neocog.data.idx import check_labels
from neocog.errors import UnreadableError, escaped

ROWS_AT_MOST = 1_000_000


def read(path: Path, *, classes: int) -> dict[str, Split]:
    """`train` and `test` from `x_train, y_train, x_test, y_test`: x uint8 (N, 1, H, W), y int64."""
    try:
        with zipfile.ZipFile(path) as archive:
            splits = {part: _split(archive, part, path, classes) for part in ("train", "test")}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError) as error:
        raise UnreadableError(
            f"{escaped(str(path))} is not a sound mnist.npz ({error}); delete it"
        ) from error
    except OSError as error:
        raise UnreadableError(f"cannot read {escaped(str(path))}: {error.strerror or error}") from error
    return splits


def _split(archive: zipfile.ZipFile, part: str, path: Path, classes: int) -> Split:
    x, y = _array(archive, f"x_{part}.npy", 3), _array(archive, f"y_{part}.npy", 1)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} pictures, {len(y)} labels in {part}")
    check_labels(y, path, classes=classes)
    return Split(x.unsqueeze(1), y.long())


def _array(archive: zipfile.ZipFile, name: str, dimensions: int) -> Tensor:
    with archive.open(name) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is of an unknown version")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
        if len(shape) != dimensions or by_columns or dtype != np.uint8 or not 0 < shape[0] <= ROWS_AT_MOST:
            raise ValueError(f"{name} holds {dtype} {shape}")
        if int(np.prod(shape, dtype=object)) > archive.getinfo(name).file_size:
            raise ValueError(f"{name} is shorter than its header says")
        values = torch.empty(shape, dtype=torch.uint8)
        view = values.numpy().data.cast("B")
        done = 0
        while done < len(view):
            data = file.read(min(1 << 20, len(view) - done))
            if not data:
                raise ValueError(f"{name} ends too early")
            view[done : done + len(data)] = data
            done += len(data)
        return values
