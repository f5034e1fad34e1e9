"""Keras' weights files: `.h5` of Keras 2 and 3, `.weights.h5` and `.keras` of Keras 3.

Layouts, with V the arrays of one layer in Keras' order (kernel, bias; gamma, beta, mean, variance):

    weights of Keras 2      /LAYER/...            attributes layer_names of /, weight_names of each layer
    whole model, .h5        /model_weights/LAYER  likewise, and the attribute model_config of / (JSON)
    .weights.h5 of Keras 3  /layers/LAYER/vars/N  attribute name of vars (Keras 3.10 and later)
    the same of a subclass  /ATTRIBUTE/.../vars/N likewise, wherever the class keeps its layers
    .keras of Keras 3       a zip of config.json and model.weights.h5
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neocog.errors import UnreadableError, optional
from neocog.outputs import replacing

Array = npt.NDArray[Any]

SUFFIXES = (".h5", ".hdf5", ".keras")
MEMBER_CEILING = 8 << 30
"""Bytes that a member of a .keras file may unpack to."""

RATIO = 20
"""How many times its packed size a file's weights may unpack to: they hardly shrink; a bomb does."""
ROOM = 16 << 20
"""Bytes that any file's weights may unpack to."""


class Variable(NamedTuple):
    """One array of a layer; `name` is '' where the layout has none, and the order decides."""

    name: str
    value: Array


@dataclass(frozen=True, slots=True)
class KerasFile:
    """The layers with weights by name, in the file's order, and the model's JSON where the file has it.

    `named` says whether the names are those of the layers; Keras 3 before 3.10 wrote only kinds and numbers.
    `subclass` says that a class of its own kept the layers: those of a known network may be among others.
    `loss` is what the file says of the training's loss, as JSON, '' where it says nothing.
    """

    layers: Mapping[str, tuple[Variable, ...]]
    config: Mapping[str, Any] | None = None
    named: bool = True
    subclass: bool = False
    loss: str = ""


def read(path: Path) -> KerasFile:
    """What `path` holds, whichever layout it has. `UnreadableError` where it is no such file."""
    h5py = optional("h5py", extra="hub")
    if not path.is_file():
        raise UnreadableError(f"there is no weights file at {path}")
    try:
        arrays = _Arrays(max(RATIO * path.stat().st_size, ROOM))
        if path.suffix == ".keras":
            config, weights = _unzipped(path)
            with h5py.File(weights, "r") as file:
                return _read(file, config, arrays)
        with h5py.File(path, "r") as file:
            return _read(file, None, arrays)
    except (
        OSError,
        KeyError,
        ValueError,
        RuntimeError,
        TypeError,
        AttributeError,
        RecursionError,
        NotImplementedError,
        zipfile.BadZipFile,
    ) as error:
        raise UnreadableError(f"{path} is no weights file of Keras, or is cut off: {error}") from error


def _unzipped(path: Path) -> tuple[Mapping[str, Any], io.BytesIO]:
    with zipfile.ZipFile(path) as archive:
        for name in ("config.json", "model.weights.h5"):
            member = archive.getinfo(name)
            if member.file_size > min(MEMBER_CEILING, max(RATIO * member.compress_size, ROOM)):
                raise ValueError(f"{name} unpacks to {member.file_size:,} bytes, far more than weights would")
        return _document(archive.read("config.json")), io.BytesIO(archive.read("model.weights.h5"))


def _document(text: str | bytes) -> Mapping[str, Any]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("its configuration is no JSON object")
    return found


class _Arrays:
    """Reads the arrays of a file, `room` bytes in all: a few bytes of HDF5 can stand for any number of zeros,
    and one array can stand under many names.
    """

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, stored: Any) -> Array:
        if stored.external or stored.is_virtual:
            raise ValueError("an array of it lies in another file")
        if stored.dtype.kind not in "fiub":
            raise ValueError(f"an array of it holds no numbers, but {stored.dtype}")
        self.room -= int(stored.nbytes)
        if self.room < 0:
            raise ValueError("it unpacks to far more than weights would")
        return np.asarray(stored)


