"""Groups of parameters: which of them decay, and at which rate each stage of a network learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from neocog.errors import UsageError, unknown
from neocog.optim.settings import Optim
from neocog.zoo.blocks import Network

PARTS = ("features.", "head.", "aux.")
"""Left out of a stage's name where that is clear without: `conv1` for `features.conv1`."""


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters with the same decay and the same `factor` before the learning rate."""

    parameters: list[nn.Parameter]
    weight_decay: float
    factor: float


def grouped(network: nn.Module, optim: Optim) -> list[Group]:
    """The parameters of `network` that learn, each in one group, in the order of the network within it.

    Matrices and kernels decay; vectors (biases, normalisation) do not. Without `rates` there is one group, or
    two where something decays. `UsageError` for a name in `rates` that the network has not.
    """
    factors = _factors(network, optim)
    learning = {name: p for name, p in network.named_parameters() if p.requires_grad}
    made = []
    for factor in dict.fromkeys(factors[name] for name in learning) or [1.0]:
        mine = [p for name, p in learning.items() if factors[name] == factor]
        if not optim.weight_decay:
            made.append(Group(mine, 0.0, factor))
            continue
        made.append(Group([p for p in mine if p.ndim > 1], optim.weight_decay, factor))
        made.append(Group([p for p in mine if p.ndim <= 1], 0.0, factor))
    return made


def _factors(network: nn.Module, optim: Optim) -> dict[str, float]:
    """The factor of every parameter, by its full name."""
    names = [name for name, _ in network.named_parameters()]
    if optim.rates is None:
        return dict.fromkeys(names, 1.0)
    if isinstance(optim.rates, float):
        return _by_longest(names, _falling(network, optim.rates))
    modules = [name for name, module in network.named_modules() if name and _has_weights(module)]
    return _by_longest(names, {_full(stage, modules): factor for stage, factor in optim.rates.items()})


def _by_longest(names: list[str], factors: Mapping[str, float]) -> dict[str, float]:
    """Each of `names` with the factor of the longest module name that it begins with; 1 where none fits."""
    longest = sorted(factors, key=len, reverse=True)
    return {
        name: next((factors[stage] for stage in longest if name.startswith(f"{stage}.")), 1.0)
        for name in names
    }


def _falling(network: nn.Module, factor: float) -> dict[str, float]:
    """The stages with parameters, each `factor` times as fast as the one after it; the last at `factor`."""
    if not isinstance(network, Network):
        raise UsageError('a falling rate needs a network in stages; give factors by name: {"0": 0.1}')
    stages = [n for n, m in network.features.named_children() if _has_weights(m)]
    return {f"features.{stage}": factor**place for place, stage in enumerate(reversed(stages), start=1)}


def _full(stage: str, modules: list[str]) -> str:
    """The module's full name for a stage's; `features.` and the like may be left out."""
    for candidate in (stage, *(part + stage for part in PARTS)):
        if candidate in modules:
            return candidate
    accepted = [name for name in modules if name.count(".") < 2]
    for part in PARTS:
        accepted = [name.removeprefix(part) for name in accepted]
    raise unknown("stage in optim.rates", stage, accepted)


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None
