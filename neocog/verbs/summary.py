"""summary: what a network is, layer by layer, for an input of a given size; or why it cannot be, and what
would mend it.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from neocog import files, outputs
from neocog.arithmetic import Impossible, Row, Shape, Walk, walk, written
from neocog.errors import NeocogError, ShapeError, UnreadableError, UsageError, unknown
from neocog.inside import walk_table
from neocog.inside.as_list import as_list
from neocog.inside.shape_doctor import built, cured, with_remedies
from neocog.model import Trained, open_trained
from neocog.pretrained.network_files import layers_of
from neocog.runs.run import Run
from neocog.zoo import ZOO, Model, architecture, resolved
from neocog.zoo.blocks import Network
from neocog.zoo.layer_list import Layer, document
from neocog.zoo.layers.plain import Dense

CLASSES = 10
"""Classes of a layer list that says "classes" where none are given."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A network walked through. `title` names it; `remarks` are about what was assumed."""

    title: str
    walk: Walk
    network: nn.Module = field(repr=False, compare=False)
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """A table with one line for each layer, within 100 columns, the totals below."""
        table = walk_table.lines(self.walk.layers)
        return "\n".join([f"{self.title}, input {written(self.walk.input)}", "", *table, "", *self._totals()])

    def _totals(self) -> list[str]:
        totals = self.walk
        auxiliary = totals.trainable - totals.parameters
        heads = f" ({auxiliary:,} more in auxiliary heads)" if auxiliary else ""
        figures = [
            ("output", written(totals.output)),
            ("parameters", f"{totals.parameters:,}{heads}"),
            ("trainable", f"{totals.trainable:,}"),
            ("not trainable", f"{totals.non_trainable:,}"),
            ("multiply-accumulates", f"{totals.macs:,} for one picture"),
            ("activations", f"{totals.memory / 2**20:,.1f} MiB for one picture in float32"),
        ]
        lines = [f"{name:<22}{value}" for name, value in figures]
        return lines + [f"note: {remark}" for remark in (*self.remarks, *totals.remarks)]

    def json(self) -> dict[str, Any]:
        """Sizes are [height, width, channels]; counts are of one picture."""
        totals = self.walk
        return {
            "input": _size(totals.input),
            "output": _size(totals.output),
            "parameters": totals.parameters,
            "trainable": totals.trainable,
            "non_trainable": totals.non_trainable,
            "macs": totals.macs,
            "layers": [_entry(row) for row in totals.layers],
        }

    def save(self, path: str | Path) -> None:
        """Draw the network as a PNG."""
        from neocog.inside.drawing import draw

        outputs.write_png(Path(path), draw(self.network, self.walk, title=self.title))

    def save_list(self, path: str | Path) -> None:
        """Write the network as a layer list in JSON. `UsageError` where it is no chain of such layers."""
        if not isinstance(self.network, Network):
            raise UsageError(
                f"{self.title} is a module of its own; layer lists are written of networks of the zoo"
            )
        layers = as_list(self.network, self.title)
        outputs.write_json(Path(path), document(layers))

    def _repr_html_(self) -> str:
        totals = html.escape("\n".join(self._totals()))
        caption = html.escape(f"{self.title}, input {written(self.walk.input)}")
        rows = walk_table.in_html(self.walk.layers)
        return f"<table><caption>{caption}</caption>{rows}</table><pre>{totals}</pre>"


def summary(
    model: str | Path | nn.Module | Run | Trained,
    *,
    input: tuple[int, ...] | None = None,
    classes: int | None = None,
    weights: str | Path | None = None,
) -> Summary:
    """Walk through `model` for inputs of `input`, the channels last: (height, width, channels) for pictures,
    (length, channels), (depth, height, width, channels), or (numbers,) for flat ones. Nothing is computed,
    unless the `forward` of a module looks at values.

    `model` is a name of the zoo, a layer list in JSON, a run, a model file, or any module. Where `input` and
    `classes` are not given, they are the network's own. `weights` goes with a network of the
    zoo, see `open_trained`. Raises ShapeError where the network cannot be: which
    layer, the sizes that led there, the formula in numbers, and what would mend it, each remedy tried.
    """
    turned = _channels_last(input)
    try:
        found = _walked(model, input, classes=classes, weights=weights)
    except ShapeError as error:
        if turned is None:
            raise
        try:
            _walked(model, turned, classes=classes, weights=weights)
        except NeocogError:
            raise error from None
        words = f"an input of {written(_first(turned))}, the channels last"
        raise with_remedies(error, [words]) from None
    if turned is None or input is None:
        return found
    meant = f"if it stands for channels first, write {written(_first(turned))}"
    remark = f"{written(_first(input))} is taken as height x width x channels; {meant}"
    return replace(found, remarks=(*found.remarks, remark))


