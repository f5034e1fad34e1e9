"""Activations by name: hooks that always come off."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor, nn

from neocog.arithmetic import Shape, walk
from neocog.errors import UsageError, unknown


@contextlib.contextmanager
def capture(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dictionary that holds, after each forward pass, the output (N, ...) of every module in `names`.

    Names are those of `network.named_modules()`. The hooks are removed when the block ends, however it ends.
    `UsageError` for a name that the network has not.
    """
    modules = dict(network.named_modules())
    for name in names:
        if name not in modules or not name:
            raise unknown("layer", name, (n for n in modules if n))
    found: dict[str, Tensor] = {}
    with contextlib.ExitStack() as hooks:
        for name in names:
            hooks.callback(modules[name].register_forward_hook(_keeper(found, name)).remove)
        yield found


def _keeper(found: dict[str, Tensor], name: str):  # type: ignore[no-untyped-def]  # torch types hooks loosely
    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        found[name] = output

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
