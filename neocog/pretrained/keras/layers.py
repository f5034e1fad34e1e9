"""One layer of Keras' JSON -> entries of the layer list, and one layer of the list -> Keras' JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neocog.axes import per_axis
from neocog.errors import UsageError
from neocog.zoo.architectures import Shape
from neocog.zoo.layer_list import Layer
from neocog.zoo.layers import growing, plain

Config = Mapping[str, Any]
Entry = dict[str, Any]

ACTIVATIONS = {"linear": "none", "relu": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "softmax": "softmax"}
"""Keras' words -> ours."""
KERAS_ACTIVATIONS = {ours: theirs for theirs, ours in ACTIVATIONS.items()}


# Reading


def input_shape(document: Config) -> Shape:
    """The input (C, *sizes) that a Sequential's JSON says: of its InputLayer, its first layer or itself."""
    config = document["config"]
    layers = config["layers"]
    first = layers[0]["config"] if layers else {}
    for shape in (first.get("batch_shape"), first.get("batch_input_shape"), config.get("build_input_shape")):
        if shape and all(isinstance(n, int) for n in shape[1:]):
            *sizes, channels = shape[1:]
            return (channels, *sizes)
    raise UsageError(
        "this Sequential does not say the size of its input; begin it with keras.Input((h, w, c))"
    )


def entries(layer: Config, size: Shape, place: int) -> list[Entry]:
    """The entries of the layer list for one Keras layer that gets `size` (C, *sizes); none for an input."""
    kind, config = str(layer.get("class_name")), layer.get("config", {})
    if kind not in READERS:
        raise UsageError(f"layer {place} is a {kind}, which cannot be read (accepted: {', '.join(READERS)})")
    if config.get("data_format") == "channels_first":
        raise UsageError(
            f"layer {place} ({kind}) has its channels first; save the network with channels last"
        )
    try:
        found = READERS[kind](config, size)
    except (KeyError, TypeError) as error:
        raise UsageError(
            f"layer {place} ({kind}) lacks {error}, which Keras writes; save it again"
        ) from error
    name = str(config.get("name", "")).replace(".", "_").replace("/", "_")
    for entry in found:
        entry.setdefault("name", name or None)
    return found


def _activation(config: Config) -> str:
    word = config.get("activation") or "linear"
    if isinstance(word, Mapping):
        inner = word.get("config")
        word = inner if isinstance(inner, str) else word.get("class_name", "?").lower()
    if word not in ACTIVATIONS:
        raise UsageError(
            f"layer {config.get('name')} has the activation {word} (accepted: {', '.join(ACTIVATIONS)})"
        )
    return ACTIVATIONS[word]


def _sizes(value: Any) -> int | list[int]:
    """One number where all axes agree."""
    values = [value] if isinstance(value, int) else [int(n) for n in value]
    return values[0] if len(set(values)) == 1 else values


def _padding(config: Config) -> str:
    padding = config.get("padding", "valid")
    if padding not in ("valid", "same"):
        raise UsageError(f"layer {config.get('name')} pads '{padding}' (accepted: valid, same)")
    return str(padding)


def _window(config: Config) -> Entry:
    return {
        "kind": "conv",
        "kernel": _sizes(config["kernel_size"]),
        "stride": _sizes(config.get("strides", 1)),
        "padding": _padding(config),
        "dilation": _sizes(config.get("dilation_rate", 1)),
        "bias": bool(config.get("use_bias", True)),
        **_penalty(config, "kernel_regularizer", "depthwise_regularizer"),
        "activation": _activation(config),
    }


def _penalty(config: Config, *fields: str) -> Entry:
    """The amounts above 0 of a regularizer of Keras, under any of its names (L1L2, L2, l2)."""
    said = next((config[field] for field in fields if config.get(field)), None)
    inside = said.get("config", said) if isinstance(said, Mapping) else None
    if not isinstance(inside, Mapping):
        return {}
    return {amount: float(inside[amount]) for amount in ("l1", "l2") if inside.get(amount)}


def _conv(config: Config, size: Shape) -> list[Entry]:
    return [_window(config) | {"filters": config["filters"], "groups": config.get("groups", 1)}]


def _depthwise(config: Config, size: Shape) -> list[Entry]:
    filters = size[0] * config.get("depth_multiplier", 1)
    return [_window(config) | {"filters": filters, "groups": size[0]}]


