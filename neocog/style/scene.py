"""Scene: the pictures that a painting is made of, at any size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from neocog.errors import UsageError
from neocog.pictures.pixels import Pixels

LEAST = 8
"""Pixels; the shortest side of a picture, of content or style, that is still looked at."""


@dataclass(frozen=True, slots=True)
class Style:
    """A style picture (H, W, 3). `where`, (h, w) or (h, w, 3) of any size, says where in the result it counts
    and `part` which part of it is looked at: white is all, black nothing. None means everywhere.
    """

    pixels: Pixels
    weight: float = 1.0
    where: Pixels | None = None
    part: Pixels | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """The content (H, W, 3) and one style or more. `UsageError` where no style counts anywhere."""

    content: Pixels
    styles: tuple[Style, ...]

    def __post_init__(self) -> None:
        if not self.styles:
            raise UsageError("there is no style picture; give one or more after the content")
        if sum(style.weight for style in self.styles) <= 0 or any(s.weight < 0 for s in self.styles):
            weights = ", ".join(f"{style.weight:g}" for style in self.styles)
            raise UsageError(f"style weights are {weights}; none is below 0, and one at least above")
        for number, style in enumerate(self.styles, 1):
            for mask, word in ((style.where, "mask"), (style.part, "style mask")):
                if mask is not None and not mask.any():
                    raise UsageError(
                        f"the {word} of style {number} is black everywhere; what is white counts"
                    )

    def sides(self, size: int) -> tuple[int, int]:
        """Height and width of the result whose longer side has `size` pixels."""
        return fitted(self.content, size)

    def stretched(self, size: int) -> str:
        """What to know where a result of that size has other proportions than the content; or ''."""
        (height, width), (h, w) = self.content.shape[:2], self.sides(size)
        if min(h, w) > LEAST or round(size * min(height, width) / max(height, width)) >= LEAST:
            return ""
        return (
            f"the content is {height}x{width}; at {h}x{w} it is stretched, since no side is below {LEAST}: "
            "a larger --size keeps its proportions"
        )

    def content_at(self, size: int) -> Tensor:
        """The content (1, 3, h, w), float32 in 0..1, its longer side `size`, enlarged where it is smaller."""
        return resized(self.content, *self.sides(size))

    def style_at(self, style: Style, size: int) -> Tensor:
        """A style picture likewise, but never enlarged."""
        return resized(style.pixels, *fitted(style.pixels, min(size, max(style.pixels.shape[:2]))))

    def digest(self) -> str:
        """SHA-256 of every pixel that counts."""
        found = hashlib.sha256()
        for style in (Style(self.content), *self.styles):
            for pixels in (style.pixels, style.where, style.part):
                found.update(repr(None if pixels is None else pixels.shape).encode())
                found.update(b"" if pixels is None else np.ascontiguousarray(pixels).tobytes())
        return found.hexdigest()


def fitted(pixels: Pixels, size: int) -> tuple[int, int]:
    """Height and width in the proportions of `pixels`, the longer side `size`, none below `LEAST`."""
    height, width = pixels.shape[:2]
    share = size / max(height, width)
    return max(LEAST, round(height * share)), max(LEAST, round(width * share))


def resized(pixels: Pixels, height: int, width: int) -> Tensor:
    """(H, W, 3) or (H, W), uint8 -> (1, 3 or 1, height, width), float32 in 0..1, by Lanczos' filter."""
    picture = Image.fromarray(pixels)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    found = torch.from_numpy(np.array(picture)).float().div_(255)
    return found.permute(2, 0, 1)[None].contiguous() if found.ndim == 3 else found[None, None]


def mask_at(pixels: Pixels, height: int, width: int) -> Tensor:
    """A mask as shares 0..1, (1, 1, height, width): its brightness."""
    grey = pixels if pixels.ndim == 2 else np.asarray(Image.fromarray(pixels).convert("L"))
    return resized(grey, height, width)
