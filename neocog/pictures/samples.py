"""Samples: the numbers in a picture file that has more than 8 bits for each, and which of them are used.

A file of 16 bits often holds a camera's 12, a scan's 8, or a narrow band of temperatures; of its high bytes
little is left. Pillow keeps only those of 16-bit colours: the low bytes are read by telling it that the bytes
lie the other way round.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ImageFile import ImageFile

from neocog.pictures.pixels import Pixels

Numbers = npt.NDArray[Any]
DEPTHS = (10, 12, 14)
"""Bits that sensors have, and that are kept in 16."""
QUARTER = 4
"""Where less than one part in four of the samples there may be is used, they are too few to be seen."""
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0
_EXCHANGED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples lie in a file, which Pillow forgets on loading: its name for that, such as 'RGB;16B', where
    they begin, and the highest there may be.
    """

    raw_mode: str = ""
    offset: int = 0
    most: int = 255


@dataclass(frozen=True, slots=True)
class Used:
    """The least and the greatest sample that is used, and the `most` there may be. 0 and `most` themselves
    count only where there is no more than one sample between: they are dead and overexposed places too.
    """

    low: int
    high: int
    most: int

    @property
    def suited(self) -> tuple[float, float] | None:
        """The samples that black and white should be, where what is used is too little of what there may be:
        0..255 for 8 bits, the range of a sensor, or else just what is used.
        """
        span = self.high - self.low
        if QUARTER * span > self.most or self.high == 0 or (span == 0 and self.high > 255):
            return None
        for bits in (8, *DEPTHS):
            top = (1 << bits) - 1
            if self.high <= top and (bits == 8 or QUARTER * span >= top):
                return (0.0, float(top)) if top < self.most else None
        return float(self.low), float(self.high)


def layout(picture: Image.Image) -> Layout:
    """How the samples of a picture that is not loaded yet lie in its file."""
    tiles = getattr(picture, "tile", ())
    if not tiles:
        return Layout()
    arguments = tiles[0][3]
    given = arguments if isinstance(arguments, tuple) else (arguments,)
    raw_mode = given[0] if given and isinstance(given[0], str) else ""
    if tiles[0][0] == "ppm" and len(given) > 1:
        most = given[1]
    elif raw_mode.startswith("I;12"):
        most = 4095
    else:
        most = 65535 if ";16" in raw_mode else 255
    return Layout(raw_mode, tiles[0][2], most)


def numbers(
    picture: Image.Image, lying: Layout, data: bytes, again: Callable[[], ImageFile], *, every: bool
) -> Numbers | None:
    """The samples of a loaded picture that has more than 8 bits for each, (H, W) or (H, W, 3); None for
    another, and for colours whose high bytes alone use much of what there may be, unless `every` is wanted.
    `again` opens the file once more.
    """
    mode = picture.mode
    if data[:2] in (b"P5", b"P6") and lying.most > 255:
        shape = (picture.height, picture.width, *((3,) if mode == "RGB" else ()))
        count = int(np.prod(shape))
        return np.frombuffer(data, ">u2", count, lying.offset).reshape(shape)
    if mode.startswith(("I", "F")):
        values = np.asarray(picture)
        return values.view(np.uint32) if lying.raw_mode == "I;32N" else values  # Pillow's are signed
    if mode not in ("RGB", "RGBA", "LA") or not lying.raw_mode.endswith((";16B", ";16L", ";16N")):
        return None
    if lying.raw_mode.startswith("RGBa"):
        return None
    bands = 1 if lying.raw_mode.startswith("LA") else 3
    high = np.asarray(picture)[..., :bands]
    if not every and _wide(high) and _wide(high[(high > 0) & (high < 255)]):
        return None
    whole = (high.astype(np.uint16) << 8) | _low_bytes(again, lying)[..., :bands]
    return np.repeat(whole, 3, axis=2) if bands == 1 else whole


def _wide(high: Numbers) -> bool:
    return high.size > 0 and int(high.max()) - int(high.min()) > 255 // QUARTER + 1


def _low_bytes(opened: Callable[[], ImageFile], lying: Layout) -> Pixels:
    """The other byte of each 16-bit sample."""
    with opened() as again:
        grey = lying.raw_mode.startswith("LA")
        if grey:  # two bytes and two bytes, read as four
            again._mode, raw_mode = "RGBA", "RGBA"
        else:
            raw_mode = lying.raw_mode[:-1] + _EXCHANGED[lying.raw_mode[-1]]
        again.tile = [
            tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
            for tile in again.tile
        ]
        again.load()
        low = np.asarray(again)
    return low[..., 1:2] if grey else low


def used(values: Numbers, most: int) -> Used:
    """Which of 0..`most` are used, (H, W) or (H, W, 3)."""
    inside = values[(values > 0) & (values < most)]
    if inside.size == 0 or inside.min() == inside.max():
        return Used(int(values.min()), int(values.max()), most)
    return Used(int(inside.min()), int(inside.max()), most)


def together(found: Iterable[Used]) -> Used | None:
    """What several pictures use; None of none."""
    every = tuple(found)
    if not every:
        return None
    return Used(min(u.low for u in every), max(u.high for u in every), max(u.most for u in every))


def levelled(values: Numbers, levels: tuple[float, float]) -> Pixels:
    """Levels 0..255 of samples: those up to the first of `levels` are black, from the second on white."""
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        table = levelled(np.arange(1 << 16, dtype=np.float64), levels)
        return np.asarray(table[values])
    low, high = levels
    return np.rint(np.clip((values.astype(np.float64) - low) * (255 / (high - low)), 0, 255)).astype(np.uint8)


def by_depth(values: Numbers, most: int) -> Pixels:
    """The high 8 bits of samples of 12 or 16."""
    high: Pixels = np.minimum(values >> (4 if most == 4095 else 8), 255).astype(np.uint8)
    return high


def stretched(values: Numbers) -> Pixels:
    """Levels 0..255 of samples, of which the least is black and the greatest white."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(values.shape, np.uint8)
    shares = (values.astype(np.float64) - low) / (high - low)
    return np.rint(255 * shares).astype(np.uint8)
