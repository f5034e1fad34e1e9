"""The deconvolution view: a response projected back to the pixels that caused it.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
https://arxiv.org/abs/1311.2901, section 2.1. From the response down to the picture: unpooling puts values
where the switches of the max-pools say that they came from, a ReLU cuts off what is negative, transposed
filters without biases lead to the layer below. The way back of max-pools and convolutions is exactly that;
only ReLU's has to be replaced. Normalisations are followed as their gradient is: the paper leaves its
contrast normalisation out.
"""

from __future__ import annotations

from torch import Tensor, nn

from neocog.inside.explain.saliency import saliency
from neocog.inside.explain.score import Score
from neocog.inside.relu_rules import relu_rule


def deconvnet(network: nn.Module, x: Tensor, *, score: Score) -> Tensor:
    """What of the pictures `x` (N, ...) `score` is projected back upon, of the same shape.

    With a `ChannelScore` all other channels and places of that layer count as zero, as in the paper; with a
    `ClassScore` the projection begins at the logit.
    """
    with relu_rule("deconvnet"):
        return saliency(network, x, score=score)
