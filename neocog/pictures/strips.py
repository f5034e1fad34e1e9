"""Strips and tiles of a TIFF, held against what they should unpack to: holes in them make pixels that libtiff
does not complain of.

Deflate has a checksum, for which libtiff does not wait. In PackBits each part has to fill its rows exactly.
Fax has nothing of the kind; but behind a part that is whole a further row can be written, which comes out as
it was meant only where all codes before it make just the rows that there are.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

PARTS = ((273, 279), (324, 325))
"""The tags that say where strips, or tiles, begin, and how long they are."""
MOST_TRIED = 4096
"""Parts of a fax, at most, behind which a row is written: each is opened as a picture of its own."""
TIMES = 4
"""Parts may name the same bytes: what is looked at is at most so many times the file."""
TILE = 1 << 24
"""Pixels, at most, of a tile that is larger than the picture."""
LONG, TAIL = 63, 32
"""The longest run that one code has; bytes in which the end of fax data is looked for."""
PADDING = 3
"""Bytes, at most, between the end of a part and where the next begins."""
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _BACKWARDS = 256, 257, 258, 259, 262, 266
_SAMPLES, _ROWS, _PLANES, _OPTIONS, _TILE_WIDTH, _TILE_HEIGHT = 277, 278, 284, 292, 322, 323
_YCBCR, _APART, _PIECE = 6, 2, 1 << 20
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_WHITE_63, _BLACK_63, _WHITE_1, _BLACK_1, _BLACK_0 = (
    "00110100",
    "000001100111",
    "000111",
    "010",
    "0000110111",
)
_ACROSS, _LINE = "001", "000000000001"
"""Codes (ITU-T T.4 and T.6) of runs; of two runs given by their lengths; of the end of a line, which ends the
data where it stands twice."""


class Damaged(ValueError):
    """What is wrong with data that do not make a whole picture."""


class Part(NamedTuple):
    """A strip or tile: its packed bytes, how wide and high it is, the bits of a pixel, whether these say how
    many bytes it has unpacked, TIFF's numbers of how it is packed and of its options, and whether all of
    the bytes are there.
    """

    data: bytes
    width: int
    height: int
    bits: int
    exact: bool
    packing: int
    options: int
    whole: bool

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return -(-self.width * self.bits // 8) * self.height


def require_whole(tags: Mapping[int, Any], data: bytes) -> None:
    """`Damaged` where a strip or tile of the TIFF with these tags, packed by deflate, PackBits or as a fax,
    has other than its pixels. Reads each once, with a megabyte of memory (a fax: that of its pixels).
    """
    tile = tags[_TILE_WIDTH] * tags[_TILE_HEIGHT] if 324 in tags else 0
    if tile > max(TILE, TIMES * tags[_WIDTH] * tags[_HEIGHT]):
        raise Damaged("its tiles are many times as large as the picture")
    check = _CHECKS.get(tags.get(_COMPRESSION, 1))
    if check is None:
        return
    for number, part in enumerate(parts(tags, data)):
        if check is _fax and number == MOST_TRIED:
            return
        check(part)


def numbers(tags: Mapping[int, Any], tag: int) -> tuple[int, ...]:
    """What a tag says, once or many times."""
    found = tags.get(tag, ())
    return found if isinstance(found, tuple) else (found,)


def parts(tags: Mapping[int, Any], data: bytes) -> Iterator[Part]:
    """The strips or tiles of the TIFF with these tags, as far as they do not name the same bytes over and
    over.
    """
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    samples = int(tags.get(_SAMPLES, 1))
    bits = numbers(tags, _BITS) or (1,)
    every = sum(bits) if len(bits) == samples else bits[0] * samples
    apart = tags.get(_PLANES, 1) == _APART
    exact = tags.get(_PHOTOMETRIC) != _YCBCR  # whose colours may have fewer samples
    mirrored = tags.get(_BACKWARDS, 1) == 2
    tiled = 324 in tags
    if tiled:
        across, down = int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT])
    else:
        across, down = width, min(int(tags.get(_ROWS, height)), height)
    if across < 1 or down < 1:
        return
    starts, counts = (numbers(tags, tag) for tag in PARTS[tiled])
    each, read = -(-height // down), 0
    for number, (start, count) in enumerate(zip(starts, counts)):
        packed = data[start : start + count]
        read += len(packed)
        if read > TIMES * len(data):
            return
        rows = down if tiled else min(down, height - number % each * down)
        yield Part(
            packed.translate(_MIRRORED) if mirrored else packed,
            across,
            rows,
            bits[0] if apart else every,
            exact,
            tags.get(_COMPRESSION, 1),
            int(tags.get(_OPTIONS, 0)),
            len(packed) == count,
        )


def _deflate(part: Part) -> None:
    unpacker = zlib.decompressobj()
    most, found = 2 * part.size + _PIECE, 0
    try:
        for at in range(0, len(part.data), _PIECE >> 4):
            left = part.data[at : at + (_PIECE >> 4)]
            while left and not unpacker.eof and found <= most:
                found += len(unpacker.decompress(left, _PIECE))
                left = unpacker.unconsumed_tail
    except zlib.error as error:
        raise Damaged(f"deflate: {str(error).partition(': ')[2] or error}") from error
    if (part.exact and found < part.size) or not (unpacker.eof or found == part.size):
        raise Damaged("deflate: other than the bytes of its rows")


def _pack_bits(part: Part) -> None:
    if not part.exact:
        return
    packed, at, found = part.data, 0, 0
    end, size = len(packed), part.size
    while at < end and found < size:
        code = packed[at]
        if code < 128:
            found += code + 1
            at += code + 2
        elif code > 128:
            found += 257 - code
            at += 2
        else:
            at += 1
    if found != size or at > end or len(packed[at:]) > PADDING or packed[at:].strip(b"\0\x80"):
        raise Damaged("packbits: other than the bytes of its rows")


def _fax(part: Part) -> None:
    if not part.data.strip(b"\0") or part.bits != 1:
        return
    if not any(_comes_out(part, *tried) for tried in _FURTHER[part.packing](part)):
        raise Damaged("fax: other than the codes of its rows")


def _in_group_4(part: Part) -> Iterator[tuple[bytes, str]]:
    """Where the codes of a part may end, as bytes and further bits, with those of one more row."""
    before, tail = _ending(part)
    long, short = divmod(part.width, 2 * LONG)
    row = (_ACROSS + _WHITE_63 + _BLACK_63) * long + (_ACROSS + _WHITE_1 + _BLACK_1) * (short // 2)
    row += (_ACROSS + _WHITE_1 + _BLACK_0) * (short % 2) + _LINE * 2
    if tail.endswith(_LINE * 2):
        yield before, tail.removesuffix(_LINE * 2) + row
        return
    for zeros in range(8):  # the end is not marked: it lies somewhere in the last bytes
        yield before, tail + "0" * zeros + row


def _in_group_3(part: Part) -> Iterator[tuple[bytes, str]]:
    """As in group 4; zeros fill up what stands before a line's mark, which may end a byte."""
    before, tail = _ending(part)
    flat = not part.options & 1
    codes = re.sub("(?:0{11}1)*$" if flat else "(?:0{11}1[01]?)*$", "", tail)
    zeros = 16 + -(len(codes) + len(_LINE)) % 8
    yield before, codes + "0" * zeros + _LINE + "1" * (not flat) + _flat_row(part.width)


