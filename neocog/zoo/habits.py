"""Manner: what published weights ask of a network beyond their numbers, as data, in the model file too.

TensorFlow pads strided convolutions at the bottom and right only, Keras' normalisations have their own
epsilon, torchvision's Inception V3 counts the border in its means, and a file may end before the classifier.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from neocog.errors import unknown
from neocog.zoo.blocks import GlobalPool, Network
from neocog.zoo.borders import Same


class Manner(BaseModel):
    """How the weights were trained, where the network allows more than one way; None is as the family has it.

    padding  of convolutions at stride 2: 'half' on both sides, 'same' as TensorFlow, bottom and right first
    eps      added to the variance by every batch normalisation
    means    of average pools with a border: 'inside' leaves the border out, 'counted' counts its zeros
    zeros    for the channels that a shortcut without weights lacks: 'after' its own, or 'around' them
    until    the last stage there is: what follows has no weights, and the head is a mean over all positions
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    padding: Literal["half", "same"] | None = None
    eps: float | None = Field(default=None, gt=0)
    means: Literal["inside", "counted"] | None = None
    zeros: Literal["after", "around"] | None = None
    until: str | None = None

    def applied(self, network: Network) -> Network:
        """`network`, changed in place. Auxiliary heads go: published weights do not bring them reliably."""
        network.aux = nn.ModuleDict()
        if self.until is not None:
            _end_after(network, self.until)
        for module in list(network.modules()):
            if self.eps is not None and isinstance(module, nn.BatchNorm2d):
                module.eps = self.eps
            if (
                self.means is not None
                and isinstance(module, nn.AvgPool2d)
                and module.padding not in (0, (0, 0))
            ):
                module.count_include_pad = self.means == "counted"
            if self.zeros == "around" and isinstance(module, nn.ConstantPad3d):
                extra = sum(module.padding[4:])
                module.padding = (0, 0, 0, 0, extra // 2, extra - extra // 2)
            if self.padding == "same" and isinstance(module, nn.Sequential):
                _pad_like_tensorflow(module)
        return network


def _end_after(network: Network, last: str) -> None:
    names = [name for name, _ in network.features.named_children()]
    if last not in names:
        raise unknown("stage", last, names)
    kept = list(network.features.named_children())[: names.index(last) + 1]
    network.features = nn.Sequential(OrderedDict(kept))
    network.head = nn.Sequential(OrderedDict(pool=GlobalPool()))


def _pad_like_tensorflow(stages: nn.Sequential) -> None:
    """Put `Same` before each strided convolution among `stages` that pads both sides by itself."""
    changed: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in stages.named_children():
        if isinstance(module, nn.Conv2d) and max(module.stride) > 1 and _pads(module):
            changed["pad" if name == "conv" else f"{name}_pad"] = Same(module.kernel_size, module.stride)
            module.padding = (0, 0)
        changed[name] = module
    for name in [name for name, _ in stages.named_children()]:
        delattr(stages, name)
    for name, module in changed.items():
        stages.add_module(name, module)


def _pads(module: nn.Conv2d) -> bool:
    return not isinstance(module.padding, str) and max(module.padding) > 0
