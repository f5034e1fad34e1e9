"""Arithmetic on demand: one number of a layer, product by product; or one step of learning."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from neocog.errors import UsageError
from neocog.inside.by_hand.matrices import MOST_ENTRIES, Sparse, as_one, matrix
from neocog.inside.by_hand.one_number import Work, work
from neocog.inside.by_hand.one_slope import slope
from neocog.inside.by_hand.windows import Numbers, numbers
from neocog.inside.explain.answer import Answer, Panel, Sheet
from neocog.inside.explain.question import Question
from neocog.inside.stages import dense_row, first_with_weights
from neocog.show import false_colours
from neocog.show.words import percent
from neocog.zoo.modes import evaluating

MOST_TERMS = 64
"""Products that are printed; `arrays` and the whole text have all."""
MOST_PRINTED, MOST_DRAWN = 40, 2_000
"""Rows and columns of a matrix that is printed whole, and of one that is drawn."""
MOST_WRITTEN = 200_000
"""Weights of a matrix that is written out in the whole text."""


def arithmetic(question: Question) -> Answer:
    """The number of `channel` at the place `at` (the middle without one) of a layer, for the first picture;
    of a convolution also its matrix, of a dense layer without an activation before it the one layer that both
    are. With step 'backward' the slope of one weight, its sum over places, and the weight after the step.
    """
    name = question.layer_or(lambda network, x: first_with_weights(network)).name
    module = question.network.get_submodule(name)
    if question.step == "backward":
        return _backward(question, name, module)
    given, made = _passed(question, [name])[name]
    channel = question.channel or 0
    at = question.at if question.at is not None else tuple(size // 2 for size in made.shape[1:])
    _within(name, made.shape, channel, at)
    found = work(module, given, channel, at)
    theirs, place = float(made[(channel, *at)]), ",".join(map(str, at))
    head = f"{name}, channel {channel}{f' at {place}' if at else ''}, for {question.pictures[0].name}:"
    tail = [
        f"= {found.result:.9g}",
        f"the network says {theirs:.9g}: apart by {abs(theirs - found.result):.1g}, "
        f"{abs(theirs - found.result) / max(found.scale, 1e-300):.1g} of the sum of absolute products",
    ]
    arrays = {"values": found.values}
    if found.weights is not None:
        arrays |= {"weights": found.weights, "products": found.values * found.weights}
    facts = {
        "layer": name, "channel": channel, "at": list(at), "bias": found.bias, "result": found.result,
        "network": theirs, "scale": found.scale,
    }  # fmt: skip
    row = int(np.ravel_multi_index((channel, *at), made.shape))
    more = _as_matrix(module, given, made, row) if isinstance(module, _ConvNd) else _as_one(question, name)
    return Answer(
        sheets=more.sheets,
        lines=(head, *_terms(found, MOST_TERMS), *tail, *more.lines),
        arrays=arrays | more.arrays,
        facts=facts | more.facts,
        document=lambda: "\n".join([head, *_terms(found, found.values.size), *tail, *more.lines, *more.rest]),
    )


@dataclass(frozen=True, slots=True)
class _More:
    """What else there is to say of a layer; `rest` is what only the whole text has."""

    sheets: tuple[Sheet, ...]
    lines: tuple[str, ...]
    arrays: dict[str, Any]
    facts: dict[str, Any]
    rest: tuple[str, ...] = ()


_NOTHING = _More((), (), {}, {})


@contextlib.contextmanager
def _watched(question: Question, names: list[str]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """By name what goes into a module, and what comes out, (N, ...); the network is in evaluation."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    with contextlib.ExitStack() as undone:
        undone.enter_context(evaluating(question.network))
        for name in names:

            def keep(_: nn.Module, given: tuple[Tensor, ...], made: Tensor, name: str = name) -> Tensor:
                seen[name] = (given[0].detach().clone(), made)
                return made.clone()  # a ReLU in place may write over what comes next

            module = question.network.get_submodule(name)
            undone.callback(module.register_forward_hook(keep).remove)
        yield seen


