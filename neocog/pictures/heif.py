"""HEIC, the photos of phones, decoded by libheif through pi-heif, which the extra `heic` brings: it decodes
and does not encode, and is not registered with Pillow. AVIF is Pillow's own.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from PIL import Image, features


class Missing(Exception):
    """What is not installed, and how it is."""


@contextlib.contextmanager
def opened(data: bytes) -> Iterator[Any]:
    """The main picture of a HEIC file, not decoded yet: it has `size` (width, height) and `to_pillow()`.
    `Missing` without pi-heif.
    """
    try:
        library = importlib.import_module("pi_heif")
    except ImportError as error:
        raise Missing('is HEIC and needs pip install "neocog[heic]"') from error
    yield library.open_heif(data, convert_hdr_to_8bit=True)


def picture(found: Any) -> Image.Image:
    """It as Pillow's, upright: HEIC says itself how it is turned, and libheif turns it."""
    loaded: Image.Image = found.to_pillow()
    loaded.info.clear()
    return loaded


def require_avif() -> None:
    """`Missing` where this build of Pillow has no AVIF."""
    if not features.check("avif"):
        raise Missing("is AVIF and needs Pillow 11.3 or later, pip install --upgrade pillow")
