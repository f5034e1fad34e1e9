"""The layer list: a network as data, in JSON both ways, for the chapters' networks and the users' own.

    {"layers": [{"kind": "conv", "filters": 32, "kernel": 3, "activation": "relu"}, {"kind": "maxpool"},
                {"kind": "flatten"}, {"kind": "dense", "units": "classes", "activation": "softmax"}]}

One list serves signals (C, L), pictures (C, H, W) and volumes (C, D, H, W): the input decides which of
torch's layers is made. Widths of dense layers are found by size arithmetic; "classes" stands for the number
of classes of the data.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from torch import nn

from neocog import arithmetic
from neocog.errors import NeocogError, ShapeError, UsageError, first_complaint, unknown
from neocog.zoo.architectures import Shape
from neocog.zoo.blocks import GlobalPool, Logistic, Network
from neocog.zoo.layers.growing import TransposedConv, Unflatten, Upsample
from neocog.zoo.layers.layer import Layer as Layer
from neocog.zoo.layers.plain import (
    Activate,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPooling,
    Padded,
    Pool,
)

AnyLayer = Annotated[
    Conv
    | Pool
    | GlobalPooling
    | Dense
    | Flatten
    | Dropout
    | BatchNorm
    | Activate
    | Padded
    | Unflatten
    | Upsample
    | TransposedConv,
    Field(discriminator="kind"),
]
_ONE: TypeAdapter[Any] = TypeAdapter(AnyLayer)
KINDS: dict[str, type[Layer]] = {
    "conv": Conv, "maxpool": Pool, "avgpool": Pool, "l2pool": Pool, "globalpool": GlobalPooling,
    "dense": Dense, "flatten": Flatten, "dropout": Dropout, "batchnorm": BatchNorm, "pad": Padded,
    "unflatten": Unflatten, "upsample": Upsample, "transposed-conv": TransposedConv,
    "relu": Activate, "sigmoid": Activate, "tanh": Activate, "softmax": Activate,
}  # fmt: skip


def parse(document: Any) -> tuple[Layer, ...]:
    """The layers of a JSON document: {"layers": [...]} or the bare array. `UsageError` names the layer and
    the field. Keras' JSON is read by `pretrained.network_files`, which knows both.
    """
    entries = document.get("layers") if isinstance(document, dict) else document
    if not isinstance(entries, list) or not entries:
        raise UsageError(
            'a network in JSON is {"layers": [{"kind": "conv", ...}, ...]}; this document has no such array'
        )
    return tuple(_parse_one(entry, place) for place, entry in enumerate(entries, start=1))


def _parse_one(entry: Any, place: int) -> Layer:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str):
        raise UsageError(f'layer {place} has no "kind"; accepted: {", ".join(KINDS)}')
    if kind not in KINDS:
        raise UsageError(f"layer {place}: {unknown('kind of layer', kind, KINDS)}")
    for field in entry:
        if field not in KINDS[kind].model_fields:
            raise UsageError(
                f"layer {place} ({kind}): {unknown('field', str(field), KINDS[kind].model_fields)}"
            )
    try:
        return _ONE.validate_python(entry)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise first_complaint(error, within=f"layer {place} ({kind})") from None


def document(layers: Sequence[Layer]) -> dict[str, Any]:
    """The JSON document of a layer list; fields that hold their default are left out."""
    return {"layers": [{"kind": kind_of(layer), **_changed(layer)} for layer in layers]}


def kind_of(layer: Layer) -> str:
    """The word in a layer's `kind`."""
    return str(layer.kind)  # type: ignore[attr-defined]


def _changed(layer: Layer) -> dict[str, Any]:
    return {k: v for k, v in layer.model_dump(exclude_defaults=True, mode="json").items() if k != "kind"}


def meaning(layers: Sequence[Layer]) -> Literal["softmax", "sigmoid", "tanh", "none"]:
    """What the last layer says: one class of many (softmax), a set of logistics (sigmoid), or a picture
    (anything).
    """
    last = layers[-1]
    word = last.kind if isinstance(last, Activate) else getattr(last, "activation", "none")
    return word if word in ("softmax", "sigmoid", "tanh") else "none"  # type: ignore[return-value]


def build(
    layers: Sequence[Layer], *, shape: Shape, classes: int, answer: Literal["logits", "as written"] = "logits"
) -> Network:
    """The network for inputs of `shape`: stages `conv1 relu1 pool1 ...` up to the first flatten or global
    pool, then the head.

    With `answer="logits"` a softmax or sigmoid at the very end is left to the loss, as `Network.forward`
    returns logits; a single logistic for two classes gives the logits of both. `ShapeError` where a layer
    cannot take what reaches it.
    """
    names = Counter[str]()
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    given = {layer.name for layer in layers}
    size = shape
    for layer in layers:
        for word, module in _made(layer, size, classes, names):
            names[word] += 1
            name = layer.name if layer.name and word == _main_word(layer) else f"{word}{names[word]}"
            while name in given and name != layer.name:  # a later layer was given this name
                names[word] += 1
                name = f"{word}{names[word]}"
            if name in stages:
                raise UsageError(f"two layers are named '{name}'; names must differ")
            stages[name] = module
            size = _after(stages, module, size, shape)
    if answer == "logits" and meaning(layers) in ("softmax", "sigmoid"):
        stages.popitem()
        if meaning(layers) == "sigmoid" and size == (1,) and classes == 2:
            stages["both"] = Logistic()
    cut = next(
        (i for i, m in enumerate(stages.values()) if isinstance(m, nn.Flatten | GlobalPool)), len(stages)
    )
    parts = list(stages.items())
    return Network(OrderedDict(parts[:cut]), nn.Sequential(OrderedDict(parts[cut:])))


def _made(layer: Layer, size: Shape, classes: int, names: Counter[str]) -> list[tuple[str, nn.Module]]:
    """The layer's modules for an input of `size`; what it refuses bears its name."""
    try:
        return list(layer.modules(size, classes))
    except NeocogError as error:
        word = _main_word(layer)
        name = layer.name or f"{word}{names[word] + 1}"
        raise type(error)(f"{name} ({kind_of(layer)}) cannot be: {error}") from None


def _after(stages: OrderedDict[str, nn.Module], module: nn.Module, size: Shape, shape: Shape) -> Shape:
    try:
        return arithmetic.output_shape(module, size)
    except ShapeError:
        arithmetic.walk(
            nn.Sequential(stages), shape
        )  # raises the same with the layer's name and the chain of sizes
        raise


def _main_word(layer: Layer) -> str:
    words = {
        "maxpool": "pool",
        "avgpool": "pool",
        "l2pool": "pool",
        "batchnorm": "norm",
        "transposed-conv": "transposed",
    }
    return words.get(kind_of(layer), kind_of(layer))
