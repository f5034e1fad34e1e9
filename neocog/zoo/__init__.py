"""The zoo: every network by name; Model, the recipe's part that says which one."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, field_serializer, field_validator, model_validator

from neocog.errors import unknown
from neocog.zoo import (
    alexnet,
    chapters,
    densenet,
    efficientnet_lite,
    fastres,
    googlenet,
    highway,
    inception_v3,
    lenet,
    mobilenet,
    resnet,
    vgg,
    xception,
)
from neocog.zoo.architecture import Architecture, Initialiser, Shape, Stem
from neocog.zoo.blocks import Network
from neocog.zoo.first_weights import initialise
from neocog.zoo.habits import Manner
from neocog.zoo.layer_list import Layer, document, parse
from neocog.zoo.layer_list import build as build_layers

__all__ = [
    "ZOO",
    "Architecture",
    "Initialiser",
    "Manner",
    "Model",
    "Network",
    "Shape",
    "Stem",
    "architecture",
    "begin",
    "build",
    "resolved",
]

FAMILIES = (
    lenet, alexnet, vgg, googlenet, inception_v3, resnet, highway, densenet, xception, mobilenet,
    efficientnet_lite, fastres, chapters,
)  # fmt: skip
ROWS: tuple[Architecture, ...] = tuple(row for family in FAMILIES for row in family.ARCHITECTURES)
ZOO: dict[str, Architecture] = {row.name: row for row in ROWS}


class Model(BaseModel):
    """Which network: a row of the zoo by `name`, or a layer list. `init` None is the row's own (layer
    lists: Glorot). `manner` is what published weights ask of the row's network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str | None = None
    layers: tuple[Layer, ...] | None = None
    stem: Stem | None = None
    init: Initialiser | None = None
    manner: Manner | None = None

    @field_validator("layers", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        return (
            parse(list(value))
            if isinstance(value, list | tuple) and value and isinstance(value[0], dict)
            else value
        )

    @field_serializer("layers")
    def _written(self, layers: tuple[Layer, ...] | None) -> list[dict[str, Any]] | None:
        return None if layers is None else document(layers)["layers"]

    @model_validator(mode="after")
    def _one(self) -> Model:
        if (self.name is None) == (self.layers is None):
            raise ValueError('a model is either {"name": ...} or {"layers": [...]}')
        return self

    def json(self) -> dict[str, Any]:  # type: ignore[override]
        return self.model_dump(mode="json", exclude_none=True)


def architecture(name: str) -> Architecture:
    """The row of the zoo called `name`."""
    if name not in ZOO:
        raise unknown("network", name, ZOO)
    return ZOO[name]


def build(model: Model, *, shape: Shape, classes: int) -> Network:
    """The network for pictures of `shape` (C, H, W), its weights as torch makes them; `begin` draws them
    properly.

    Without `classes` (0) there is no classifier: only a `manner` that ends the network early has none.
    """
    if model.layers is not None:
        return build_layers(model.layers, shape=shape, classes=classes)
    network = architecture(model.name or "").build(
        shape=shape, classes=max(classes, 1), stem=resolved(model, shape).stem
    )
    return network if model.manner is None else model.manner.applied(network)


def resolved(model: Model, shape: Shape) -> Model:
    """`model` with its stem said: 'small' for small pictures where the family has one, unless the model
    says otherwise.
    """
    if model.name is None or model.stem is not None:
        return model
    small = "small" in architecture(model.name).stems and max(shape[1:]) <= SMALL_PICTURE
    return model.model_copy(update={"stem": "small" if small else "paper"})


SMALL_PICTURE = 64
"""Pictures up to this many pixels a side get a family's small stem where it has one."""


def begin(model: Model, network: Network, generator: torch.Generator) -> None:
    """Draw the first weights of `network` as its row says, in place."""
    how = model.init or (architecture(model.name).init if model.name else "glorot")
    initialise(network, how, generator)
