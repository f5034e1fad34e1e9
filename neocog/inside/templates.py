"""Plain names for kernels: edges and lines in their directions, spots; found by how well they match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ALIKE = 0.75
"""The cosine between a kernel and a template from which on the kernel has the template's name."""
NO_NAME = "no plain name"

_SIDES = ("left", "lower left", "bottom", "lower right", "right", "upper right", "top", "upper left")
_LINES = {0: "horizontal line", 45: "rising line", 90: "vertical line", 135: "falling line"}

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Match:
    """A template's name, and the cosine (-1..1) between it and the kernel."""

    name: str
    cosine: float


def best(kernel: Numbers) -> Match:
    """The template most like `kernel` (rows, columns) and how much; `NO_NAME` where none is `ALIKE`."""
    length = float(np.linalg.norm(kernel))
    if length == 0 or min(kernel.shape) < 2:
        return Match(NO_NAME, 0.0)
    found = {name: float((kernel * t).sum()) / length for name, t in templates(kernel.shape).items()}
    name = max(found, key=lambda one: found[one])
    return Match(name if found[name] >= ALIKE else NO_NAME, found[name])


def templates(size: tuple[int, ...]) -> dict[str, Numbers]:
    """Kernels of length 1 by name. The left edge of something bright is dark on the left, bright on the
    right; a rising line goes from lower left to upper right.
    """
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in size)
    down, right = np.meshgrid(rows, columns, indexing="ij")
    found: dict[str, Numbers] = {}
    for eighth, side in enumerate(_SIDES):
        angle = np.pi / 4 * eighth
        found[f"{side} edge"] = np.clip(right * np.cos(angle) - down * np.sin(angle), -1, 1)
    for degrees, name in _LINES.items():
        angle = np.radians(degrees)
        away = np.abs(right * np.sin(angle) + down * np.cos(angle))
        found[name] = np.clip(1 - away, 0, 1)
        found[f"dark {name}"] = -found[name]
    away = np.hypot(right, down)
    found["spot"] = np.clip(1.2 - away, 0, 1)
    found["dark spot"] = -found["spot"]
    balanced = {name: kernel - kernel.mean() for name, kernel in found.items()}
    balanced |= {"brightness": np.ones(size), "darkness": -np.ones(size)}
    return {name: k / np.linalg.norm(k) for name, k in balanced.items() if np.linalg.norm(k) > 0}
