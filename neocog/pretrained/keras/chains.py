"""Keras' JSON of a model -> that of a Sequential with a list of layers: configs that are a bare list (Keras 1
to 2.2.2), words of Keras 1, functional models that are plain chains, inputs that are pictures in disguise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from neocog.errors import UsageError

Document = Mapping[str, Any]

FUNCTIONAL = {"Functional", "Model"}
LEAST = 8
"""Pixels a side from which a flat input is taken for a picture: 784 numbers are 28x28."""

_KINDS = {"Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D"}
_WORDS = {
    "nb_filter": "filters",
    "subsample": "strides",
    "border_mode": "padding",
    "output_dim": "units",
    "p": "rate",
    "bias": "use_bias",
}
"""Keras 1's words -> Keras 2's."""


def sequential(document: Document) -> dict[str, Any]:
    """`document` as a Sequential of today. `UsageError` where it is no chain of layers."""
    kind, config = document.get("class_name"), document.get("config")
    if kind == "Sequential" and isinstance(config, list):
        config = {"layers": config}
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), list):
        raise UsageError(f"this JSON is a {kind} of Keras without a list of layers; save the model again")
    if any(not isinstance(e, Mapping) or not isinstance(e.get("config"), Mapping) for e in config["layers"]):
        raise UsageError(
            f"this JSON is a {kind} of Keras with an entry that is no layer; save the model again"
        )
    layers = config["layers"] if kind == "Sequential" else _in_order(config["layers"])
    layers = [_of_today(layer) for layer in layers]
    return {**document, "class_name": "Sequential", "config": {**config, "layers": _as_pictures(layers)}}


def _in_order(layers: list[Any]) -> list[Any]:
    """The layers of a functional model from its input on; refused where the model branches or joins."""
    after: dict[str, dict[str, Any]] = {}
    first = [layer for layer in layers if not list(_givers(layer))]
    for layer in layers:
        givers = set(_givers(layer))
        if len(givers) > 1 or (givers and next(iter(givers)) in after):
            raise UsageError(
                f"this model of Keras branches or joins at '{_name(layer)}', so it is no chain of layers; "
                "chains can be read, and the networks of keras.applications"
            )
        if givers:
            after[givers.pop()] = layer
    if len(first) != 1:
        raise UsageError(f"this model of Keras has {len(first)} inputs; models of one can be read")
    found = [first[0]]
    while (following := after.get(_name(found[-1]))) is not None and len(found) <= len(layers):
        found.append(following)
    return found


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer.get("name") or layer["config"].get("name", ""))


def _givers(layer: Mapping[str, Any]) -> Iterator[str]:
    """Names of the layers whose output goes in: Keras 2 writes [name, 0, 0, {}], Keras 3 a keras_history."""

    def found(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            history = value.get("keras_history")
            yield from [str(history[0])] if history else (n for v in value.values() for n in found(v))
        elif isinstance(value, list):
            named = len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int)
            yield from [value[0]] if named else (n for v in value for n in found(v))

    return found(layer.get("inbound_nodes", []))


def _of_today(layer: Mapping[str, Any]) -> dict[str, Any]:
    config = {_WORDS.get(word, word): value for word, value in layer["config"].items()}
    if "nb_row" in config:
        config["kernel_size"] = [config.pop("nb_row"), config.pop("nb_col")]
    if "filter_length" in config:
        config["kernel_size"] = [config.pop("filter_length")]
        config["strides"] = [config.pop("subsample_length", 1)]
    if config.get("dim_ordering") == "th":
        config["data_format"] = "channels_first"
    kind = str(layer.get("class_name"))
    return {**layer, "class_name": _KINDS.get(kind, kind), "config": config}


def _as_pictures(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers with an input of (h, w, c) where (h, w) is flattened at once, or h w c numbers come in."""
    layers = [dict(layer) for layer in layers]
    place = next((n for n, layer in enumerate(layers) if _declared(layer)), None)
    begun = next((n for n, layer in enumerate(layers) if layer["class_name"] != "InputLayer"), None)
    if place is None or begun is None:
        return layers
    sizes, kind = _declared(layers[place]), layers[begun]["class_name"]
    target = layers[begun]["config"].get("target_shape") if kind == "Reshape" else None
    if target and len(target) == 3 and math.prod(target) == math.prod(sizes):
        picture, layers[begun : begun + 1] = list(target), []
    elif len(sizes) == 2 and kind == "Flatten":
        picture = [*sizes, 1]
    elif len(sizes) == 1 and (found := _square(sizes[0])):
        picture = found
        layers.insert(begun, {"class_name": "Flatten", "config": {"name": "input_flatten"}})
    else:
        return layers
    given = {"class_name": "InputLayer", "config": {"name": "input", "batch_input_shape": [None, *picture]}}
    return [given, *(layer for layer in layers if layer["class_name"] != "InputLayer")]


def _declared(layer: Mapping[str, Any]) -> list[int]:
    """The input's sizes that a layer declares, without the batch."""
    config = layer["config"]
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(shape, list) or not all(isinstance(n, int) for n in shape[1:]):
        shape = [None, config["input_dim"]] if isinstance(config.get("input_dim"), int) else [None]
    return [int(n) for n in shape[1:]]


def _square(numbers: int) -> list[int] | None:
    """[side, side, channels] of so many numbers; None where they are no picture."""
    for channels in (1, 3):
        side = math.isqrt(numbers // channels)
        if side >= LEAST and side * side * channels == numbers:
            return [side, side, channels]
    return None
