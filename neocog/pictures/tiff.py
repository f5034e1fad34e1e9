"""TIFF: what libtiff says while it decodes. It goes on after data that end early, warns, and leaves the rest
grey or white; Pillow does not pass that on.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import re
import threading
from collections.abc import Iterator
from typing import Any

from PIL import Image

DAMAGE = re.compile(
    r"premature eo|bad code word|line length mismatch|not enough data|read error|bad value|uncompressed data|"
    r"corrupt|decod|buffer"
)
"""What libtiff's messages say, in small letters, where pixels are missing or wrong."""
_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_heard = threading.local()


class Damaged(ValueError):
    """What libtiff said of data that do not make a whole picture."""


@contextlib.contextmanager
def strict() -> Iterator[None]:
    """`Damaged` where libtiff complains, in this thread, of what it decodes inside the block."""
    listen()
    _heard.words = []
    try:
        yield
        complaints = [words for words in _heard.words if DAMAGE.search(words)]
    finally:
        _heard.words = None
    if complaints:
        raise Damaged(complaints[0])


def _hear(module: bytes | None, words: bytes | None, _: Any) -> None:
    """Note a message, whose details are left out. Of libjpeg inside libtiff every word counts."""
    heard = getattr(_heard, "words", None)
    if heard is not None:
        place = (module or b"").decode(errors="replace")
        said = (words or b"").decode(errors="replace").casefold()
        said = re.sub(r"%\"?[a-z]*\"?[a-z0-9]*", "...", said)
        heard.append(f"{place}: corrupt JPEG data" if place == "JPEGLib" else f"{place}: {said}")


_handler = _HANDLER(_hear)


@functools.cache
def listen() -> None:
    """Hear libtiff's messages from now on, which else go to stderr about every oddity."""
    with contextlib.suppress(OSError, AttributeError):  # another build of Pillow: noisier, less strict
        # Pillow's extension is linked to libtiff, so its symbols are found through it.
        library = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]
        for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
            getattr(library, name)(_handler)