def _in_lines(part: Part) -> Iterator[tuple[bytes, str]]:
    """As in group 4; each line begins a byte."""
    yield part.data, _flat_row(part.width)
    yield part.data.rstrip(b"\0"), _flat_row(part.width)


def _ending(part: Part) -> tuple[bytes, str]:
    """The bytes of a part but for the last, and the bits of those, up to the last that is set."""
    kept = part.data.rstrip(b"\0")
    return kept[:-TAIL], "".join(f"{byte:08b}" for byte in kept[-TAIL:]).rstrip("0")


def _flat_row(width: int) -> str:
    """The codes of a row of one dimension."""
    long, short = divmod(width, 2 * LONG)
    return (_WHITE_63 + _BLACK_63) * long + (_WHITE_1 + _BLACK_1) * (short // 2) + _WHITE_1 * (short % 2)


def _comes_out(part: Part, before: bytes, bits: str) -> bool:
    """Whether a part with one more row behind it has that row in its place."""
    from PIL.TiffImagePlugin import TiffImageFile

    bits += "0" * (-len(bits) % 8)
    packed = before + int(bits, 2).to_bytes(len(bits) // 8, "big")
    long, short = divmod(part.width, 2 * LONG)
    row = ([1] * LONG + [0] * LONG) * long + ([1, 0] * LONG)[:short]  # white is 1
    entries = {
        _WIDTH: part.width,
        _HEIGHT: part.height + 1,
        _BITS: 1,
        _COMPRESSION: part.packing,
        _PHOTOMETRIC: 0,
        273: 8,
        _SAMPLES: 1,
        _ROWS: part.height + 1,
        279: len(packed),
        _OPTIONS: part.options,
    }
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    at = 8 + len(packed) + len(packed) % 2
    head = struct.pack("<2sHI", b"II", 42, at)
    whole = head + packed.ljust(at - 8, b"\0") + struct.pack("<H", len(entries)) + directory + bytes(4)
    try:
        with TiffImageFile(io.BytesIO(whole)) as picture:
            last = picture.crop((0, part.height, part.width, part.height + 1))
    except (OSError, ValueError, SyntaxError):
        return False
    return bool((np.asarray(last)[0] == row).all())


_CHECKS: Mapping[int, Callable[[Part], None]] = {
    2: _fax,
    3: _fax,
    4: _fax,
    8: _deflate,
    32946: _deflate,
    32773: _pack_bits,
}
_FURTHER: Mapping[int, Callable[[Part], Iterator[tuple[bytes, str]]]] = {
    2: _in_lines,
    3: _in_group_3,
    4: _in_group_4,
}
"""By TIFF's number of the compression."""
