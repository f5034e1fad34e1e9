"""Tiles: the pieces of a picture in which a network looks at it, such that nothing comes out differently.

A piece is seen with so much of its surroundings that all maps of its core are those of the whole picture;
cores are counted once. Cores begin at multiples of the deepest stride, so that every window lies where it
lies in the whole picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from neocog.style.backbone import Place


@dataclass(frozen=True, slots=True)
class Span:
    """Along one axis: pixels `start` to `stop` are looked at, `core` to `end` counted. `last`: to the end."""

    start: int
    stop: int
    core: int
    end: int
    last: bool


@dataclass(frozen=True, slots=True)
class Tile:
    """One piece of a picture (1, C, H, W)."""

    rows: Span
    columns: Span

    def seen(self, x: Tensor) -> Tensor:
        """What the network is shown: the core with its surroundings."""
        return x[:, :, self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]

    def core(self, maps: Tensor, stride: int) -> Tensor:
        """Of maps of what was seen, those of the core."""
        return maps[:, :, _inner(self.rows, stride), _inner(self.columns, stride)]

    def of_whole(self, maps: Tensor, stride: int) -> Tensor:
        """Of maps of the whole picture, those of the core."""
        return maps[:, :, _outer(self.rows, stride), _outer(self.columns, stride)]


def _inner(span: Span, stride: int) -> slice:
    return slice((span.core - span.start) // stride, None if span.last else (span.end - span.start) // stride)


def _outer(span: Span, stride: int) -> slice:
    return slice(span.core // stride, None if span.last else span.end // stride)


def cut(height: int, width: int, side: int | None, places: Mapping[str, Place]) -> list[Tile]:
    """Tiles with cores of at most `side` pixels, or of one stride; None: the whole picture in one."""
    if side is None or side >= max(height, width):
        return [Tile(_all(height), _all(width))]
    step, around = margins(places)
    core = max(step, side // step * step)
    return [Tile(r, c) for r in _spans(height, core, around) for c in _spans(width, core, around)]


def margins(places: Mapping[str, Place]) -> tuple[int, int]:
    """The deepest stride, and the pixels around a core that count: half of what a map sees, and a stride for
    paddings that are larger on one side; whole strides.
    """
    step = max(place.stride for place in places.values())
    reach = max((place.sees or 0) // 2 + place.stride for place in places.values())
    return step, -(-reach // step) * step


def _all(length: int) -> Span:
    return Span(0, length, 0, length, True)


def _spans(length: int, core: int, around: int) -> list[Span]:
    found = []
    for start in range(0, length, core):
        end = min(start + core, length)
        found.append(Span(max(0, start - around), min(length, end + around), start, end, end == length))
    return found
