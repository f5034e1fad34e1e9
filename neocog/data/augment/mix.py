"""Squares cut out of pictures, and pictures mixed with others: cutout, mixup and cutmix for a whole batch.

Terrance DeVries, Graham Taylor, 'Improved Regularization of Convolutional Neural Networks with Cutout', 2017,
https://arxiv.org/abs/1708.04552 - Hongyi Zhang et al., 'mixup: Beyond Empirical Risk Minimization', 2017,
https://arxiv.org/abs/1710.09412 - Sangdoo Yun et al., 'CutMix', 2019, https://arxiv.org/abs/1905.04899.
Differs from the papers: mixup and cutmix draw a share for each picture, where the papers' code draws one for
the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def box(
    size: tuple[int, int], top: Tensor, left: Tensor, height: Tensor | int, width: Tensor | int
) -> Tensor:
    """True inside of each picture's rectangle: (N, 1, H, W) for corners and sides (N,) in pixels."""
    inside = []
    for side, start, length in zip(size, (top, left), (height, width)):
        place = torch.arange(side, device=start.device)
        inside.append((place >= start[:, None]) & (place < (start + length)[:, None]))
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


def cutmix_box(size: tuple[int, int], share: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The rectangle (N, 1, H, W) that the partner fills: `1 - share` of the area, as the picture, about a
    centre in pixels.

    What falls outside of the picture is lost, so the partner may get less (Yun et al., section 3.1).
    """
    root = (1 - share).sqrt()
    height, width = ((root * side).long() for side in size)
    return box(size, row - height // 2, column - width // 2, height, width)


def mix(x: Tensor, y: Tensor, weight: Tensor, partner: Tensor) -> tuple[Tensor, Tensor]:
    """`x` (N, C, H, W) where `weight` is 1 and the partner's picture where it is 0; labels `y` (N, classes)
    likewise.

    `weight` is float32 (N, 1, H, W) or (N, 1, 1, 1); a label's share is its mean, that is, its share of the
    picture. `partner` (N,) holds indices into the batch.
    """
    share = weight.mean(dim=(1, 2, 3))[:, None]
    return torch.lerp(x[partner], x, weight), torch.lerp(y[partner], y, share)
