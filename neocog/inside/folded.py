"""Folded: a copy of a network that only answers, and sooner: batch normalisations are part of the
convolutions before them, and weights have the precision in which they are used.

Its answers are those of the network but for rounding, so nothing that was measured is measured with it.
"""

from __future__ import annotations

import contextlib
import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neocog.arithmetic import Shape
from neocog.zoo.blocks import Network

SAME = 1e-3
"""Of the largest output: how far outputs may be from those before folding. Rounding in float32 makes 1e-6 to
1e-5; a convolution whose output something else sees too, and so may not be folded, far more."""


def folded(network: Network, shape: Shape) -> Network:
    """A copy of `network`, float32, in evaluation, for inputs of `shape` (C, H, W), with every batch
    normalisation folded into the convolution whose output it is given, as a pass shows. Where the copy then
    answers otherwise, which a second pass shows, nothing is folded.
    """
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    made = copy.deepcopy(network).eval()
    names = {module: name for name, module in made.named_modules()}
    with torch.no_grad():
        wanted, pairs = _pairs(made, x)
        for convolution, normalisation in pairs:
            made.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, normalisation))
            made.set_submodule(names[normalisation], nn.Identity())
        apart = float((made(x) - wanted).abs().max())
    return made if apart <= SAME * float(wanted.abs().max()) else copy.deepcopy(network).eval()


def in_precision(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The network itself, the weights of its convolutions and dense layers in `dtype`; normalisations stay as
    they are.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)
    return network


def _pairs(network: nn.Module, x: Tensor) -> tuple[Tensor, list[tuple[nn.Conv2d, nn.BatchNorm2d]]]:
    """What the network answers to `x`, and its convolutions with the batch normalisations that were given
    their outputs, where both ran once.
    """
    makers: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # outputs are kept, so that no number is used again
    takers: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    ran: list[nn.Module] = []

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ran.append(module)
        if isinstance(module, nn.Conv2d):
            makers[id(output)] = module, output
        elif id(inputs[0]) in makers:
            takers.append((makers[id(inputs[0])][0], module))  # type: ignore[arg-type]  # watched are two kinds

    with contextlib.ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                hooks.callback(module.register_forward_hook(watch).remove)
        answer = network(x)
    return answer, [pair for pair in takers if all(ran.count(module) == 1 for module in pair)]
