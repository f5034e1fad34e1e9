"""The running statistics of batch normalisations: kept as they are, or taken anew after training."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from neocog.zoo.blocks import Network

Statistics = Literal["batch", "kept", "retaken"]


def keep(network: Network) -> None:
    """Let the batch normalisations of the features go on with the mean and variance that they have, in place,
    while their scale and shift learn.
    """
    for module in network.features.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


@torch.no_grad()
def retaken(
    network: Network, batches: Iterable[Tensor], *, taught: Network, learner: Callable[[Network], nn.Module]
) -> Network:
    """A copy of `network`, in evaluation, in which those batch normalisations have the statistics of
    `batches` that are in training in `taught`, which is built alike: the mean over the batches of each one's
    mean and variance, with the weights as they are; a batch of one, which has no variance, is left out.
    `learner` is the part of a network that takes the batches.

    A running mean lags behind the weights, and is one of the pictures that were trained on, augmented as they
    were. Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm" (arXiv:2105.07576), section 3.
    """
    network = copy.deepcopy(network)
    network.eval()
    norms = [
        ours
        for ours, theirs in zip(network.modules(), taught.modules(), strict=True)
        if isinstance(ours, _BatchNorm) and theirs.training
    ]
    lags = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # the plain mean over the batches
        module.train()
    part = learner(network)
    for x in batches:
        if len(x) > 1:
            part(x)
    for module, lag in zip(norms, lags, strict=True):
        module.momentum = lag
    return network.eval()
