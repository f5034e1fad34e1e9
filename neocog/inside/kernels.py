"""Kernels of classical filters: by name, from numbers in a text or a file, or drawn at random."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from math import radians, tan
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from neocog.errors import UnreadableError, UsageError, unknown

Numbers: TypeAlias = npt.NDArray[np.float64]
LARGEST = 1e9
"""Of a number that is typed: sums of many of them stay far from overflow."""
LONGEST = 1_000_000
"""Characters of numbers in a text or a file."""
MOST_FILTERS = 64

KERNELS: dict[str, tuple[tuple[float, ...], ...]] = {
    "identity": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
    "blur": ((1 / 9,) * 3,) * 3,
    "gaussian": ((1 / 16, 2 / 16, 1 / 16), (2 / 16, 4 / 16, 2 / 16), (1 / 16, 2 / 16, 1 / 16)),
    "edges": ((1, 1, 1), (1, -8, 1), (1, 1, 1)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "emboss": ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
    "sobel-x": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "sobel-y": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "right-angle": ((1, 0, 0), (1, 0, 0), (1, 1, 1)),
}
"""By name; `line-ANGLE` is another (`line`), for every whole number of degrees from 0 to 179."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Weights to slide over something with A spatial axes (1 a signal, 2 a picture, 3 a volume).

    `weights` (k, ...) with A axes: the same kernel on every channel by itself, channels stay. (C, k, ...):
    one filter over all C channels, which gives one. (F, C, k, ...): F such filters.
    """

    name: str
    weights: Numbers = field(repr=False, compare=False)


def line(angle: int) -> Numbers:
    """Ones on a line through the middle at `angle` degrees to the horizontal, counter-clockwise, else zeros.

    3x3 for multiples of 45, where that is exact; 5x5 for others, each column's (or row's) nearest pixel.
    """
    if not 0 <= angle < 180:
        raise UsageError(f"a line at {angle} degrees; give 0 to 179")
    half = 1 if angle % 45 == 0 else 2
    weights = np.zeros((2 * half + 1, 2 * half + 1))
    steep = 45 < angle < 135
    slope = tan(radians(90 - angle)) if steep else tan(radians(angle))
    for step in range(-half, half + 1):
        off = round(step * slope)
        row, column = (-step, off) if steep else (-off, step)
        weights[half + row, half + column] = 1
    return weights


def numbers(text: str, *, what: str = "kernel") -> Numbers:
    """'1 0 1; 0 1 0; 1 0 1' -> (planes, rows, columns): rows end with ';' or a new line, '|' begins another
    plane, numbers stand apart by spaces or commas and may be fractions such as 1/9.
    """
    if len(text) > LONGEST:
        raise UsageError(f"a {what} of {len(text):,} characters; give at most {LONGEST:,}")
    planes = [
        [[_number(word, what) for word in row.replace(",", " ").split()] for row in _rows(plane)]
        for plane in text.split("|")
    ]
    widths = {len(row) for plane in planes for row in plane}
    if len(widths) != 1 or len({len(plane) for plane in planes}) != 1 or 0 in widths:
        raise UsageError(
            f"the {what} has rows or planes of different sizes, or none; write for example '1 0; 0 1'"
        )
    return np.array(planes, dtype=np.float64)


def _rows(plane: str) -> list[str]:
    return [row for row in re.split(r"[;\n]", plane) if row.strip()]


def _number(word: str, what: str) -> float:
    try:
        top, mark, bottom = word.partition("/")
        value = float(Fraction(int(top), int(bottom))) if mark else float(word)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise UsageError(
            f"'{word[:40]}' in the {what} is no number; write for example '1 0 1; 0 1 0; 1 0 1', or 1/9"
        ) from None
    if not abs(value) <= LARGEST:
        raise UsageError(f"{word[:40]} in the {what} is too large; give numbers up to {LARGEST:g}")
    return value


def kernel(text: str, *, channels: int, axes: int) -> Kernel:
    """A kernel for something with `channels` and spatial `axes`: a name, numbers, or a file with numbers.

    Of numbers (planes, rows, columns), a picture takes one plane for each channel by itself, or as many
    planes as it has channels, which are added up; a signal takes one row, or as many as it has
    channels; a volume takes planes as slices.
    """
    if text in KERNELS:
        return Kernel(text, _for_axes(text, np.array([KERNELS[text]], dtype=np.float64), channels, axes))
    if found := re.fullmatch(r"line-(\d{1,3})", text):
        return Kernel(text, _for_axes(text, line(int(found[1]))[None], channels, axes))
    if re.match(r"[\s]*[-+.]?[\d.]", text) and not names_a_file(text):
        return Kernel(" ".join(text.split()), _for_axes(text, numbers(text), channels, axes))
    if not names_a_file(text):
        raise unknown("kernel", text, [*KERNELS, "line-ANGLE", "random"])
    return Kernel(Path(text).name, _for_axes(text, numbers(_content(Path(text))), channels, axes))


def names_a_file(text: str) -> bool:
    """Whether there is such a file; a long text is none."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or not a name at all
        return False


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 1).decode()
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise UnreadableError(f"{path} is not text; a kernel's file has rows of numbers") from None


def _for_axes(name: str, planes: Numbers, channels: int, axes: int) -> Numbers:
    """(planes, rows, columns) with the axes that `Kernel` wants."""
    count, rows, columns = planes.shape
    if axes == 3:
        return planes
    if axes == 2 and count in (1, channels):
        return planes[0] if count == 1 else planes
    if axes == 1 and count == 1 and rows in (1, channels):
        row: Numbers = planes[0, 0]
        return row if rows == 1 else planes[0]
    wanted = "one row, or a row" if axes == 1 else "one plane, or one"
    raise UsageError(
        f"kernel '{name}' has {count} planes of {rows}x{columns}; with {channels} channels and {axes} axes "
        f"give {wanted} for each channel ('|' begins another plane)"
    )


def random_filters(count: int, *, channels: int, axes: int, seed: int) -> Kernel:
    """`count` filters of 3 along every axis over all channels, weights uniform in [-0.2, 0.2), without bias
    (experiment F4).
    """
    if not 1 <= count <= MOST_FILTERS:
        raise UsageError(f"{count} random filters; give 1 to {MOST_FILTERS}")
    draws = np.random.default_rng(seed).uniform(-0.2, 0.2, (count, channels, *(3,) * axes))
    return Kernel(f"random, seed {seed}", draws)