@torch.no_grad()
def _passed(question: Question, names: list[str]) -> dict[str, tuple[Numbers, Numbers]]:
    """What went into each module, and what came out, for the first picture: without the batch's axis."""
    with _watched(question, names) as seen:
        question.network(question.x(0))
    if any(name not in seen for name in names):
        raise UsageError("this layer does not run when the network answers")
    return {name: (numbers(given[0]), numbers(made[0])) for name, (given, made) in seen.items()}


def _within(name: str, shape: tuple[int, ...], channel: int, at: tuple[int, ...]) -> None:
    if channel >= shape[0]:
        raise UsageError(f"{name} has channels 0 to {shape[0] - 1}; there is no channel {channel}")
    if len(at) != len(shape) - 1 or any(a >= n for a, n in zip(at, shape[1:])):
        most = ",".join(str(n - 1) for n in shape[1:])
        raise UsageError(f"{name} has no place {','.join(map(str, at))}; its places go to {most or 'none'}")


def _terms(found: Work, most: int) -> list[str]:
    values = found.values.ravel()
    lines = [found.words]
    if found.weights is None:
        lines.append("  " + ", ".join("padding" if np.isnan(v) else f"{v:.6g}" for v in values[:most]))
    else:
        products = zip(values, found.weights.ravel())
        lines += [f"  {v:.6g} * {w:.6g} = {v * w:.6g}" for v, w in list(products)[:most]]
        total = float((found.values * found.weights).sum())
        lines.append(f"  sum of products {total:.9g}, bias {found.bias:.9g}")
    if len(values) > most:
        lines.insert(-1, f"  and {len(values) - most:,} more")
    return lines


# --- layers as matrices ------------------------------------------------------------------------------------


def _as_matrix(module: _ConvNd, given: Numbers, made: Numbers, row: int) -> _More:
    """The convolution as a sparse matrix, times what came, against what the network made of it (S8)."""
    if module.weight.numel() * made[0].size > MOST_ENTRIES:
        return _NOTHING
    found = matrix(module, given.shape)
    bias = np.zeros(len(made)) if module.bias is None else numbers(module.bias)
    ours = found.times(given.ravel()) + bias.repeat(made[0].size)
    apart = float(np.abs(ours - made.ravel()).max())
    different = len(np.unique(found.weights))
    lines = [
        f"as a matrix: {found.shape[0]:,} x {found.shape[1]:,}, {percent(found.zeros, digits=1)} zeros, "
        f"{len(found.weights):,} weights of which {different:,} are different",
        f"the matrix times all that came, and the biases: {len(ours):,} numbers, "
        f"apart from the network's by {apart:.1g} at most",
    ]
    if max(found.shape) <= MOST_PRINTED:
        lines += _printed(found.full())
    else:
        lines.append(f"its row {row} makes this number: {_row(found, row, MOST_TERMS)}")
    facts = {
        "shape": list(found.shape),
        "entries": len(found.weights),
        "different": different,
        "apart": apart,
    }
    written = range(found.shape[0] if len(found.weights) <= MOST_WRITTEN else 0)
    return _More(
        _drawn(found),
        tuple(lines),
        {"rows": found.rows, "columns": found.columns, "entries": found.weights},
        {"matrix": facts},
        tuple(f"row {n}: {_row(found, n, found.shape[1])}" for n in written),
    )  # fmt: skip


def _row(found: Sparse, number: int, most: int) -> str:
    columns, weights = found.row(number)
    said = " ".join(f"{c}:{w:.6g}" for c, w in zip(columns[:most], weights[:most], strict=True))
    return said + (f" and {len(columns) - most:,} more" if len(columns) > most else "")


def _printed(values: Numbers) -> list[str]:
    cells = [[f"{v:.4g}" if v else "." for v in row] for row in values]
    wide = max(len(cell) for row in cells for cell in row)
    return ["  " + " ".join(cell.rjust(wide) for cell in row) for row in cells]


def _drawn(found: Sparse) -> tuple[Sheet, ...]:
    if max(found.shape) > MOST_DRAWN:
        return ()
    rows, columns = found.shape
    caption = f"{rows} x {columns}, red above zero, blue below, white zero"
    return (Sheet((Panel("", false_colours.signed(found.full())),), caption),)


