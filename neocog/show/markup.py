"""The pieces of HTML with which results show themselves in notebooks and reports: whole in themselves, every
name escaped, pictures inside as data: URIs.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image

from neocog.errors import escaped

LARGEST = 192
"""Pixels; the side to which larger pictures are reduced in `thumbnail`."""

SMALL = 64
"""Pixels; pictures up to this side are kept exactly, and are best shown with their pixels as squares."""


def text(value: object) -> str:
    """`value` as the text of an element or attribute; what would steer a terminal is written as an escape.
    `Markup`, which is HTML already, stays what it is.
    """
    return value if isinstance(value, Markup) else html.escape(escaped(str(value)))


def data_uri(png: bytes) -> Markup:
    """The bytes of a PNG or JPEG as an address that needs no file."""
    kind = "jpeg" if png.startswith(b"\xff\xd8") else "png"
    return Markup(f"data:image/{kind};base64,{base64.b64encode(png).decode()}")


def image(png: bytes, *, alt: str) -> Markup:
    """An <img> that holds its picture; `alt` says what it shows."""
    return Markup(f'<img alt="{text(alt)}" src="{data_uri(png)}" style="max-width:100%">')


def table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> Markup:
    """A <table>; whole numbers stand at the right, everything else at the left."""
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return Markup(f"<table><tr>{''.join(f'<th>{text(name)}</th>' for name in head)}</tr>{body}</table>")


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f'<td style="text-align:right">{value:,}</td>'
    return f'<td style="text-align:left">{text(value)}</td>'


def thumbnail(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A picture, uint8 (C, h, w) with C 1 or 3, small enough to be one of many on a page.

    Up to 64 pixels a side it is kept exactly, as PNG; above, it is reduced to 192 and becomes a JPEG.
    """
    planes = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    picture = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes)
    buffer = io.BytesIO()
    if max(picture.size) <= SMALL:
        picture.save(buffer, "PNG")
    else:
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
        picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
