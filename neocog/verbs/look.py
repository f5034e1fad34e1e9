"""look: what was understood of a data set or a folder of pictures, before anything is trained on it."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from neocog.assignments import fields
from neocog.data import DATASETS, Data, load
from neocog.data.augment.augment import Augment
from neocog.data.census import brightness, copies
from neocog.data.choice import Divide
from neocog.data.dataset import Dataset, class_counts
from neocog.data.folders import in_files
from neocog.data.folders.in_files import Discarded, Sizes
from neocog.data.folders.listing import Listing
from neocog.data.folders.picture_cache import Decoded, Progress, nothing
from neocog.data.names import SplitName, shown, some
from neocog.data.own import OwnPictures, open_own
from neocog.data.samples import Sheet, View, draw, draw_variants
from neocog.errors import UnreadableError, first_complaint, unknown
from neocog.files import named_as_path, require_named
from neocog.outputs import write_png
from neocog.pictures.decode import Preprocess
from neocog.pictures.seen import decoded_as, decoding
from neocog.pictures.walk import Skipped
from neocog.show.words import percent

FOLDER_SIZE = (128, 128)
"""Height and width at which the middle of a folder's pictures is looked at, unless a size is given."""
GROUPS = 10
"""Groups of near copies in `text`; `json` has all."""
LISTED = 40
"""Classes in the table, and skipped files in the list, of `text`; `json` has all."""


@dataclass(frozen=True, slots=True)
class Look:
    """What `look` found. `counts` is by split, then by class (for label sets, how many carry each label), and
    `pictures` by split; `shape` (C, H, W) is that of the pictures as they were read.

    `brightness` is the mean of all values 0..255 of each class' pictures of `split` (None where there are
    none), `spread` the standard deviation over all of them. `copies` counts pictures that are, pixel for
    pixel, another one again. For folders: `found`, `sizes`, `alike`, the names of pictures that are nearly
    the same, group by group, and `discarded`, what a centre crop to `shape` leaves out.
    """

    name: str
    layout: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    pictures: Mapping[str, int]
    shape: tuple[int, int, int]
    brightness: tuple[float | None, ...]
    mean: float
    spread: float
    copies: int
    sheet: Sheet = field(repr=False)
    split: SplitName = "train"
    sizes: Sizes | None = None
    discarded: Discarded | None = None
    alike: tuple[tuple[str, ...], ...] = ()
    found: int | None = None
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """For people: a few facts, the table of counts, what was skipped and why, and the remarks."""
        total = sum(self.pictures.values())
        c, h, w = self.shape
        lines = [
            f"{shown(self.name)}: {total} pictures, {len(self.classes)} classes",
            f"layout      {self.layout}",
            f"pictures    {h}x{w}x{c}, values 0..255{self._file_sizes()}",
            f"brightness  mean {self.mean:.0f}, spread {self.spread:.0f}{self._extremes()}{self._where()}",
            *self._crop(),
            f"copies      {self.copies or 'none'}",
            *self._alike(),
            "",
            *self._table(),
        ]
        if self.found is not None:
            used = self.found - len(self.skipped)
            lines += ["", f"{self.found} files found = {used} used + {len(self.skipped)} skipped"]
        lines += [f"  {shown(s.path)}: {shown(s.reason)}" for s in self.skipped[:LISTED]]
        if len(self.skipped) > LISTED:
            lines.append(f"  ... and {len(self.skipped) - LISTED} more")
        if self.remarks:
            lines += ["", *(f"remark: {remark}" for remark in self.remarks)]
        return "\n".join(lines)

    def json(self) -> dict[str, Any]:
        sizes = self.sizes and {k: list(getattr(self.sizes, k)) for k in ("smallest", "middle", "largest")}
        c, h, w = self.shape
        return {
            "name": shown(self.name),
            "layout": self.layout,
            "classes": list(self.classes),
            "counts": {split: dict(zip(self.classes, counts)) for split, counts in self.counts.items()},
            "pictures": dict(self.pictures),
            "size": [h, w, c],
            "split": self.split,
            "file_sizes": sizes,
            "mean": self.mean,
            "spread": self.spread,
            "brightness": dict(zip(self.classes, self.brightness)),
            "discarded": self.discarded and {"mean": self.discarded.mean, "most": self.discarded.most},
            "copies": self.copies,
            "alike": [[shown(name) for name in group] for group in self.alike],
            "found": self.found,
            "skipped": [{"path": shown(s.path), "reason": shown(s.reason)} for s in self.skipped],
            "remarks": list(self.remarks),
        }

    def save(self, path: Path | str) -> None:
        """Write the sample pictures as a PNG; variants, and a picture drawn with its scale, also alone:
        out-1.png, out-2.png ...
        """
        place = Path(path)
        write_png(place, self.sheet.png())
        for number, single in enumerate(self.sheet.singles(), 1):
            write_png(place.with_stem(f"{place.stem}-{number}"), single)

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.sheet.png()).decode()
        return f'<pre>{html.escape(self.text())}</pre><img alt="samples" src="data:image/png;base64,{data}">'

    def _file_sizes(self) -> str:
        if self.sizes is None:
            return ""
        small, middle, large = (
            f"{h}x{w}" for h, w in (self.sizes.smallest, self.sizes.middle, self.sizes.largest)
        )
        return f"; in the files {small} to {large}, middle {middle}"

    def _where(self) -> str:
        return "" if self.split == "train" else f" ({self.split} pictures)"

    def _crop(self) -> list[str]:
        if self.discarded is None:
            return []
        _, h, w = self.shape
        most = f"at most {percent(self.discarded.most, digits=0)}, of {shown(self.discarded.worst)}"
        return [
            f"centre crop to {h}x{w} discards {percent(self.discarded.mean, digits=0)} of the pixels ({most})"
        ]

    def _alike(self) -> list[str]:
        if not self.alike:
            return []
        lines = [f"nearly alike {len(self.alike)} groups"]
        lines += [f"  {some(group, 4)}" for group in self.alike[:GROUPS]]
        return [*lines, f"  ... and {len(self.alike) - GROUPS} more"][
            : len(lines) + (len(self.alike) > GROUPS)
        ]

    def _extremes(self) -> str:
        known = [(value, name) for value, name in zip(self.brightness, self.classes) if value is not None]
        if len(known) < 2:
            return ""
        (dark, darkest), (bright, brightest) = min(known), max(known)
        return f"; darkest class {shown(darkest)} ({dark:.0f}), brightest {shown(brightest)} ({bright:.0f})"

    def _table(self) -> list[str]:
        names = [shown(name) for name in self.classes[:LISTED]]
        wide = max(len("class"), len("all"), *(len(name) for name in names))
        columns = [
            (split, max(len(split), len(str(self.pictures[split]))), counts)
            for split, counts in self.counts.items()
        ]
        lines = ["class".ljust(wide) + "".join(f"  {split:>{n}}" for split, n, _ in columns)]
        lines += [
            name.ljust(wide) + "".join(f"  {counts[k]:>{n}}" for _, n, counts in columns)
            for k, name in enumerate(names)
        ]
        if len(self.classes) > LISTED:
            lines.append(f"... and {len(self.classes) - LISTED} more classes")
        return [*lines, "all".ljust(wide) + "".join(f"  {self.pictures[s]:>{n}}" for s, n, _ in columns)]


