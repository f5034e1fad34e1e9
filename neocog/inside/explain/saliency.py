"""Saliency: how fast the score changes with each pixel.

Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", 2014,
https://arxiv.org/abs/1312.6034, section 3: the gradient of the class score with respect to the picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neocog.inside.capture import capture_gradients
from neocog.inside.explain.score import Score


def saliency(network: nn.Module, x: Tensor, *, score: Score) -> Tensor:
    """The gradient of `score` with respect to the pictures `x` (N, ...), of the same shape; zeros where the
    score does not depend on them.
    """
    with capture_gradients(network, []):
        given = x.detach().clone().requires_grad_()
        total = score(network, given).sum()
        if not total.requires_grad:
            return torch.zeros_like(given).detach()
        (gradient,) = torch.autograd.grad(total, given, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient
