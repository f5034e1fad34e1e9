"""Pictures and labels in NumPy's .npz, a zip of .npy arrays; headers are checked before memory is taken.

Known by the names of the arrays: x_train, y_train, x_test, y_test (Keras); train_images, train_labels,
val_images ... (MedMNIST); x, y; images, labels; data, target. `classes` or `class_names` may name the
classes. Nothing is unpickled: an array of objects is refused by its header.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from neocog.data.dataset import Split
from neocog.data.names import SPLIT_NAMES, SplitName, natural, shown
from neocog.errors import UnreadableError

PICTURES, LABELS = ("x", "images", "image", "data"), ("y", "labels", "label", "targets", "target")
CLASS_NAMES = ("classes", "class_names", "label_names")
ROWS_AT_MOST = 10_000_000
BYTES_AT_MOST = 32 << 30
RATIO_AT_MOST, SMALL = 200, 16 << 20
"""How many times its packed size an array may have, where it has more bytes than a small one."""
ACCEPTED = "x_train and y_train (x_test, y_test, x_val, y_val), or x and y, or images and labels"
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Arrays:
    """A user's data set that is arrays: pictures uint8 (N, C, H, W) and labels of each split that there is.

    `layout` says in words what was understood.
    """

    name: str
    layout: str
    classes: tuple[str, ...]
    splits: dict[SplitName, Split]
    remarks: tuple[str, ...] = ()


def read(path: Path) -> Arrays:
    """The arrays in `path`; `UnreadableError` where they are damaged, pickled, or no pictures with labels."""
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {name: _array(archive, f"{name}.npy") for name in _wanted(archive)}
        return _understood(arrays, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, NotImplementedError) as error:
        raise UnreadableError(
            f"{shown(path)} is not a sound {shown(path.name)} ({error}); expected arrays: {ACCEPTED}"
        ) from error
    except OSError as error:
        raise UnreadableError(f"cannot read {shown(path)}: {error.strerror or error}") from error


def _wanted(archive: zipfile.ZipFile) -> list[str]:
    names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    return [name for name in names if _meaning(name) or name.casefold() in CLASS_NAMES]


def _meaning(name: str) -> tuple[str, SplitName | None] | None:
    """('x' or 'y', the split) that an array's name says: x_train, train_images, y."""
    words = [word for word in re.split(r"[_\W]+", name.casefold()) if word]
    splits = [SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES]
    rest = [word for word in words if word not in SPLIT_NAMES]
    if len(rest) != 1 or len(splits) > 1 or rest[0] not in (*PICTURES, *LABELS):
        return None
    return ("x" if rest[0] in PICTURES else "y"), (splits[0] if splits else None)


def _understood(arrays: dict[str, Array], path: Path) -> Arrays:
    pairs: dict[SplitName, dict[str, Array]] = {}
    for name, values in arrays.items():
        meaning = _meaning(name)
        if meaning is not None:
            pair = pairs.setdefault(meaning[1] or "train", {})
            if meaning[0] in pair:
                raise ValueError(f"two arrays could be the {'pictures' if meaning[0] == 'x' else 'labels'}")
            pair[meaning[0]] = values
    if "train" not in pairs and "test" not in pairs:
        raise ValueError("no array of pictures")
    for split, pair in pairs.items():
        if set(pair) != {"x", "y"}:
            raise ValueError(f"{split} has {'labels' if 'y' in pair else 'pictures'} alone")
        if len(pair["x"]) != len(pair["y"]):
            raise ValueError(f"{len(pair['x'])} pictures, {len(pair['y'])} labels in {split}")
    remarks: list[str] = []
    x = {split: torch.from_numpy(_pictures(pair["x"], remarks)) for split, pair in pairs.items()}
    if len({tuple(pictures.shape[1:]) for pictures in x.values()}) > 1:
        said = ", ".join("{}x{}x{} in {}".format(*v.shape[2:], v.shape[1], split) for split, v in x.items())
        raise ValueError(f"the pictures differ in size: {said}; make them alike")
    given = next((arrays[name] for name in arrays if name.casefold() in CLASS_NAMES), None)
    classes, y = _labels({split: pair["y"] for split, pair in pairs.items()}, given)
    _, c, h, w = next(iter(x.values())).shape
    said = ", ".join(sorted(name for name in arrays if _meaning(name)))
    return Arrays(
        shown(path.stem),
        f"arrays {said} of {h}x{w}x{c}",
        classes,
        {split: Split(x[split], y[split]) for split in pairs},
        tuple(dict.fromkeys(remarks)),
    )


