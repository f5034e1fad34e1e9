"""A user's own data, opened once: a folder of pictures, a table, an archive, or arrays.

Opening finds out what there is: the folder is walked, an archive hashed and unpacked, arrays are read, and
whether they are pictures or arrays is asked here alone. What comes of it, how much there is to train on, or a
Dataset, as often and divided as one likes, walks and hashes nothing again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from neocog.data.choice import Data, Divide
from neocog.data.dataset import Dataset, class_counts
from neocog.data.fitted import fitted
from neocog.data.folders import extent
from neocog.data.folders.extent import Extent
from neocog.data.folders.listing import Listing
from neocog.data.folders.opened_archive import opened
from neocog.data.folders.picture_cache import Decoded, Progress, decoded, nothing
from neocog.data.folders.placing import Sights
from neocog.data.folders.read import assemble
from neocog.data.folders.scan import scan
from neocog.data.names import shown
from neocog.data.sources import own_arrays
from neocog.data.sources.npz import Arrays
from neocog.data.sources.table import DATASETS
from neocog.errors import UnreadableError, UsageError
from neocog.pictures.decode import Preprocess
from neocog.pictures.walk import Folders


class OwnData(Protocol):
    """A user's own data after they were opened, with their classes or those of a trained model."""

    @property
    def layout(self) -> str:
        """What was understood, in words."""

    def extent(self) -> Extent:
        """How much there is to train on."""

    def dataset(
        self,
        data: Data,
        *,
        preprocess: Preprocess | None = None,
        divide: Divide = "as trained",
        progress: Progress = nothing,
    ) -> Dataset:
        """The pictures placed by `preprocess` and divided as `data` and `divide` say; no fingerprint yet.

        `UsageError`: pictures in files and no `preprocess.size`. `UnreadableError`: no picture, or none of a
        class, can be decoded.
        """


def open_own(where: Path, *, classes: tuple[str, ...] | None = None) -> OwnData:
    """Open the folder, table, archive or file of arrays at `where`; with `classes`, those of a trained model,
    labels are numbered by name in that order.

    `UnreadableError`: nothing there, another kind of file, damaged arrays or a damaged archive, or a folder
    that cannot be understood. `UsageError`: a class that is not among `classes`.
    """
    own = _opened(where, classes)
    if own is None:
        raise UnreadableError(
            f"{shown(where)} is a file; give a folder of pictures, a zip or tar of one, "
            "a table (.csv, .tsv, .jsonl, .txt) or an .npz of arrays"
        )
    return own


def find_own(where: Path) -> OwnData | None:
    """What `open_own` opens; None where there is no folder and no file that may be a user's own data."""
    return _opened(where, None) if where.is_file() or where.is_dir() else None


def _opened(where: Path, classes: tuple[str, ...] | None) -> OwnData | None:
    """As `open_own`; where a built-in data set has the same name, that is said."""
    if str(where) not in DATASETS or not os.path.lexists(where):
        return _found(where, classes)
    said = f"{where} is what lies here under that name, not the data set that is built in"
    try:
        own = _found(where, classes)
    except UnreadableError as error:
        raise UnreadableError(f"{error} ({said}; to have that, rename this or work elsewhere)") from error
    return own.remarking(said) if own is not None else None


def _found(where: Path, classes: tuple[str, ...] | None) -> OwnPictures | OwnArrays | None:
    folders = Folders()
    arrays = own_arrays.find(where, folders)
    if arrays is not None:
        return OwnArrays(arrays, classes)
    place = opened(where, folders)
    if place is None:
        return None
    return OwnPictures(scan(place, classes=classes, folders=folders), whole=classes is None)


@dataclass(frozen=True, slots=True)
class OwnPictures:
    """Pictures in files. `whole`: every class must have training pictures that can be decoded."""

    listing: Listing
    whole: bool = True
    _decoded: dict[Preprocess, Decoded] = field(default_factory=dict, repr=False, compare=False)
    _sights: Sights = field(default_factory=Sights, repr=False, compare=False)

    @property
    def layout(self) -> str:
        return self.listing.layout

    def remarking(self, remark: str) -> OwnPictures:
        """The same with one more remark."""
        listing = replace(self.listing, remarks=(remark, *self.listing.remarks))
        return OwnPictures(listing, self.whole)

    def extent(self) -> Extent:
        """How much there is to train on, from the listing and a few of its pictures."""
        return extent.of_listing(self.listing, self._sights)

    def decoded(self, preprocess: Preprocess, progress: Progress = nothing) -> Decoded:
        """The pictures, placed by `preprocess`; those of the last time where it is the same."""
        if preprocess not in self._decoded:
            self._decoded.clear()
            self._decoded[preprocess] = decoded(
                self.listing, preprocess, progress=progress, sights=self._sights
            )
            self._sights.clear()
        return self._decoded[preprocess]

    def dataset(
        self,
        data: Data,
        *,
        preprocess: Preprocess | None = None,
        divide: Divide = "as trained",
        progress: Progress = nothing,
    ) -> Dataset:
        """As of `OwnData`: C is 3 unless `preprocess` asks for 1."""
        if preprocess is None or preprocess.size is None:
            raise UsageError(
                "pictures of a folder need one size; give it, for example --size 128x128 "
                "(in Python preprocess.size=(128, 128))"
            )
        pictures = self.decoded(preprocess, progress)
        return assemble(self.listing, pictures, data, divide=divide, whole=self.whole)


@dataclass(frozen=True, slots=True)
class OwnArrays:
    """Arrays in memory."""

    arrays: Arrays
    classes: tuple[str, ...] | None = None

    @property
    def layout(self) -> str:
        return self.arrays.layout

    def remarking(self, remark: str) -> OwnArrays:
        """The same with one more remark."""
        arrays = replace(self.arrays, remarks=(remark, *self.arrays.remarks))
        return OwnArrays(arrays, self.classes)

    def extent(self) -> Extent:
        """How much there is to train on; nothing where the arrays are test pictures alone."""
        count, train = len(self.arrays.classes), self.arrays.splits.get("train")
        if train is None:
            return Extent(0, count)
        channels, height, width = train.shape
        lopsided = extent.imbalance(class_counts(train, count))
        return Extent(len(train), count, (height, width), channels == 1, lopsided)

    def dataset(
        self,
        data: Data,
        *,
        preprocess: Preprocess | None = None,
        divide: Divide = "as trained",
        progress: Progress = nothing,
    ) -> Dataset:
        """As of `OwnData`; without a `preprocess` pictures stay as they are."""
        return fitted(own_arrays.as_dataset(self.arrays, data, divide=divide), preprocess, self.classes)