def look(
    what: str | Path,
    *,
    out: Path | None = None,
    size: tuple[int, int] | None = None,
    view: View = "sample",
    index: int | None = None,
    augment: Augment | None = None,
    split: Literal["train", "val", "test"] = "train",
    changes: Sequence[str] = (),
    seed: int | None = None,
    progress: Progress = nothing,
) -> Look:
    """Look at `what`, a data set's name or a folder of pictures (an existing path wins; a table, zip, tar or
    .npz will do), at `size` (height, width).

    `view` says what the picture shows: a sample, or three rows of every class; `index` one picture (counted
    from 0) with the scale of its values instead; `augment` that picture and three variants of it, 2x2; all of
    the pictures of `split`. `seed` draws another sample than the first pictures, and other variants. `out`
    writes that picture as PNG. Nothing is held out, so that all counts are the data's own, unless `changes`
    say so: "field=value" texts for fields of `Data`, such as "held_out=0.2", with which the data are divided
    as for a training; or of pictures in files, how they are decoded: "preprocess.levels=[0,4095]".
    `UsageError`: no such data set, split, index or field; else as `neocog.data.load`.
    """
    require_named(what)
    path = Path(what)
    wanted = _Wanted(view, index, augment, split, changes, seed)
    if path.exists():
        result = _own(path, size, wanted, progress)
    elif str(what) in DATASETS:
        result = _built_in(str(what), size, wanted)
    elif named_as_path(str(what)):
        raise UnreadableError(
            f"there is no folder at {shown(path)}; give a folder of pictures or a data set's name"
        )
    else:
        raise unknown("data set or folder", str(what), DATASETS)
    if out is not None:
        result.save(out)
    return result


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which pictures, and what the picture of them is to show."""

    view: View
    index: int | None
    augment: Augment | None
    split: SplitName
    changes: Sequence[str]
    seed: int | None

    def drawn(self, dataset: Dataset) -> Sheet:
        if self.augment is not None:
            return draw_variants(
                dataset, self.index or 0, self.augment, split=self.split, seed=self.seed or 0
            )
        return draw(dataset, self.view, self.index, split=self.split, seed=self.seed)

    @property
    def decoded(self) -> list[str]:
        """The changes of how pictures are decoded."""
        return [change for change in self.changes if _of_decoding(change)]

    @property
    def divided(self) -> list[str]:
        """The changes of how the data are divided."""
        return [change for change in self.changes if not _of_decoding(change)]

    def data(self, name: str) -> Data:
        """Data set `name`, nothing held out, with the changes."""
        names = [field for field in Data.model_fields if field not in ("name", "val")]
        texts = [change.strip().removeprefix("data.") for change in self.divided]
        given = fields(texts, names, of="data", example="held_out=0.2")
        try:
            return Data.model_validate({"held_out": 0, **given, "name": name})
        except ValidationError as error:
            raise first_complaint(error, within="--set") from None

    @property
    def divide(self) -> Divide:
        """As the data are, unless something is to be changed: then as a training divides them."""
        return "as trained" if self.divided else "as given"

    def remarks(self, dataset: Dataset) -> tuple[str, ...]:
        return self.augment.remarks(dataset.classes) if self.augment is not None else ()


def _of_decoding(change: str) -> bool:
    return change.strip().startswith("preprocess.")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the pictures came from, in words, and what only a folder has."""

    layout: str
    listing: Listing | None = None
    pictures: Decoded | None = None
    remarks: tuple[str, ...] = ()


