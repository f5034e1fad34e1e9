"""Smoothing by a Gaussian window, which damages pictures, and weighs them where likeness is measured."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian(side: int, spread: float, *, like: Tensor) -> Tensor:
    """(side,) weights that sum to 1, by the distance from the middle; `spread` is the standard deviation in
    pixels. Of the kind and on the device of `like`.
    """
    places = torch.arange(side, dtype=like.dtype, device=like.device) - (side - 1) / 2
    weights = torch.exp(-0.5 * (places / spread) ** 2)
    return weights / weights.sum()


def smoothed(x: Tensor, weights: Tensor) -> Tensor:
    """(N, C, H, W) weighed along rows and columns, channel by channel, where the window (side,) lies
    inside: (N, C, H - side + 1, W - side + 1).
    """
    row = weights.expand(x.shape[1], 1, 1, -1)
    along = F.conv2d(x, row, groups=x.shape[1])
    return F.conv2d(along, row.transpose(2, 3), groups=x.shape[1])
