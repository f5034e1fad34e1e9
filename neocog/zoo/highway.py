"""Highway network: "Highway Networks" and "Training Very Deep Networks", 2015.

Srivastava, Greff and Schmidhuber, https://arxiv.org/abs/1505.00387, equation 3, and https://arxiv.org/abs/1507.06228,
section 4.2: a convolutional network of 19 layers for pictures of 32x32, like Highway 2 in the second paper's
Table 2. How far a gate is open is the output of its module `openness`: `features.highway2_3.openness`.

Differs from the papers: see `differs` in `ARCHITECTURES`.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from neocog.errors import unknown
from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import Gate, GlobalPool, Network, conv
from neocog.zoo.sizes import out_shape

STAGES = (  # width, highway layers; a plain convolution comes before them, a 2x2/2 max-pool after
    (32, 5),
    (64, 5),
    (128, 5),
)
TRANSFORM_BIAS = -2.0
"""Where the bias of a gate's transform begins, so that it mostly carries (the paper: -1, -3 etc.)."""


class Transform(nn.Module):
    """The gate's own 3x3 convolution, before the sigmoid; its bias begins at `TRANSFORM_BIAS`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        nn.init.constant_(self.conv.bias, TRANSFORM_BIAS)  # type: ignore[arg-type]

    def begin(self, generator: torch.Generator) -> None:
        nn.init.constant_(self.conv.bias, TRANSFORM_BIAS)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


def highway(*, shape: Shape = (3, 32, 32), classes: int = 10, stem: Stem = "paper") -> Network:
    """Three stages of gated 3x3 convolutions, then the mean over all positions."""
    if stem != "paper":
        raise unknown("stem of highway", stem, ["paper"])
    stages: dict[str, nn.Module] = {}
    width = shape[0]
    for s, (out, layers) in enumerate(STAGES, start=1):
        stages[f"conv{s}"] = conv(width, out, 3, norm=False)
        for j in range(1, layers + 1):
            stages[f"highway{s}_{j}"] = Gate(conv(out, out, 3, norm=False), Transform(out))
        stages[f"pool{s}"] = nn.MaxPool2d(2)
        width = out
    out_shape(stages, shape)
    head = OrderedDict(pool=GlobalPool(), fc=nn.Linear(width, classes))
    return Network(stages, nn.Sequential(head))


ARCHITECTURES = (
    Architecture(
        name="highway",
        title="Highway Networks",
        authors="Srivastava, Greff, Schmidhuber",
        year=2015,
        url="https://arxiv.org/abs/1505.00387",
        build=highway,
        shape=(3, 32, 32),
        classes=10,
        parameters=2_032_138,
        macs=293_438_720,
        smallest=8,
        depth=19,
        differs=(
            "the papers do not print the widths of their convolutional networks: here 32, 64 and 128 in "
            "three stages of one plain and five highway convolutions; ReLU, where the fully connected "
            "networks of the first paper also use tanh; the mean over all positions before the logits, "
            "where the second paper follows FitNets' maxout; He's weights"
        ),
    ),
)
