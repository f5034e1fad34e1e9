"""Arithmetic on demand: one number of a layer, product by product; or one step of learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from neocog.errors import UsageError
from neocog.inside import by_hand
from neocog.inside.capture import capture
from neocog.inside.explain.answer import Answer
from neocog.inside.explain.question import Question
from neocog.inside.stages import first_convolution
from neocog.zoo.modes import evaluating

MOST_TERMS = 64
"""Products that are printed; `arrays` has all."""


def arithmetic(question: Question) -> Answer:
    """The number of `channel` at the place `at` (the middle without one) of a layer, for the first picture;
    with step 'backward' the gradient of one weight, its sum over places, and the weight after the step.
    """
    name = question.layer_or(lambda network, x: first_convolution(network)).name
    module = question.network.get_submodule(name)
    channel = question.channel or 0
    if question.step == "backward":
        return _backward(question, name, module, channel)
    given, made = _passed(question, module)
    at = question.at if question.at is not None else tuple(size // 2 for size in made.shape[1:])
    _within(name, made.shape, channel, at)
    found = by_hand.work(module, np.asarray(given.cpu(), dtype=np.float64), channel, at)
    theirs = float(made[(channel, *at)])
    place = ",".join(map(str, at))
    lines = [
        f"{name}, channel {channel}{f' at {place}' if at else ''}, for {question.pictures[0].name}:",
        *_terms(found),
        f"= {found.result:.9g}",
        f"the network says {theirs:.9g}: apart by {abs(theirs - found.result):.1g}, "
        f"{abs(theirs - found.result) / max(found.scale, 1e-300):.1g} of the sum of absolute products",
        *_as_matrix(module, tuple(given.shape)),
    ]
    arrays = {"values": found.values}
    if found.weights is not None:
        arrays |= {"weights": found.weights, "products": found.values * found.weights}
    facts = {
        "layer": name, "channel": channel, "at": list(at), "bias": found.bias, "result": found.result,
        "network": theirs, "scale": found.scale,
    }  # fmt: skip
    return Answer(lines=tuple(lines), arrays=arrays, facts=facts)


@torch.no_grad()
def _passed(question: Question, module: nn.Module) -> tuple[Tensor, Tensor]:
    """What went into `module`, and what came out, for the first picture: without the batch's axis."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        seen.append((given[0][0].clone(), made[0].clone()))

    hook = module.register_forward_hook(keep)
    try:
        with evaluating(question.network):
            question.network(question.x(0))
    finally:
        hook.remove()
    if not seen:
        raise UsageError("this layer does not run when the network answers")
    return seen[0]


def _within(name: str, shape: tuple[int, ...], channel: int, at: tuple[int, ...]) -> None:
    if channel >= shape[0]:
        raise UsageError(f"{name} has channels 0 to {shape[0] - 1}; there is no channel {channel}")
    if len(at) != len(shape) - 1 or any(a >= n for a, n in zip(at, shape[1:])):
        most = ",".join(str(n - 1) for n in shape[1:])
        raise UsageError(f"{name} has no place {','.join(map(str, at))}; its places go to {most or 'none'}")


def _terms(found: by_hand.Work) -> list[str]:
    values = found.values.ravel()
    lines = [found.words]
    if found.weights is None:
        lines.append("  " + ", ".join("padding" if np.isnan(v) else f"{v:.6g}" for v in values[:MOST_TERMS]))
    else:
        products = zip(values, found.weights.ravel())
        lines += [f"  {v:.6g} * {w:.6g} = {v * w:.6g}" for v, w in list(products)[:MOST_TERMS]]
        total = float((found.values * found.weights).sum())
        lines.append(f"  sum of products {total:.9g}, bias {found.bias:.9g}")
    if len(values) > MOST_TERMS:
        lines.insert(-1, f"  and {len(values) - MOST_TERMS:,} more")
    return lines


def _as_matrix(module: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """What the convolution is as a matrix, where that is small enough to write out (experiment S8)."""
    if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd):
        return []
    try:
        found = by_hand.matrix(module, shape)
    except UsageError:
        return []
    zeros = float((found == 0).mean())
    different = len(np.unique(found[found != 0]))
    return [
        f"as a matrix: {found.shape[0]:,} x {found.shape[1]:,}, {zeros:.1%} zeros, "
        f"{int((found != 0).sum()):,} weights of which {different:,} are different"
    ]


def _backward(question: Question, name: str, module: Any, channel: int) -> Answer:
    """One step of plain gradient descent on the cross-entropy of the first picture: one weight of the layer,
    that of input channel 0 at the kernel's place `at` (the middle without one).
    """
    if not isinstance(module, _ConvNd) or isinstance(module, _ConvTransposeNd) or module.groups != 1:
        raise UsageError(f"a step of learning is worked out for plain convolutions; {name} is none")
    weight = module.weight
    tap = question.at if question.at is not None else tuple(k // 2 for k in module.kernel_size)
    _within(f"the kernel of {name}", (weight.shape[0], *weight.shape[2:]), channel, tap)
    given, delta, slope = _slopes(question, name, module)
    terms = []
    for place in np.ndindex(*delta.shape[1:]):
        pixel = [
            by_hand.window(module, size, n, axis)[tap[axis]]
            for axis, (size, n) in enumerate(zip(given.shape[1:], place, strict=True))
        ]
        value = 0.0 if None in pixel else float(given[(0, *pixel)])
        terms.append((float(delta[(channel, *place)]), value))
    gradient = float(sum(d * v for d, v in terms))
    theirs, old = float(slope[(channel, 0, *tap)]), float(weight.detach()[(channel, 0, *tap)])
    scale = float(sum(abs(d * v) for d, v in terms))
    shown = sorted(terms, key=lambda term: -abs(term[0] * term[1]))[:16]
    lines = [
        f"{name}, the weight of channel {channel}, input channel 0, at {','.join(map(str, tap))}: {old:.9g}",
        f"its gradient is the sum over {len(terms)} places of what comes back times what it saw:",
        *(f"  {d:.6g} * {v:.6g} = {d * v:.6g}" for d, v in shown),
        f"= {gradient:.9g}; the network says {theirs:.9g}",
        f"one step at rate {question.rate:g}: {old:.9g} - {question.rate:g} * {gradient:.6g} = "
        f"{old - question.rate * gradient:.9g}",
    ]
    facts = {
        "layer": name, "channel": channel, "at": list(tap), "gradient": gradient, "network": theirs,
        "scale": scale, "weight": old, "new": old - question.rate * gradient,
    }  # fmt: skip
    return Answer(lines=tuple(lines), arrays={"terms": np.array(terms)}, facts=facts)


def _slopes(question: Question, name: str, module: Any) -> tuple[Tensor, Tensor, Tensor]:
    """What `module` saw, the gradient that reached what it put out, and that of its weights."""
    learns = module.weight.requires_grad
    with torch.inference_mode(False), torch.enable_grad(), evaluating(question.network):
        try:
            module.weight.requires_grad_(True)
            seen: list[Tensor] = []
            hook = module.register_forward_hook(lambda _, given, made: seen.append(given[0].detach().clone()))
            try:
                with capture(question.network, [name]) as found:
                    logits = question.network(question.x(0))
            finally:
                hook.remove()
            target = torch.tensor([question.pictures[0].of], device=logits.device)
            loss = F.cross_entropy(logits, target)
            delta, slope = torch.autograd.grad(loss, [found[name], module.weight])
        finally:
            module.weight.requires_grad_(learns)
    return seen[0][0], delta[0], slope
