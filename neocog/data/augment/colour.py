"""Changing the colours of a whole batch: each picture by its own amount, values clipped to 0..255.

All functions work in place on `x`, float32 (N, C, H, W) in 0..255, and return it. Brightness, contrast,
saturation and hue follow the definitions of torchvision's ColorJitter and Pillow's ImageEnhance; grey is Rec.
601 luma.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neocog.pictures.pixels import GREY

WHITE = 255.0


def shift_channels(x: Tensor, levels: Tensor) -> Tensor:
    """Add to each channel of each picture its own number of `levels` (N, C)."""
    return x.add_(levels[:, :, None, None]).clamp_(0, WHITE)


def brighten(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply each picture by its `factor` (N,): 0 is black, 1 changes nothing."""
    return x.mul_(factor[:, None, None, None]).clamp_(0, WHITE)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Stretch each picture about its mean grey by `factor` (N,): 0 is that grey, 1 changes nothing."""
    mean = grey(x).mean(dim=(2, 3), keepdim=True)
    return x.sub_(mean).mul_(factor[:, None, None, None]).add_(mean).clamp_(0, WHITE)


def saturate(x: Tensor, factor: Tensor) -> Tensor:
    """Stretch each pixel of RGB pictures about its own grey by `factor` (N,): 0 is a grey picture."""
    own = grey(x)
    return x.sub_(own).mul_(factor[:, None, None, None]).add_(own).clamp_(0, WHITE)


def turn_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of colour pictures (C = 3) by `turns` (N,) of the colour circle: 1/3 makes red green and
    green blue.

    Hue, chroma and value are those of the HSV hexcone (Smith, 'Color gamut transform pairs', SIGGRAPH 1978);
    value and chroma stay.
    """
    red, green, blue = x.unbind(1)
    value = x.amax(1)
    chroma = value - x.amin(1)
    divisor = chroma.clamp_min(torch.finfo(x.dtype).tiny)
    after_green = torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4)
    sextant = torch.where(value == red, (green - blue) / divisor, after_green) + 6 * turns[:, None, None]
    for channel, offset in enumerate((5, 3, 1)):
        k = torch.remainder(sextant + offset, 6)
        x[:, channel] = value - chroma * torch.minimum(k, 4 - k).clamp_(0, 1)
    return x


def grey(x: Tensor) -> Tensor:
    """The grey value of each pixel (N, 1, H, W): Rec. 601 luma of three channels, else their mean."""
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    red, green, blue = GREY
    return x[:, 0:1] * red + x[:, 1:2] * green + x[:, 2:3] * blue