def _pictures(x: Array, remarks: list[str]) -> NDArray[np.uint8]:
    """(N, H, W), (N, H, W, 1 or 3) or (N, 1 or 3, H, W), of 0..255 or 0..1, as uint8 (N, C, H, W)."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.dtype.kind not in "uifb":
        raise ValueError(f"pictures are {x.dtype} {x.shape}; they must be (N, H, W) or (N, H, W, 1 or 3)")
    if x.dtype != np.uint8:
        low, high = float(x.min()), float(x.max())
        if not 0 <= low <= high <= 255:
            raise ValueError(
                f"the pictures' values go from {low:g} to {high:g}; they must lie in 0..1 or 0..255"
            )
        factor = 255 if high <= 1 else 1
        remarks.append(f"values of {x.dtype} from {low:g} to {high:g} were made 0..255")
        made = np.empty(x.shape, np.uint8)
        for start in range(0, len(x), 256):
            made[start : start + 256] = np.rint(x[start : start + 256] * float(factor))
        x = made
    return np.ascontiguousarray(x)


def _labels(
    y: dict[SplitName, Array], given: Array | None
) -> tuple[tuple[str, ...], dict[SplitName, torch.Tensor]]:
    """Class names, and int64 (N,), or float32 label sets (N, classes) where rows carry other than one 1."""
    y = {split: v[:, 0] if v.ndim == 2 and v.shape[1] == 1 else v for split, v in y.items()}
    texts = {v.dtype.kind for v in y.values()} == {"U"}
    if texts and all(v.ndim == 1 for v in y.values()):
        names = tuple(sorted({str(n) for v in y.values() for n in v}, key=natural))
        number = {name: k for k, name in enumerate(names)}
        return names, {s: torch.tensor([number[str(n)] for n in v]) for s, v in y.items()}
    if (
        any(v.dtype.kind not in "uifb" or v.ndim > 2 for v in y.values())
        or len({v.ndim for v in y.values()}) > 1
    ):
        raise ValueError("labels must be numbers or texts (N,), or 0 and 1 (N, classes)")
    if next(iter(y.values())).ndim == 2:
        return _label_sets(y, given)
    if any((v != np.floor(v)).any() or (v < 0).any() for v in y.values()):
        raise ValueError("labels must be whole numbers from 0 on")
    most = max(int(v.max()) for v in y.values()) + 1
    if most > 100_000:
        raise ValueError(f"label {most - 1} is too large")
    return _names(given, most), {s: torch.from_numpy(v.astype(np.int64)) for s, v in y.items()}


def _label_sets(
    y: dict[SplitName, Array], given: Array | None
) -> tuple[tuple[str, ...], dict[SplitName, torch.Tensor]]:
    widths = {v.shape[1] for v in y.values()}
    if len(widths) > 1 or any(((v != 0) & (v != 1)).any() for v in y.values()):
        raise ValueError("labels (N, classes) must be 0 and 1, equally many columns in every split")
    names = _names(given, widths.pop())
    if all((v.sum(1) == 1).all() for v in y.values()):
        return names, {s: torch.from_numpy(v.argmax(1)) for s, v in y.items()}
    return names, {s: torch.from_numpy(v.astype(np.float32)) for s, v in y.items()}


def _names(given: Array | None, count: int) -> tuple[str, ...]:
    if given is None:
        return tuple(str(k) for k in range(count))
    if given.dtype.kind != "U" or given.ndim != 1 or len(given) < count or len(set(given)) < len(given):
        raise ValueError(f"the class names must be {count} different texts")
    return tuple(str(name) for name in given)


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} is of an unknown version")
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, by_columns, dtype = header(file)
        if dtype.kind not in "uifbU" or not shape or not 0 < shape[0] <= ROWS_AT_MOST:
            raise ValueError(f"{name} holds {dtype} {shape}")
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if not 0 < size <= min(archive.getinfo(name).file_size, BYTES_AT_MOST):
            raise ValueError(f"{name} is shorter than its header says, or too large")
        if size > SMALL and size > RATIO_AT_MOST * max(archive.getinfo(name).compress_size, 1):
            raise ValueError(f"{name} unpacks to more than {RATIO_AT_MOST} times its size: a bomb")
        return _filled(file, name, shape, dtype, by_columns)


def _filled(
    file: IO[bytes], name: str, shape: tuple[int, ...], dtype: np.dtype[Any], by_columns: bool
) -> Array:
    values = np.empty(shape[::-1] if by_columns else shape, dtype)
    view = values.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(view):
        data = file.read(min(1 << 20, len(view) - done))
        if not data:
            raise ValueError(f"{name} ends too early")
        view[done : done + len(data)] = data
        done += len(data)
    values = values.T if by_columns else values
    return values.astype(dtype.newbyteorder("=")) if not dtype.isnative else values
