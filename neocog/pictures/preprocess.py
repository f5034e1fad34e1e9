"""`Preprocess`: how a picture becomes a network's input, as data.

One object serves training, evaluation, prediction, serving and export; it travels in the model file as JSON.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from neocog.errors import UsageError
from neocog.pictures.pixels import Pixels, as_image, checked, height_and_width, is_grey, resized

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 30_000_000
"""Pixels of a decoded picture, unless a `Preprocess` says otherwise."""
SPARE = 2
"""How many times as long sides as it needs a picture keeps that is read reduced: what is made of it is still
a mean of several pixels."""


# Mean and standard deviation, as shares of the range 0..255, of the scales that do not depend on the training
# pictures.
_FIXED_SCALES: dict[str, tuple[tuple[float], tuple[float]]] = {
    "raw": ((0.0,), (1 / 255,)),
    "unit": ((0.0,), (1.0,)),
    "128": ((128 / 255,), (128 / 255,)),
}

_SCALE_WORDS = {
    "raw": "pixels 0..255 as they are",
    "unit": "pixels divided by 255",
    "128": "pixels minus 128, divided by 128",
    "one": "standardised by one mean and one standard deviation of the training pictures",
    "channels": "standardised by each channel's mean and standard deviation over the training pictures",
    "given": "standardised by a given mean and standard deviation",
}

Side = Annotated[int, Field(ge=1, le=16_384)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Preprocess(BaseModel):
    """How a picture becomes the network's input: `place` (pixels to the right size, uint8), then `normalise`
    (to floats).

    Fields that are None are filled from the training pictures by `resolved`; a model file carries the
    resolved object.

    size           (height, width); None: as the pictures are, whatever `fit` says
    channels       1 (grey by ITU-R 601, 0.299 R + 0.587 G + 0.114 B) or 3; None: as the pictures are
    fit            what happens to a picture, with (H, W) its size and (h, w) the one asked for:
                   stretch  resized to (h, w), whatever becomes of the proportions
                   pad      resized by min(h/H, w/W), sides rounded, at least 1, and put in the middle (an odd
                            pixel goes right or below); the rest is `fill`
                   crop     resized by max(h/H, w/W) / crop_share, the tighter side rounded, the other rounded
                            down; the middle (h, w) is kept (square: torchvision's Resize and CenterCrop)
    crop_share     224/256 = 0.875 is the habit of ImageNet; used by `crop` alone
    interpolation  Pillow's, with antialiasing when shrinking (but for nearest)
    scale          raw: 0..255; unit: 0..1; 128: (x - 128)/128; one: by the training set's one mean and
                   standard deviation; channels: by each channel's; given: by `mean` and `std` as given
    mean, std      shares of the full range 0..1, one number or one per channel, in the order red, green, blue
    order          of the channels fed to the network; Keras' caffe-style weights want bgr
    fill           grey level 0..255 around padded pictures
    reading        whole: every pixel is decoded; reduced: a JPEG is read at a half, a quarter or an eighth of
                   its sides where they stay twice as long as what is made of them: faster, hardly different
    max_pixels     how many pixels of a picture are decoded at most; larger JPEGs are read reduced, other
                   pictures refused
    levels         the samples that become black and white, of pictures with more than 8 bits for each; None:
                   the high byte of 12 or 16 bits, and minimum and maximum of 32
    ground         grey level 0..255 that transparent pictures are laid on
    background     mean brightness 0..1 of the training pictures' border, for `looks_inverted`
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: tuple[Side, Side] | None = None
    channels: Literal[1, 3] | None = None
    fit: Literal["crop", "pad", "stretch"] = "pad"
    crop_share: float = Field(default=1.0, gt=0, le=1)
    interpolation: Literal["nearest", "bilinear", "bicubic"] = "bilinear"
    scale: Literal["raw", "unit", "128", "one", "channels", "given"] = "unit"
    mean: tuple[Finite, ...] | None = None
    std: tuple[Positive, ...] | None = None
    order: Literal["rgb", "bgr"] = "rgb"
    fill: int = Field(default=0, ge=0, le=255)
    background: Share | None = None
    reading: Literal["whole", "reduced"] = "whole"
    max_pixels: int = Field(default=MAX_PIXELS, ge=1, le=2_000_000_000)
    levels: tuple[Finite, Finite] | None = None
    ground: int = Field(default=255, ge=0, le=255)

    @field_validator("scale", mode="before")
    @classmethod
    def _in_words(cls, scale: object) -> object:
        """`--set preprocess.scale=128` reads as a number."""
        return str(scale) if type(scale) is int else scale

    @model_validator(mode="after")
    def _fits_together(self) -> Preprocess:
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std come together; give both or neither")
        if self.scale == "given" and self.mean is None:
            raise ValueError("scale 'given' needs mean and std, as shares of 0..1")
        lengths = {len(values) for values in (self.mean, self.std) if values is not None}
        accepted = {1, 3} if self.channels is None else {1, self.channels}
        if not lengths <= accepted or len(lengths) > 1:
            raise ValueError(
                f"mean and std have {sorted(lengths)} numbers; accepted are one, or one per channel, in both"
            )
        fixed = _FIXED_SCALES.get(self.scale)
        if fixed and self.mean is not None and (self.mean, self.std) != fixed:
            raise ValueError(
                f"scale '{self.scale}' has its own mean and std; to give others, set scale to 'given'"
            )
        if self.levels is not None and not self.levels[0] < self.levels[1]:
            raise ValueError(f"levels are {list(self.levels)}; give black and then white, as [0, 4095]")
        if self.order == "bgr" and self.channels == 1:
            raise ValueError("order 'bgr' needs 3 channels; grey pictures have order 'rgb'")
        return self

    def resolved(self, x: Tensor) -> Preprocess:
        """This with its open fields filled from training pictures `x`, uint8 (N, C, H, W), N at least 1.

        Mean and standard deviation (of the population) are accumulated in float64 in pieces of a few
        megabytes; a standard deviation of 0 becomes 1/255. `UsageError` where `x` is something else or has
        other channels than asked for.
        """
        import torch

        from neocog.pictures.levels import border_mean, mean_and_std

        if x.dtype != torch.uint8 or x.ndim != 4 or x.numel() == 0 or x.shape[1] not in (1, 3):
            given = f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}"
            raise UsageError(
                f"preprocess was given {given}; it takes uint8 pictures (N, 1 or 3, H, W); check the data"
            )
        channels: Any = int(x.shape[1])
        wanted = 3 if self.order == "bgr" or len(self.mean or ()) == 3 else self.channels
        if wanted not in (None, channels):
            raise UsageError(
                f"preprocess asks for {wanted} channels and the pictures have {channels}; "
                f"place them first, or leave the channels open"
            )
        mean, std = self.mean, self.std
        if mean is None:
            mean, std = _FIXED_SCALES.get(self.scale) or mean_and_std(x, per_channel=self.scale == "channels")
        found = {
            "size": self.size or (int(x.shape[2]), int(x.shape[3])),
            "channels": channels,
            "mean": mean,
            "std": std,
            "background": border_mean(x) if self.background is None else self.background,
        }
        return Preprocess.model_validate({**self.model_dump(), **found})

    def place(self, picture: Pixels | Image.Image) -> Pixels:
        """A picture (H, W, 3), (H, W, 1) or (H, W), uint8, as (C, h, w): right channels, right size,
        contiguous. What `as_image` made of one will do: that is the dearer half of placing a large one.
        """
        given = picture if isinstance(picture, Image.Image) else checked(picture)
        if self.channels == 1 and not is_grey(given):
            given = as_image(given).convert("L")
        zooms = self.fit == "crop" and self.crop_share < 1
        if self.size is not None and (zooms or height_and_width(given) != self.size):
            pixels = self._fitted(as_image(given), *self.size)
        else:
            pixels = np.asarray(given)
        if self.channels == 3 and pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.array(planes, order="C")

    def fewest(self, H: int, W: int) -> tuple[int, int] | None:
        """How many rows and columns of a picture (H, W) are enough to make of it what `place` makes; None for
        all of them.
        """
        if self.reading == "whole" or self.size is None:
            return None
        down, across = self.size[0] / H, self.size[1] / W
        if self.fit == "pad":
            down = across = min(down, across)
        elif self.fit == "crop":
            down = across = max(down, across) / self.crop_share
        return math.ceil(SPARE * H * down), math.ceil(SPARE * W * across)

    def normalise(self, x: Tensor) -> Tensor:
        """uint8 or float32 (N, C, H, W) of 0..255 -> float32 (x - 255 mean) / (255 std), channels in `order`.

        On the device and in the memory format of `x`, which is left alone; differentiable.
        """
        import torch

        fixed = _FIXED_SCALES.get(self.scale)
        mean, std = (self.mean, self.std) if fixed is None else fixed
        if mean is None or std is None:
            raise UsageError(
                f"scale '{self.scale}' has no mean and std yet; resolve it with training pictures first"
            )
        if self.order == "bgr":  # flipped before the floats are made, so that there is one copy of those
            x, mean, std = x.flip(1), mean[::-1], std[::-1]
        y = x.clone() if x.dtype == torch.float32 and self.order == "rgb" else x.to(torch.float32)
        if self.scale == "raw":
            return y
        if self.scale != "unit":
            y.sub_(_per_channel(mean, y))
        return y.div_(_per_channel(std, y))

    def looks_inverted(self, placed: Pixels | Tensor) -> bool:
        """Whether a grey picture (C, h, w), uint8, has a bright border where the training pictures' is dark,
        or the reverse.

        Dark is below 0.25 and bright above 0.6 (for a bright background: above 0.75 and below 0.4). Where
        `place` pads, the padding says nothing about the picture, so the border inside of it is looked at too.
        """
        picture = np.asarray(placed)
        if self.background is None or picture.ndim != 3 or (picture != picture[:1]).any():
            return False
        grey = picture[0]
        border = float(_frame(grey).mean()) / 255
        bright_inside = self.fit == "pad" and _sides_bright(_without_padding(grey, self.fill))
        if self.background < 0.25:
            return border > 0.6 or bright_inside
        return self.background > 0.75 and border < 0.4 and not bright_inside

    def describe(self) -> str:
        """One sentence for people."""
        size = f"{self.size[0]}x{self.size[1]}" if self.size else "size as in the data"
        colour = {
            None: "channels as in the data",
            1: "grey",
            3: "colour" if self.order == "rgb" else "colour in order BGR",
        }
        fit = {
            "pad": f"fitted inside and padded with {self.fill}",
            "stretch": "stretched",
            "crop": f"covering, the middle kept (share {self.crop_share:g})",
        }
        words = _SCALE_WORDS[self.scale]
        if self.scale in ("one", "channels", "given") and self.mean is not None and self.std is not None:
            words += f" (mean {_numbers(self.mean)}, std {_numbers(self.std)})"
        reduced = ", JPEGs read reduced" if self.reading == "reduced" else ""
        deep = (
            f", samples {self.levels[0]:g} to {self.levels[1]:g} of more than 8 bits" if self.levels else ""
        )
        ground = f", laid on {self.ground}" if self.ground != 255 else ""
        read = f"{reduced}{deep}{ground}"
        return f"{size}, {colour[self.channels]}, {fit[self.fit]}, {self.interpolation}{read}; {words}."

    def _fitted(self, picture: Image.Image, h: int, w: int) -> Pixels:
        """(H, W) or (H, W, 3) -> (h, w) or (h, w, 3) by `fit`."""
        H, W = height_and_width(picture)
        if self.fit == "stretch":
            return resized(picture, (h, w), (0, 0, H, W), self.interpolation)
        if self.fit == "pad":
            scale = min(h / H, w / W)
            rows, columns = (min(t, max(1, round(s * scale))) for s, t in ((H, h), (W, w)))
            top, left = (h - rows) // 2, (w - columns) // 2
            inner = resized(picture, (rows, columns), (0, 0, H, W), self.interpolation)
            padded = np.full((h, w, *inner.shape[2:]), self.fill, np.uint8)
            padded[top : top + rows, left : left + columns] = inner
            return padded
        if h / H >= w / W:  # the height decides
            rows = max(h, round(h / self.crop_share))
            columns = max(w, int(rows * W / H))
        else:
            columns = max(w, round(w / self.crop_share))
            rows = max(h, int(columns * H / W))
        top, left = round((rows - h) / 2), round((columns - w) / 2)
        if rows * columns <= 4 * max(H * W, h * w):
            whole = resized(picture, (rows, columns), (0, 0, H, W), self.interpolation)
            return whole[top : top + h, left : left + w]
        # A needle, which would become huge: only the part is resized that the kept middle comes from.
        box = (top * H / rows, left * W / columns, (top + h) * H / rows, (left + w) * W / columns)
        return resized(picture, (h, w), box, self.interpolation)


def _per_channel(values: tuple[float, ...], y: Tensor) -> Tensor | float:
    """255 times `values`, so that it meets (N, C, H, W): one number, or (C, 1, 1)."""
    levels = [255 * value for value in values]
    return levels[0] if len(levels) == 1 else y.new_tensor(levels).view(-1, 1, 1)


def _frame(grey: Pixels) -> Pixels:
    """The outermost pixels of (h, w), each once."""
    return np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])


def _without_padding(grey: Pixels, fill: int) -> Pixels:
    """(h, w) without bands of `fill` such as padding leaves: on two opposite sides, equally wide or one pixel
    apart."""
    best = grey
    for axis in (0, 1):
        lines = np.flatnonzero((grey != fill).any(axis=1 - axis))
        if len(lines) == 0:
            return grey
        before, after = int(lines[0]), grey.shape[axis] - 1 - int(lines[-1])
        if 0 <= after - before <= 1 and after > 0:
            inner = grey.take(range(before, int(lines[-1]) + 1), axis=axis)
            best = inner if inner.size < best.size else best
    return best


def _sides_bright(grey: Pixels) -> bool:
    return all(float(side.mean()) > 0.6 * 255 for side in (grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
