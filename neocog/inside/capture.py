"""Activations by name, and the gradients that reach them: hooks that always come off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from neocog.arithmetic import Shape, walk
from neocog.errors import UsageError, unknown
from neocog.zoo.modes import evaluating


@contextlib.contextmanager
def capture(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dictionary that holds, after each forward pass, the output (N, ...) of every module in `names`.

    Names are those of `network.named_modules()`. The hooks are removed when the block ends, however it ends.
    `UsageError` for a name that the network has not.
    """
    modules = _named(network, names)
    found = Outputs()
    overwritten = _overwrites(network)
    with contextlib.ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(_keeper(found, name, overwritten)).remove)
        yield found


class Outputs(dict[str, Tensor]):
    """Outputs by name; `UsageError` for a layer that the network has, and does not use."""

    def __missing__(self, name: str) -> Tensor:
        raise UsageError(f"{name} does not run when the network answers; give another layer")


@dataclass(frozen=True, slots=True)
class Captured:
    """By name: the `maps` (N, ...) of the last forward pass, and the `gradients`, of the same shape, of what
    was last called `backward` upon. Of a layer that a pass uses several times both are those of its last use.
    """

    maps: Outputs = field(default_factory=Outputs)
    gradients: dict[str, Tensor] = field(default_factory=dict)


@contextlib.contextmanager
def capture_gradients(network: nn.Module, names: Sequence[str]) -> Iterator[Captured]:
    """Yield what fills with the outputs of the modules in `names` and, once `backward` is called on a number
    made of the network's answer, with its gradients with respect to them.

        with capture_gradients(network, ["features.conv5_3"]) as seen:
            network(x)[:, 285].sum().backward()
        weights = seen.gradients["features.conv5_3"].mean((2, 3))

    Within the block the network is in evaluation and no parameter takes part in the gradients, so none is
    touched; gradients are on, whatever is set outside. When the block ends, however it ends, hooks are off
    and the mode of every module and `requires_grad` of every parameter are as they were. `UsageError` for a
    name that the network has not.
    """
    modules = _named(network, names)
    seen = Captured()
    overwritten = _overwrites(network)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with contextlib.ExitStack() as undone:
        undone.enter_context(torch.inference_mode(False))
        undone.enter_context(torch.enable_grad())
        undone.enter_context(evaluating(network))
        for parameter in learning:
            undone.callback(parameter.requires_grad_, True)
            parameter.requires_grad_(False)
        for name, module in modules.items():
            undone.callback(module.register_forward_hook(_keeper_of_both(seen, name, overwritten)).remove)
        yield seen


def _named(network: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    modules = dict(network.named_modules())
    for name in names:
        if name not in modules or not name:
            raise unknown("layer", name, (n for n in modules if n))
    return {name: modules[name] for name in names}


def _overwrites(network: nn.Module) -> bool:
    """Whether something may write over what a layer put out: a ReLU in place, or other people's `forward`,
    which may call one.
    """
    ours = ("torch.nn.", "neocog.")
    return any(
        getattr(module, "inplace", False) or not type(module).__module__.startswith(ours)
        for module in network.modules()
    )


def _keeper(found: dict[str, Tensor], name: str, overwritten: bool):  # type: ignore[no-untyped-def]  # torch types hooks loosely
    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
        found[name] = output
        return output.clone() if overwritten else None

    return keep


def _keeper_of_both(seen: Captured, name: str, overwritten: bool):  # type: ignore[no-untyped-def]  # torch types hooks loosely
    last = 0

    def keep(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        """Keep the output, and its gradient once that is known."""
        nonlocal last
        last += 1
        own = last

        def receive(gradient: Tensor) -> None:
            if own == last:  # a layer that runs twice hears of its first output too, and last
                seen.gradients[name] = gradient

        if not output.requires_grad:  # a view: the output may be the input itself, which is the caller's
            output = output.view_as(output).requires_grad_()
        seen.maps[name] = output
        seen.gradients.pop(name, None)
        output.register_hook(receive)  # type: ignore[no-untyped-call]
        return output.clone() if overwritten else output

    return keep


def layer_named(network: nn.Module, layer: str, *, shape: Shape, aliases: Mapping[str, str]) -> str:
    """The full name of a module for what a user calls it.

    `layer` is a full name (features.conv1.relu), that name without `features.` or `head.`, a name of Keras
    (block4_pool, by `aliases`), or the number that `neocog summary` gives it for an input of `shape`.
    """
    modules = [name for name, _ in network.named_modules() if name]
    if layer.lstrip("-").isdecimal():
        rows = walk(network, shape).layers
        if not 0 <= int(layer) < len(rows):
            raise UsageError(f"there is no layer {layer}; neocog summary numbers them 0 to {len(rows) - 1}")
        return rows[int(layer)].name
    wanted = aliases.get(layer, layer)
    for candidate in (wanted, f"features.{wanted}", f"head.{wanted}"):
        if candidate in modules:
            return candidate
    short = [name.removeprefix("features.").removeprefix("head.") for name in modules]
    raise unknown("layer", layer, [*(s for s in short if "." not in s), *aliases])
