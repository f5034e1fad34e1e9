"""Dropout whose masks are made of raw random bits, 16 for each number: on a CPU half the time of torch's
own, which draws a number in 0..1 for each. Both draw from torch's default generator, but other
masks, so that a run keeps to one of them: `masks` in its facts.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd

_SAME_SIZE = MappingProxyType(
    {
        torch.bfloat16: torch.int16,
        torch.float16: torch.int16,
        torch.float32: torch.int32,
        torch.float64: torch.int64,
    }
)
"""Whole numbers of as many bytes as a floating-point kind."""
STEPS = 2**16
"""In which the rate is rounded: 0.2 becomes 13107 / 65536."""


class Dropout(_DropoutNd):
    """torch's `Dropout` with other masks, under the same name: while training, each number becomes 0 with
    probability `p`, and the others are divided by 1 - p.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return F.dropout(x, self.p, self.training)
        dropped = round(self.p * STEPS)
        return x * mask(x, dropped) if 0 < dropped < STEPS else F.dropout(x, self.p)


@torch.no_grad()
def mask(x: Tensor, dropped: int) -> Tensor:
    """A factor for each number of `x`, of its shape and layout in memory: 0 with probability
    `dropped` / 65536, else what keeps the mean.
    """
    layout = torch.empty_like(x, device="meta").stride()
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    drawn = words.view(torch.int16)[: x.numel()].as_strided(x.shape, layout)
    kind = _SAME_SIZE[x.dtype]
    kept = torch.tensor(STEPS / (STEPS - dropped)).to(x.dtype).view(kind)
    # the bits of the factor, times 0 or 1: a fifth of the time that a conversion to floating point takes
    return (drawn >= dropped - STEPS // 2).to(kind).mul_(int(kept)).view(x.dtype)


def masks_of_bits(network: nn.Module) -> None:
    """Put `Dropout` in the place of torch's in all of `network`; nothing else is touched."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, Dropout(child.p))
