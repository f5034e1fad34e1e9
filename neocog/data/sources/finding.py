"""Where a built-in data set's files are: the path given, NEOCOG_DATA, the cache, Keras' downloads, else a
download.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neocog.data import DATASETS
from neocog.data.sources import cifar_pickle
from neocog.data.sources.cifar import ARCHIVE, FOLDER, TEST, TRAIN
from neocog.errors import UnreadableError, escaped
from neocog.files import cache_dir, home_dir

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
Kind = Literal["idx", "cifar", "cifar-python", "npz"]


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a set: four of IDX; CIFAR's folder of batches or archive; or mnist.npz."""

    kind: Kind
    paths: tuple[Path, ...]


def find(name: str, where: Path | None = None) -> Found:
    """The files of data set `name`; with `where`, from there or not at all."""
    if where is not None:
        found = _first(name, (where, where / name))
        if found is None:
            raise UnreadableError(
                f"{escaped(str(where))} does not hold {name}; expected there: {_expected(name)}"
            )
        return found
    found = _first(name, _usual(name))
    if found is not None:
        return found
    from neocog.downloads import download

    fetched = download.fetch(name)
    found = _first(name, (fetched,))
    if found is None:
        raise UnreadableError(
            f"{escaped(str(fetched))} does not hold {name} after the download; delete it and try again"
        )
    return found


def recognised(where: Path) -> Found | None:
    """CIFAR's or MNIST's files in the folder `where`, whatever it is called, or CIFAR's archive."""
    return _cifar("cifar10", where) or (_idx("", where) if where.is_dir() else None)


def _usual(name: str) -> Iterator[Path]:
    given = os.environ.get("NEOCOG_DATA")
    if given:
        yield Path(given) / name
        if DATASETS[name].reader == "cifar":
            yield Path(given)
    yield cache_dir() / name
    place = os.environ.get("KERAS_HOME") or ((home := home_dir()) and home / ".keras")
    if place is None:
        return
    keras = Path(place) / "datasets"
    yield keras / name
    if (
        DATASETS[name].reader == "cifar" or name == "mnist"
    ):  # the archive, or mnist.npz, lies in the folder itself
        yield keras


def _first(name: str, folders: Iterator[Path] | tuple[Path, ...]) -> Found | None:
    look = _cifar if DATASETS[name].reader == "cifar" else _idx
    return next((found for folder in folders if (found := look(name, folder)) is not None), None)


def _cifar(name: str, folder: Path) -> Found | None:
    """The folder of batches or the archive, itself or inside; the binary layout before the Python one."""
    for batches in (folder, folder / FOLDER):
        if any((batches / file).is_file() for file in (*TRAIN, *TEST)):
            return Found("cifar", (batches,))
    if (folder / ARCHIVE).is_file():
        return Found("cifar", (folder / ARCHIVE,))
    for place in (folder / cifar_pickle.FOLDER, folder / cifar_pickle.ARCHIVE):
        if place.exists():
            return Found("cifar-python", (place,))
    if folder.name == cifar_pickle.FOLDER and folder.is_dir():
        return Found("cifar-python", (folder,))
    if folder.is_file():
        return Found("cifar-python" if "python" in folder.name else "cifar", (folder,))
    return None


def _idx(name: str, folder: Path) -> Found | None:
    """The four files, packed or not; or Keras' mnist.npz."""
    paths = [_either(folder, file) for file in IDX_FILES]
    if all(paths):
        return Found("idx", tuple(path for path in paths if path))
    npz = folder if folder.is_file() else folder / "mnist.npz"
    if name == "mnist" and npz.suffix == ".npz" and npz.is_file():
        return Found("npz", (npz,))
    return None


def _either(folder: Path, file: str) -> Path | None:
    return next((path for path in (folder / f"{file}.gz", folder / file) if path.is_file()), None)


def _expected(name: str) -> str:
    if DATASETS[name].reader == "cifar":
        return f"{ARCHIVE}, or {FOLDER}/ with {TRAIN[0]} ... {TEST[0]}"
    return ", ".join(f"{file}.gz" for file in IDX_FILES)
