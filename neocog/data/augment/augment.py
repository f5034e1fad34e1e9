"""Augment: the recipe's part that says how training pictures are varied, and the varying, a batch at a time.

Fields carry Keras' names and rules where Keras has them (ImageDataGenerator). Every operation is tensor
algebra on the whole batch, and every picture draws its own amounts from one explicit generator: the same
generator state gives the same batch. Fields that are on draw in the order in which they stand here. Geometry
is composed: mirror, crop and shifts by whole pixels are exact copies; as soon as anything else moves pixels,
everything that does becomes one affine, bilinear resampling.

Differs from Keras: `zoom` stretches both axes alike; shifts of one pixel or more are drawn as whole pixels,
as Keras' documentation says and its code does not; each channel gets its own `channel_shift`, as in Keras 1;
`shear` is in degrees, as since Keras 2.1; the fill modes are those of `neocog.data.augment.warp`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor

from neocog.assignments import fields
from neocog.data import targets
from neocog.data.augment import colour, mix, warp
from neocog.data.augment.amounts import Draw
from neocog.data.augment.meanings import Change, exchanged
from neocog.errors import UsageError, first_complaint

Preset = Literal["none", "light", "strong"]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]

ASPECT = (3 / 4, 4 / 3)
"""Width to height of the window that `crop_scale` cuts and stretches (Szegedy et al. 2014)."""

PRESETS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "none": MappingProxyType({}),
        "light": MappingProxyType(
            {
                "rotation": 10,
                "shift_height": 0.06,
                "shift_width": 0.06,
                "zoom": 0.1,
                "brightness": 0.1,
                "contrast": 0.1,
            }
        ),
        "strong": MappingProxyType(
            {
                "rotation": 25,
                "shift_height": 0.15,
                "shift_width": 0.15,
                "zoom": 0.25,
                "shear": 15,
                "brightness": 0.4,
                "contrast": 0.4,
            }
        ),
    }
)
"""What each preset puts in place of fields left at their defaults.