def _read(file: Any, config: Mapping[str, Any] | None, arrays: _Arrays) -> KerasFile:
    if "model_config" in file.attrs:
        config = _document(file.attrs["model_config"])
    loss = json.dumps((config or {}).get("compile_config") or {})
    if "training_config" in file.attrs:
        loss = _text(file.attrs["training_config"])
    root = file.get("model_weights", file)
    if "layer_names" in root.attrs:
        names = [_text(name) for name in root.attrs["layer_names"]]
        layers = {name: _by_attribute(root[name], arrays) for name in names}
        return KerasFile({name: found for name, found in layers.items() if found}, config, loss=loss)
    stored = file.get("layers", file.get("_layer_checkpoint_dependencies"))
    subclass = stored is None
    layers, named = {}, True
    for key, variables in _everywhere(file) if subclass else _one_below(stored):
        found = tuple(Variable("", arrays(value)) for _, value in _in_order(variables))
        if found:
            name = variables.attrs.get("name")
            named &= name is not None
            layers[_text(name) if name is not None else key] = found
    if subclass and not layers:
        raise ValueError("it holds no layers")
    return KerasFile(layers, config, named, subclass, loss)


def _one_below(stored: Any) -> Iterator[tuple[str, Any]]:
    """Every layer's name in the file, with its variables."""
    return ((key, stored[key]["vars"]) for key in stored if "vars" in stored[key])


def _everywhere(group: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Likewise, at any depth."""
    for key in group:
        if key == "vars":
            yield inside, group[key]
        elif hasattr(group[key], "keys"):
            yield from _everywhere(group[key], f"{inside}/{key}" if inside else key)


def _by_attribute(group: Any, arrays: _Arrays) -> tuple[Variable, ...]:
    names = [_text(name) for name in group.attrs.get("weight_names", ())]
    return tuple(Variable(name.split("/")[-1].split(":")[0], arrays(group[name])) for name in names)


def _in_order(variables: Any) -> list[tuple[str, Any]]:
    return sorted(variables.items(), key=lambda item: int(item[0]))


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


Named = Sequence[tuple[str, Array]]
"""The arrays of one layer with Keras' names for them, in Keras' order."""


def write(path: Path, layers: Mapping[str, Named], config: Mapping[str, Any]) -> None:
    """Write the arrays of every layer, atomically; layers without arrays are listed too.

    `.weights.h5` gets Keras 3's layout, `.keras` that and the JSON in a zip, `.h5` the whole model as
    Keras 2 wrote it, which both Keras 2 and 3 load.
    """
    h5py = optional("h5py", extra="hub")
    buffer = io.BytesIO()  # HDF5 itself dies of a full disk, with the whole process
    with h5py.File(buffer, "w") as file:
        if path.suffix == ".keras" or path.name.endswith(".weights.h5"):
            _write_numbered(file, layers, config)
        else:
            _write_named(h5py, file, layers, config)
    with replacing(path) as temporary:
        if path.suffix == ".keras":
            _write_zip(temporary, buffer, config)
        else:
            temporary.write_bytes(buffer.getbuffer())


def _write_zip(path: Path, weights: io.BytesIO, config: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.0.0"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getvalue())


def _write_numbered(file: Any, layers: Mapping[str, Named], config: Mapping[str, Any]) -> None:
    """Keras 3 finds a layer by its kind and its number among those of its kind, not by its name."""
    kinds = {entry["config"]["name"]: snake(entry["class_name"]) for entry in config["config"]["layers"]}
    seen: dict[str, int] = {}
    file.create_group("layers")
    for name, arrays in layers.items():
        kind = kinds[name]
        number = seen.get(kind, 0)
        seen[kind] = number + 1
        group = file.create_group(f"layers/{kind}_{number}/vars" if number else f"layers/{kind}/vars")
        group.attrs["name"] = name
        for place, (_, array) in enumerate(arrays):
            group.create_dataset(str(place), data=array)
    file.create_group("vars").attrs["name"] = config["config"]["name"]


def _write_named(h5py: Any, file: Any, layers: Mapping[str, Named], config: Mapping[str, Any]) -> None:
    text = h5py.string_dtype()
    file.attrs["model_config"] = json.dumps(config)
    file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
    root = file.create_group("model_weights")
    root.attrs["keras_version"], root.attrs["backend"] = "2.15.0", "tensorflow"
    root.attrs.create("layer_names", list(layers), dtype=text)
    for name, arrays in layers.items():
        group = root.create_group(name)
        group.attrs.create("weight_names", [f"{name}/{word}:0" for word, _ in arrays], dtype=text)
        for word, array in arrays:
            group.create_dataset(f"{name}/{word}:0", data=array)


def snake(kind: str) -> str:
    """Keras' own rule: Conv2D -> conv2d, MaxPooling2D -> max_pooling2d."""
    kind = re.sub(r"\W+", "", kind)
    kind = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", kind).lower()
