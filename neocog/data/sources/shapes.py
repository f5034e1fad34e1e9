"""Shapes: coloured figures, drawn by the program; what is named, colour, shape or both, is the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neocog.data.sources.built_in import BuiltIn

if TYPE_CHECKING:
    from neocog.data.choice import Data
    from neocog.data.dataset import Dataset


def _drawn(data: Data) -> Dataset:
    from neocog.data.sources import drawn_shapes

    return drawn_shapes.read(data.task or "both", data.seed)


ROW = BuiltIn(
    title="Shapes: coloured circles, diamonds, lines, rectangles, triangles, drawn by the program; "
    "classes and channels depend on the task",
    classes=(),
    shape=(3, 28, 28),
    source="drawn by neocog",
    licence="Apache-2.0",
    recipe="g3",
    make=_drawn,
)
