"""Folded: a copy of a network that only answers, and sooner: batch normalisations are part of the
convolutions before them, rectifiers of those that they follow, and weights have the precision and
the order in memory in which they are used.

Its answers are those of the network but for rounding, so nothing that was measured is measured with it.
"""

from __future__ import annotations

import contextlib
import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from neocog.arithmetic import Shape
from neocog.zoo.blocks import Network

N = TypeVar("N", bound=nn.Module)

SAME = 1e-3
"""Of the largest output: how far outputs may be from those before folding. Rounding in float32 makes 1e-6 to
1e-5; a convolution whose output something else sees too, and so may not be folded, far more."""
RECTIFIERS: dict[type[nn.Module], tuple[str, list[float]]] = {
    nn.ReLU: ("relu", []),
    nn.ReLU6: ("hardtanh", [0.0, 6.0]),
}
"""oneDNN's names of them, with their bounds."""


def quick(network: Network, shape: Shape, dtype: torch.dtype, device: torch.device) -> Network:
    """A copy of `network` in evaluation on `device`, its rows of weights in `dtype`: `folded`, and on a CPU
    with oneDNN each convolution computed by one call together with the rectifier that follows it. It answers
    inputs of `shape` (C, H, W) under autocast to `dtype`.
    """
    made = in_precision(folded(network, shape), dtype)
    if device.type == "cpu" and torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        made = _prepared(made, shape, dtype)
    return made.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def folded(network: Network, shape: Shape) -> Network:
    """A copy of `network`, float32, in evaluation, for inputs of `shape` (C, H, W), with every batch
    normalisation folded into the convolution whose output it is given, as a pass shows. Where the copy then
    answers otherwise, which a second pass shows, nothing is folded.
    """
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    made = copy.deepcopy(network).eval()
    names = {module: name for name, module in made.named_modules()}
    with torch.no_grad():
        wanted, pairs = _pairs(made, x, (nn.BatchNorm2d,))
        for convolution, normalisation in pairs:
            made.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, normalisation))
            made.set_submodule(names[normalisation], nn.Identity())
        apart = float((made(x) - wanted).abs().max())
    return made if apart <= SAME * float(wanted.abs().max()) else copy.deepcopy(network).eval()


def in_precision(network: N, dtype: torch.dtype) -> N:
    """The network itself, the weights of its convolutions and dense layers in `dtype`; normalisations stay as
    they are.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.to(dtype)
    return network


class Prepared(nn.Module):
    """A convolution of maps such as `x`, and `rectifier` after it where there is one, as one call of oneDNN,
    its weights in the order that oneDNN asks for.
    """

    def __init__(self, convolution: nn.Conv2d, rectifier: nn.Module | None, x: Tensor) -> None:
        super().__init__()
        c = convolution
        self.where = (list(c.padding), list(c.stride), list(c.dilation), c.groups)
        self.after = RECTIFIERS[type(rectifier)] if rectifier is not None else ("none", [])
        self.dtype, self.bias = c.weight.dtype, c.bias
        weight = c.weight.detach().contiguous(memory_format=torch.channels_last)
        pack = torch.ops.mkldnn._reorder_convolution_weight
        self.packed = pack(weight, *self.where, list(x.shape))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, channels, height, width), of the weights' precision."""
        name, bounds = self.after
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x.to(self.dtype), self.packed, self.bias, *self.where, name, bounds, ""
        )
        return out


def _prepared(network: Network, shape: Shape, dtype: torch.dtype) -> Network:
    """`network` with `Prepared` convolutions; as it is where that would change its answers by more than
    rounding.
    """
    x = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    made, inputs = copy.deepcopy(network), dict[nn.Conv2d, Tensor]()
    names = {module: name for name, module in made.named_modules()}

    def seen(module: nn.Conv2d, given: tuple[Tensor, ...]) -> None:
        if module.padding_mode == "zeros" and not isinstance(module.padding, str):
            inputs[module] = given[0]

    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        with contextlib.ExitStack() as hooks:
            for module in names:
                if type(module) is nn.Conv2d:
                    hooks.callback(module.register_forward_pre_hook(seen).remove)
            wanted, pairs = _pairs(made, x, (nn.ReLU, nn.ReLU6))
        rectifiers = dict(pairs)
        for convolution, given in inputs.items():
            rectifier = rectifiers.get(convolution)
            made.set_submodule(names[convolution], Prepared(convolution, rectifier, given))
            if rectifier is not None:
                made.set_submodule(names[rectifier], nn.Identity())
        apart = float((made(x) - wanted).abs().max())
    rounding = max(SAME, 4 * torch.finfo(dtype).eps)
    return made if apart <= rounding * float(wanted.abs().max()) else network


def _pairs(
    network: nn.Module, x: Tensor, kinds: tuple[type[N], ...]
) -> tuple[Tensor, list[tuple[nn.Conv2d, N]]]:
    """What the network answers to `x`, and its convolutions with the layers of `kinds` that were given their
    outputs, where both ran once.
    """
    makers: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # outputs are kept, so that no number is used again
    takers: list[tuple[nn.Conv2d, N]] = []
    ran: list[nn.Module] = []

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ran.append(module)
        if isinstance(module, nn.Conv2d):
            makers[id(output)] = module, output
        elif id(inputs[0]) in makers:
            takers.append((makers[id(inputs[0])][0], module))  # type: ignore[arg-type]  # watched are these

    with contextlib.ExitStack() as hooks:
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, *kinds)):
                hooks.callback(module.register_forward_hook(watch).remove)
        answer = network(x)
    return answer, [pair for pair in takers if all(ran.count(module) == 1 for module in pair)]
