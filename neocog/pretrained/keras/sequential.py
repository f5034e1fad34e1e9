"""Keras' Sequential <-> the layer list: its JSON, and its weights as .h5, .weights.h5 or .keras, both ways.

A Keras layer becomes an entry of our list with the same name, so the weights find their way by name. Read are
convolutions (depthwise and separable ones too), pools, dense, batch normalisation, dropout, padding and
activations, channels last. A softmax or sigmoid at the very end is left to the loss, as everywhere here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neocog import arithmetic
from neocog.errors import UnreadableError, UsageError
from neocog.files import read_json
from neocog.outputs import write_json
from neocog.pretrained.keras import chains
from neocog.pretrained.keras import h5 as keras_h5
from neocog.pretrained.keras.layers import entries, input_shape, written
from neocog.pretrained.keras.tensors import Order, from_keras, hwc_to_chw, to_keras
from neocog.zoo.architectures import Shape
from neocog.zoo.blocks import Network
from neocog.zoo.layer_list import Layer, build, parse

Document = Mapping[str, Any]
OURS = "neocog"
"""The key in Keras' JSON of what we say about a network; Keras passes over it."""


@dataclass(frozen=True, slots=True)
class Sequential:
    """A network that Keras can say as a Sequential: layer list, shape (C, *sizes) of the input, weights; the
    `loss` it was trained with, as the file has it; and what we say `about` it under a key of our own.
    """

    layers: tuple[Layer, ...]
    shape: Shape
    network: Network
    loss: str = ""
    about: Mapping[str, Any] | None = None

    @property
    def classes(self) -> int:
        return int(arithmetic.walk(self.network, self.shape).output[0])


def is_sequential(document: Any) -> bool:
    """Whether a JSON document is Keras' of a Sequential, or of a functional model, which may be a chain."""
    kinds = {"Sequential", *chains.FUNCTIONAL}
    return isinstance(document, Mapping) and document.get("class_name") in kinds


def read(document: Document) -> tuple[tuple[Layer, ...], Shape]:
    """The layer list and the input's shape (C, *sizes) of Keras' JSON.

    `UsageError` names the first layer, option or activation that the layer list has not.
    """
    if not is_sequential(document):
        kind = (
            document.get("class_name", "nothing of Keras'") if isinstance(document, Mapping) else "no object"
        )
        raise UsageError(
            f"this JSON is {kind}; of Keras' models a Sequential can be read, or one of keras.applications"
        )
    return _read(chains.sequential(document))


def _read(document: Document) -> tuple[tuple[Layer, ...], Shape]:
    shape = input_shape(document)
    found: list[dict[str, Any]] = []
    size = shape
    for place, entry in enumerate(document["config"]["layers"], start=1):
        for one in entries(entry, size, place):
            found.append(one)
            size = _after(one, size)
    return parse(found), shape


def _after(entry: dict[str, Any], size: Shape) -> Shape:
    with torch.device("meta"):
        for _, module in parse([entry])[0].modules(size, 1):
            size = arithmetic.output_shape(module, size)
    return size


def load(file: Path, json: Path | None = None) -> Sequential:
    """The Sequential of a Keras `file`; `json` says its layers where the file holds weights alone."""
    stored = keras_h5.read(file)
    document = read_json(json) if json is not None else stored.config
    if document is None:
        raise UnreadableError(
            f'{file} holds weights without their network; save the whole model: model.save("model.h5")'
        )
    if not is_sequential(document):
        read(document)  # says what it is
    document = chains.sequential(document)
    layers, shape = _read(document)
    with torch.device("meta"):
        network = build(layers, shape=shape, classes=2)  # a single logistic gives the logits of both
    tensors = _tensors(file, stored, document, network, shape)
    _assign(network, tensors, file)
    about = document.get(OURS)
    about = about if isinstance(about, Mapping) else None
    return Sequential(layers, shape, network.eval(), loss=stored.loss, about=about)


def _tensors(
    file: Path, stored: keras_h5.KerasFile, document: Document, network: Network, shape: Shape
) -> dict[str, Tensor]:
    """The network's tensors by our names, out of the file's layers; by name, or by order."""
    layers = stored.layers if stored.named else _named_by_order(stored, document)
    stages = {name.split(".", 1)[1]: (name, module, order) for name, module, order in _stages(network, shape)}
    tensors: dict[str, Tensor] = {}
    for layer, variables in layers.items():
        name = plain(layer)
        if f"{name}_depthwise" in stages:
            found = _separable(name, variables, stages, layer)
        elif name in stages:
            ours, module, order = stages[name]
            found = from_keras(_completed(variables, document, layer), module, ours, order=order, layer=layer)
        else:
            raise UnreadableError(f"{file} holds a layer {layer} that its network has not")
        tensors |= found
    return tensors


def _separable(
    name: str, variables: Sequence[keras_h5.Variable], stages: Mapping[str, Any], layer: str
) -> dict[str, Tensor]:
    first, module, _ = stages[f"{name}_depthwise"]
    second, other, _ = stages[f"{name}_pointwise"]
    return from_keras(variables[:1], module, first, order=None, layer=layer) | from_keras(
        variables[1:], other, second, order=None, layer=layer
    )


