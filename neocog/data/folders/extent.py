"""Extent: how much there is to train on, known from a listing and a few of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neocog.data.folders.listing import Listing
from neocog.errors import UnreadableError
from neocog.pictures.decode import decode

SAMPLED = 24
"""How many pictures are decoded, at least, to learn the size of all; less than twice as many."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is to train on: pictures, classes, the median (height, width) of some pictures, whether
    they are grey, and how many times as many pictures the largest class has as the smallest.
    """

    pictures: int
    classes: int
    size: tuple[int, int] | None = None
    grey: bool = False
    imbalance: float = 1.0


def of_listing(listing: Listing) -> Extent:
    """The extent of the training pictures of a folder, table or archive, some of which are decoded."""
    items = [item for item in listing.items if item.split == "train"]
    counts = [0] * len(listing.classes)
    for item in items:
        for label in item.labels:
            counts[label] += 1
    sizes, grey = [], True
    for item in items[:: max(len(items) // SAMPLED, 1)]:
        try:
            pixels = decode(listing.root / item.path)
        except UnreadableError:
            continue  # it is reported when everything is decoded
        sizes.append(pixels.shape[:2])
        grey = grey and bool((pixels == pixels[..., :1]).all())
    if not sizes:
        return Extent(len(items), len(listing.classes), imbalance=imbalance(counts))
    height, width = (sorted(sides)[len(sizes) // 2] for sides in zip(*sizes, strict=True))
    return Extent(len(items), len(listing.classes), (height, width), grey, imbalance(counts))


def imbalance(counts: Sequence[int]) -> float:
    """How many times as many pictures the largest class has as the smallest, which counts as 1 where it has
    none.
    """
    return max(counts, default=1) / max(min(counts, default=1), 1)
