"""Text in pictures: the font, what it can draw, and lines that fit a width."""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import ImageFont

from neocog.show import plotting


@functools.cache
def _font_file() -> Path:
    """DejaVu Sans, which comes with matplotlib; found without importing that (0.5 s, 35 MiB)."""
    package = importlib.util.find_spec("matplotlib")
    assert package
    assert package.origin
    return Path(package.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"


@functools.cache
def font(height: int) -> ImageFont.FreeTypeFont:
    """The font in which a line is `height` pixels high."""
    return ImageFont.truetype(str(_font_file()), height, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def _letters() -> frozenset[int]:
    """The code points that DejaVu Sans can draw."""
    plotting.settle()
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(_font_file())).get_charmap())


def drawable(text: str) -> str:
    """`text` in one line, with a box for what the font lacks and for what steers instead of showing."""
    known = frozenset(range(128)) if text.isascii() else _letters()
    return " ".join(
        "".join(c if c.isspace() or (c.isprintable() and ord(c) in known) else "□" for c in text).split()
    )


def short(text: str, most: int) -> str:
    """Drawable text of at most so many characters for matplotlib, which reads formulas between dollars."""
    text = drawable(text)
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def wanted_width(titles: Sequence[str], font: ImageFont.FreeTypeFont) -> int:
    """Pixels with which the titles need no shortening, were they broken before their brackets."""
    parts = (part for title in titles for part in drawable(title)[:200].split(" ("))
    return math.ceil(max(font.getlength(f"({part}") for part in parts))


def broken(text: str, font: ImageFont.FreeTypeFont, width: float, *, most: int) -> list[str]:
    """`text` broken at spaces into at most so many lines of at most `width` pixels; the rest becomes '…'."""
    lines: list[str] = []
    text = drawable(text)[:2000]
    head, bracket, tail = text.partition(" (")
    if most == 2 and bracket and font.getlength(text) > width >= font.getlength(head):
        return [head, _shortened(f"({tail}", font, width)]
    words = text.split(" ")
    while words and len(lines) < most:
        taken = 1
        while taken < len(words) and font.getlength(" ".join(words[: taken + 1])) <= width:
            taken += 1
        if len(lines) == most - 1:
            taken = len(words)
        lines.append(_shortened(" ".join(words[:taken]), font, width))
        words = words[taken:]
    return lines


def _shortened(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if font.getlength(line) <= width:
        return line
    keep = len(line)
    while keep > 1 and font.getlength(line[:keep] + "…") > width:
        keep -= 1
    return line[:keep].rstrip() + "…"
