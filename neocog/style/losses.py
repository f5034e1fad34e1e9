"""The losses of style transfer as functions of maps: Gram matrix, content loss, style loss, total variation.

Maps are (N, C, h, w) of any floating type; every result is float32. Equations are those of Gatys, Ecker and
Bethge 2016, with means in the place of their sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _SumOfProducts(torch.autograd.Function):
    """f (P, C), m (P, 1) or None -> sum over positions of m f f^T, (C, C) float32.

    Summed in float32, as bfloat16 would lose what tells two Gram matrices apart. The gradient, which goes
    back to maps of the type of `f`, is computed in that type, and nothing but `f` is kept for it.
    """

    @staticmethod
    def forward(ctx: Any, f: Tensor, m: Tensor | None) -> Tensor:
        ctx.save_for_backward(f, m)
        wide = f.float()
        return wide.T @ (wide if m is None else wide * m)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        f, m = ctx.saved_tensors
        both = (gradients[0] + gradients[0].T).to(f.dtype)
        found = f @ both
        return found if m is None else found * m.to(f.dtype), None


def gram_sum(maps: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sums over the positions of one picture's maps (1, C, h, w) of the products of every two channels,
    (C, C); each position counts as `mask` (1, 1, h, w) says. What tiles add up.
    """
    f = maps[0].permute(1, 2, 0).flatten(0, 1)  # (P, C): a view where maps are channels-last
    m = None if mask is None else mask[0].permute(1, 2, 0).flatten(0, 1)
    found: Tensor = _SumOfProducts.apply(f, m)  # type: ignore[no-untyped-call]
    return found


def gram(maps: Tensor, mask: Tensor | None = None) -> Tensor:
    """The Gram matrix (equation 3) of one picture's maps (1, C, h, w), divided by the number of positions:
    (C, C). With `mask` (1, 1, h, w), weights not below 0, the mean is over what it covers.
    """
    positions = maps.shape[2] * maps.shape[3] if mask is None else mask.sum()
    return gram_sum(maps, mask) / positions


def content_loss(maps: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference of two pictures' maps of one layer (equation 1)."""
    return (maps.float() - target.float()).square().mean()


def style_loss(found: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference of two Gram matrices (equation 4, without its factor of 1/4)."""
    return (found - target).square().mean()


def over_absolute(squares: Tensor, absolutes: Tensor) -> Tensor:
    """Squared errors over absolute ones, as sums: the scaled loss of K. Crowson's style-transfer-pytorch.
    Whatever the errors' size, the absolute values of its gradient sum to about 1; 0 where there are none.
    """
    return squares / (absolutes + 1e-8)


def total_variation(x: Tensor) -> Tensor:
    """The mean squared difference of neighbours in pictures (N, C, H, W), below one another plus beside one
    another; 0 along a side of one pixel.
    """
    axes = [axis for axis in (2, 3) if x.shape[axis] > 1]
    found = x.new_zeros(())
    for axis in axes:
        found = found + x.diff(dim=axis).square().mean()
    return found
