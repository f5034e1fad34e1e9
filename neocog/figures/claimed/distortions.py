"""Distortions: pictures moved, turned, zoomed and made noisy, each by one amount for all of them (Q1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.data.batches import stream

DISTORTIONS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {"shift": (1, 2, 3, 4), "turn": (10, 20, 30), "zoom": (0.7, 0.85, 1.15), "noise": (25, 50, 100)}
)
"""Kind -> amounts: pixels to the right, degrees, factors of size, standard deviation in levels of grey."""


def distorted(x: Tensor, kind: str, amount: float) -> Tensor:
    """Pictures (N, C, H, W), uint8, distorted; what comes in from outside is black. Between pixels the four
    nearest are mixed.
    """
    if kind == "noise":
        drawn = torch.randn(x.shape, generator=stream(0, int(amount)))
        return (x + amount * drawn).round().clamp(0, 255).to(torch.uint8)
    angle = math.radians(amount) if kind == "turn" else 0.0
    size = amount if kind == "zoom" else 1.0
    shift = -2 * amount / x.shape[-1] if kind == "shift" else 0.0
    cos, sin = math.cos(angle) / size, math.sin(angle) / size
    theta = torch.tensor([[cos, -sin, shift], [sin, cos, 0.0]]).expand(len(x), 2, 3)
    where = F.affine_grid(theta, list(x.shape), align_corners=False)
    moved = F.grid_sample(x.float(), where, mode="bilinear", padding_mode="zeros", align_corners=False)
    return moved.round().clamp(0, 255).to(torch.uint8)
