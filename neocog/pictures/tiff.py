"""TIFF, whole or not at all, as far as libtiff says it: Pillow passes errors on, and no warnings. JPEG inside
TIFF is therefore read by the strict decoder first, other parts are held against what they should unpack to;
of fax (group 3 and 4) libtiff's errors are heard.
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

from neocog.pictures import jpeg, strips
from neocog.pictures.strips import Damaged

DAMAGE = re.compile(
    r"premature eo|bad code word|line length mismatch|not enough data|read error|bad value|uncompressed data|"
    r"corrupt|decod|buffer"
)
"""What libtiff's messages say, in small letters, where pixels are missing or wrong."""
COMPRESSION, TABLES, JPEG = 259, 347, 7
BITS, SAMPLES, FORMAT = 258, 277, 339
UNREAD = {34712: "JPEG 2000", 34887: "LERC", 50001: "WebP", 50002: "JPEG XL"}
"""By TIFF's number of the compression: what libtiff unpacks only where it was built for it."""
MOST_TAGS = 200
SPARE_PIXELS = 1 << 16
"""By which a JPEG inside of a TIFF may be larger than twice the strip or tile that it is."""
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_heard = threading.local()


@contextlib.contextmanager
def strict(picture: Image.Image, data: bytes) -> Iterator[None]:
    """`Damaged` where a JPEG inside of the TIFF is not whole, or libtiff complains, in this thread, of what
    it decodes inside the block.
    """
    for part in _jpegs(picture, data):
        jpeg.require_whole(part)
    listen()
    strips.require_whole(getattr(picture, "tag_v2", {}), data)
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
    for part in strips.parts(tags, data):
        if not part.whole or not part.data.startswith(SOI):
            raise jpeg.Damaged("its data end too early")
        whole = SOI + tables[2:].removesuffix(EOI) + part.data[2:]
        if jpeg.area(whole) > 2 * part.width * part.height + SPARE_PIXELS:
            raise jpeg.Damaged("a part of it is larger than the picture")
        yield whole


def unsupported(data: bytes) -> str:
    """What the samples of a TIFF are, or how they are packed, from its first directory, in words; empty where
    that makes no sense, or is such as is read.
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
    if found.get(COMPRESSION) in UNREAD:
        return f"parts packed as {UNREAD[found[COMPRESSION]]}"
    bands, bits, form = (found.get(tag, 1) for tag in (SAMPLES, BITS, FORMAT))
    if BITS not in found or bands < 1 or (bands in (1, 3, 4) and bits in (1, 8) and form == 1):
        return ""
    kinds = {1: "whole numbers", 2: "signed numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
    return f"{bands} band{'s' * (bands > 1)} of {bits}-bit {kinds.get(form, 'samples')}"


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
