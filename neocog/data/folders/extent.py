"""Extent: how much there is to train on, known from a listing and a few of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neocog.data.folders.listing import Item, Listing
from neocog.errors import UnreadableError
from neocog.pictures.decode import see
from neocog.pictures.samples import together
from neocog.pictures.seen import Seen

WHITE, BLACK = 255, 0
NO_PIXELS = np.empty((0, 0, 3), np.uint8)
SAMPLED = 24
"""How many pictures are decoded, at least, to learn the size of all; less than twice as many."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to train on: pictures, classes, the median (height, width) of some pictures, whether
    they are grey, and how many times as many pictures the largest class has as the smallest; the samples
    that should be black and white, where those of more than 8 bits are hardly used; the ground from which
    transparent pictures stand out.
    """

    pictures: int
    classes: int
    size: tuple[int, int] | None = None
    grey: bool = False
    imbalance: float = 1.0
    levels: tuple[float, float] | None = None
    ground: int = WHITE


def of_listing(listing: Listing) -> Extent:
    """The extent of the training pictures of a folder, table or archive, some of which are decoded."""
    items = [item for item in listing.items if item.split == "train"]
    counts = [0] * len(listing.classes)
    for item in items:
        for label in item.labels:
            counts[label] += 1
    found = looked_at(items, listing)
    if not found.sizes:
        return Extent(len(items), len(listing.classes), imbalance=imbalance(counts))
    height, width = (sorted(sides)[len(sides) // 2] for sides in zip(*found.sizes, strict=True))
    return Extent(
        len(items),
        len(listing.classes),
        (height, width),
        found.grey,
        imbalance(counts),
        found.levels,
        found.ground,
    )


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Some pictures: their (height, width), and what all of them have in common, as in `Extent`."""

    sizes: tuple[tuple[int, int], ...]
    grey: bool
    levels: tuple[float, float] | None
    ground: int


def looked_at(items: Sequence[Item], listing: Listing) -> LookedAt:
    """Some of `items` of the listing, decoded; those that cannot be are left out here, and reported later."""
    every: list[Seen] = []
    sizes, grey = [], True
    for item in items[:: max(len(items) // SAMPLED, 1)]:
        try:
            seen = see(listing.root / item.path)
        except UnreadableError:
            continue
        sizes.append(seen.pixels.shape[:2])
        grey = grey and bool((seen.pixels == seen.pixels[..., :1]).all())
        every.append(replace(seen, pixels=NO_PIXELS))
    used = together(seen.used for seen in every if seen.used is not None)
    clear = [seen.vanished for seen in every if seen.transparent]
    ground = BLACK if 2 * sum(clear) > len(clear) else WHITE
    return LookedAt(tuple(sizes), grey, used.suited if used is not None else None, ground)


def imbalance(counts: Sequence[int]) -> float:
    """How many times as many pictures the largest class has as the smallest, which counts as 1 where it has
    none.
    """
    return max(counts, default=1) / max(min(counts, default=1), 1)
