"""TIFF, whole or not at all, as far as libtiff says it: Pillow passes errors on, and no warnings. JPEG inside
TIFF is therefore read by the strict decoder first; of fax (group 3 and 4) libtiff's errors are heard.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
import struct
import threading
from collections.abc import Iterator
from typing import Any

from PIL import Image

from neocog.pictures import jpeg

DAMAGE = re.compile(
    r"premature eo|bad code word|line length mismatch|not enough data|read error|bad value|uncompressed data|"
    r"corrupt|decod|buffer"
)
"""What libtiff's messages say, in small letters, where pixels are missing or wrong."""
COMPRESSION, TABLES, JPEG = 259, 347, 7
PARTS = ((273, 279), (324, 325))
"""The tags that say where strips, or tiles, begin, and how long they are."""
BITS, SAMPLES, FORMAT = 258, 277, 339
MOST_TAGS = 200
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_heard = threading.local()


class Damaged(ValueError):
    """What libtiff said of data that do not make a whole picture."""


@contextlib.contextmanager
def strict(picture: Image.Image, data: bytes) -> Iterator[None]:
    """`Damaged` where a JPEG inside of the TIFF is not whole, or libtiff complains, in this thread, of what
    it decodes inside the block.
    """
    for part in _jpegs(picture, data):
        jpeg.require_whole(part)
    listen()
    _heard.words = []
    try:
        yield
        complaints = [words for words in _heard.words if DAMAGE.search(words)]
    finally:
        _heard.words = None
    if complaints:
        raise Damaged(complaints[0])


def _jpegs(picture: Image.Image, data: bytes) -> Iterator[bytes]:
    """The strips or tiles of a TIFF that are JPEGs, each with the tables that they share."""
    tags: Any = getattr(picture, "tag_v2", {})
    if tags.get(COMPRESSION) != JPEG:
        return
    tables = bytes(tags.get(TABLES) or b"")
    for starts, counts in PARTS:
        for start, count in zip(_numbers(tags, starts), _numbers(tags, counts)):
            part = data[start : start + count]
            if len(part) < count or not part.startswith(SOI):
                raise jpeg.Damaged("its data end too early")
            yield SOI + tables[2:].removesuffix(EOI) + part[2:]


def unsupported(data: bytes) -> str:
    """What the samples of a TIFF are, from its first directory, in words; empty where that makes no sense, or
    the samples are such as are read.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return ""
    found: dict[int, int] = {}
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        for entry in range(at + 2, at + 2 + 12 * min(count, MOST_TAGS), 12):
            tag, kind, numbers = struct.unpack_from(f"{order}HHI", data, entry)
            short = kind == 3
            where = entry + 8
            if numbers * (2 if short else 4) > 4:
                (where,) = struct.unpack_from(f"{order}I", data, where)
            if kind in (3, 4):
                (found[tag],) = struct.unpack_from(f"{order}{'H' if short else 'I'}", data, where)
    except struct.error:
        return ""
    bands, bits, form = (found.get(tag, 1) for tag in (SAMPLES, BITS, FORMAT))
    if BITS not in found or bands < 1 or (bands in (1, 3, 4) and bits in (1, 8) and form == 1):
        return ""
    kinds = {1: "whole numbers", 2: "signed numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
    return f"{bands} band{'s' * (bands > 1)} of {bits}-bit {kinds.get(form, 'samples')}"


def _numbers(tags: Any, tag: int) -> tuple[int, ...]:
    found = tags.get(tag, ())
    return found if isinstance(found, tuple) else (found,)


def _hear(module: bytes | None, words: bytes | None, _: Any) -> None:
    """Note a message, whose details are left out."""
    heard = getattr(_heard, "words", None)
    if heard is not None:
        place = (module or b"").decode(errors="replace")
        said = (words or b"").decode(errors="replace").casefold()
        said = re.sub(r"%\"?[a-z]*\"?[a-z0-9]*", "...", said)
        heard.append(f"{place}: {said}")


_handler = _HANDLER(_hear)


@functools.cache
def listen() -> None:
    """Hear libtiff's messages from now on, which else go to stderr about every oddity."""
    with contextlib.suppress(OSError, AttributeError):  # another build of Pillow: noisier, less strict
        # Pillow's extension is linked to libtiff, so its symbols are found through it.
        library = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, name)(_handler)
