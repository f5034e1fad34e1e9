"""How weights begin: Glorot (Keras' default), He, uniform in [-0.05, 0.05], torch's own, or opposed; biases
begin at zero.

Glorot & Bengio 2010, equation 16; He et al. 2015, equation 10. Fan-in and fan-out are Keras' and torch's:
window positions times channels, channels counted within a group. Opposed is Glorot's with every second filter
of a convolution the negative of the one before it, after Balduzzi et al. 2017 (arXiv:1702.08591, section 4,
'looks linear'): whatever one of the two gives a negative answer to, the other lets through its ReLU. A layer
of few filters can otherwise begin deaf to some inputs, and stays so, since no gradient passes.
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
    if how in ("glorot", "opposed"):
        nn.init.xavier_uniform_(weight, generator=generator)
        if how == "opposed" and weight.ndim > 2:
            with torch.no_grad():
                weight[1::2] = -weight[: 2 * (len(weight) // 2) : 2]
    elif how == "he":
        nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu", generator=generator)
    else:
        nn.init.uniform_(weight, -0.05, 0.05, generator=generator)
