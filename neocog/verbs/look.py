"""look: what was understood of a data set or a folder of pictures, before anything is trained on it."""

from __future__ import annotations

import base64
import hashlib
import html
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from neocog.data import DATASETS, Data, load
from neocog.data.cache import Decoded, decoded
from neocog.data.dataset import Dataset, Skipped, Split, class_counts
from neocog.data.folder import Listing, scan, shown
from neocog.data.sheet import Sheet, View, draw
from neocog.data.tree import assemble
from neocog.errors import UsageError, unknown
from neocog.files import write_bytes
from neocog.image import Preprocess

FOLDER_SIZE = (128, 128)
"""Height and width at which the middle of a folder's pictures is looked at, unless a size is given."""
LISTED = 40
"""Classes in the table, and skipped files in the list, of `text`; `json` has all."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """(height, width) of the smallest and largest picture by area, and the middle height and width, as the
    files have them.
    """

    smallest: tuple[int, int]
    middle: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What `look` found. `counts` is by split, then by class; `shape` (C, H, W) is that of the pictures as
    they were read.

    `brightness` is the mean of all values 0..255 of each class' training pictures (None where there are
    none), `spread` the standard deviation over all of them. `found` and `sizes` are for folders. `copies`
    counts pictures that are, pixel for pixel, another one again.
    """

    name: str
    layout: str
    classes: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]
    shape: tuple[int, int, int]
    brightness: tuple[float | None, ...]
    mean: float
    spread: float
    copies: int
    sheet: Sheet = field(repr=False)
    sizes: Sizes | None = None
    found: int | None = None
    skipped: tuple[Skipped, ...] = ()
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """For people: a few facts, the table of counts, what was skipped and why, and the remarks."""
        total = sum(sum(counts) for counts in self.counts.values())
        c, h, w = self.shape
        lines = [
            f"{shown(self.name)}: {total} pictures, {len(self.classes)} classes",
            f"layout      {self.layout}",
            f"pictures    {h}x{w}x{c}, values 0..255{self._file_sizes()}",
            f"brightness  mean {self.mean:.0f}, spread {self.spread:.0f}{self._extremes()}",
            f"copies      {self.copies or 'none'}",
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
            "size": [h, w, c],
            "file_sizes": sizes,
            "mean": self.mean,
            "spread": self.spread,
            "brightness": dict(zip(self.classes, self.brightness)),
            "copies": self.copies,
            "found": self.found,
            "skipped": [{"path": shown(s.path), "reason": shown(s.reason)} for s in self.skipped],
            "remarks": list(self.remarks),
        }

    def save(self, path: Path | str) -> None:
        """Write the sample pictures as a PNG."""
        write_bytes(Path(path), self.sheet.png())

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
            (split, max(len(split), len(str(sum(counts)))), counts) for split, counts in self.counts.items()
        ]
        lines = ["class".ljust(wide) + "".join(f"  {split:>{n}}" for split, n, _ in columns)]
        lines += [
            name.ljust(wide) + "".join(f"  {counts[k]:>{n}}" for _, n, counts in columns)
            for k, name in enumerate(names)
        ]
        if len(self.classes) > LISTED:
            lines.append(f"... and {len(self.classes) - LISTED} more classes")
        return [*lines, "all".ljust(wide) + "".join(f"  {sum(counts):>{n}}" for _, n, counts in columns)]


def look(
    what: str | Path,
    *,
    out: Path | None = None,
    size: tuple[int, int] | None = None,
    view: View = "sample",
    index: int | None = None,
) -> Look:
    """Look at `what`, a data set's name or a folder of pictures (an existing folder wins), at `size` (height,
    width).

    `view` says what the picture shows: a sample, or three rows of every class; `index` one training picture
    (counted from 0) with the scale of its values instead. `out` writes that picture as PNG. Nothing is held
    out, so that all counts are the data's own. `UsageError`: no such data set, no such index; else as
    `neocog.data.load`.
    """
    path = Path(what)
    if path.exists():
        result = _folder(path, size or FOLDER_SIZE, view, index)
    elif str(what) in DATASETS:
        result = _built_in(str(what), size, view, index)
    elif len(path.parts) > 1:
        raise UsageError(
            f"there is no folder at {shown(path)}; give a folder of pictures or a data set's name"
        )
    else:
        raise unknown("data set or folder", str(what), DATASETS)
    if out is not None:
        result.save(out)
    return result


def _folder(path: Path, size: tuple[int, int], view: View, index: int | None) -> Look:
    listing = scan(path)
    pictures = decoded(listing, Preprocess(size=size, fit="crop"))  # no padding, which is no brightness
    dataset = assemble(listing, pictures, Data(name="folder", held_out=0))
    return _looked(dataset, _Source(listing.layout, _sizes(pictures), listing), draw(dataset, view, index))


def _built_in(name: str, size: tuple[int, int] | None, view: View, index: int | None) -> Look:
    row = DATASETS[name]
    dataset = load(
        Data(name=name, held_out=0), preprocess=Preprocess(size=size, fit=row.fit) if size else None
    )
    source = _Source(f"{row.title} ({row.source}; {row.licence})")
    return _looked(dataset, source, draw(dataset, view, index))


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the pictures came from, in words, and what only a folder has."""

    layout: str
    sizes: Sizes | None = None
    listing: Listing | None = None


def _looked(dataset: Dataset, source: _Source, sheet: Sheet) -> Look:
    brightness, mean, spread = _brightness(dataset.train, len(dataset.classes))
    return Look(
        name=dataset.name,
        layout=source.layout,
        classes=dataset.classes,
        counts={
            name: tuple(class_counts(split, len(dataset.classes))) for name, split in dataset.splits.items()
        },
        shape=dataset.shape,
        brightness=brightness,
        mean=mean,
        spread=spread,
        copies=_copies(dataset),
        sheet=sheet,
        sizes=source.sizes,
        found=source.listing.found if source.listing else None,
        skipped=dataset.skipped,
        remarks=dataset.remarks,
    )


def _sizes(pictures: Decoded) -> Sizes:
    sides = [(row.height, row.width) for row in pictures.rows]
    middle = tuple(statistics.median_low(side) for side in zip(*sides))
    by_area = sorted(sides, key=lambda side: (side[0] * side[1], side))
    return Sizes(by_area[0], (middle[0], middle[1]), by_area[-1])


def _brightness(split: Split, classes: int) -> tuple[tuple[float | None, ...], float, float]:
    """Mean 0..255 per class, mean and standard deviation over everything; a few megabytes at a time."""
    rows = max(1, (1 << 22) // split.x[0].numel())
    parts = [split.x[start : start + rows].flatten(1).double() for start in range(0, len(split), rows)]
    per_picture = torch.cat([part.mean(1) for part in parts])
    squares = torch.cat([part.square().mean(1) for part in parts])
    mean = float(per_picture.mean())
    spread = max(float(squares.mean()) - mean**2, 0.0) ** 0.5
    members = split.y.bool() if split.y.ndim == 2 else torch.nn.functional.one_hot(split.y, classes).bool()
    by_class = [float(per_picture[of].mean()) if of.any() else None for of in members.T]
    return tuple(by_class), mean, spread


def _copies(dataset: Dataset) -> int:
    """How many pictures are, pixel for pixel, one that was there before."""
    seen: set[bytes] = set()
    total = 0
    for split in dataset.splits.values():
        total += len(split)
        seen.update(hashlib.blake2b(x.contiguous().numpy().data, digest_size=16).digest() for x in split.x)
    return total - len(seen)
