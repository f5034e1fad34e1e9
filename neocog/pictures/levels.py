"""Levels of many pictures together: mean, standard deviation, and the brightness of their borders."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_and_std(x: Tensor, *, per_channel: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of uint8 (N, C, H, W) as shares of 255; sums of integers, so
    exact."""
    per_picture = x[0].numel()
    rows = max(1, (1 << 18) // per_picture)
    sums = torch.zeros(2, x.shape[1], dtype=torch.float64, device=x.device)
    for start in range(0, len(x), rows):
        piece = x[start : start + rows].flatten(2).to(torch.float64)
        sums[0] += piece.sum(dim=(0, 2))
        sums[1] += piece.square_().sum(dim=(0, 2))
    count = x.numel() // x.shape[1]
    if not per_channel:
        sums, count = sums.sum(dim=1, keepdim=True), x.numel()
    total, squares = sums.cpu()
    mean = total / count
    variance = (squares / count - mean.square()).clamp_(min=0)
    std = torch.where(variance < 1e-9, torch.ones_like(variance), variance.sqrt())
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())


def border_mean(x: Tensor) -> float:
    """Mean brightness 0..1 of the outermost pixels of uint8 (N, C, H, W)."""
    total = count = 0
    for piece in torch.split(x, 1024):  # a sum copies what it adds up, in eight bytes a pixel
        for line in (piece[:, :, 0], piece[:, :, -1], piece[:, :, 1:-1, 0], piece[:, :, 1:-1, -1]):
            total += int(line.sum(dtype=torch.int64))
            count += line.numel()
    return total / count / 255
