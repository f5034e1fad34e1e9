"""Colours: those of the content kept, or a style's brought to the content's before it is looked at.

"Preserving Color in Neural Artistic Style Transfer", Leon A. Gatys, Matthias Bethge, Aaron Hertzmann and Eli
Shechtman, 2016, https://arxiv.org/abs/1606.05897: luminance only, section 4, and the linear transfer of
section 3, with the symmetric root of the covariance ("image analogies" there).
"""

from __future__ import annotations

import torch
from torch import Tensor

from neocog.pictures.pixels import GREY

_YIQ = (GREY, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""Rows Y, I and Q of NTSC's colours; Y is ITU-R 601's grey."""
_LEAST = 1e-5
"""Added to the variances of colours in 0..1, so that grey pictures have a root that can be inverted."""


def coloured_like(painted: Tensor, content: Tensor) -> Tensor:
    """The brightness Y of `painted` with the colours I and Q of `content`; both (1, 3, H, W) in 0..1."""
    matrix = painted.new_tensor(_YIQ)
    there, mine = _through(matrix, painted), _through(matrix, content.to(painted))
    found: Tensor = _through(torch.linalg.inv(matrix), torch.cat([there[:, :1], mine[:, 1:]], 1))
    return found.clamp(0, 1)


def matched(style: Tensor, content: Tensor) -> Tensor:
    """`style` (1, 3, h, w) moved by one linear map of its colours to the mean and covariance of those of
    `content` (1, 3, H, W); cut to 0..1.
    """
    mine, its = style[0].flatten(1).double(), content[0].flatten(1).double()
    matrix = _root(torch.cov(its, correction=0)) @ torch.linalg.inv(_root(torch.cov(mine, correction=0)))
    found: Tensor = matrix @ (mine - mine.mean(1, keepdim=True)) + its.mean(1, keepdim=True)
    return found.to(style.dtype).clamp(0, 1).reshape(style.shape)


def _through(matrix: Tensor, x: Tensor) -> Tensor:
    found: Tensor = torch.einsum("ij,njhw->nihw", matrix, x)
    return found


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a covariance (3, 3)."""
    values, vectors = torch.linalg.eigh(covariance + _LEAST * torch.eye(3, dtype=covariance.dtype))
    found: Tensor = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    return found
