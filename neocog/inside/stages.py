"""Which layer to explain at, where the user does not say: found by running the network and watching what
comes out of every module.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from neocog.arithmetic import rule
from neocog.errors import UsageError
from neocog.zoo.modes import evaluating

CONVOLUTIONS = ("conv", "transposed conv")


@dataclass(frozen=True, slots=True)
class Stage:
    """A module that ran: its `name` in `network.named_modules()`, its `kind` as `neocog summary` has it
    ('' of one that is made of others), the shape (channels, *sizes) of what it put out, and
    whether that is the very tensor that an earlier one had put out.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    passed_on: bool

    @property
    def has_maps(self) -> bool:
        """Whether places are told apart in what it puts out."""
        return len(self.shape) > 1 and max(self.shape[1:]) > 1


@dataclass(frozen=True, slots=True)
class Choice:
    """A layer, and the reason why it and no other."""

    name: str
    reason: str


@torch.no_grad()
def stages(network: nn.Module, x: Tensor) -> tuple[Stage, ...]:
    """The modules of `network` in the order in which they finish with the pictures `x`."""
    seen: list[Stage] = []
    made: dict[int, Tensor] = {}
    with contextlib.ExitStack() as undone:
        undone.enter_context(evaluating(network))
        for name, module in network.named_modules():
            if name:
                undone.callback(module.register_forward_hook(_watcher(seen, made, name)).remove)
        network(x)
    return tuple(seen)


def _watcher(seen: list[Stage], made: dict[int, Tensor], name: str) -> Callable[..., None]:
    def watch(module: nn.Module, inputs: object, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        known = rule(module)
        kind = known.kind if known is not None else "" if any(module.children()) else type(module).__name__
        seen.append(Stage(name, kind, tuple(output.shape[1:]), id(output) in made))
        made[id(output)] = output  # kept alive, so that its id stays its own

    return watch


def last_maps(network: nn.Module, x: Tensor) -> Choice:
    """The last maps that a convolution made and that still tell places apart, after the normalisation,
    activation, addition or concatenation that belongs to them: where Grad-CAM looks.

    `UsageError` for a network without such a layer.
    """
    ran = stages(network, x)
    last = next(
        (n for n in range(len(ran) - 1, -1, -1) if ran[n].kind in CONVOLUTIONS and ran[n].has_maps), None
    )
    if last is None:
        raise UsageError(
            "no convolution of this network puts out maps, so there is no layer to look at; "
            "saliency, integrated and occlusion need none"
        )
    sizes = ran[last].shape[1:]
    same = [stage for stage in ran[last:] if stage.shape[1:] == sizes and not stage.passed_on]
    return Choice(
        same[-1].name, f"the last {'x'.join(map(str, sizes))} maps before they shrink or are flattened"
    )


def first_convolution(network: nn.Module) -> Choice:
    """The first convolution among the modules: the one that looks at the picture itself."""
    for name, module in network.named_modules():
        known = rule(module)
        if known is not None and known.kind in CONVOLUTIONS:
            return Choice(name, "the first convolution, which looks at the picture itself")
    raise UsageError("this network has no convolution, so there are no filters to show; see --how weights")


def first_with_weights(network: nn.Module) -> Choice:
    """The first convolution; where there is none, the first dense layer."""
    dense = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if dense and not any(isinstance(module, _ConvNd) for module in network.modules()):
        return Choice(dense[0], "the first dense layer, as there is no convolution")
    return first_convolution(network)


def dense_row(network: nn.Module, x: Tensor, layer: str) -> list[str]:
    """The dense layers that run one right after the other, `layer` among them, with nothing between that
    changes a number in evaluation: each takes as many numbers as the one before puts out.
    """
    modules = dict(network.named_modules())
    row: list[str] = []
    for stage in stages(network, x):
        module = modules[stage.name]
        if any(module.children()) or isinstance(module, nn.Identity | nn.Dropout):
            continue
        follows = (
            row and isinstance(module, nn.Linear) and module.in_features == modules[row[-1]].out_features
        )
        if not follows:
            if layer in row:
                break
            row = []
        if isinstance(module, nn.Linear):
            row.append(stage.name)
    return row if layer in row else []