def _completed(
    variables: Sequence[keras_h5.Variable], document: Document, layer: str
) -> tuple[keras_h5.Variable, ...]:
    """`variables` with names where the layout has none and a normalisation leaves gamma or beta out."""
    config = next(e["config"] for e in document["config"]["layers"] if e["config"].get("name") == layer)
    if "epsilon" not in config or any(variable.name for variable in variables):
        return tuple(variables)
    words = [word for word, key in (("gamma", "scale"), ("beta", "center")) if config.get(key, True)]
    names = [*words, "moving_mean", "moving_variance"]
    return tuple(v._replace(name=name) for name, v in zip(names, variables, strict=True))


def _named_by_order(
    stored: keras_h5.KerasFile, document: Document
) -> dict[str, tuple[keras_h5.Variable, ...]]:
    """Keras 3 before 3.10: `conv2d_1` is the second Conv2D of the JSON, whatever its name."""
    kinds: dict[str, int] = {}
    names = {}
    for entry in document["config"]["layers"]:
        kind = keras_h5.snake(entry["class_name"])
        number = kinds.get(kind, 0)
        kinds[kind] = number + 1
        names[f"{kind}_{number}" if number else kind] = entry["config"].get("name", kind)
    return {names.get(key, key): variables for key, variables in stored.layers.items()}


def plain(name: str) -> str:
    """A layer's name as a name of ours: torch allows no dots in it."""
    return name.replace(".", "_").replace("/", "_")


def _stages(network: Network, shape: Shape) -> Iterator[tuple[str, nn.Module, Order | None]]:
    """Every stage with its full name, and the order that flattening gave its input, until a dense layer."""
    size, order = shape, None
    for name, module in [
        *((f"features.{name}", module) for name, module in network.features.named_children()),
        *((f"head.{name}", module) for name, module in network.head.named_children()),
    ]:
        yield name, module, order
        if isinstance(module, nn.Flatten):
            order = hwc_to_chw(size)
        elif isinstance(module, nn.Linear):
            order = None
        size = arithmetic.output_shape(module, size)


def _assign(network: Network, tensors: Mapping[str, Tensor], file: Path) -> None:
    state = dict(tensors)
    for key in network.state_dict():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(0)
    broken = [key for key, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise UnreadableError(
            f"{file} holds values that are not finite, in {', '.join(broken[:3])}; save it before they are"
        )
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        words = [line.strip() for line in str(error).splitlines()[1:4]]
        raise UnreadableError(f"{file} does not fit its own network: {' '.join(words)}") from error


def save(path: Path, sequential: Sequential, *, name: str = "neocog") -> None:
    """Write a network for Keras, by the ending of `path`.

    `.json` gets the layers alone, `.weights.h5` the weights alone, `.h5` and `.keras` both. `UsageError`
    names the first layer that Keras has not.
    """
    document, arrays = _written(sequential, name)
    if path.suffix == ".json":
        write_json(path, _of_keras_3(document))
    elif path.suffix == ".keras":
        keras_h5.write(path, arrays, _of_keras_3(document))
    else:
        keras_h5.write(path, arrays, document)


def _of_keras_3(document: Document) -> dict[str, Any]:
    """Keras 3 wants to hear where each class is from; Keras 2 passes over it."""
    layers = [{"module": "keras.layers", **e, "registered_name": None} for e in document["config"]["layers"]]
    config = {**document["config"], "layers": layers}
    return {**document, "module": "keras", "config": config, "registered_name": None}


def _written(sequential: Sequential, name: str) -> tuple[dict[str, Any], dict[str, keras_h5.Named]]:
    stages = list(_stages(sequential.network, sequential.shape))
    place, size = 0, sequential.shape
    layers: list[dict[str, Any]] = []
    arrays: dict[str, keras_h5.Named] = {}
    for layer in sequential.layers:
        with torch.device("meta"):
            made = list(layer.modules(size, sequential.classes))
        mine = stages[place : place + len(made)]  # a softmax at the very end is not among the stages
        place += len(made)
        main = next((s for s, (word, _) in zip(mine, made) if word not in ("pad", "flatten")), None)
        stage = (main or (mine[0] if mine else ("answer", None, None)))[0].rpartition(".")[2]
        for entry in written(layer, stage, size, units=sequential.classes):
            layers.append(entry)
            arrays[entry["config"]["name"]] = []
        if main is not None and main[1].state_dict():
            arrays[stage] = to_keras(main[1], order=main[2])
        for _, module in made:
            size = arithmetic.output_shape(module, size)
    sizes = [None, *sequential.shape[1:], sequential.shape[0]]
    first = {
        "class_name": "InputLayer",
        "config": {"name": "input", "batch_input_shape": sizes, "dtype": "float32"},
    }
    document = {"class_name": "Sequential", "config": {"name": name, "layers": [first, *layers]}}
    if sequential.about is not None:
        document[OURS] = dict(sequential.about)
    return document, arrays
