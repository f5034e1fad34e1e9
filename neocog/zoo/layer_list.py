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
from neocog.zoo.blocks import Border, GlobalPool, L2Pool, Logistic, Network, Pad, Same, SameAveragePool
from neocog.zoo.layers.growing import TransposedConv, Unflatten, Upsample
from neocog.zoo.layers.layer import Layer as Layer
from neocog.zoo.layers.layer import Named, activated, penalised, spatial

Activation = Literal["none", "relu", "sigmoid", "tanh", "softmax"]
WIDEST, LONGEST = 2**20, 2**16
"""Filters or units of one layer, and pixels of one window or border, at most."""
Side = Annotated[int, Field(ge=1, le=LONGEST)]
Edge = Annotated[int, Field(ge=0, le=LONGEST)]
Level = Annotated[float, Field(ge=-1e6, le=1e6)]
Pull = Annotated[float, Field(ge=0, le=1e6)]
Sizes = Side | tuple[Side, ...]
Padding = Literal["valid", "same"] | Edge | tuple[Edge, ...]

# By number of axes. torch types each with its own tuple lengths; what is common to them is what is used here.
CONV: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
MAX_POOL: tuple[Any, ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
AVERAGE_POOL: tuple[Any, ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
BATCH_NORM: tuple[Any, ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Conv(Layer):
    """Cross-correlation with `filters` kernels, a bias each. `same` is TensorFlow's; `border` says what
    padding holds; `l1` and `l2` penalise the kernels, see `Penalty`.
    """

    kind: Literal["conv"] = "conv"
    filters: int = Field(ge=1, le=WIDEST)
    kernel: Sizes
    stride: Sizes = 1
    padding: Padding = "valid"
    dilation: Sizes = 1
    groups: int = Field(default=1, ge=1)
    bias: bool = True
    border: Border = "zero"
    value: Level = 0.0
    l1: Pull = 0.0
    l2: Pull = 0.0
    activation: Activation = "none"

    def modules(self, shape: Shape, classes: int) -> Named:
        """A padding where the convolution cannot pad for itself, the convolution, the activation."""
        axes = spatial(shape)
        kernel, stride, dilation = (per_axis(v, axes) for v in (self.kernel, self.stride, self.dilation))
        amount = (0,) * axes
        if self.padding == "same":
            # Where the padding is even on both sides whatever the input, the convolution pads for itself:
            # that is faster.
            if (
                set(stride) == {1}
                and all(d * (k - 1) % 2 == 0 for k, d in zip(kernel, dilation))
                and self.border == "zero"
            ):
                amount = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation))
            else:
                yield "pad", Same(kernel, stride, dilation=dilation, border=self.border, value=self.value)
        elif self.padding != "valid":
            amount = per_axis(self.padding, axes)
            if self.border != "zero" and any(amount):
                yield "pad", Pad(amount, border=self.border, value=self.value)
                amount = (0,) * axes
        if shape[0] % self.groups or self.filters % self.groups:
            raise ShapeError(
                f"its {self.groups} groups must divide the {shape[0]} channels of its input and its "
                f"{self.filters} filters (in_channels must be divisible by groups)"
            )
        made = CONV[axes - 1](
            shape[0], self.filters, kernel, stride, amount, dilation, groups=self.groups, bias=self.bias
        )
        yield "conv", penalised(made, l1=self.l1, l2=self.l2)
        yield from activated(self.activation)


class Pool(Layer):
    """Maximum, mean, or root of the sum of squares over windows of `size`, every `stride` pixels (default:
    `size`).
    """

    kind: Literal["maxpool", "avgpool", "l2pool"]
    size: Sizes = 2
    stride: Sizes | None = None
    padding: Padding = "valid"

    def modules(self, shape: Shape, classes: int) -> Named:
        """A padding where the pool cannot pad for itself, and the pool."""
        axes = spatial(shape)
        size = per_axis(self.size, axes)
        stride = per_axis(self.stride, axes) if self.stride is not None else size
        same = self.padding == "same"
        amount = per_axis(self.padding, axes) if not isinstance(self.padding, str) else (0,) * axes
        if self.kind == "avgpool":
            yield (
                "pool",
                SameAveragePool(size, stride) if same else AVERAGE_POOL[axes - 1](size, stride, amount),
            )
            return
        if same:  # padded pixels must never be the maximum
            lowest = float("-inf") if self.kind == "maxpool" else 0.0
            yield "pad", Same(size, stride, border="constant", value=lowest)
        if self.kind == "maxpool":
            yield "pool", MAX_POOL[axes - 1](size, stride, amount)
        else:
            if any(amount):
                yield "pad", Pad(amount)
            yield "pool", L2Pool(size, stride)


class GlobalPooling(Layer):
    """The mean or maximum of each channel over all positions."""

    kind: Literal["globalpool"] = "globalpool"
    how: Literal["average", "max"] = "average"

    def modules(self, shape: Shape, classes: int) -> Named:
        spatial(shape)
        yield "globalpool", GlobalPool(self.how)


class Dense(Layer):
    """A fully connected layer of `units`, a number or "classes"; its input must be flat. `l1` and `l2`
    penalise its weights, see `Penalty`.
    """

    kind: Literal["dense"] = "dense"
    units: Annotated[int, Field(ge=1, le=WIDEST)] | Literal["classes"]
    bias: bool = True
    l1: Pull = 0.0
    l2: Pull = 0.0
    activation: Activation = "none"

    def modules(self, shape: Shape, classes: int) -> Named:
        if len(shape) > 1:
            yield "flatten", nn.Flatten()
        units = classes if self.units == "classes" else self.units
        width = 1
        for n in shape:
            width *= n
        yield "dense", penalised(nn.Linear(width, units, bias=self.bias), l1=self.l1, l2=self.l2)
        yield from activated(self.activation)


class Flatten(Layer):
    """(C, *sizes) -> one vector."""

    kind: Literal["flatten"] = "flatten"

    def modules(self, shape: Shape, classes: int) -> Named:
        yield "flatten", nn.Flatten()


class Dropout(Layer):
    """Sets a share `rate` of the values to zero while training and scales the rest up."""

    kind: Literal["dropout"] = "dropout"
    rate: float = Field(ge=0, lt=1)

    def modules(self, shape: Shape, classes: int) -> Named:
        yield "dropout", nn.Dropout(self.rate)


class BatchNorm(Layer):
    """Batch normalisation per channel (Ioffe & Szegedy 2015). `momentum` is Keras': 0.99 keeps 99 % of the
    running mean.
    """

    kind: Literal["batchnorm"] = "batchnorm"
    momentum: float = Field(default=0.99, ge=0, le=1)
    eps: float = Field(default=1e-3, gt=0)

    def modules(self, shape: Shape, classes: int) -> Named:
        axes = max(len(shape) - 1, 1)
        yield "norm", BATCH_NORM[axes - 1](shape[0], eps=self.eps, momentum=1 - self.momentum)


class Activate(Layer):
    """An activation as a layer of its own."""

    kind: Literal["relu", "sigmoid", "tanh", "softmax"]

    def modules(self, shape: Shape, classes: int) -> Named:
        yield from activated(self.kind)


class Padded(Layer):
    """A border of `amount` pixels on every side."""

    kind: Literal["pad"] = "pad"
    amount: Edge | tuple[Edge, ...]
    border: Border = "zero"
    value: Level = 0.0

    def modules(self, shape: Shape, classes: int) -> Named:
        yield "pad", Pad(per_axis(self.amount, spatial(shape)), border=self.border, value=self.value)


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


def per_axis(value: int | tuple[int, ...] | str, axes: int) -> tuple[int, ...]:
    """One number for all axes, or one number each."""
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise UsageError(
            f"{list(value)} gives {len(value)} sizes, but the input has {axes} axes; give one or {axes}"
        )
    return tuple(int(n) for n in value)
