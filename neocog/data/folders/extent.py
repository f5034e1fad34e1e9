"""Extent: how much there is to train on, known from a listing and a few of its pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

from neocog.data.folders.listing import Item, Listing
from neocog.data.folders.picture_cache import entry, read_index, write_index
from neocog.data.folders.placing import Sights, in_order, sighted
from neocog.errors import UnreadableError
from neocog.pictures.decode import AS_IT_IS
from neocog.pictures.samples import Used, together

WHITE, BLACK = 255, 0
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


def of_listing(listing: Listing, sights: Sights) -> Extent:
    """The extent of the training pictures of a folder, table or archive, some of which are decoded, and kept
    in `sights`; where there are none, what is known of one is known of the others.
    """
    items = [item for item in listing.items if item.split == "train"]
    counts = [0] * len(listing.classes)
    for item in items:
        for label in item.labels:
            counts[label] += 1
    found = _looked_at(items or listing.items, listing, sights)
    extent = Extent(len(items), len(listing.classes), imbalance=imbalance(counts))
    if not found:
        return extent
    height, width = (sorted(sides)[len(found) // 2] for sides in zip(*(one.size for one in found)))
    used = together(one.used for one in found if one.used is not None)
    clear = [one.vanished for one in found if one.transparent]
    return replace(
        extent,
        size=(height, width),
        grey=all(one.grey for one in found),
        levels=used.suited if used is not None else None,
        ground=BLACK if 2 * sum(clear) > len(clear) else WHITE,
    )


class _Glance(NamedTuple):
    """What one picture tells about all: its (height, width), and what else is in `Extent` and `Seen`."""

    size: tuple[int, int]
    grey: bool
    used: Used | None
    transparent: bool
    vanished: bool


def _looked_at(items: Sequence[Item], listing: Listing, sights: Sights) -> list[_Glance]:
    """Some of `items` of the listing, from the cache where it has them; those that cannot be decoded are left
    out here, and reported later.
    """
    some = [item.path for item in items[:: max(len(items) // SAMPLED, 1)]]
    place = entry(listing, AS_IT_IS, ".glance.json")
    body = read_index(place)
    if body is not None and body["paths"] == some:
        return [
            _Glance(tuple(size), grey, Used(*used) if used else None, *more)
            for size, grey, used, *more in body["glances"]
        ]

    def glance(path: str) -> _Glance | None:
        try:
            sight = sighted(listing.root, path, AS_IT_IS)
        except (OSError, UnreadableError):
            return None
        sights.keep(path, sight)
        seen = sight.seen
        grey = bool((seen.pixels == seen.pixels[..., :1]).all())
        height, width, _ = seen.pixels.shape
        return _Glance((height, width), grey, seen.used, seen.transparent, seen.vanished)

    found = [one for one in in_order(glance, some) if one is not None]
    if len(found) < len(some):
        return found  # what could not be read may be readable the next time
    with contextlib.suppress(OSError, UnreadableError):  # no room or no permission
        rows = [(*one[:2], one.used and astuple(one.used), *one[3:]) for one in found]
        write_index(place, {"paths": some, "glances": rows})
    return found


def imbalance(counts: Sequence[int]) -> float:
    """How many times as many pictures the largest class has as the smallest, which counts as 1 where it has
    none.
    """
    return max(counts, default=1) / max(min(counts, default=1), 1)
