"""Damage: the recipe's part that says how pictures are spoiled for a network to restore, and the spoiling.

Every kind of damage is a function on a batch of pictures (N, C, H, W), float32 of 0..255; each picture draws
its own from one explicit generator. Kinds that are on follow one another in the order of `KINDS`: what
spoiled the picture's light comes before what spoiled its paper, the grain of the copy last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from neocog.data.batches import Varying
from neocog.pictures.smoothing import gaussian, smoothed

Drawing = Callable[[Tensor, Any, torch.Generator], Tensor]


class Damage(BaseModel):
    """How pictures are damaged. At least one kind must be on.

    `redraw` 'every epoch' damages a training picture anew each time it is shown, 'never' once for all.
    Held-out pictures are damaged once; `seed` decides how.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    blur: float = Field(0.0, ge=0, le=20, description="standard deviation of a Gaussian blur, in pixels")
    blotches: int = Field(0, ge=0, le=64, description="soft round spots, lighter or darker")
    scratches: int = Field(0, ge=0, le=64, description="straight thin lines, lighter or darker")
    tears: int = Field(0, ge=0, le=16, description="white rips from one edge inwards")
    blocks: int = Field(0, ge=0, le=64, description="squares that are lost, set to `fill`")
    mask: float = Field(0.0, ge=0, lt=1, description="share of the pixels that are lost, set to `fill`")
    noise: float = Field(0.0, ge=0, le=255, description="standard deviation of Gaussian noise, in levels")
    fill: float = Field(128.0, ge=0, le=255, description="the level of what is lost")
    redraw: Literal["every epoch", "never"] = Field("every epoch", description="of training pictures")
    seed: int = Field(0, ge=0, lt=2**31, description="of the damage that is drawn once")

    @model_validator(mode="after")
    def _something(self) -> Damage:
        if not any(getattr(self, kind) for kind in KINDS):
            raise ValueError(f"no damage is on; give an amount of one of: {', '.join(KINDS)}")
        return self

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """`x`, which is left alone, damaged: whole levels 0..255, as a picture file holds them."""
        for kind, draw in KINDS.items():
            if getattr(self, kind):
                x = draw(x, self, generator)
        return x.round().clamp(0, 255)


# The kinds


def blurred(x: Tensor, damage: Damage, generator: torch.Generator) -> Tensor:
    """Gaussian blur; the border is mirrored, or repeated where the picture is too small for that."""
    reach = min(max(round(3 * damage.blur), 1), max(min(x.shape[2:]) - 1, 1))
    mode = "reflect" if min(x.shape[2:]) > reach else "replicate"
    return smoothed(F.pad(x, (reach,) * 4, mode=mode), gaussian(2 * reach + 1, damage.blur, like=x))


def blotched(x: Tensor, damage: Damage, generator: torch.Generator) -> Tensor:
    """Spots of a radius of 4 to 15 % of the shorter side, whose edges fade."""
    rows, columns, side = _places(x)
    for _ in range(damage.blotches):
        y, z, size, light = _drawn(x, 4, generator)
        radius = side * (0.04 + 0.11 * size)
        far = ((rows - y * x.shape[2]) ** 2 + (columns - z * x.shape[3]) ** 2).sqrt()
        share = 0.85 * torch.sigmoid((radius - far) / (0.2 * radius))
        x = x + share * (255 * light.round() - x)
    return x


def scratched(x: Tensor, damage: Damage, generator: torch.Generator) -> Tensor:
    """Lines through a random point in a random direction, one to three pixels wide, their edges faded."""
    rows, columns, _ = _places(x)
    for _ in range(damage.scratches):
        y, z, turn, light, wide = _drawn(x, 5, generator)
        angle = math.pi * turn
        far = ((rows - y * x.shape[2]) * angle.cos() - (columns - z * x.shape[3]) * angle.sin()).abs()
        share = (1 + wide - far).clamp(0, 1)
        x = x + share * (40 + 200 * light.round() - x)
    return x


def torn(x: Tensor, damage: Damage, generator: torch.Generator) -> Tensor:
    """White rips from the upper or lower edge to somewhere inside: a jagged way that narrows to nothing."""
    rows, columns, side = _places(x)
    height = x.shape[2]
    for _ in range(damage.tears):
        start, length, lean, below = _drawn(x, 4, generator)
        steps = torch.randn(len(x), 1, height, 1, generator=generator).to(x.device)
        depth = torch.where(below > 0.5, height - 1 - rows, rows) / height
        way = start * x.shape[3] + (lean - 0.5) * rows + 0.02 * side * steps.cumsum(2)
        width = 0.06 * side * (1 - depth / (0.3 + 0.5 * length)).clamp(min=0)
        share = (width + 0.5 - (columns - way).abs()).clamp(0, 1) * (width > 0)
        x = x + share * (250 - x)
    return x


def blocked(x: Tensor, damage: Damage, generator: torch.Generator) -> Tensor:
    """Squares of 8 to 20 % of the shorter side, wholly inside."""
    rows, columns, side = _places(x)
    for _ in range(damage.blocks):
        y, z, size = _drawn(x, 3, generator)
        edge = (side * (0.08 + 0.12 * size)).round().clamp(min=1)
        top, left = (y * (x.shape[2] - edge + 1)).floor(), (z * (x.shape[3] - edge + 1)).floor()
        inside = (rows >= top) & (rows < top + edge) & (columns >= left) & (columns < left + edge)
        x = torch.where(inside, damage.fill, x)
    return x


def masked(x: Tensor, damage: Damage, generator: torch.Generator) -> Tensor:
    """Single pixels lost, in all channels at once."""
    lost = torch.rand(len(x), 1, *x.shape[2:], generator=generator) < damage.mask
    return torch.where(lost.to(x.device), damage.fill, x)


def noisy(x: Tensor, damage: Damage, generator: torch.Generator) -> Tensor:
    """Gaussian noise, each channel its own."""
    return x + damage.noise * torch.randn(x.shape, generator=generator).to(x.device)


KINDS: dict[str, Drawing] = {
    "blur": blurred,
    "blotches": blotched,
    "scratches": scratched,
    "tears": torn,
    "blocks": blocked,
    "mask": masked,
    "noise": noisy,
}
"""Field -> what it does, in the order in which pictures are damaged."""


def _places(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Row (1, 1, H, 1) and column (1, 1, 1, W) of each pixel, and the shorter side in pixels."""
    rows, columns = (torch.arange(n, dtype=torch.float32, device=x.device) for n in x.shape[2:])
    return rows.view(1, 1, -1, 1), columns.view(1, 1, 1, -1), min(x.shape[2:])


def _drawn(x: Tensor, count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """So many numbers 0..1 for each picture, each (N, 1, 1, 1)."""
    numbers = torch.rand(count, len(x), 1, 1, 1, generator=generator).to(x.device)
    return tuple(numbers)


# In a training


@dataclass(frozen=True, slots=True)
class Damaging:
    """What varies the batches of a restoration: first as `before` does, then the `damage`; the target is the
    picture between the two.
    """

    damage: Damage
    before: Varying
    is_off: bool = False

    def __call__(
        self, x: Tensor, y: Tensor, classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        if not self.before.is_off:
            x, _ = self.before(x, y, classes, generator)
        return self.damage(x, generator), x


def damaging(damage: Damage | None, before: Varying) -> Varying:
    """How training batches vary: as `before` says, and then damaged, unless all is from the start."""
    return before if damage is None or damage.redraw == "never" else Damaging(damage, before)
