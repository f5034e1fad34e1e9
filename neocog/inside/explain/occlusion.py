"""Occlusion: a square laid over the picture, place after place, and how much the score falls.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
https://arxiv.org/abs/1311.2901, section 4.2. Nothing is asked of the network but answers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neocog.errors import UsageError
from neocog.inside.explain.score import Score
from neocog.zoo.modes import evaluating

AT_ONCE = 32
"""Covered pictures that are computed together."""


@torch.no_grad()
def occlusion(
    network: nn.Module,
    x: Tensor,
    *,
    score: Score,
    window: int | None = None,
    stride: int | None = None,
    fill: Tensor | float = 0.0,
) -> Tensor:
    """(N, H, W): how much `score` falls when a pixel of the pictures `x` (N, C, H, W) is covered, the mean
    over all positions of the square that cover it; below zero where covering raises the score.

    `window` is the square's side in pixels (an eighth of the shorter side without it), `stride` the pixels
    between positions (half the window); the last position touches the border. `fill` is what the square
    shows, in the numbers that the network takes: one, or anything that fits (C, 1, 1).
    """
    _, _, height, width = x.shape
    side = window if window is not None else max(1, -(-min(height, width) // 8))
    step = stride if stride is not None else max(1, side // 2)
    if not 1 <= side <= min(height, width) or step < 1:
        raise UsageError(
            f"a square of {side} pixels every {step} over pictures of {height}x{width}; "
            f"give a side of 1 to {min(height, width)} and a stride from 1"
        )
    places = [(top, left) for top in _starts(height, side, step) for left in _starts(width, side, step)]
    falls = torch.zeros(len(x), height, width, dtype=x.dtype, device=x.device)
    covered = torch.zeros(height, width)
    with evaluating(network):
        for number, picture in enumerate(x):
            whole = score(network, picture[None])
            for first in range(0, len(places), AT_ONCE):
                some = places[first : first + AT_ONCE]
                batch = picture.expand(len(some), *picture.shape).clone()
                for one, (top, left) in zip(batch, some, strict=True):
                    one[:, top : top + side, left : left + side] = torch.as_tensor(fill).to(picture)
                for fall, (top, left) in zip(whole - score(network, batch), some, strict=True):
                    falls[number, top : top + side, left : left + side] += fall
    for top, left in places:
        covered[top : top + side, left : left + side] += 1
    return falls / covered.to(x)


def _starts(size: int, side: int, step: int) -> list[int]:
    """Where the square begins along one axis, so that every pixel is covered."""
    last = size - side
    if step > side:
        raise UsageError(
            f"a square of {side} pixels every {step} leaves pixels uncovered; give a smaller stride"
        )
    return [*range(0, last, step), last]
