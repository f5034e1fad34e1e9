"""What a file of weights says before it is fitted to a network: tensors by our names, and their manner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from neocog.pretrained.releases import Source
from neocog.zoo import ZOO, Model, Shape, build
from neocog.zoo.blocks import Network
from neocog.zoo.habits import Manner


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a file says before it is fitted: tensors by our names, theirs that nobody wants, and the rest."""

    tensors: Mapping[str, Tensor]
    unexpected: tuple[str, ...]
    classes: int
    source: Source
    manner: Manner
    partial: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


def skeleton(name: str, manner: Manner, shape: Shape, classes: int) -> Network:
    """The network without memory behind its weights."""
    with torch.device("meta"):
        return build(Model(name=name, stem="paper", manner=manner), shape=shape, classes=classes)


def bare(name: str, classes: int = 1000) -> Network:
    return skeleton(name, Manner(), ZOO[name].shape, classes)


def ignored(key: str) -> bool:
    """Counters of training steps, and auxiliary heads, which published networks are used without."""
    return key.endswith("num_batches_tracked") or key.startswith(("AuxLogits.", "aux1.", "aux2."))
