"""Network: the layers of a layer list in a row, forward and backward, with weights under the names of the
torch engine's.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from neocog.errors import UsageError, unknown
from neocog.mirror.kinds import KINDS, Site, Steps
from neocog.mirror.layers import Array, Flatten, Layer, Mode, Shape
from neocog.mirror.pooling import GlobalPool

Initialiser = Literal["glorot", "he", "uniform", "torch", "opposed"]


class Network:
    """`stages` by name, in the order in which they run, all in one `dtype`.

    `forward` and `backward` are the whole of back-propagation: each layer turns its input into its output,
    then, in reverse, the loss's gradient by its output into that by its input.
    """

    def __init__(self, stages: Mapping[str, Layer], *, dtype: npt.DTypeLike = np.float64) -> None:
        self.stages, self.dtype = dict(stages), np.dtype(dtype)
        for layer in self.stages.values():
            for arrays in (layer.parameters, layer.buffers):
                arrays.update({name: self._cast(array) for name, array in arrays.items()})

    def _cast(self, array: Array) -> Array:
        return array.astype(self.dtype) if array.dtype.kind == "f" else array.copy()

    def forward(self, x: Array, mode: Mode = "inference") -> Array:
        """The answer to a batch x (N, *shape): (N, classes), logits unless it was built otherwise."""
        x = np.asarray(x, self.dtype)
        for layer in self.stages.values():
            x = layer.forward(x, mode)
        return x

    def backward(self, dy: Array) -> Array:
        """dL/dx of the latest `forward` for dL/dy of its answer; leaves dL/dp in the layers' `gradients`."""
        for layer in reversed(self.stages.values()):
            dy = layer.backward(dy)
        return dy

    def parameters(self) -> dict[str, Array]:
        """What is learnt, by full name ('features.conv1.weight', ...): the layers' own arrays."""
        return self._collected("parameters")

    def gradients(self) -> dict[str, Array]:
        """dL/dp of every parameter, under the parameters' names."""
        return self._collected("gradients")

    def weights(self) -> dict[str, Array]:
        """Parameters and running values, under the names that the torch engine gives them (`state_dict`)."""
        return self._collected("parameters", "buffers")

    def copied_weights(self) -> dict[str, Array]:
        """`weights()` as they are now: later training does not change them."""
        return {name: array.copy() for name, array in self.weights().items()}

    def _collected(self, *places: str) -> dict[str, Array]:
        full = self._full_names()
        return {
            f"{full[stage]}.{name}": array
            for stage, layer in self.stages.items()
            for place in places
            for name, array in getattr(layer, place).items()
        }

    def _full_names(self) -> dict[str, str]:
        """Each stage's name with its part: features up to the first flatten or global pool, then the head."""
        full, part = {}, "features"
        for stage, layer in self.stages.items():
            part = "head" if isinstance(layer, Flatten | GlobalPool) else part
            full[stage] = f"{part}.{stage}"
        return full

    def load(self, weights: Mapping[str, Array]) -> None:
        """Take weights named as `weights()` names them; `UsageError` where one is missing or does not fit."""
        own = self.weights()
        for name in {*own, *weights}:
            given = np.shape(weights[name]) if name in weights else "nothing"
            wanted = own[name].shape if name in own else "nothing"
            if given != wanted:
                raise UsageError(f"weights of '{name}': given {given}, the network has {wanted}")
        full = self._full_names()
        for stage, layer in self.stages.items():
            for arrays in (layer.parameters, layer.buffers):
                arrays.update({n: self._cast(np.asarray(weights[f"{full[stage]}.{n}"])) for n in arrays})


def build(
    document: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *,
    shape: Shape,
    classes: int,
    generator: np.random.Generator,
    init: Initialiser = "glorot",
    answer: Literal["logits", "as written"] = "logits",
    dtype: npt.DTypeLike = np.float64,
) -> Network:
    """The network of a layer list's JSON ({"layers": [...]} or the array alone) for inputs of `shape`.

    Stages and weights are named, and with `answer="logits"` a softmax or sigmoid at the end is left to the
    loss, as in `zoo.layer_list.build`. `generator` draws the first weights, later the dropout. `ShapeError`
    where a layer cannot take what reaches it.
    """
    entries = list(document["layers"] if isinstance(document, Mapping) else document)
    stages: dict[str, Layer] = {}
    names = Counter[str]()
    given = {entry.get("name") for entry in entries}
    for place, entry in enumerate(entries, start=1):
        for word, layer in _steps(entry, place, Site(shape, classes, generator)):
            stage = _name(entry, word, names, given)
            if stage in stages:
                raise UsageError(f"two layers are named '{stage}'; names must differ")
            shape = layer.output_shape(shape)
            stages[stage] = layer
    last = entries[-1]
    if answer == "logits" and {last["kind"], last.get("activation")} & {"softmax", "sigmoid"}:
        stages.popitem()
    for layer in stages.values():
        _begin(layer, init, generator)
    return Network(stages, dtype=dtype)


def _steps(entry: Mapping[str, Any], place: int, site: Site) -> Steps:
    kind = str(entry.get("kind"))
    if kind not in KINDS:
        raise UsageError(f"layer {place}: {unknown('kind of layer', kind, KINDS)}")
    accepted = [name for name in inspect.signature(KINDS[kind]).parameters if name != "site"]
    fields = {name: value for name, value in entry.items() if name not in ("kind", "name")}
    for name in fields:
        if name not in accepted:
            raise UsageError(f"layer {place} ({kind}): {unknown('field', name, accepted)}")
    return KINDS[kind](site, **fields)


def _name(entry: Mapping[str, Any], word: str, names: Counter[str], given: set[str | None]) -> str:
    """The stage's name: the layer's own for its main step, else the word and the next free number."""
    main = {"maxpool": "pool", "avgpool": "pool", "l2pool": "pool", "batchnorm": "norm"}
    main |= {"transposed-conv": "transposed"}
    names[word] += 1
    own = entry.get("name")
    if own and word == main.get(entry["kind"], entry["kind"]):
        return str(own)
    while (name := f"{word}{names[word]}") in given and name != own:
        names[word] += 1
    return name


def _begin(layer: Layer, how: Initialiser, generator: np.random.Generator) -> None:
    """Draw the weights of a convolution or dense layer; biases begin at zero (torch: as the weights).

    Fan-in is what one output is a sum of, fan-out how many outputs one input goes into, for one group.
    glorot: uniform, +-sqrt(6 / (fan-in + fan-out)); he: normal, sqrt(2 / fan-in); uniform: +-0.05; torch:
    uniform, +-1 / sqrt(fan-in); opposed: glorot, and every second filter of a convolution is the negative of
    the one before it.
    """
    weight = layer.parameters.get("weight")
    if weight is None or weight.ndim < 2:  # batch norm's begins at one
        return
    places = int(np.prod(weight.shape[2:]))
    into, out = weight.shape[1] * places, weight.shape[0] * places
    if how == "he":
        layer.parameters["weight"] = generator.normal(0, np.sqrt(2 / into), weight.shape)
        return
    glorot = np.sqrt(6 / (into + out))
    ends = {"glorot": glorot, "opposed": glorot, "uniform": 0.05, "torch": 1 / np.sqrt(into)}
    drawn = layer.parameters["weight"] = generator.uniform(-ends[how], ends[how], weight.shape)
    if how == "opposed" and weight.ndim > 2:
        drawn[1::2] = -drawn[: 2 * (len(drawn) // 2) : 2]
    if how == "torch" and "bias" in layer.parameters:
        layer.parameters["bias"] = generator.uniform(-ends[how], ends[how], layer.parameters["bias"].shape)
