"""Sheets of sample pictures: the first few, rows of every class, or one with the scale of its values."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import torch

from neocog.data import targets
from neocog.data.augment.augment import Augment
from neocog.data.names import SplitName, shown
from neocog.errors import UsageError
from neocog.pictures.decode import Pixels
from neocog.show import grids, plotting

if TYPE_CHECKING:
    from neocog.data.dataset import Dataset, Split

SAMPLE = 16
VARIANTS = 3
ACROSS, ROWS_PER_CLASS, CLASSES_SHOWN = 10, 3, 33

View = Literal["sample", "by-class"]
WORDS: Mapping[SplitName, str] = MappingProxyType({"train": "training", "val": "held-out", "test": "test"})


@dataclass(frozen=True, slots=True)
class Sheet:
    """Pictures, uint8 (C, h, w), to be drawn with a title each; `scale` draws one large, with what its values
    mean.
    """

    pictures: tuple[Pixels, ...]
    titles: tuple[str, ...]
    columns: int
    caption: str
    scale: bool = False
    variants: bool = False

    def singles(self) -> tuple[bytes, ...]:
        """Of a sheet of variants, each but the original as a picture of its own; of one picture with its
        scale, that picture: in their own size, PNG.
        """
        alone = self.pictures if self.scale else self.pictures[1:] if self.variants else ()
        return tuple(grids.alone(pixels) for pixels in alone)

    def png(self) -> bytes:
        if self.scale:
            return _with_scale(self.pictures[0], self.caption)
        return grids.grid(self.pictures, titles=self.titles, columns=self.columns, caption=self.caption)


def draw(
    dataset: Dataset,
    view: View = "sample",
    index: int | None = None,
    *,
    split: SplitName = "train",
    seed: int | None = None,
) -> Sheet:
    """Pictures of `split`: the first few (of a folder: some of each class; with a `seed`: drawn by it), rows
    of each class, or one at `index`. `UsageError` where there is no such split or picture.
    """
    seen = dataset.split(split)
    if index is not None:
        return _one(dataset, split, index)
    if view == "by-class":
        return _by_class(dataset, split, seed)
    rows = list(range(len(seen))) if seed is None else _shuffled(len(seen), seed)
    if seen.names:  # a folder is sorted by class: take from each in turn
        rows = _in_turn(seen, len(dataset.classes), rows)
    rows = rows[:SAMPLE]
    titles = tuple(_labels(seen, dataset.classes, row) for row in rows)
    caption = f"{shown(dataset.name)}: {len(rows)} of {len(seen)} {WORDS[split]} pictures"
    return Sheet(_pictures(seen, rows), titles, 4, caption)


def _shuffled(n: int, seed: int) -> list[int]:
    order: list[int] = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()
    return order


def _in_turn(split: Split, classes: int, order: Sequence[int]) -> list[int]:
    """Rows of `SAMPLE` pictures, the first in `order`, as evenly over the classes as there are pictures,
    class by class.
    """
    members = _members(split, classes, order)
    rounds = [(turn, k, row) for k, of in enumerate(members) for turn, row in enumerate(of[:SAMPLE])]
    chosen = list(dict.fromkeys(row for _, _, row in sorted(rounds)))[:SAMPLE]
    return sorted(chosen)


def _members(split: Split, classes: int, order: Sequence[int]) -> list[list[int]]:
    """The rows of each class, or that carry each label, in `order`."""
    members = targets.form_of(split.y).members(split.y, classes)
    chosen = torch.tensor(order, dtype=torch.int64)
    return [chosen[of[chosen]].tolist() for of in members.T]


def _by_class(dataset: Dataset, split: SplitName, seed: int | None) -> Sheet:
    """Three rows of every class, in the order of the data or drawn by `seed`; a class that has fewer leaves
    its rows blank.
    """
    seen, names = dataset.split(split), dataset.classes[:CLASSES_SHOWN]
    order = list(range(len(seen))) if seed is None else _shuffled(len(seen), seed)
    each = ACROSS * ROWS_PER_CLASS
    blank = torch.full(seen.shape, 255, dtype=torch.uint8).numpy()
    pictures: list[Pixels] = []
    titles: list[str] = []
    for name, of_class in zip(names, _members(seen, len(dataset.classes), order), strict=False):
        rows = of_class[:each]
        pictures += [*_pictures(seen, rows), *[blank] * (each - len(rows))]
        titles += [shown(name) if i % ACROSS == 0 else "" for i in range(each)]
    left_out = (
        f"; the first {len(names)} of {len(dataset.classes)} classes"
        if len(names) < len(dataset.classes)
        else ""
    )
    caption = f"{shown(dataset.name)}: {WORDS[split]} pictures of each class{left_out}"
    return Sheet(tuple(pictures), tuple(titles), ACROSS, caption)


def _one(dataset: Dataset, split: SplitName, index: int) -> Sheet:
    seen, index = dataset.split(split), _checked(dataset, split, index)
    _, h, w = seen.shape
    named = f" ({shown(seen.names[index])})" if seen.names else ""
    title = f"{index}: {_labels(seen, dataset.classes, index)}{named}, {h}x{w}"
    return Sheet(_pictures(seen, [index]), (title,), 1, title, scale=True)


def draw_variants(
    dataset: Dataset, index: int, augment: Augment, *, split: SplitName = "train", seed: int = 0
) -> Sheet:
    """Picture `index` of `split` and three random variants of it, 2x2; `UsageError` where it is not there."""
    row, seen = _checked(dataset, split, index), dataset.split(split)
    original = seen.x[row]
    pictures = [original, *augment.variants(original, VARIANTS, seed)]
    chosen = augment.model_dump(exclude_defaults=True)
    settings = ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in chosen.items()
    )
    return Sheet(
        tuple(pixels.numpy() for pixels in pictures),
        ("original", *(f"variant {k + 1}" for k in range(VARIANTS))),
        2,
        f"{index}: {_labels(seen, dataset.classes, row)}; {settings or 'no change'}",
        variants=True,
    )


def _checked(dataset: Dataset, split: SplitName, index: int) -> int:
    seen = dataset.split(split)
    if not 0 <= index < len(seen):
        raise UsageError(
            f"index {index}: {shown(dataset.name)} has pictures 0 to {len(seen) - 1} in {split}; give another"
        )
    return index


def _pictures(split: Split, rows: Sequence[int]) -> tuple[Pixels, ...]:
    return tuple(split.x[row].numpy() for row in rows)


def _labels(split: Split, classes: tuple[str, ...], row: int) -> str:
    return shown(targets.named(split.y[row : row + 1], classes)[0]) or "no label"


def _with_scale(pixels: Pixels, title: str) -> bytes:
    """One picture (C, h, w) with rows and columns numbered, and a bar for the values 0..255; of colour, its
    three planes too.
    """
    plotting.settle()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    planes = [("", pixels[0])] if len(pixels) == 1 else list(zip(("red", "green", "blue"), pixels))
    figure = Figure(figsize=(5.2, 4.6) if len(planes) == 1 else (13, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, len(planes) + (len(planes) > 1), squeeze=False)[0])
    if len(planes) > 1:
        axes[0].imshow(pixels.transpose(1, 2, 0), interpolation="nearest")
    for place, (name, plane) in zip(axes[-len(planes) :], planes):
        drawn = place.imshow(plane, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        place.set_title(name)
    figure.colorbar(drawn, ax=axes[-1], label="value")
    figure.suptitle(title, fontsize=10, parse_math=False)
    made = io.BytesIO()
    figure.savefig(made, format="png")
    return made.getvalue()
