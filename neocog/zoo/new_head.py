"""A new head on old features: what a network has learned to see, put to other classes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import nn

from neocog.arithmetic import walk
from neocog.errors import UsageError
from neocog.zoo.architectures import Shape
from neocog.zoo.blocks import GlobalPool, Network
from neocog.zoo.first_weights import initialise


def with_new_head(
    network: Network,
    *,
    shape: Shape,
    classes: int,
    generator: torch.Generator,
    hidden: int | None = None,
    how: Literal["glorot", "he", "uniform"] = "glorot",
) -> Network:
    """The features of `network` (the same modules, not copies) under a head for `classes`.

    The head is `pool` (the mean over all positions), `dense` and `relu` where `hidden` gives a width, and
    `linear`; its weights are drawn by `generator` (on the CPU), its biases begin at zero. `shape` (C, *sizes)
    is a picture that the features take; the head itself takes any size. Auxiliary heads are dropped: they
    were made for the old classes.

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