def _as_one(question: Question, name: str) -> _More:
    """Dense layers with no activation between them as one, and its number against the network's."""
    names = dense_row(question.network, question.blank(), name)
    if len(names) < 2:
        return _NOTHING
    modules = [question.network.get_submodule(one) for one in names]
    layers = [module for module in modules if isinstance(module, nn.Linear)]
    passed = _passed(question, names)
    handed_on = all(np.array_equal(passed[a][1], passed[b][0]) for a, b in itertools.pairwise(names))
    if not handed_on or passed[names[0]][0].ndim != 1:  # an activation that is a function, and no module
        return _NOTHING
    weights, bias = as_one(layers)
    ours, theirs = weights @ passed[names[0]][0] + bias, passed[names[-1]][1]
    sizes = " ".join(f"({layer.weight.shape[0]} x {layer.weight.shape[1]})" for layer in reversed(layers))
    lines = [
        f"{', '.join(names)}, with nothing between them, are one layer: {sizes} = "
        f"{weights.shape[0]} x {weights.shape[1]}",
        f"the product times what came, and its biases: {len(ours)} numbers, apart from those of "
        f"{names[-1]} by {np.abs(ours - theirs).max():.1g} at most",
    ]
    if max(weights.shape) <= MOST_PRINTED:
        lines += _printed(weights)
    facts = {
        "one": {"layers": names, "shape": list(weights.shape), "apart": float(np.abs(ours - theirs).max())}
    }
    return _More((), tuple(lines), {"product": weights, "product biases": bias}, facts)


# --- a step of learning ------------------------------------------------------------------------------------


def _backward(question: Question, name: str, module: nn.Module) -> Answer:
    """One step of plain gradient descent on the cross-entropy of the first picture, for one weight."""
    given, back, gradient = _slopes(question, name, module)
    of_each = np.abs(back.reshape(len(back), -1)).sum(1)
    channel = int(of_each.argmax()) if question.channel is None else question.channel
    if channel >= len(back):
        raise UsageError(f"{name} has channels 0 to {len(back) - 1}; there is no channel {channel}")
    found = slope(module, given, back, channel, question.at)
    theirs, old = float(gradient[found.index]), float(numbers(module.weight)[found.index])
    strongest = np.argsort(-np.abs(found.back * found.saw), kind="stable")[:16]
    shown = zip(found.back[strongest], found.saw[strongest], strict=True)
    new = old - question.rate * found.result
    picture = question.pictures[0]
    lines = [
        f"{name}, the weight of {found.words}: {old:.9g}",
        f"the loss is the cross-entropy of {picture.name} for {question.named(picture.of)}; its slope is the "
        f"sum over places of what comes back times what the weight saw; the strongest of {found.back.size}:",
        *(f"  {back:.6g} * {saw:.6g} = {back * saw:.6g}" for back, saw in shown),
        f"= {found.result:.9g}; the network says {theirs:.9g}",
        f"one step at rate {question.rate:g}: {old:.9g} - {question.rate:g} * {found.result:.6g} = {new:.9g}",
    ]
    facts = {
        "layer": name, "channel": channel, "index": list(found.index), "gradient": found.result,
        "network": theirs, "scale": found.scale, "weight": old, "new": new,
    }  # fmt: skip
    return Answer(lines=tuple(lines), arrays={"back": found.back, "saw": found.saw}, facts=facts)


def _slopes(question: Question, name: str, module: nn.Module) -> tuple[Numbers, Numbers, Numbers]:
    """What `module` saw, the gradient that reached what it put out, and that of its weights."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, nn.Parameter):
        raise UsageError(f"{name} has no weights, so it learns nothing; give another --layer")
    learns = weight.requires_grad
    with torch.inference_mode(False), torch.enable_grad(), _watched(question, [name]) as seen:
        try:
            weight.requires_grad_(True)
            logits = question.network(question.x(0))
            if name not in seen:
                raise UsageError("this layer does not run when the network answers")
            target = torch.tensor([question.pictures[0].of], device=logits.device)
            given, made = seen[name]
            back, gradient = torch.autograd.grad(F.cross_entropy(logits, target), [made, weight])
        finally:
            weight.requires_grad_(learns)
    return numbers(given[0]), numbers(back[0]), numbers(gradient)