def _walked(
    model: str | Path | nn.Module | Run | Trained,
    input: tuple[int, ...] | None,
    *,
    classes: int | None,
    weights: str | Path | None,
) -> Summary:
    shape = None if input is None else _first(input)
    if isinstance(model, nn.Module):
        return _of_module(model, shape)
    if not isinstance(model, str | Path):
        return _of_trained(open_trained(model), shape)
    if weights is not None:
        return _of_trained(open_trained(model, weights), shape)
    path = Path(model)
    if path.suffix == ".json" and (path.is_file() or str(model) not in ZOO):
        return _of_layers(layers_of(files.read_json(path)), path.name, shape, classes)
    if path.exists():
        return _of_trained(open_trained(path), shape)
    if str(model) not in ZOO and files.named_as_path(str(model)):
        raise UnreadableError(
            f"there is no file or run at {model}; give a network's name, a layer list in a .json or a run"
        )
    if str(model) not in ZOO:
        raise unknown("network", str(model), ZOO)
    return _of_zoo(str(model), shape, classes)


def _first(sizes: tuple[int, ...]) -> Shape:
    """Sizes with the channels last, as (C, *sizes)."""
    return sizes[-1:] + sizes[:-1]


def _channels_last(sizes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """What a picture's `sizes` mean whose channels seem to stand first; None where they do not."""
    if sizes is None or len(sizes) != 3 or not sizes[0] <= 4 < min(sizes[1:]):
        return None
    return sizes[1:] + sizes[:1]


# --- the kinds of model ------------------------------------------------------------------------------------


def _of_module(network: nn.Module, shape: Shape | None) -> Summary:
    if shape is None:
        raise UsageError("a module has no input size of its own; give input=(height, width, channels)")
    try:
        found = walk(network, shape)
    except Impossible as error:
        raise cured(error, network, shape) from None
    remarks: tuple[str, ...] = ()
    if network.training and any(isinstance(module, _BatchNorm) for module in network.modules()):
        try:
            walk(network, shape, training=True, real="never")
        except Impossible as error:
            remarks = (f"in training, a batch of one picture is too small: {error}".splitlines()[0],)
        except ShapeError:
            pass
    return Summary(title=type(network).__name__, walk=found, network=network, remarks=remarks)


def _of_trained(trained: Trained, shape: Shape | None) -> Summary:
    found = _of_module(trained.network, shape or trained.shape)
    title = trained.model.name or "layer list"
    return Summary(title=f"{title} (trained)", walk=found.walk, network=found.network)


def _of_layers(layers: Sequence[Layer], title: str, shape: Shape | None, classes: int | None) -> Summary:
    if shape is None:
        raise UsageError(f"{title} has no input size of its own; give one, for example --input 32x32x3")
    remarks: tuple[str, ...] = ()
    if classes is None and any(isinstance(layer, Dense) and layer.units == "classes" for layer in layers):
        remarks = (f"{CLASSES} classes assumed; --classes says how many",)
    count = classes or CLASSES
    with torch.device("meta"):
        network = built(Model(layers=tuple(layers)), shape=shape, classes=count)
    return Summary(title=title, walk=walk(network, shape), network=network, remarks=remarks)


def _of_zoo(name: str, shape: Shape | None, classes: int | None) -> Summary:
    row = architecture(name)
    given, count = shape or row.shape, classes or row.classes
    with torch.device("meta"):
        network = built(Model(name=name), shape=given, classes=count)
    found = walk(network, given)
    remarks: tuple[str, ...] = ()
    if resolved(Model(name=name), given).stem == "small":
        remarks = ("the family's stem for small pictures; the paper's is for larger ones",)
    return Summary(title=name, walk=found, network=network, remarks=remarks)


# --- JSON ------------------------------------------------------------------------------------------------


def _size(shape: Shape) -> list[int]:
    """(C, *sizes) as [*sizes, C]."""
    return [*shape[1:], *shape[:1]]


def _entry(row: Row) -> dict[str, Any]:
    return {
        "index": row.index,
        "name": row.name,
        "kind": row.kind,
        "window": row.window,
        "input": _size(row.input),
        "output": _size(row.output),
        "parameters": row.parameters,
        "trainable": row.trainable,
        "macs": row.macs,
        "receptive_field": None if row.receptive_field is None else list(row.receptive_field),
        "stride": None if row.stride is None else list(row.stride),
        "remark": row.remark,
    }
