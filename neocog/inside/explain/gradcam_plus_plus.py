"""Grad-CAM++: Grad-CAM with a weight for every place, so that several objects and small ones count.

Chattopadhyay, Sarkar, Howlader and Balasubramanian, "Grad-CAM++: Generalized Gradient-based Visual
Explanations for Deep Convolutional Networks", 2018, https://arxiv.org/abs/1710.11063, equations 10, 11 and
19. As there, the score is taken as exp(S): its derivatives are exp(S) times powers of the gradient of S in
a network of ReLUs. The common factor exp(S) is left out: it scales a map, and may overflow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neocog.inside.explain.gradcam import maps_and_gradients
from neocog.inside.explain.score import Score


def gradcam_plus_plus(network: nn.Module, x: Tensor, *, score: Score, layer: str) -> Tensor:
    """(N, *sizes), never negative, in the resolution of `layer`'s maps (N, K, *sizes)."""
    maps, gradients = maps_and_gradients(network, x, score=score, layer=layer)
    square = gradients.square()
    sums = maps.flatten(2).sum(2).reshape(*maps.shape[:2], *(1,) * (maps.ndim - 2))
    below = 2 * square + sums * square * gradients
    shares = torch.where(below != 0, square / torch.where(below != 0, below, 1.0), 0.0)
    weights = (shares * gradients.clamp(min=0)).flatten(2).sum(2)
    return torch.einsum("nk,nk...->n...", weights, maps).clamp(min=0)
