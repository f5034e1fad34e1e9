"""Following a network: the walk over tensors without memory, and over real ones where only values can say."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import nn

from neocog.arithmetic.ghost import NotFollowed, ghost
from neocog.arithmetic.record import Walk
from neocog.arithmetic.rules import rule
from neocog.arithmetic.sliding_window import Shape
from neocog.arithmetic.walker import Script, Walker
from neocog.errors import ShapeError

REAL = "its forward looks at values: it ran once for real, on zeros"


MOST = 2**40
"""Numbers of an input."""


def require_input(shape: Shape) -> None:
    """Refuse an input (C, *sizes) that cannot be, or that no machine holds, with a `ShapeError`."""
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ShapeError(
            f"an input of {tuple(shape)} cannot be: sizes are whole numbers from 1, channels first"
        )
    if math.prod(shape) > MOST:
        raise ShapeError(
            f"an input of {tuple(shape)} cannot be: no machine holds so many numbers; at most {MOST:,}"
        )


def walk(
    network: nn.Module,
    shape: Shape,
    *,
    training: bool = False,
    batch: int = 1,
    real: Literal["where needed", "never"] = "where needed",
) -> Walk:
    """Run `network` for `batch` inputs `(C, *sizes)` and write down every leaf layer.

    A copy with empty tensors runs, without its hooks, in evaluation mode or, with `training`, in training
    mode (normalisations whose weights are frozen stay in evaluation). A network that such a copy says nothing
    about (its forward looks at values, it is TorchScript or cannot be copied) runs itself, in evaluation,
    within bounds of time and memory, and is left as it was. Raises Impossible (a ShapeError) where a layer
    cannot take its input, or where tensors of unlike sizes meet; NotFollowed (a ShapeError) where neither run
    tells.
    """
    require_input(shape)
    with _unwrapped(network) as plain:
        try:
            if any(isinstance(module, Script) for module in plain.modules()):
                raise NotFollowed("it is TorchScript")
            return Walker(ghost(plain, training=training), tuple(shape), batch).run()
        except NotFollowed:
            if real == "never":
                raise
        return _computed(plain, tuple(shape), batch)


def output_shape(module: nn.Module, shape: Shape) -> Shape:
    """The shape that `module` makes of an input `(C, *sizes)`; both without the batch axis.

    A module without a rule, a container among them, is walked. Raises ShapeError where it cannot be.
    """
    known = rule(module)
    return known.size(module, tuple(shape)) if known is not None else walk(module, shape).output


def _computed(network: nn.Module, shape: Shape, batch: int) -> Walk:
    """The walk of a network that computes."""
    held = [value for module in network.modules() for value in vars(module).values()]
    if any(isinstance(value, types.GeneratorType) for value in held):
        raise NotFollowed("it holds a generator of Python, which a run would use up")
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        raise NotFollowed("it looks at values, and its weights have none")
    with _left_alone(network):
        network.eval()
        found = Walker(network, shape, batch, real=True).run()
    return replace(found, remarks=(*found.remarks, REAL))


@contextmanager
def _unwrapped(network: nn.Module) -> Iterator[nn.Module]:
    """The network without the wrappers of `torch.compile`, its TorchScript in `Script`; then as it was."""
    swapped: list[tuple[dict[str, Any], str, nn.Module]] = []
    try:
        for parent in [
            module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule)
        ]:
            for name, child in parent.named_children():
                if _plain(child) is not child:
                    swapped.append((parent._modules, name, child))
                    parent._modules[name] = _plain(child)
        yield _plain(network)
    finally:
        for children, name, child in swapped:
            children[name] = child


def _plain(module: nn.Module) -> nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        return Script(module)
    inner = module._modules.get("_orig_mod") if type(module).__name__ == "OptimizedModule" else None
    return _plain(inner) if inner is not None else module


@contextmanager
def _left_alone(network: nn.Module) -> Iterator[None]:
    """Modes, buffers, attributes and generators of random numbers are afterwards what they were."""
    modules = [module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule)]
    modes = [(module, module.training) for module in network.modules()]
    attributes = [(vars(module), dict(vars(module))) for module in modules]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    held = [value for kept, _ in attributes for value in kept.values() if isinstance(value, torch.Generator)]
    states = [(generator, generator.get_state()) for generator in held]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for now, before in attributes:
            now.clear()
            now.update(before)
        for module, mode in modes:
            module.training = mode
        for generator, state in states:
            generator.set_state(state)
        with torch.no_grad():
            for buffer, before_run in buffers:
                buffer.copy_(before_run)
