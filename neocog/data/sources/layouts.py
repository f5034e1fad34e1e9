"""Layouts: how the files of a data set lie in a folder: MNIST's four IDX files, CIFAR-10's batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from neocog.data.sources.built_in import Found
from neocog.errors import UnreadableError, escaped

if TYPE_CHECKING:
    from neocog.data.dataset import Split

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, slots=True)
class IdxFiles:
    """Four IDX files, packed or not; or the one `npz` that Keras makes of them, where it has such a name."""

    npz: str = ""

    @property
    def expected(self) -> str:
        """The four files, packed."""
        return ", ".join(f"{file}.gz" for file in IDX_FILES)

    def find(self, where: Path) -> Found | None:
        """The four files in `where`, else the .npz there, or that it is."""
        paths = [_either(where, file) for file in IDX_FILES]
        if all(paths):
            files = tuple(path for path in paths if path)
            return Found(files, partial(_idx, files), "four IDX files, as MNIST has them")
        npz = where if where.is_file() else where / self.npz
        if self.npz and npz.suffix == ".npz" and npz.is_file():
            return Found((npz,), partial(_npz, npz), f"arrays as Keras keeps them in {self.npz}")
        return None


@dataclass(frozen=True, slots=True)
class CifarFiles:
    """CIFAR-10's batches, a folder or an archive of them, for C before those for Python."""

    @property
    def expected(self) -> str:
        """The binary version."""
        from neocog.data.sources.cifar import ARCHIVE, FOLDER, TEST, TRAIN

        return f"{ARCHIVE}, or {FOLDER}/ with {TRAIN[0]} ... {TEST[0]}"

    def find(self, where: Path) -> Found | None:
        """The folder of batches or the archive: `where` itself, or in it. Any file counts as an archive."""
        from neocog.data.sources import cifar, cifar_pickle

        for batches in (where, where / cifar.FOLDER):
            if any((batches / file).is_file() for file in (*cifar.TRAIN, *cifar.TEST)):
                return _binary(batches)
        if (where / cifar.ARCHIVE).is_file():
            return _binary(where / cifar.ARCHIVE)
        for place in (where / cifar_pickle.FOLDER, where / cifar_pickle.ARCHIVE):
            if place.exists():
                return _pickled(place)
        if where.name == cifar_pickle.FOLDER and where.is_dir():
            return _pickled(where)
        if where.is_file():
            return _pickled(where) if "python" in where.name else _binary(where)
        return None


IDX, CIFAR = IdxFiles(), CifarFiles()


def _either(folder: Path, file: str) -> Path | None:
    return next((path for path in (folder / f"{file}.gz", folder / file) if path.is_file()), None)


def _idx(paths: tuple[Path, ...], classes: int) -> dict[str, Split]:
    from neocog.data.sources import idx

    images, labels, test_images, test_labels = paths
    return {
        "train": idx.read_split(images, labels, classes=classes),
        "test": idx.read_split(test_images, test_labels, classes=classes),
    }


def _npz(path: Path, classes: int) -> dict[str, Split]:
    from neocog.data.sources import idx, npz

    splits = npz.read(path).splits
    if set(splits) != {"train", "test"}:
        raise UnreadableError(f"{escaped(str(path))} is not a sound {path.name} (it has {', '.join(splits)})")
    for split in splits.values():
        idx.check_labels(split.y, path, classes=classes)
    return {str(name): split for name, split in splits.items()}


def _binary(path: Path) -> Found:
    from neocog.data.sources import cifar, cifar_pickle

    words = "CIFAR-10's binary batches"
    return Found((path,), lambda classes: cifar.read(path), words, cifar_pickle.CLASSES)


def _pickled(path: Path) -> Found:
    from neocog.data.sources import cifar_pickle

    words = "CIFAR-10's batches for Python"
    return Found((path,), lambda classes: cifar_pickle.read(path).splits, words, cifar_pickle.CLASSES)