def _separable(config: Config, size: Shape) -> list[Entry]:
    (depthwise,) = _depthwise(config, size)
    name = str(config["name"]).replace(".", "_").replace("/", "_")
    first = depthwise | {"bias": False, "activation": "none", "name": f"{name}_depthwise"}
    second = {
        "kind": "conv", "filters": config["filters"], "kernel": 1, "bias": depthwise["bias"],
        "activation": depthwise["activation"], "name": f"{name}_pointwise",
        **_penalty(config, "pointwise_regularizer"),
    }  # fmt: skip
    return [first, second]


def _dense(config: Config, size: Shape) -> list[Entry]:
    if len(size) > 1:
        raise UsageError(
            f"layer {config.get('name')} is dense on a picture, position by position; put a Flatten before it"
        )
    bias = bool(config.get("use_bias", True))
    activation = _activation(config)
    found = {"kind": "dense", "units": config["units"], "bias": bias, "activation": activation}
    return [found | _penalty(config, "kernel_regularizer")]


def _pool(kind: str) -> Callable[[Config, Shape], list[Entry]]:
    def read(config: Config, size: Shape) -> list[Entry]:
        window = _sizes(config["pool_size"])
        stride = config.get("strides")
        padding = _padding(config)
        return [
            {"kind": kind, "size": window, "stride": _sizes(stride) if stride else None, "padding": padding}
        ]

    return read


def _global(how: str) -> Callable[[Config, Shape], list[Entry]]:
    return lambda config, size: [{"kind": "globalpool", "how": how}]


def _norm(config: Config, size: Shape) -> list[Entry]:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list | tuple) else axis
    if axis not in (-1, len(size)):
        raise UsageError(
            f"layer {config.get('name')} normalises along axis {axis}; the channels are the last"
        )
    return [
        {"kind": "batchnorm", "momentum": config.get("momentum", 0.99), "eps": config.get("epsilon", 1e-3)}
    ]


def _dropout(config: Config, size: Shape) -> list[Entry]:
    return [{"kind": "dropout", "rate": config["rate"]}]


def _relu(config: Config, size: Shape) -> list[Entry]:
    if config.get("max_value") or config.get("negative_slope") or config.get("threshold"):
        raise UsageError(f"layer {config.get('name')} is a bent ReLU; only the plain one can be read")
    return [{"kind": "relu"}]


def _activate(config: Config, size: Shape) -> list[Entry]:
    word = _activation(config)
    return [] if word == "none" else [{"kind": word}]


def _zeros(config: Config, size: Shape) -> list[Entry]:
    amounts = config["padding"]
    pairs = (
        [(n, n) if isinstance(n, int) else tuple(n) for n in amounts] if not isinstance(amounts, int) else []
    )
    if len(size) == 2 and len(amounts) == 2:  # one axis: (before, after)
        pairs = [tuple(amounts)]
    if any(before != after for before, after in pairs):
        raise UsageError(
            f"layer {config.get('name')} pads {amounts}, more on one side; only even borders can be read"
        )
    return [{"kind": "pad", "amount": _sizes([before for before, _ in pairs]) if pairs else amounts}]


READERS: Mapping[str, Callable[[Config, Shape], list[Entry]]] = {
    "InputLayer": lambda config, size: [],
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), _conv),
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "MaxPooling3D"), _pool("maxpool")),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D", "AveragePooling3D"), _pool("avgpool")),
    **{f"GlobalAveragePooling{n}D": _global("average") for n in (1, 2, 3)},
    **{f"GlobalMaxPooling{n}D": _global("max") for n in (1, 2, 3)},
    "Flatten": lambda config, size: [{"kind": "flatten"}],
    "Dense": _dense,
    "Dropout": _dropout,
    "BatchNormalization": _norm,
    "Activation": _activate,
    "ReLU": _relu,
    "Softmax": lambda config, size: [{"kind": "softmax"}],
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D"), _zeros),
}


# Writing


