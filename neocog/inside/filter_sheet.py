"""Filter sheet: what was given to a filter and what came of it, drawn side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from neocog.inside.filters import pixels, plain
from neocog.inside.kernels import Numbers
from neocog.pictures.decode import Pixels
from neocog.show import charts, grids

Levels = Literal["clip", "scale"]
Named: TypeAlias = "tuple[str, Numbers]"
"""Numbers (C, n, ...) under their title."""

MOST_CURVES = 3
"""Channels of a signal that are drawn as curves."""
_FRAMES_SHOWN = 16
_WIDE = 640  # pixels: a signal of many channels


@dataclass(frozen=True, slots=True)
class FilterSheet:
    """What was `given` and the `outputs`. `levels` says what black and white stand for in these; `top` is the
    value that is white where `levels` is 'clip', and in what was given.
    """

    given: Named
    outputs: tuple[Named, ...]
    levels: Levels
    top: float

    def png(self) -> bytes:
        """Side by side; curves of a signal, or strips where it has more than three channels; of a volume a
        row of pictures each.
        """
        title, values = self.given
        shown = [(f"given: {title}", values), *self.outputs]
        if values.ndim == 2:
            return _curves(shown) if len(values) <= MOST_CURVES else _strips(shown)
        rows = [[(title, self._grey_levels(part, "clip")) for title, part in _planes(*shown[0])]]
        rows += [
            [(title, self._grey_levels(part, self.levels)) for title, part in _planes(*one)]
            for one in self.outputs
        ]
        across = max(map(len, rows)) if values.ndim == 4 else None
        for row in rows:
            blank = ("", np.full_like(row[0][1], 255))
            row += [blank] * ((across or len(row)) - len(row))
        titles, pictures = zip(*(one for row in rows for one in row), strict=True)
        return grids.grid(pictures, titles=titles, columns=across, caption=self._caption())

    def each(self) -> list[bytes]:
        """Every picture that came out, alone and at its own size; none of signals and volumes."""
        if self.given[1].ndim != 3:
            return []
        parts = [part for one in self.outputs for _, part in _planes(*one)]
        return [grids.alone(self._grey_levels(part, self.levels)) for part in parts]

    def _grey_levels(self, values: Numbers, levels: Levels) -> Pixels:
        return pixels(values, levels=levels, top=self.top)

    def _caption(self) -> str:
        if self.levels == "clip":
            return f"values below 0 are black, above {plain(self.top)} white"
        return "each result stretched from its least value, black, to its greatest, white"


def _curves(shown: Sequence[Named]) -> bytes:
    """Signals as curves, each spread over the places of the first, which was given."""
    whole = shown[0][1].shape[1]
    series = {
        f"{name} {n}" if len(values) > 1 else name: [
            ((place + 0.5) * whole / len(row) - 0.5, float(value)) for place, value in enumerate(row)
        ]
        for name, values in shown
        for n, row in enumerate(values)
    }
    return charts.curves(series, title="filtered", x_label="place in what was given", y_label="")


def _strips(shown: Sequence[Named]) -> bytes:
    """Signals of many channels as pictures, one below the other, each as wide as what was given."""
    pictures = []
    for _, values in shown:
        across, down = max(1, _WIDE // values.shape[1]), max(4, 32 // len(values))
        pictures.append(pixels(values, levels="scale", top=1.0).repeat(down, 0).repeat(across, 1))
    caption = (
        "places from left to right, a row for each channel; from the least value, black, to the greatest"
    )
    return grids.grid(pictures, titles=[name for name, _ in shown], columns=1, caption=caption)


def _planes(name: str, values: Numbers) -> list[Named]:
    """Titles and pictures (1 or 3, h, w) of (C, h, w), or of the first pictures of a volume (C, d, h, w)."""
    if values.ndim == 4:
        slices = [values[:, n] for n in range(min(values.shape[1], _FRAMES_SHOWN))]
        return [part for n, s in enumerate(slices) for part in _planes(f"{name} [{n}]", s)]
    if len(values) in (1, 3) and not name.startswith("random"):
        return [(name, values)]
    return [(f"{name} {n + 1}", values[n : n + 1]) for n in range(len(values))]
