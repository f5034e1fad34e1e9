"""The optimizer of a training: Keras' numbers on torch's optimizers, at a rate for each group of parameters.

Differs from Keras: RMSprop adds epsilon outside the root (Keras inside: sqrt(v + eps)), Adam adds it after
the bias correction. Everything else is the same formula.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from neocog.errors import UsageError
from neocog.optim.groups import grouped
from neocog.optim.settings import DEFAULT_RHO, Optim
from neocog.optim.uncompiled import compiler_left_out, moved


class Optimizer:
    """torch's optimizer with what belongs to one step: unscale, clip, step, zero.

    It has the parameters that learn and no others; `UsageError` where there are none, or where `rates` names
    a stage that `network` has not.
    """

    def __init__(self, optim: Optim, network: nn.Module) -> None:
        self.optim = optim
        groups = grouped(network, optim)
        if not any(group.parameters for group in groups):
            raise UsageError("every parameter is frozen, so that nothing can learn; freeze fewer stages")
        self.factors = [group.factor for group in groups]
        with compiler_left_out():
            self.inner = _make(
                optim, ({"params": g.parameters, "weight_decay": g.weight_decay} for g in groups)
            )

    def state_dict(self) -> dict[str, Any]:
        """torch's own, of the optimizer within."""
        with compiler_left_out():
            return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with compiler_left_out():
            self.inner.load_state_dict(state)

    def step(self, lr: float, scaler: torch.amp.GradScaler) -> None:
        """Move the weights by their gradients at rate `lr` times their group's factor, then drop the
        gradients.
        """
        for group, factor in zip(self.inner.param_groups, self.factors, strict=True):
            group["lr"] = lr * factor
        if self.optim.clip:
            scaler.unscale_(self.inner)
            parameters = [p for group in self.inner.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.optim.clip)
        if scaler.is_enabled():
            scaler.step(self.inner)
            scaler.update()
        else:
            moved(self.inner)
        for group in self.inner.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


def _make(optim: Optim, groups: Iterable[dict[str, object]]) -> torch.optim.Optimizer:
    groups = list(groups)
    rho = optim.rho if optim.rho is not None else DEFAULT_RHO.get(optim.kind, 0.9)
    match optim.kind:
        case "sgd":
            return torch.optim.SGD(groups, optim.rate, foreach=True)
        case "momentum":
            return torch.optim.SGD(groups, optim.rate, momentum=optim.momentum, foreach=True)
        case "nesterov":
            return torch.optim.SGD(groups, optim.rate, momentum=optim.momentum, nesterov=True, foreach=True)
        case "rmsprop":
            return torch.optim.RMSprop(groups, optim.rate, alpha=rho, eps=optim.eps, foreach=True)
        case "adadelta":
            return torch.optim.Adadelta(groups, optim.rate, rho=rho, eps=optim.eps, foreach=True)
        case "adam":
            return torch.optim.Adam(groups, optim.rate, eps=optim.eps, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, optim.rate, eps=optim.eps, fused=True)