def written(layer: Layer, name: str, size: Shape, *, units: int) -> list[Entry]:
    """Keras' JSON of one of our layers that gets `size` (C, *sizes), with a padding or flatten before it.

    `units` stands for "classes". `UsageError` where Keras has no such layer.
    """
    if isinstance(layer, growing.Unflatten | growing.Upsample | growing.TransposedConv):
        raise UsageError(
            f"'{name}' makes maps larger ({layer.kind}), which is not exchanged with Keras: it fills maps "
            "channels last and cuts 'same' off at the other end; keep the network as a layer list"
        )
    if isinstance(layer, plain.Conv):
        return _write_conv(layer, name, size)
    if isinstance(layer, plain.Pool):
        return _write_pool(layer, name, size)
    if isinstance(layer, plain.Padded):
        return [_write_zeros(layer.amount, name, size, border=layer.border, value=layer.value)]
    if isinstance(layer, plain.Dense):
        count = units if layer.units == "classes" else layer.units
        config = {"units": count, "use_bias": layer.bias, "activation": KERAS_ACTIVATIONS[layer.activation]}
        config |= _write_penalty(layer, "kernel_regularizer")
        before = [_entry("Flatten", f"{name}_flatten")] if len(size) > 1 else []
        return [*before, _entry("Dense", name, **config)]
    if isinstance(layer, plain.GlobalPooling):
        word = "Average" if layer.how == "average" else "Max"
        return [_entry(f"Global{word}Pooling{len(size) - 1}D", name)]
    if isinstance(layer, plain.BatchNorm):
        return [_entry("BatchNormalization", name, axis=-1, momentum=layer.momentum, epsilon=layer.eps)]
    if isinstance(layer, plain.Dropout):
        return [_entry("Dropout", name, rate=layer.rate)]
    if isinstance(layer, plain.Activate):
        return [_entry("Activation", name, activation=KERAS_ACTIVATIONS[layer.kind])]
    assert isinstance(layer, plain.Flatten)
    return [_entry("Flatten", name)]


def _entry(kind: str, name: str, /, **config: Any) -> Entry:
    return {"class_name": kind, "config": {"name": name, "dtype": "float32", **config}}


def _write_conv(layer: plain.Conv, name: str, size: Shape) -> list[Entry]:
    axes = len(size) - 1
    before, padding = _border(layer.padding, name, size, border=layer.border, value=layer.value)
    config = {
        "kernel_size": per_axis(layer.kernel, axes),
        "strides": per_axis(layer.stride, axes),
        "dilation_rate": per_axis(layer.dilation, axes),
        "padding": padding,
        "use_bias": layer.bias,
        "activation": KERAS_ACTIVATIONS[layer.activation],
    }
    if layer.groups == size[0] > 1 and axes == 2:  # TensorFlow has no grouped convolution on a CPU but this
        config |= _write_penalty(layer, "depthwise_regularizer")
        return [*before, _entry("DepthwiseConv2D", name, depth_multiplier=layer.filters // size[0], **config)]
    config |= _write_penalty(layer, "kernel_regularizer")
    return [*before, _entry(f"Conv{axes}D", name, filters=layer.filters, groups=layer.groups, **config)]


def _write_penalty(layer: plain.Conv | plain.Dense, field: str) -> Entry:
    amounts = {"l1": layer.l1, "l2": layer.l2}
    return {field: {"class_name": "L1L2", "config": amounts}} if any(amounts.values()) else {}


def _write_pool(layer: plain.Pool, name: str, size: Shape) -> list[Entry]:
    axes = len(size) - 1
    if layer.kind == "l2pool" or (layer.kind == "maxpool" and not isinstance(layer.padding, str)):
        raise UsageError(
            f"Keras has no {layer.kind} like '{name}' (its pads are none or 'same'); change it to write it"
        )
    before, padding = _border(layer.padding, name, size, border="zero", value=0.0)
    window = per_axis(layer.size, axes)
    stride = per_axis(layer.stride, axes) if layer.stride is not None else window
    word = "MaxPooling" if layer.kind == "maxpool" else "AveragePooling"
    return [*before, _entry(f"{word}{axes}D", name, pool_size=window, strides=stride, padding=padding)]


def _border(padding: Any, name: str, size: Shape, *, border: str, value: float) -> tuple[list[Entry], str]:
    """A padding layer before, where the border is a number, and the word for the layer itself."""
    if isinstance(padding, str):
        if padding == "same" and not _is_zero(border, value):
            raise UsageError(
                f"Keras pads '{name}' with zeros only, not with '{border}'; change it to write it"
            )
        return [], padding
    return [_write_zeros(padding, f"{name}_pad", size, border=border, value=value)], "valid"


def _write_zeros(amount: Any, name: str, size: Shape, *, border: str, value: float) -> Entry:
    if not _is_zero(border, value):
        raise UsageError(f"Keras pads with zeros only, and '{name}' with '{border}'; change it to write it")
    axes = len(size) - 1
    amounts = per_axis(amount, axes)
    return _entry(
        f"ZeroPadding{axes}D", name, padding=[[n, n] for n in amounts] if axes > 1 else [amounts[0]] * 2
    )


def _is_zero(border: str, value: float) -> bool:
    return border == "zero" or (border == "constant" and value == 0)
