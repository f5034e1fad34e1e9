"""JPEG, whole or not at all: libjpeg-turbo's pixels, and a word for whatever it was not sure of.

libjpeg goes on after data that end early or make no sense, warns, and fills the rest with grey; Pillow does
not pass the warnings on. `simplejpeg` stops at the first. Of the warnings some are no damage; such a file is
mended in memory and read again, so that a later warning is heard too. Sound pictures have the same bytes
as from Pillow, which is libjpeg-turbo as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import simplejpeg

from neocog.pictures.pixels import Pixels

COLOURS = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK"}
"""Pillow's modes of JPEG files, and simplejpeg's words for them."""
DAMAGE = re.compile(r"Corrupt JPEG data|Premature end|Inconsistent progression|transferred too (few|many)")
"""The warnings of libjpeg (jerror.h) that say that pixels are missing or wrong."""
DENOMINATORS = (8, 4, 2)
"""The inverse cosine transform makes 1, 2 or 4 pixels of 8 as exactly as 8, and faster."""
MENDED_AT_MOST = 8
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")  # no stuffed zero, fill byte, TEM or restart marker


class Damaged(ValueError):
    """What libjpeg said of data that do not make a whole picture."""


def pixels(data: bytes, mode: str, denominator: int = 1) -> Pixels | None:
    """The picture in `data`, whose Pillow mode is `mode`: uint8 (H, W, channels), its sides divided by
    `denominator` and rounded up. None where simplejpeg does not know that kind of JPEG.

    `Damaged` where libjpeg says that something is missing or wrong.
    """
    if mode not in COLOURS:
        return None
    return _checked(data, COLOURS[mode], denominator)


def require_whole(data: bytes) -> None:
    """`Damaged` where libjpeg says that something of `data` is missing or wrong; colours do not matter."""
    _checked(data, "GRAY", 1)


def area(data: bytes) -> int:
    """How many pixels a JPEG says that it has; 0 where it does not say."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError:
        return 0
    return int(height * width)


def _checked(data: bytes, colour: str, denominator: int) -> Pixels | None:
    for _ in range(MENDED_AT_MOST):
        try:
            return _read(data, colour, denominator)
        except ValueError as error:
            mended = _mended(data, str(error))
            if mended is None or mended == data:
                if DAMAGE.search(str(error)):
                    raise Damaged(str(error)) from error
                return None
            data = mended
    raise Damaged("its structure is damaged in many places")


def _read(data: bytes, colour: str, denominator: int) -> Pixels:
    if denominator == 1:
        return np.asarray(simplejpeg.decode_jpeg(data, colour))
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    least = (-(-height // denominator), -(-width // denominator))
    return np.asarray(simplejpeg.decode_jpeg(data, colour, False, False, *least, denominator))


def denominator_for(size: tuple[int, int], least: tuple[int, int] | None, most_pixels: int) -> int:
    """By what the sides of a JPEG of `size` (height, width) are divided: as much as leaves `least` and no
    fraction, so that proportions stay; or enough for no more than `most_pixels`.
    """
    height, width = size
    if least is not None:
        for denominator in DENOMINATORS:
            exact = height % denominator == width % denominator == 0
            if exact and height >= denominator * least[0] and width >= denominator * least[1]:
                return denominator
    fitting = (d for d in (1, *reversed(DENOMINATORS)) if -(-height // d) * -(-width // d) <= most_pixels)
    return next(fitting, 1)


def scans(data: bytes, most: int) -> int:
    """How many scans stand before the end-of-image marker, read from marker to marker as libjpeg does;
    `most` where they do not come to an end.
    """
    found, at = 0, 2
    for _ in range(100_000):
        marker = _MARKER.search(data, at)
        if marker is None or marker[1] == b"\xd9":
            return found
        found += marker[1] == b"\xda"
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return most


def _mended(data: bytes, complaint: str) -> bytes | None:
    """`data` without what libjpeg complains of, where that is no damage; None where it is."""
    for words, mend in _HARMLESS:
        if words in complaint:
            return mend(data)
    return None


def _without_strays(data: bytes) -> bytes:
    """Without bytes between the segments of the header, and zeros before the end-of-image marker."""
    parts, at = [data[:2]], 2
    while (marker := _MARKER.search(data, at)) is not None:
        start, after = marker.start(), marker.end()
        if marker[1] == b"\xda":
            parts.append(data[start:])
            break
        at = after + int.from_bytes(data[after : after + 2], "big")
        parts.append(data[start:at])
    clean = b"".join(parts)
    body, end, rest = clean.rpartition(b"\xff\xd9")
    kept = body.rstrip(b"\0")
    if end and len(kept) < len(body):
        clean = kept + (b"\0" if kept.endswith(b"\xff") else b"") + end + rest
    return clean


def _with_jfif_1(data: bytes) -> bytes:
    """With a version of JFIF that libjpeg knows; nothing but a thumbnail depends on it."""
    return re.sub(rb"(\xff\xe0..JFIF\0)..", lambda m: m[1] + b"\1\1", data, count=1, flags=re.DOTALL)


def _with_adobe_ycc(data: bytes) -> bytes:
    """With the colour transform that libjpeg takes an unknown one for."""
    return re.sub(rb"(\xff\xee..Adobe.{6}).", lambda m: m[1] + b"\1", data, count=1, flags=re.DOTALL)


def _with_plain_scans(data: bytes) -> bytes:
    """With the only parameters that the scans of a sequential JPEG may have, which libjpeg takes anyway."""

    def plain(scan: re.Match[bytes]) -> bytes:
        head = scan[0]
        length = 2 + int.from_bytes(head[2:4], "big")
        return head[: length - 3] + b"\0\x3f\0" + head[length:]

    return re.sub(rb"\xff\xda\0[\x08\x0a\x0c\x0e].{10}", plain, data, flags=re.DOTALL)


_HARMLESS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("extraneous bytes", _without_strays),
    ("unknown JFIF revision", _with_jfif_1),
    ("Unknown Adobe color transform", _with_adobe_ycc),
    ("Invalid SOS parameters", _with_plain_scans),
)
"""Warnings that say nothing about pixels, and how the file looks without what they are about."""
