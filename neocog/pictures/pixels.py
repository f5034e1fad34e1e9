"""Pixels: pictures as arrays and as Pillow's images, how one becomes the other, and how they are resized."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from neocog.errors import UsageError

Pixels = npt.NDArray[np.uint8]
GREY = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey, by ITU-R BT.601, as Pillow and JPEG have them."""
_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def as_image(pixels: Pixels | Image.Image) -> Image.Image:
    """Pixels (H, W) or (H, W, 3), uint8, as `place` takes them too."""
    return pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.ascontiguousarray(pixels))


def resized(
    picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float], interpolation: str
) -> Pixels:
    """The part `box` = (top, left, bottom, right) of a picture, resized to (h, w)."""
    (h, w), (top, left, bottom, right) = size, box
    height, width = height_and_width(picture)
    box = (top, left, min(bottom, height), min(right, width))  # rounding may have put them a hair outside
    method = _RESAMPLING[interpolation]
    if w * height > 4 * max(height * width, h * w):
        # Pillow resizes rows first; for a picture of 100000x1 that would be a very large picture in between.
        picture = picture.resize((width, h), method, box=(0, box[0], width, box[2]))
        return np.asarray(picture.resize((w, h), method, box=(box[1], 0, box[3], h)))
    return np.asarray(picture.resize((w, h), method, box=(box[1], box[0], box[3], box[2])))


def checked(pixels: Pixels) -> Pixels:
    """A picture (H, W), (H, W, 1) or (H, W, 3) as (H, W) or (H, W, 3); `UsageError` for anything else."""
    if (
        pixels.dtype != np.uint8
        or 0 in pixels.shape
        or pixels.ndim not in (2, 3)
        or pixels.shape[2:] not in ((), (1,), (3,))
    ):
        raise UsageError(
            f"a picture was given as {pixels.dtype} {pixels.shape}; it is uint8 (H, W[, 3]); decode it"
        )
    return pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels


def is_grey(picture: Pixels | Image.Image) -> bool:
    """Whether a checked picture has one number for each pixel."""
    return picture.mode == "L" if isinstance(picture, Image.Image) else picture.ndim == 2


def height_and_width(picture: Pixels | Image.Image) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    return int(picture.shape[0]), int(picture.shape[1])
