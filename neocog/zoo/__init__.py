"""The zoo: every network by name; Model, the recipe's part that says which one.

The table below names the networks of each family; a family's file is read when one of its rows is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, field_serializer, field_validator, model_validator

from neocog.errors import unknown
from neocog.zoo.architectures import Architecture, Initialiser, Shape, Stem
from neocog.zoo.blocks import Network
from neocog.zoo.first_weights import initialise
from neocog.zoo.habits import Manner
from neocog.zoo.head import Head, with_new_head
from neocog.zoo.layers.layer import Layer

__all__ = [
    "ZOO",
    "Architecture",
    "Head",
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

# fmt: off
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "lenet": ("lenet5", "lenet5-relu"),
    "alexnet": ("alexnet", "alexnet-merged", "alexnet-owt", "zfnet"),
    "vgg": ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11-bn", "vgg13-bn", "vgg16-bn", "vgg19-bn"),
    "googlenet": ("googlenet",),
    "inception_v3": ("inception_v3",),
    "resnet": (
        "resnet18", "resnet34", "resnet50", "resnet50-keras", "resnet101", "resnet152",
        "resnet20", "resnet32", "resnet44", "resnet56", "resnet110",
    ),
    "highway": ("highway",),
    "densenet": (
        "densenet121", "densenet161", "densenet169", "densenet201", "densenet40", "densenet100",
    ),
    "xception": ("xception",),
    "mobilenet": ("mobilenet_v2",),
    "efficientnet_lite": ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"),
    "fastres": ("resnet9", "resnet9-narrow"),
    "chapters": (
        "m0", "m1", "m2", "m5", "m6", "m7", "m8", "lenet", "m10",
        "e1", "e1-without-pooling", "e2", "e7-dense", "e7",
        "c0", "c1", "c2", "c4", "c5", "c6", "c7", "c9", "g-dense", "g1", "g2", "g3",
    ),
})
# fmt: on
"""File of a family -> the networks in its `ARCHITECTURES`, in their order."""


class Zoo(Mapping[str, Architecture]):
    """Every network by name. Names cost nothing; a row reads the file of its family, once."""

    def __init__(self, families: Mapping[str, tuple[str, ...]]) -> None:
        self._homes = {name: family for family, names in families.items() for name in names}
        self._rows: dict[str, Architecture] = {}

    def __getitem__(self, name: str) -> Architecture:
        if name not in self._rows:
            family = importlib.import_module(f"{__name__}.{self._homes[name]}")
            self._rows |= {row.name: row for row in family.ARCHITECTURES}
        return self._rows[name]

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


ZOO = Zoo(FAMILIES)


class Model(BaseModel):
    """Which network: a row of the zoo by `name`, or a layer list. `init` None is the row's own (layer
    lists: Glorot). `manner` is what published weights ask of the row's network. `head` takes the place of the
    network's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: str | None = None
    layers: tuple[Layer, ...] | None = None
    stem: Stem | None = None
    init: Initialiser | None = None
    manner: Manner | None = None
    head: Head | None = None

    @field_validator("layers", mode="before")
    @classmethod
    def _parsed(cls, value: Any) -> Any:
        if not (isinstance(value, list | tuple) and value and isinstance(value[0], dict)):
            return value
        from neocog.zoo.layer_list import parse

        return parse(list(value))

    @field_serializer("layers")
    def _written(self, layers: tuple[Layer, ...] | None) -> list[dict[str, Any]] | None:
        if layers is None:
            return None
        from neocog.zoo.layer_list import document

        entries: list[dict[str, Any]] = document(layers)["layers"]
        return entries

    @model_validator(mode="after")
    def _one(self) -> Model:
        if (self.name is None) == (self.layers is None):
            raise ValueError('a model is either {"name": ...} or {"layers": [...]}')
        return self

    def json(self) -> dict[str, Any]:  # type: ignore[override]
        return self.model_dump(mode="json", exclude_none=True)


def architecture(name: str) -> Architecture:
    """The row of the zoo called `name`, in whatever letters: VGG16 is vgg16."""
    name = name if name in ZOO else name.lower()
    if name not in ZOO:
        raise unknown("network", name, ZOO)
    return ZOO[name]


def build(model: Model, *, shape: Shape, classes: int) -> Network:
    """The network for pictures of `shape` (C, H, W), its weights as torch makes them; `begin` draws them
    properly.

    Without `classes` (0) there is no classifier: only a `manner` that ends the network early has none.
    """
    network, head = _as_published(model, shape, classes), model.head
    if head is None:
        return network
    draws = torch.Generator().manual_seed(0)
    return with_new_head(
        network, shape=shape, classes=classes, generator=draws, hidden=head.hidden, norm=head.norm
    )


def _as_published(model: Model, shape: Shape, classes: int) -> Network:
    """The network under its own head."""
    if model.layers is not None:
        from neocog.zoo.layer_list import build as build_layers

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