None of them mirrors, changes hues or mixes pictures: whether a label outlives that is a matter of the data,
not of strength.
"""

COLOURS = frozenset(
    ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "violet", "magenta", "pink", "brown")
)


class Augment(BaseModel):
    """How the pictures of a training batch are varied. Nothing is on unless a field says so.

    Angles are degrees, amounts are drawn uniformly from -amount to +amount (factors: from 1-amount to
    1+amount).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: Preset = Field("none", description="a row of PRESETS, for every field left at its default")
    flip: Literal["none", "horizontal", "vertical", "both"] = Field(
        "none", description="mirror, each way with chance 1/2"
    )
    rotation: float = Field(0.0, ge=0, le=180, description="degrees")
    shift_height: Amount = Field(0.0, description="below 1 a share of the height, else whole pixels")
    shift_width: Amount = Field(0.0, description="below 1 a share of the width, else whole pixels")
    shear: float = Field(0.0, ge=0, lt=90, description="degrees")
    zoom: float = Field(
        0.0, ge=0, lt=1, description="read the picture at 1-zoom to 1+zoom of its steps, both axes alike"
    )
    crop: int = Field(0, ge=0, description="pad by so many pixels, then cut a random window of the old size")
    crop_scale: tuple[float, float] | None = Field(
        None, description="cut a window of this range of the area, stretch it to size"
    )
    channel_shift: float = Field(0.0, ge=0, le=255, description="levels of 0..255, each channel its own")
    brightness: Amount = Field(0.0, description="factor")
    contrast: Amount = Field(0.0, description="factor about the picture's mean grey")
    saturation: Amount = Field(0.0, description="factor about each pixel's grey; colour pictures only")
    hue: float = Field(0.0, ge=0, le=0.5, description="turns of the colour circle; colour pictures only")
    cutout: int = Field(
        0,
        ge=0,
        le=2**14,
        description="side in pixels of a square set to fill_value (DeVries and Taylor 2017)",
    )
    rescale: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="multiply all values; evaluation does not see it"
    )
    mixup: Amount = Field(0.0, description="alpha of the Beta (Zhang et al. 2017)")
    cutmix: Amount = Field(
        0.0, description="alpha of the Beta (Yun et al. 2019); with mixup too, each picture gets one of them"
    )
    fill: warp.Fill = Field("nearest", description="what stands where a moved picture leaves a gap")
    fill_value: float = Field(0.0, ge=0, le=255, description="the level for fill=constant and for cutout")

    @field_validator("shift_height", "shift_width")
    @classmethod
    def _share_or_pixels(cls, value: float) -> float:
        if value >= 1 and value != int(value):
            raise ValueError(
                f"{value} is neither a share of the side (below 1) nor whole pixels; give 0.2 or 3, say"
            )
        return value

    @field_validator("crop_scale")
    @classmethod
    def _range_of_area(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 < value[0] <= value[1] <= 1:
            raise ValueError(
                f"{value} is no range of the area; give two shares, 0 < low <= high <= 1, such as [0.3, 1]"
            )
        return value

    @property
    def resolved(self) -> Augment:
        """The same with the preset written out: its value for every field that is at its default."""
        if self.preset == "none":
            return self
        fields = type(self).model_fields
        taken = {
            name: v for name, v in PRESETS[self.preset].items() if getattr(self, name) == fields[name].default
        }
        return self.model_copy(update={"preset": "none", **taken})

    @property
    def is_off(self) -> bool:
        """Whether a batch comes back as it went in, at no cost."""
        how = ("fill", "fill_value")  # they say how, not whether
        fields = type(self).model_fields
        return all(getattr(self, name) == field.default for name, field in fields.items() if name not in how)

    def __call__(
        self, x: Tensor, y: Tensor, classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The pictures `x` (N, C, H, W), float32 in 0..255, varied, and their labels.

        `x` may be overwritten; its memory format is kept. `y` holds class indices (N,), int64, or label sets
        (N, classes), float32; mixup and cutmix make indices soft labels (N, classes), float32, each row
        summing to 1. `generator` draws for all N pictures; it may be on another device than `x`. Raises
        `UsageError` for targets that are not labels, and for saturation or hue of pictures that are not RGB.
        """
        if self.is_off:
            return x, y
        own = self.resolved
        own._check(x, y)
        layout = warp.memory_format(x)
        draw = Draw(len(x), generator)
        x = own._tint(own._move(x, draw), draw)
        if own.mixup or own.cutmix:
            x, y = own._mix(x, y, classes, draw)
        return x.contiguous(memory_format=layout), y

    def variants(self, picture: Tensor, n: int, seed: int) -> Tensor:
        """`n` random variants (n, C, H, W) of one `picture` (C, H, W), both uint8: a preview of what training
        sees.

        Mixing needs other pictures, so mixup and cutmix are left out.
        """
        alone = self.resolved.model_copy(update={"mixup": 0.0, "cutmix": 0.0})
        x = picture.float().expand(n, *picture.shape).clone()
        generator = torch.Generator(device=picture.device).manual_seed(seed)
        labels = torch.zeros(n, dtype=torch.int64, device=picture.device)
        x, _ = alone(x, labels, 1, generator)
        return x.round().clamp(0, 255).to(torch.uint8)

    def remarks(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Sentences about labels that may no longer be true: a 6 on its head is a 9, a mirrored b is a d."""
        own, names = self.resolved, set(classes)
        found = []
        changes: tuple[tuple[str, bool, Change], ...] = (
            (f"rotation={own.rotation:g}", own.rotation > 90, "half a turn"),
            (f"flip={own.flip}", own.flip in ("horizontal", "both"), "mirror"),
            (f"flip={own.flip}", own.flip in ("vertical", "both"), "upside down"),
            (f"flip={own.flip}", own.flip == "both", "half a turn"),
        )
        for setting, on, change in changes:
            found += [
                f"{setting} can make {one} look like {other}: such labels may no longer be true"
                for one, other in (exchanged(classes, change) if on else ())
            ]
        characters = sum(len(name) == 1 and name.isalnum() for name in names)
        if own.flip != "none" and characters >= 2:
            found.append(
                f"flip={own.flip} makes mirror writing, which pictures of digits and letters hardly ever show"
            )
        tinted = [c for c in classes if c.casefold() in COLOURS]
        if len(tinted) >= 2 and (own.hue > 1 / 24 or own.channel_shift > 64):
            found.append(f"hue or channel_shift changes colours that are classes: {', '.join(tinted)}")
        if own.rescale != 1:
            found.append(
                f"rescale={own.rescale:g} reaches training pictures alone; to scale all, set Preprocess"
            )
        return tuple(dict.fromkeys(found))

    def _check(self, x: Tensor, y: Tensor) -> None:
        if not targets.are_labels(y):
            raise UsageError(
                f"augmentation needs labels (N,) or (N, classes), and these targets are {tuple(y.shape)}; "
                "leave augment off where pictures are the targets"
            )
        if x.shape[1] != 3 and (self.saturation or self.hue):
            raise UsageError(
                f"saturation and hue need RGB pictures, and these have {x.shape[1]} channel(s); set both to 0"
            )

    def _move(self, x: Tensor, draw: Draw) -> Tensor:
        """All that moves pixels, in the cheapest way that is exact for what is on."""
        rows = draw.coin() if self.flip in ("vertical", "both") else None
        columns = draw.coin() if self.flip in ("horizontal", "both") else None
        shares = 0 < self.shift_height < 1 or 0 < self.shift_width < 1
        if shares or self.rotation or self.shear or self.zoom or self.crop_scale:
            matrix = self._matrix(x.shape[2], x.shape[3], draw) @ _mirrors(rows, columns, draw)
            return warp.resample(x, matrix, fill=self.fill, fill_value=self.fill_value)
        if self.shift_height or self.shift_width or self.crop:
            down = _lines(x.shape[2], rows, self.shift_height, self.crop, draw).to(x.device)
            right = _lines(x.shape[3], columns, self.shift_width, self.crop, draw).to(x.device)
            return warp.take_lines(x, down, right, fill=self.fill, fill_value=self.fill_value)
        return warp.flip(x, rows=rows, columns=columns)

    def _matrix(self, height: int, width: int, draw: Draw) -> Tensor:
        """Where pixels are read from (N, 3, 3): Keras' rotation, shift, shear, zoom, then crop and window."""
        matrix = warp.rotation(draw.uniform(-self.rotation, self.rotation))
        matrix = matrix @ warp.shift(
            draw.shift(self.shift_height, height), draw.shift(self.shift_width, width)
        )
        matrix = matrix @ warp.shear(draw.uniform(-self.shear, self.shear))
        step = draw.uniform(1 - self.zoom, 1 + self.zoom)
        matrix = matrix @ warp.scale(step, step)
        if self.crop:
            matrix = matrix @ warp.shift(draw.whole(-self.crop, self.crop), draw.whole(-self.crop, self.crop))
        if self.crop_scale:
            matrix = matrix @ _window(height, width, self.crop_scale, draw)
        return matrix

    def _tint(self, x: Tensor, draw: Draw) -> Tensor:
        """All that changes values and not places."""
        if self.channel_shift:
            levels = draw.uniform(-self.channel_shift, self.channel_shift, per_picture=x.shape[1])
            x = colour.shift_channels(x, levels.to(x.device))
        for amount, change in (
            (self.brightness, colour.brighten),
            (self.contrast, colour.contrast),
            (self.saturation, colour.saturate),
        ):
            if amount:
                x = change(x, draw.uniform(max(0.0, 1 - amount), 1 + amount).to(x.device))
        if self.hue:
            x = colour.turn_hue(x, draw.uniform(-self.hue, self.hue).to(x.device))
        if self.cutout:
            height, width = x.shape[2:]
            top, left = (draw.whole(0, side - 1) - self.cutout // 2 for side in (height, width))
            x = x.masked_fill_(
                mix.box((height, width), top, left, self.cutout, self.cutout).to(x.device), self.fill_value
            )
        return x.mul_(self.rescale) if self.rescale != 1 else x

    def _mix(self, x: Tensor, y: Tensor, classes: int, draw: Draw) -> tuple[Tensor, Tensor]:
        height, width = x.shape[2:]
        weight = torch.ones(draw.n, 1, 1, 1, device=draw.device)
        if self.mixup:
            weight = draw.beta(self.mixup).view(-1, 1, 1, 1)
        if self.cutmix:
            centre = draw.whole(0, height - 1), draw.whole(0, width - 1)
            mine = (~mix.cutmix_box((height, width), draw.beta(self.cutmix), *centre)).float()
            weight = torch.where(draw.coin()[:, None, None, None], weight, mine) if self.mixup else mine
        shares = targets.form_of(y).shares(y, classes)
        return mix.mix(x, shares, weight.to(x.device), draw.partners().to(x.device))


def _mirrors(rows: Tensor | None, columns: Tensor | None, draw: Draw) -> Tensor:
    """The mirroring of the pictures where `rows` or `columns` (N,) are true, as matrices (N, 3, 3)."""
    signs = [
        torch.ones(draw.n, device=draw.device) if m is None else 1 - 2 * m.float() for m in (rows, columns)
    ]
    return warp.scale(signs[0], signs[1])


def _lines(side: int, mirrored: Tensor | None, shift: float, crop: int, draw: Draw) -> Tensor:
    """The rows (or columns) to copy from (N, side), int64, for moves by whole pixels; may point outside."""
    index = torch.arange(side, device=draw.device).expand(draw.n, side)
    if mirrored is not None:
        index = torch.where(mirrored[:, None], side - 1 - index, index)
    moved = draw.whole(-int(shift), int(shift)) + draw.whole(-crop, crop)
    return index + moved[:, None]


def _window(height: int, width: int, area: tuple[float, float], draw: Draw) -> Tensor:
    """A random window inside of the picture, its share within `area`, its aspect in ASPECT: (N, 3, 3)."""
    share = draw.uniform(*area)
    root = draw.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])).exp().sqrt()
    tall, wide = (share.sqrt() / root).clamp(max=1), (share.sqrt() * root).clamp(max=1)
    down, right = (
        draw.uniform(-0.5, 0.5) * (1 - size) * side for size, side in ((tall, height), (wide, width))
    )
    return warp.shift(down, right) @ warp.scale(tall, wide)


def augmentation(changes: Sequence[str]) -> Augment:
    """An Augment from texts like "rotation=30"; `UsageError` with the nearest spelling."""
    given = fields(changes, Augment.model_fields, of="augment", example="rotation=30")
    try:
        return Augment.model_validate(given)
    except ValidationError as error:
        raise first_complaint(error, within="--augment") from None
