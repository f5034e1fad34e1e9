"""The shape doctor: what would mend a network that cannot be, each answer tried before it is given.

A layer list is mended by a single edit, a module of one's own as `module_doctor.py` says, and any network by
an input of a size that fits (`input_sizes.py`). Nothing is computed and no memory taken: networks are built
on the meta device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from neocog.arithmetic import Impossible, Shape, walk, written
from neocog.arithmetic.following import require_input
from neocog.arithmetic.sliding_window import times
from neocog.axes import per_axis
from neocog.errors import NeocogError, ShapeError
from neocog.inside.input_sizes import fitting_sizes, smallest_input, smallest_square, square
from neocog.inside.module_doctor import cures
from neocog.zoo import Model, Network
from neocog.zoo import build as build_model
from neocog.zoo.layer_list import Layer, build
from neocog.zoo.layers.plain import Conv, Dense, Flatten, GlobalPooling, Pool

MOST_EDITS = 8
"""Edits named in a message; `edits` finds them all."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change to a layer list or to its input, in words, and what it leaves."""

    words: str
    layers: tuple[Layer, ...]
    shape: Shape


def can_be(layers: Sequence[Layer], *, shape: Shape, classes: int) -> bool:
    """True where the layers make a network for inputs of `shape` (C, *sizes)."""
    if not layers:
        return False
    try:
        with torch.device("meta"):
            build(layers, shape=shape, classes=classes)
    except (NeocogError, ValueError, RuntimeError):
        return False
    return True


def mended(error: ShapeError, layers: Sequence[Layer], *, shape: Shape, classes: int) -> ShapeError:
    """The refusal of a layer list with the single edits that work, as its last line."""
    works = [edit.words for edit in edits(layers, shape=shape, classes=classes)]
    size = works[-1:] if works and works[-1].startswith("an input of") else []  # never crowded out
    return with_remedies(error, [*works[: len(works) - len(size)][: MOST_EDITS - len(size)], *size])


def built(model: Model, *, shape: Shape, classes: int) -> Network:
    """The network of `model`; where it cannot be, `ShapeError` with every remedy that was tried and works."""
    require_input(shape)
    try:
        return build_model(model, shape=shape, classes=classes)
    except ShapeError as error:
        if model.layers is not None:
            raise mended(error, model.layers, shape=shape, classes=classes) from None
        least = smallest_square(lambda size: build_model(model, shape=size, classes=classes), shape[0])
        raise with_remedies(error, [least.text()] if least else []) from None


def require_answers(network: Network, *, shape: Shape, classes: Sequence[str]) -> None:
    """Refuse a layer list whose last layer does not give one number for each class."""
    made = walk(network, shape).output
    if made == (len(classes),):
        return
    shown = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
    alone = '; one unit goes with two classes and "activation": "sigmoid"' if made == (1,) else ""
    raise ShapeError(
        f"the last layer gives {written(made)} where the data have {len(classes)} classes ({shown}); "
        f'end the layer list with {{"kind": "dense", "units": "classes", "activation": "softmax"}}{alone}'
    )


def require_pictures(network: Network, *, shape: Shape) -> None:
    """Refuse a network that is to restore pictures and does not give one of the size that it is shown."""
    made = walk(network, shape).output
    if made != shape:
        *sides, channels = (*shape[1:], shape[0])
        conv = f'{{"kind": "conv", "filters": {channels}, "kernel": 3, "padding": "same"}}'
        unflatten = f'{{"kind": "unflatten", "sizes": {[*sides, channels]}}}'
        raise ShapeError(
            f"the last layer gives {written(made)} where pictures of {written(shape)} are to be restored; "
            f"end the layer list with {conv} on maps of that size, or with a dense layer and {unflatten}"
        )


def require_spread(network: Network, *, shape: Shape, batch: int) -> None:
    """Refuse a training in batches of one picture where a normalisation would get one number per channel."""
    if batch == 1:
        walk(network, shape, training=True, batch=1)


def cured(error: Impossible, network: nn.Module, shape: Shape) -> ShapeError:
    """The refusal of a module with the sizes of input and the single edits that work."""
    works, axes = cures(network, shape, error), len(shape) - 1
    fits = fitting_sizes(network, shape[0], axes=axes) if axes else None
    sizes = []
    if fits is not None:
        sizes = [fits.words(axes)]
        works[sizes[0]] = walk(network, square(shape, fits.least), real="never").output
    flat = {words: output for words, output in works.items() if len(output) == 1}
    # a dense layer also works along the last axis of maps; where an edit leads to one vector, that is meant
    named = [words for words in flat or works if words not in sizes]
    sizes = [words for words in sizes if words in (flat or works)]
    return with_remedies(error, [*named[: MOST_EDITS - len(sizes)], *sizes])


