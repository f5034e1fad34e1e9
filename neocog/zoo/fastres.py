"""ResNet-9, the wide and shallow residual network that trains fastest on 32x32 pictures. How to Train Your
ResNet 4: Architecture, David Page, 2018, https://myrtle.ai/learn/how-to-train-your-resnet-4-architecture/; in
DAWNBench's CIFAR-10 contest it reached 94 % in 79 seconds on one V100 (24 epochs). Code:
https://github.com/davidcpage/cifar10-fast, dawn.py.

Differs from the source: weights begin as He et al. 2015; the factor 0.125 stands before the last layer, which
has no bias, so that the logits are the same and the last layer of the head is the classifier; the last
pooling takes the maximum over the whole map (at 32x32 the source's 4x4), so that other sizes work.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from neocog.errors import UsageError, unknown
from neocog.zoo.architectures import Architecture, Shape, Stem
from neocog.zoo.blocks import GlobalPool, Network, Residual, conv
from neocog.zoo.sizes import out_shape

# Stage: channels as a multiple of the width; is its 3x3 convolution followed by a 2x2 maximum, and that by a
# residual of two convolutions?
STAGES = {
    "prep": (1, False, False),
    "layer1": (2, True, True),
    "layer2": (4, True, False),
    "layer3": (8, True, True),
}
# Channels of the first convolution: the source's, and one that two CPU cores train in minutes
WIDTHS = {"resnet9": 64, "resnet9-narrow": 16}
LOGIT_SCALE = 0.125
"""Small logits at the start, so that the large learning rates of short trainings do no harm."""


class Scale(nn.Module):
    """x times a fixed number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def output_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        return tuple(sizes)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return str(self.factor)


def residual(width: int) -> Residual:
    """x + relu(bn(conv(relu(bn(conv(x)))))), with the last ReLU inside the body and none after the sum."""
    body = nn.Sequential(OrderedDict(conv1=conv(width, width, 3), conv2=conv(width, width, 3)))
    return Residual(body, after=nn.Identity())


def fastres(name: str, *, shape: Shape = (3, 32, 32), classes: int = 10, stem: Stem = "paper") -> Network:
    """The stages prep, layer1, layer2, layer3 at the width of `name`.

    Raises `UsageError` for an unknown name or a stem other than 'paper', and `ShapeError` for a picture of
    less than 8 pixels.
    """
    if name not in WIDTHS:
        raise unknown("fast ResNet", name, WIDTHS)
    if stem != "paper":
        raise UsageError(f"{name} has no stem '{stem}': it is made for small pictures; leave stem at 'paper'")
    stages: dict[str, nn.Module] = {}
    width = shape[0]
    for stage, (multiple, pool, again) in STAGES.items():
        out = multiple * WIDTHS[name]
        modules: OrderedDict[str, nn.Module] = OrderedDict(conv=conv(width, out, 3))
        if pool:
            modules["pool"] = nn.MaxPool2d(2)
        if again:
            modules["residual"] = residual(out)
        stages[stage] = nn.Sequential(modules)
        width = out
    out_shape(stages, shape)
    head = OrderedDict(
        pool=GlobalPool("max"), scale=Scale(LOGIT_SCALE), linear=nn.Linear(width, classes, bias=False)
    )
    return Network(stages, nn.Sequential(head))


_row = partial(
    Architecture,
    title="How to Train Your ResNet 4: Architecture",
    authors="David Page",
    year=2018,
    url="https://myrtle.ai/learn/how-to-train-your-resnet-4-architecture/",
    shape=(3, 32, 32),
    classes=10,
    smallest=8,
    depth=9,
)
_DIFFERS = (
    "weights begin as He et al. 2015; the factor 0.125 stands before the last layer instead of after it "
    "(same logits); the last maximum is over the whole map, so that sizes other than 32x32 work"
)

ARCHITECTURES: tuple[Architecture, ...] = (
    _row(
        name="resnet9",
        build=partial(fastres, "resnet9"),
        parameters=6_573_120,
        macs=379_261_952,
        differs=_DIFFERS,
    ),
    _row(
        name="resnet9-narrow",
        build=partial(fastres, "resnet9-narrow"),
        parameters=412_944,
        macs=24_036_608,
        differs=f"a quarter of the channels; {_DIFFERS}",
    ),
)
