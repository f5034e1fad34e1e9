"""Headers: how much a picture file may say before its pixels come.

Decoders walk through whatever stands there byte by byte or part by part, and keep most of it: a small file
of nothing but comments takes them many times its size, and minutes. What has more parts than any program
writes is refused before a decoder sees it, in one pass.
"""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

PARTS, SHARE = 4096, 256
"""A header has at most so many parts, and one more for every so many bytes of the file."""
EXIF = 32
"""Segments of EXIF in a JPEG, at most: of 64 KiB each."""
FILL = 256 << 10
"""Bytes between the segments of a JPEG's header, at most."""
PNM_HEADER = 64 << 10
STRIPS = 100_000
"""Strips or tiles of a TIFF, at most: more than it may have rows in any other program."""
TIMES = 4
"""A directory of tags takes at most so many times the file's size: tags may all name the same bytes."""
FRACTIONS = 16_384
"""Numbers of a tag of fractions, at most: Pillow makes an object of each."""
DIRECTORIES = 1024
_NUMBER = rb"(?:\s|#[^\r\n]*[\r\n])+[-+.eE0-9]+"
_PNM = re.compile(rb"(?:P[14](?:%b){2}|P[2356f](?:%b){3})\s" % (_NUMBER, _NUMBER))
_TIFF = re.compile(rb"II[*+]\0"), re.compile(rb"MM\0[*+]")
"""Each begins with letters that are looked for as such, which is ten times as fast as a choice of two."""
_SIZES = np.array([0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 2, 8, 8, 8, 8], np.uint64)
"""Bytes of a value of each of TIFF's types."""
_FRACTIONS = (5, 10)
_STRIP_TAGS = (273, 279, 324, 325)


class Flood(ValueError):
    """What there is too much of."""


class Wrong(ValueError):
    """What does not agree with its checksum."""


def require_lean(kind: str, data: bytes) -> None:
    """`Flood` where the header of a file of this kind (Pillow's word) is no header but a flood; `Wrong` where
    the pixels of a PNG do not agree with their checksums.
    """
    if kind in _PARTS:
        most = PARTS + len(data) // SHARE
        if sum(1 for _ in itertools.islice(_PARTS[kind](data), most + 1)) > most:
            raise Flood(f"more than {most:,} parts in its header")
    if kind == "PPM" and len(data) > PNM_HEADER and not _PNM.match(data, 0, PNM_HEADER):
        raise Flood(f"a header of more than {PNM_HEADER >> 10} KiB")
    if kind == "TIFF":
        _require_lean_directory(data, 0)
    elif kind != "PPM":
        for number, found in enumerate(itertools.chain(*(begin.finditer(data) for begin in _TIFF))):
            if number == DIRECTORIES:
                raise Flood(f"more than {DIRECTORIES:,} directories of tags")
            _require_lean_directory(data, found.start())


def _segments(data: bytes) -> Iterator[None]:
    """The segments of a JPEG before its first scan."""
    at, fill, exif = 2, 0, 0
    while (marker := _MARKER.search(data, at)) is not None and marker[1] not in (b"\xda", b"\xd9"):
        fill += marker.start() - at
        if fill > FILL:
            break
        exif += data.startswith(b"Exif", marker.end() + 2)
        if exif > EXIF:  # Pillow joins them one by one
            raise Flood(f"more than {EXIF} parts of EXIF")
        yield
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    if fill > FILL or (marker is not None and marker.start() - at > FILL):
        raise Flood(f"more than {FILL >> 10} KiB between the parts of its header")


_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")  # no stuffed zero, fill byte, TEM or restart marker


def _chunks(data: bytes) -> Iterator[None]:
    """The chunks of a PNG; those of its pixels are held against their checksums."""
    at, end = 8, len(data)
    while at + 12 <= end:
        length, kind = struct.unpack_from(">I4s", data, at)
        after = at + 8 + length
        if kind in (b"IDAT", b"fdAT") and after + 4 <= end:
            said = int.from_bytes(data[after : after + 4], "big")
            if zlib.crc32(memoryview(data)[at + 4 : after]) != said:
                raise Wrong("the checksum of its pixels is wrong")
        if kind == b"IEND":
            return
        yield
        at = after + 4


def _blocks(data: bytes) -> Iterator[None]:
    """The blocks of a GIF's extensions before its first picture."""
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 128 else 0)
    while at + 1 < len(data) and data[at : at + 1] != b",":
        if data[at : at + 1] != b"!":
            at += 1
            yield
            continue
        at += 2
        while at < len(data) and data[at]:
            at += data[at] + 1
            yield
        at += 1
        yield


def _riff(data: bytes) -> Iterator[None]:
    """The chunks of a WebP."""
    at = 12
    while at + 8 <= len(data):
        yield
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2


def _boxes(data: bytes) -> Iterator[None]:
    """The outer boxes of an AVIF or HEIC file."""
    at = 0
    while at + 8 <= len(data):
        yield
        length = int.from_bytes(data[at : at + 4], "big")
        at += length if length >= 8 else len(data)


_PARTS: Mapping[str, Callable[[bytes], Iterator[None]]] = {
    "JPEG": _segments,
    "PNG": _chunks,
    "GIF": _blocks,
    "WEBP": _riff,
    "AVIF": _boxes,
    "HEIF": _boxes,
}


def _require_lean_directory(data: bytes, start: int) -> None:
    """`Flood` where the tags of the TIFF directory that belongs to the header at `start` take too much."""
    order = "<" if data[start : start + 1] == b"I" else ">"
    big = b"+" in data[start : start + 4]
    try:
        (at,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, start + (8 if big else 4))
        (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, start + at)
    except struct.error:
        return
    word = f"{order}u8" if big else f"{order}u4"
    row = np.dtype([("tag", f"{order}u2"), ("kind", f"{order}u2"), ("count", word), ("value", word)])
    begins = start + at + (8 if big else 2)
    there = max(0, len(data) - begins) // row.itemsize
    rows = np.frombuffer(data, row, min(count, there, 1 << 20), begins) if there else np.empty(0, row)
    kinds = np.minimum(rows["kind"], len(_SIZES) - 1)
    sizes = rows["count"].astype(np.float64) * _SIZES[kinds]
    away = sizes > (8 if big else 4)
    left = np.maximum(0.0, len(data) - start - rows["value"].astype(np.float64))
    if float(np.minimum(sizes, left)[away].sum()) > TIMES * len(data):
        raise Flood(f"tags of more than {TIMES} times its size")
    if (rows["count"][np.isin(kinds, _FRACTIONS)] > FRACTIONS).any():
        raise Flood(f"tags of more than {FRACTIONS:,} fractions")
    if len(rows) > PARTS or (rows["count"][np.isin(rows["tag"], _STRIP_TAGS)] > STRIPS).any():
        raise Flood(f"more than {PARTS:,} tags or {STRIPS:,} strips")
