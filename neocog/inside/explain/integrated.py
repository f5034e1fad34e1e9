"""Integrated gradients: the way from an empty picture to the given one, and what each pixel added to the
score along it.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", 2017,
https://arxiv.org/abs/1703.01365, equation 1, by the midpoint rule.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neocog.errors import UsageError
from neocog.inside.explain.saliency import saliency
from neocog.inside.explain.score import Score

STEPS = 64
AT_ONCE = 32
"""Pictures that are computed together."""


def integrated(
    network: nn.Module, x: Tensor, *, score: Score, baseline: Tensor | None = None, steps: int = STEPS
) -> Tensor:
    """What every number of the pictures `x` (N, ...) adds to `score`, of the same shape: all together the
    score of `x` less that of `baseline`, but for the error of the rule with `steps` points.

    `baseline`, of the shape of `x` or of one picture, is the picture that says nothing; zeros without one.
    """
    if steps < 1:
        raise UsageError(f"{steps} steps from the baseline; give 1 or more")
    empty = torch.zeros_like(x) if baseline is None else baseline.to(x).expand_as(x)
    way = (x - empty).detach()
    shares = (torch.arange(steps, dtype=x.dtype, device=x.device) + 0.5) / steps
    total = torch.zeros_like(way)
    for share in torch.split(shares, max(1, AT_ONCE // len(x))):
        along = empty + share.reshape(-1, *(1,) * x.ndim) * way
        slopes = saliency(network, along.flatten(0, 1), score=score)
        total += slopes.reshape(along.shape).sum(0)
    return way * total / steps
