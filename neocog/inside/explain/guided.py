"""Guided backpropagation: the gradient, with everything negative cut off at every ReLU on the way back.

Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for Simplicity: The All Convolutional Net", 2015,
https://arxiv.org/abs/1412.6806, section 3.4. It draws sharp pictures, but hardly changes when the upper
layers are given random weights (Adebayo et al. 2018): it shows what is in the picture rather than why.
"""

from __future__ import annotations

from torch import Tensor, nn

from neocog.inside.explain.saliency import saliency
from neocog.inside.explain.score import Score
from neocog.inside.relu_rules import relu_rule


def guided(network: nn.Module, x: Tensor, *, score: Score) -> Tensor:
    """The guided gradient of `score` with respect to the pictures `x` (N, ...), of the same shape.

    In a network without ReLU it is the plain gradient.
    """
    with relu_rule("guided"):
        return saliency(network, x, score=score)
