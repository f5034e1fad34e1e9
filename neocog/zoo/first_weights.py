"""How weights begin: Glorot (Keras' default), He, uniform in [-0.05, 0.05], or torch's own; biases begin at
zero.

Glorot & Bengio 2010, equation 16; He et al. 2015, equation 10. Fan-in and fan-out are Keras' and torch's:
window positions times channels, channels counted within a group.
"""

from __future__ import annotations

import torch
from torch import nn

from neocog.zoo.architectures import Initialiser


def initialise(network: nn.Module, how: Initialiser, generator: torch.Generator) -> None:
    """Draw the weights of every convolution and dense layer of `network` anew, in place.

    Modules that begin in a way of their own (a gate's bias, a fixed table) define `begin(generator)`, called
    afterwards.
    """
    if how != "torch":
        for module in network.modules():
            if isinstance(module, nn.modules.conv._ConvNd | nn.Linear):
                _draw(module.weight, how, generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
    for module in network.modules():
        begin = getattr(module, "begin", None)
        if callable(begin):
            begin(generator)


def _draw(weight: torch.Tensor, how: Initialiser, generator: torch.Generator) -> None:
    if how == "glorot":
        nn.init.xavier_uniform_(weight, generator=generator)
    elif how == "he":
        nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu", generator=generator)
    else:
        nn.init.uniform_(weight, -0.05, 0.05, generator=generator)
