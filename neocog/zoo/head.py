"""The head: what the last layer is given; a new head on old features.

What a network has learned to see is put to other classes; `Head` is the part of `Model` that asks for that.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from neocog.arithmetic import walk
from neocog.errors import UsageError
from neocog.zoo.architectures import Shape
from neocog.zoo.blocks import GlobalPool, Network
from neocog.zoo.first_weights import initialise

Norm = Literal["none", "standard"]


class Head(BaseModel):
    """The head in place of the network's own: a mean over all positions, and one or two dense layers.

    hidden  the width of a dense layer with ReLU before the answer; None: no such layer
    norm    'standard' brings each feature to mean 0 and variance 1 over the training pictures, by numbers
            that are fixed when the training begins; 'none' takes the features as they are
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int | None = Field(default=None, ge=1)
    norm: Norm = "none"


PRIOR = 10.0
"""As many pictures as the mean variance of all features counts for in the variance of each: few pictures tell
little of it.
"""


class Standardise(nn.Module):
    """(x - mean) scale for features (N, width), by fixed numbers; as it is made, it changes nothing."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def begin(self, generator: torch.Generator) -> None:
        """As it is made; nothing is drawn."""
        self.mean.zero_()
        self.scale.fill_(1.0)

    @torch.no_grad()
    def fit(self, features: Tensor) -> None:
        """Take mean and variance of `features` (N, width), N at least 1, the variance of each drawn to the
        mean variance by `PRIOR` pictures.
        """
        n, values = len(features), features.double()
        variance = values.var(0, unbiased=False)
        drawn = (n * variance + PRIOR * variance.mean()) / (n + PRIOR)
        self.mean.copy_(values.mean(0))
        self.scale.copy_(torch.where(drawn > 0, drawn, torch.ones_like(drawn)).rsqrt())

    def output_size(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """As many positions as there were."""
        return tuple(sizes)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale

    def extra_repr(self) -> str:
        return str(self.width)


def with_new_head(
    network: Network,
    *,
    shape: Shape,
    classes: int,
    generator: torch.Generator,
    hidden: int | None = None,
    norm: Norm = "none",
    how: Literal["glorot", "he", "uniform"] = "glorot",
) -> Network:
    """The features of `network` (the same modules, not copies) under a head for `classes`.

    The head is `pool` (the mean over all positions), `standard` where `norm` asks for it, `dense` and `relu`
    where `hidden` gives a width, and `linear`; its weights are drawn by `generator` (on the CPU), its biases
    begin at zero. `shape` (C, *sizes) is a picture that the features take; the head itself takes any size.
    Auxiliary heads are dropped: they were made for the old classes.

    Raises:
        UsageError: no classes, or a network without features (one that begins with a dense layer).
        ShapeError: a picture that the features cannot take.
    """
    if classes < 1 or (hidden is not None and hidden < 1):
        raise UsageError(f"a head of {hidden} hidden units for {classes} classes; give 1 or more of each")
    if not any(True for _ in network.features.parameters()):
        raise UsageError("this network has no features to keep: it begins with its head; train it anew")
    width = walk(network.features, shape).output[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict(pool=GlobalPool())
    with torch.device("meta"):  # so that nothing is drawn but by `generator`
        if norm == "standard":
            layers["standard"] = Standardise(width)
        if hidden is not None:
            layers |= {"dense": nn.Linear(width, hidden), "relu": nn.ReLU()}
        layers["linear"] = nn.Linear(hidden or width, classes)
    head = nn.Sequential(layers).to_empty(device="cpu")
    initialise(head, how, generator)
    like = next(network.features.parameters())
    head.to(like.device, like.dtype)
    made = Network(dict(network.features.named_children()), head)
    for module in (made, made.features, made.aux, *head.modules()):
        module.training = network.training
    return made


@contextlib.contextmanager
def answering(network: nn.Module, keep: Callable[[Tensor], None]) -> Iterator[None]:
    """Within the block, `keep` is shown what the last layer with weights is given, (N, width), for every
    batch that goes through `network`.
    """
    parts = [getattr(network, name) for name in ("features", "head") if hasattr(network, name)] or [network]
    layers = [
        m for part in parts for m in part.modules() if not list(m.children()) and list(m.parameters())
    ]  # auxiliary heads are left out
    hook = layers[-1].register_forward_pre_hook(lambda module, given: keep(given[0].detach().flatten(1)))
    try:
        yield
    finally:
        hook.remove()
