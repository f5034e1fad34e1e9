"""Architecture: one row of the zoo, and Shape, the size of one picture as the network sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from neocog.zoo.blocks import Network

Shape = tuple[int, ...]
"""(C, H, W); (C, L) for one-dimensional signals, (C, D, H, W) for volumes."""

Stem = Literal["paper", "small"]
Initialiser = Literal["glorot", "he", "uniform", "torch", "opposed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A network as published.

    `build(shape=..., classes=..., stem=...)` makes it for any input. `parameters` is the golden count of
    trainable parameters at `shape` and `classes`, auxiliary heads left out; `macs` the multiply-accumulates
    of its convolutions and dense layers for one picture; `smallest` the smallest legal square input; `depth`
    the number of layers with weights on the longest path, as the paper counts. `differs` says where it
    departs from the paper, or 'nothing'. `stems` lists what `stem` accepts: 'small' is the variant for 28 to
    64 pixel pictures. `lr` is the rate of Adam with which it learns from scratch, where that of other
    networks is too high for it. `channels` 1 is of a network that is shown grey pictures whatever their
    colours. `aliases` maps Keras' layer names to ours.
    """

    name: str
    title: str
    authors: str
    year: int
    url: str
    build: Callable[..., Network]
    shape: Shape
    classes: int = 1000
    parameters: int
    macs: int | None = None
    smallest: int
    depth: int
    init: Initialiser = "he"
    lr: float | None = None
    channels: Literal[1, 3] | None = None
    differs: str = "nothing"
    stems: tuple[Stem, ...] = ("paper",)
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
