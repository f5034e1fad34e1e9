"""Weights files of keras.applications -> what they say."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from neocog import arithmetic
from neocog.errors import UnreadableError
from neocog.pretrained import releases as published
from neocog.pretrained.fitting import Found, bare
from neocog.pretrained.keras import h5 as keras_h5
from neocog.pretrained.keras import names as keras_names
from neocog.pretrained.keras.tensors import from_keras, hwc_to_chw
from neocog.zoo import Architecture
from neocog.zoo.habits import Manner


def found_in(row: Architecture, path: Path) -> Found:
    """What Keras' file `path` says of the row's network. `UnreadableError` where it is of another."""
    stored = keras_h5.read(path)
    if not stored.named:
        raise UnreadableError(
            f"{path} was written by a Keras before 3.10, which left out the names of the layers; "
            'load it there and save the whole model: model.save("model.h5")'
        )
    today = keras_names.tidied(row.name, stored.layers)
    layers = {today[layer]: variables for layer, variables in stored.layers.items()}
    head = layers.get("predictions")
    classes = head[0].value.shape[-1] if head else 1
    network = bare(row.name, classes)
    names = keras_names.keras(row.name, network)
    if not names or not set(names) & set(layers):
        raise UnreadableError(
            f"{path} holds no weights of {row.name} as Keras names them: its layers are called "
            f"{', '.join(list(stored.layers)[:3])}; check the name (Keras' ResNet50 is 'resnet50-keras')"
        )
    order = hwc_to_chw(arithmetic.walk(network.features, row.shape).output)
    tensors: dict[str, Tensor] = {}
    for theirs, ours in names.items():
        if theirs in layers:
            first_dense = ours == "head.fc6.dense"  # what reaches it was flattened
            tensors |= from_keras(
                layers[theirs],
                network.get_submodule(ours),
                ours,
                order=order if first_dense else None,
                layer=theirs,
            )
    manner = published.KERAS_MANNERS.get(row.name, Manner())
    if keras_names.is_resnet_of_2017(stored.layers):
        manner = manner.model_copy(update={"eps": 1e-3})
    unexpected = () if stored.subclass else tuple(layer for layer in layers if layer not in names)
    return Found(tensors=tensors, unexpected=unexpected, classes=classes, source="keras", manner=manner)


def fits(name: str, stored: keras_h5.KerasFile) -> bool:
    """Whether the file's layers are those of the row `name`, with or without its top."""
    layers = set(keras_names.tidied(name, stored.layers).values())
    if not keras_names.may_be(name, layers):
        return False
    names = keras_names.keras(name, bare(name))
    top = {"fc1", "fc2", "predictions"}
    return layers in (set(names), set(names) - top)
