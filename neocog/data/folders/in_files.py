"""In files: what only pictures in files have, sizes of their own, what a crop leaves out, likenesses."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from neocog.data.folders.listing import Listing
from neocog.data.folders.picture_cache import Decoded


@dataclass(frozen=True, slots=True)
class Sizes:
    """(height, width) of the smallest and largest picture by area, and the middle height and width, as the
    files have them.
    """

    smallest: tuple[int, int]
    middle: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Discarded:
    """Shares 0..1 of the pixels that a centre crop leaves out: their mean, the most, and of which file."""

    mean: float
    most: float
    worst: str


def sizes(pictures: Decoded) -> Sizes:
    """The sizes of the pictures in their files."""
    sides = [(row.height, row.width) for row in pictures.rows]
    middle = tuple(statistics.median_low(side) for side in zip(*sides))
    by_area = sorted(sides, key=lambda side: (side[0] * side[1], side))
    return Sizes(by_area[0], (middle[0], middle[1]), by_area[-1])


def discarded(listing: Listing, pictures: Decoded) -> Discarded:
    """What a centre crop to the proportions of the pictures as they were read leaves out."""
    _, h, w = pictures.shape
    lost = [
        1 - min(row.height * w, row.width * h) / max(row.height * w, row.width * h) for row in pictures.rows
    ]
    most = max(range(len(lost)), key=lost.__getitem__)
    return Discarded(statistics.fmean(lost), lost[most], listing.items[pictures.rows[most].item].path)


def alike(listing: Listing, pictures: Decoded) -> tuple[tuple[str, ...], ...]:
    """The names in each group of pictures that are nearly, and not all exactly, the same."""
    return tuple(
        tuple(listing.items[pictures.rows[i].item].path for i in family)
        for family in pictures.families
        if len({pictures.rows[i].pixels for i in family}) > 1
    )
