"""Pictures put together pixel by pixel, each as the bytes of a PNG: grids and stacks.

A small picture is enlarged by a whole number, so that every one of its pixels stays a square.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from neocog.errors import UsageError
from neocog.show.lettering import broken, font, wanted_width

Pixels = npt.NDArray[np.uint8]

MOST_PICTURES = 1000
MOST_STACKED = 20
_SEEN_WELL = 96  # pixels; the side to which small pictures are enlarged
_LARGEST = 320  # pixels; the side to which large pictures are reduced in a grid
_WIDEST = 1600  # pixels; a grid's width, where whole enlargement factors allow
_TITLE, _CAPTION, _GAP = 12, 13, 6  # pixels: heights of letters, space between pictures


def grid(
    pictures: Sequence[Pixels],
    *,
    titles: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
    columns: int | None = None,
    caption: str | None = None,
) -> bytes:
    """Pictures, uint8 (C, h, w), (h, w) or (h, w, 3), row by row; a title in its own colour above each.

    Small pictures are enlarged by one whole factor for all; long titles take two lines and end in '…'.
    """
    shown = [rgb(picture) for picture in pictures]
    if not 1 <= len(shown) <= MOST_PICTURES:
        raise UsageError(f"a grid of {len(shown)} pictures; give 1 to {MOST_PICTURES}")
    for what, given in (("titles", titles), ("colours", colours)):
        if given is not None and len(given) != len(shown):
            raise UsageError(f"{len(given)} {what} for {len(shown)} pictures; give one for each")
    across = min(columns or _columns(len(shown)), len(shown))
    if across < 1:
        raise UsageError(f"a grid of {columns} columns; give 1 or more")
    drawn = _enlarged(shown, across)
    width = max(picture.width for picture in drawn)
    height = max(picture.height for picture in drawn)
    lines: list[list[str]] = []
    if titles is not None:
        width = max(width, min(160, wanted_width(titles, font(_TITLE))))
        lines = [broken(title, font(_TITLE), width, most=2) for title in titles]
    title_height = max((len(some) for some in lines), default=0) * (_TITLE + 3)
    step_x, step_y = width + _GAP, title_height + height + _GAP
    full_width = across * step_x + _GAP
    below = broken(caption, font(_CAPTION), full_width - 2 * _GAP, most=4) if caption else []
    down = -(-len(drawn) // across)
    sheet = Image.new("RGB", (full_width, down * step_y + _GAP + len(below) * (_CAPTION + 5)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, picture in enumerate(drawn):
        x, y = _GAP + i % across * step_x, _GAP + i // across * step_y
        if lines:
            colour = _colour(colours[i]) if colours is not None else (0, 0, 0)
            top = y + title_height - len(lines[i]) * (_TITLE + 3)
            for n, line in enumerate(lines[i]):
                place = (x + width / 2, top + n * (_TITLE + 3))
                pen.text(place, line, fill=colour, font=font(_TITLE), anchor="ma")
        sheet.paste(
            picture, (x + (width - picture.width) // 2, y + title_height + (height - picture.height) // 2)
        )
    for n, line in enumerate(below):
        pen.text(
            (_GAP, down * step_y + _GAP + n * (_CAPTION + 5)), line, fill=(64, 64, 64), font=font(_CAPTION)
        )
    return _png(sheet)


def alone(picture: Pixels) -> bytes:
    """One picture, uint8 (C, h, w), (h, w) or (h, w, 3), pixel for pixel."""
    return _png(Image.fromarray(rgb(picture)))


def stacked(pictures: Sequence[bytes], *, caption: str | None = None, widest: int = 0) -> bytes:
    """PNGs one above another, at the left, on white; a caption below. Narrow ones stand side by side, in
    their order, as long as a row stays within `widest` pixels.
    """
    if not 1 <= len(pictures) <= MOST_STACKED:
        raise UsageError(f"a stack of {len(pictures)} pictures; give 1 to {MOST_STACKED}")
    rows = _rows([Image.open(io.BytesIO(png)) for png in pictures], widest)
    width = max(sum(part.width for part in row) for row in rows)
    below = broken(caption, font(_CAPTION), width - 2 * _GAP, most=4) if caption else []
    top = sum(max(part.height for part in row) for row in rows)
    sheet = Image.new("RGB", (width, top + len(below) * (_CAPTION + 5) + (_GAP if below else 0)), "white")
    y = 0
    for row in rows:
        x = 0
        for part in row:
            sheet.paste(part.convert("RGB"), (x, y))
            x += part.width
        y += max(part.height for part in row)
    pen = ImageDraw.Draw(sheet)
    for n, line in enumerate(below):
        pen.text((_GAP, top + n * (_CAPTION + 5)), line, fill=(64, 64, 64), font=font(_CAPTION))
    return _png(sheet)


def _rows(parts: Sequence[Image.Image], widest: int) -> list[list[Image.Image]]:
    """Parts in rows of at most `widest` pixels, or of one part."""
    rows: list[list[Image.Image]] = []
    for part in parts:
        if rows and sum(other.width for other in rows[-1]) + part.width <= widest:
            rows[-1].append(part)
        else:
            rows.append([part])
    return rows


# Pixels


def rgb(picture: Pixels) -> Pixels:
    """(C, h, w), (h, w) or (h, w, 3), uint8, as (h, w, 3). (C, h, w) where it could be both."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.size == 0:
        raise UsageError(
            f"a picture was given as {pixels.dtype} {pixels.shape}; it is uint8 (C, h, w), (h, w), (h, w, 3)"
        )
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] not in (1, 3):
        raise UsageError(
            f"a picture has {pixels.shape} values; it is (C, h, w), (h, w) or (h, w, 3) with C 1 or 3"
        )
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _columns(n: int) -> int:
    """The number of columns of a grid of n: near its root, a divisor of n where one is near."""
    root = math.ceil(math.sqrt(n))
    return next((c for c in range(root, 2 * root) if n % c == 0), root)


def _enlarged(pictures: Sequence[Pixels], across: int) -> list[Image.Image]:
    """The pictures enlarged by one whole factor, or the too large ones reduced."""
    side = max(max(picture.shape[:2]) for picture in pictures)
    room = max(1, (_WIDEST // across - _GAP) // side)
    factor = max(1, min(-(-_SEEN_WELL // side), room))
    drawn = []
    for pixels in pictures:
        picture = Image.fromarray(pixels)
        if side > _LARGEST and max(picture.size) > _LARGEST:
            picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
        drawn.append(
            picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
        )
    return drawn


def _colour(name: str) -> tuple[int, ...]:
    try:
        return ImageColor.getrgb(name)
    except ValueError as error:
        raise UsageError(f"unknown colour '{name}'; give a name such as blue, or #rrggbb") from error


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=False, compress_level=6)
    return buffer.getvalue()