def _own(path: Path, size: tuple[int, int] | None, wanted: _Wanted, progress: Progress) -> Look:
    """The user's own: arrays, or pictures in a folder."""
    data = wanted.data("folder")
    own = open_own(path)
    if not isinstance(own, OwnPictures):
        preprocess = _sized(size, "crop") if size else None
        dataset = own.dataset(data, preprocess=preprocess, divide=wanted.divide)
        return _looked(dataset, _Source(own.layout), wanted)
    sized = _sized(size or FOLDER_SIZE, "crop")  # no padding, which is no brightness
    found = own.extent()
    suited = sized.model_copy(update={"levels": found.levels, "ground": found.ground})
    preprocess = decoding(suited, wanted.decoded)
    pictures = own.decoded(preprocess, progress)
    dataset = own.dataset(data, preprocess=preprocess, divide=wanted.divide)
    source = _Source(own.layout, own.listing, pictures, decoded_as(suited))
    return _looked(dataset, source, wanted)


def _sized(size: tuple[int, int], fit: Literal["crop", "pad", "stretch"]) -> Preprocess:
    try:
        return Preprocess(size=size, fit=fit)
    except ValidationError as error:
        raise first_complaint(error, within="--size") from None


def _built_in(name: str, size: tuple[int, int] | None, wanted: _Wanted) -> Look:
    row = DATASETS[name]
    preprocess = _sized(size, row.fit) if size else None
    dataset = load(wanted.data(name), preprocess=preprocess)
    return _looked(dataset, _Source(f"{row.title} ({row.source}; {row.licence})"), wanted)


def _looked(dataset: Dataset, source: _Source, wanted: _Wanted) -> Look:
    bright = brightness(dataset.split(wanted.split), len(dataset.classes))
    listing, pictures = source.listing, source.pictures
    return Look(
        name=dataset.name,
        layout=source.layout,
        classes=dataset.classes,
        counts={
            name: tuple(class_counts(split, len(dataset.classes))) for name, split in dataset.splits.items()
        },
        pictures={name: len(split) for name, split in dataset.splits.items()},
        shape=dataset.shape,
        brightness=bright.by_class,
        mean=bright.mean,
        spread=bright.spread,
        copies=copies(dataset),
        sheet=wanted.drawn(dataset),
        split=wanted.split,
        sizes=in_files.sizes(pictures) if pictures else None,
        discarded=in_files.discarded(listing, pictures) if listing and pictures else None,
        alike=in_files.alike(listing, pictures) if listing and pictures else (),
        found=listing.found if listing else None,
        skipped=dataset.skipped,
        remarks=(*source.remarks, *dataset.remarks, *wanted.remarks(dataset)),
    )
