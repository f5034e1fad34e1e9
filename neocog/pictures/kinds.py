"""Kinds of files, by how their content begins: pictures that are read, and others that people name."""

from __future__ import annotations

import re

_FORMATS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("WEBP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("TIFF", re.compile(rb"II[*+]\0|MM\0[*+]")),
    ("PPM", re.compile(rb"P[1-6f][\s#]")),
    ("BMP", re.compile(rb"BM")),
    ("AVIF", re.compile(rb"....ftyp(avi[fs]|(mif1|msf1|miaf)(....){1,12}?avi[fs])", re.DOTALL)),
    ("HEIF", re.compile(rb"....ftyp(hei[cfmsx]|hev[cmsx]|mif1|msf1)", re.DOTALL)),
)

_STRANGERS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("a PDF", re.compile(rb"%PDF")),
    ("a PostScript file", re.compile(rb"%!|\xc5\xd0\xd3\xc6")),
    (
        "an SVG drawing",
        re.compile(
            rb"\s*(<\?xml.{0,900})?(<!--.{0,900}-->\s*)?(<!DOCTYPE svg|<svg)", re.DOTALL | re.IGNORECASE
        ),
    ),
    (
        "an HTML page",
        re.compile(
            rb"\s*(<!--.{0,900}-->\s*)?<(!doctype html|html|head|body|script)", re.DOTALL | re.IGNORECASE
        ),
    ),
    ("an XML document", re.compile(rb"\s*<\?xml")),
    ("a Photoshop file", re.compile(rb"8BPS")),
    ("a camera's raw file", re.compile(rb"....ftypcrx |FUJIFILMCCD-RAW|IIU\0|II(RO|RS)|MMOR", re.DOTALL)),
    ("a JPEG XL file", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("an OpenEXR file", re.compile(rb"v/1\x01")),
    ("a DICOM file", re.compile(rb".{128}DICM", re.DOTALL)),
    ("a video", re.compile(rb"....ftyp|RIFF....AVI |\x1aE\xdf\xa3", re.DOTALL)),
    ("an icon file", re.compile(rb"\x00\x00[\x01\x02]\x00")),
    ("a JPEG 2000 file", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("a FITS file", re.compile(rb"SIMPLE  =")),
    ("an archive", re.compile(rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ")),
    ("a program", re.compile(rb"\x7fELF|MZ|#!")),
    ("a NumPy array", re.compile(rb"\x93NUMPY")),
    ("a Git LFS pointer", re.compile(rb"version https://git-lfs")),
    ("a text file", re.compile(rb"[\t\n\r\x20-\x7e]{16,}\Z|[\t\n\r\x20-\x7e]{512}")),
)


def of(data: bytes) -> str | None:
    """Pillow's name of the format that the content has; None for one that is not read."""
    return next((kind for kind, magic in _FORMATS if magic.match(data)), None)


def stranger(data: bytes) -> str:
    """What else it is, with its article; empty where nobody knows."""
    return next((what for what, magic in _STRANGERS if magic.match(data[:2048])), "")