def edits(layers: Sequence[Layer], *, shape: Shape, classes: int) -> tuple[Edit, ...]:
    """Every edit of the small set that turns an impossible layer list into a network, tried out; none where
    it is one.
    """
    place = culprit(layers, shape=shape, classes=classes)
    if place is None:
        return ()
    tried = (edit for edit in _candidates(tuple(layers), place, shape))
    works = [edit for edit in tried if can_be(edit.layers, shape=edit.shape, classes=classes)]
    least = smallest_input(lambda n: can_be(layers, shape=square(shape, n), classes=classes))
    if least is not None:
        works.append(Edit(least.text(len(shape) - 1), tuple(layers), square(shape, least.size)))
    return tuple({edit.words: edit for edit in works}.values())


def culprit(layers: Sequence[Layer], *, shape: Shape, classes: int) -> int | None:
    """The place of the layer that cannot take what reaches it; None where all can."""
    for place in range(len(layers)):
        if not can_be(layers[: place + 1], shape=shape, classes=classes):
            return place
    return None


def _candidates(layers: tuple[Layer, ...], place: int, shape: Shape) -> Iterator[Edit]:
    """The small set: at the layer that fails, and at those before it that shrink the maps."""

    def put(words: str, where: int, *new: Layer) -> Edit:
        return Edit(words, (*layers[:where], *new, *layers[where + 1 :]), shape)

    def changed(words: str, where: int, **fields: object) -> Edit:
        return put(words, where, layers[where].model_copy(update=fields))

    failing, name, axes = layers[place], _name(layers, place), len(shape) - 1
    yield put(f"drop {name}", place)
    if isinstance(failing, Conv | Pool):
        yield changed(f'pad {name} ("same")', place, padding="same")
        yield from _smaller_windows(layers, place, shape)
    if isinstance(failing, Conv) and failing.groups > 1:
        yield from _other_groups(layers, place, shape)
    if isinstance(failing, Pool):
        how = "max" if failing.kind == "maxpool" else "average"
        yield put(f"global {how} pooling in place of {name}", place, GlobalPooling(how=how))
    for where in reversed(range(place + 1)):
        layer, stride = layers[where], getattr(layers[where], "stride", 1)
        if isinstance(layer, Conv) and max(per_axis(stride, axes)) > 1:
            yield changed(f"stride 1 in {_name(layers, where)}", where, stride=1)
        if isinstance(layer, Pool | Flatten) or (isinstance(layer, GlobalPooling) and where < place):
            yield put(f"drop {_name(layers, where)}", where)
        if isinstance(layer, Conv) and layer.padding == "valid" and where < place:
            yield changed(f'pad {_name(layers, where)} ("same")', where, padding="same")
    padded = tuple(
        layer.model_copy(update={"padding": "same"}) if isinstance(layer, Conv) else layer for layer in layers
    )
    yield Edit('pad every convolution ("same")', padded, shape)


def _other_groups(layers: tuple[Layer, ...], place: int, shape: Shape) -> Iterator[Edit]:
    """The failing convolution with fewer groups, the most that work, and with the next filters that they
    divide.
    """
    layer, name = layers[place], _name(layers, place)
    assert isinstance(layer, Conv)
    for groups in range(layer.groups - 1, 0, -1):
        fewer = (*layers[:place], layer.model_copy(update={"groups": groups}), *layers[place + 1 :])
        if can_be(fewer, shape=shape, classes=2):
            yield Edit(f"{groups} group{'s' * (groups > 1)} in {name}", fewer, shape)
            break
    filters = -(-layer.filters // layer.groups) * layer.groups
    if filters != layer.filters:
        more = layer.model_copy(update={"filters": filters})
        yield Edit(f"{filters} filters in {name}", (*layers[:place], more, *layers[place + 1 :]), shape)


def _smaller_windows(layers: tuple[Layer, ...], place: int, shape: Shape) -> Iterator[Edit]:
    """The failing layer with a smaller square window, the largest first; the first that works is the one
    worth naming.
    """
    layer = layers[place]
    field = "kernel" if isinstance(layer, Conv) else "size"
    largest = max(per_axis(getattr(layer, field), len(shape) - 1))
    for side in range(largest - 1, 0, -1):
        smaller = (*layers[:place], layer.model_copy(update={field: side}), *layers[place + 1 :])
        if can_be(smaller, shape=shape, classes=2):
            words = f"a window of {times((side,) * (len(shape) - 1))} in {_name(layers, place)}"
            yield Edit(words, smaller, shape)
            return


def _name(layers: Sequence[Layer], place: int) -> str:
    """The stage's name that `build` gives this layer: its own, or its kind and number."""
    layer = layers[place]
    if layer.name:
        return layer.name
    kinds = (Conv, Pool, Dense, Flatten, GlobalPooling)
    kind = next((kind for kind in kinds if isinstance(layer, kind)), type(layer))
    number = sum(isinstance(other, kind) for other in layers[: place + 1])
    word = "pool" if kind is Pool else str(getattr(layer, "kind", kind.__name__.lower()))
    return f"{word}{number}"


def with_remedies(error: ShapeError, works: Sequence[str]) -> ShapeError:
    """The same refusal, what mends it in its last line."""
    if not works:
        return error
    if isinstance(error, Impossible):
        return error.mended_by(works)
    return ShapeError(f"{error}\n  any one of these works: {' | '.join(works)}")
