"""Answer: what a method of explaining found: sheets of pictures, lines of text, and all the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from neocog.pictures.pixels import Pixels
from neocog.show import grids

WIDEST = 1800
"""Pixels across up to which sheets stand side by side."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture, uint8 (C, h, w), (h, w) or (h, w, 3), with its title and the title's colour."""

    title: str
    pixels: Pixels = field(repr=False, compare=False)
    colour: str = "black"


@dataclass(frozen=True, slots=True)
class Sheet:
    """Panels row by row, as many `columns` across (None: as fits), the caption below. Narrow sheets stand
    side by side; one that `begins` something stands at the left.
    """

    panels: tuple[Panel, ...]
    caption: str = ""
    columns: int | None = None
    begins: bool = False

    def png(self) -> bytes:
        return grids.grid(
            [panel.pixels for panel in self.panels],
            titles=[panel.title for panel in self.panels],
            colours=[panel.colour for panel in self.panels],
            columns=self.columns,
            caption=self.caption or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found.

    sheets  pictures; none where a method speaks in words
    lines   what it comes to, in words
    arrays  the numbers behind both, by names that say what they are
    facts   the same in JSON, without the large arrays
    document  all of it as one text, where that is longer than `lines`
    """

    sheets: tuple[Sheet, ...] = ()
    lines: tuple[str, ...] = ()
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    document: Callable[[], str] | None = field(default=None, repr=False)

    def png(self) -> bytes | None:
        """The sheets in one picture; None where there are none."""
        if not self.sheets:
            return None
        groups: list[list[bytes]] = []
        for sheet in self.sheets[: grids.MOST_STACKED]:
            if sheet.begins or not groups:
                groups.append([])
            groups[-1].append(sheet.png())
        return _together([_together(group) for group in groups])


def _together(pngs: list[bytes]) -> bytes:
    return pngs[0] if len(pngs) == 1 else grids.stacked(pngs, widest=WIDEST)
