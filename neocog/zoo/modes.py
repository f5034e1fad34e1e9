"""Modes, module by module: frozen stages, evaluation that leaves no trace, training of all but what is
frozen.

`network.train()` sets every module alike, so that a frozen normalisation would go on counting: its statistics
drift with each batch while its weights stand still. Here a part is frozen when it has parameters and none of
them learns.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

from neocog.zoo.blocks import Network


def freeze(network: Network, *, until: str) -> None:
    """Let no parameter of the stages up to and including `until` learn, in place, and put them into
    evaluation; all others learn as they did.

    `until` is a name that `Network.until` takes. Auxiliary heads on a frozen stage still learn.
    """
    beginning = network.until(until)
    beginning.requires_grad_(False)
    training_mode(network)


def learning(network: Network, *, after: str | None) -> None:
    """Let the stages after `after` learn and nothing before, in place; with None all learn. Modes follow."""
    network.requires_grad_(True)
    if after is None:
        training_mode(network)
    else:
        freeze(network, until=after)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for the block; afterwards, however it ends, every module has the mode that it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def training_mode(network: nn.Module) -> None:
    """Put `network` into training, in place, but for its frozen parts: they stay in evaluation.

    Dropout and other modules without parameters are frozen with the part that they are in, and where they
    stand in a Sequential before its last frozen member and after nothing that learns.
    """
    network.train()
    for module in network.modules():
        if _is_frozen(module):
            module.eval()
        elif isinstance(module, nn.Sequential):
            for member in _frozen_beginning(module):
                member.eval()


def _is_frozen(module: nn.Module) -> bool:
    learns = [parameter.requires_grad for parameter in module.parameters()]
    return bool(learns) and not any(learns)


def _frozen_beginning(line: nn.Sequential) -> list[nn.Module]:
    """The members up to the last frozen one before the first that learns."""
    members = list(line)
    first = next((i for i, m in enumerate(members) if any(p.requires_grad for p in m.parameters())), None)
    frozen = [i for i, member in enumerate(members[:first]) if _is_frozen(member)]
    return members[: frozen[-1] + 1] if frozen else []
