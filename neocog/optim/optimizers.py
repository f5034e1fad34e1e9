"""Optim, the recipe's part that says how weights move: Keras' numbers on torch's optimizers, and schedules as
a pure function.

Differs from Keras: RMSprop adds epsilon outside the root (Keras inside: sqrt(v + eps)), Adam adds it after
the bias correction. Everything else is the same formula.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

Kind = Literal["sgd", "momentum", "nesterov", "rmsprop", "adadelta", "adam", "adamw"]
Schedule = Literal["constant", "step", "exponential", "inverse-time", "cosine", "one-cycle"]

DEFAULT_LR = {
    "sgd": 0.01,
    "momentum": 0.01,
    "nesterov": 0.01,
    "rmsprop": 1e-3,
    "adadelta": 1.0,
    "adam": 1e-3,
    "adamw": 1e-3,
}
DEFAULT_RHO = {"rmsprop": 0.9, "adadelta": 0.95}
ONE_CYCLE_RISE = 0.3  # share of the training in which the rate rises; Smith & Topin 2018, as fastai sets it
ONE_CYCLE_START = 1 / 25


class Optim(BaseModel):
    """How weights move. `lr` None is Keras' default of the kind (`DEFAULT_LR`).

    `schedule` multiplies the rate: `step` by `factor` at each of the epochs in `drops`; `exponential` by
    `factor` per epoch; `inverse-time` by 1 / (1 + decay * step); `cosine` from 1 to 0; `one-cycle` up from
    1/25 and down to 0 (Smith & Topin 2018). `warmup` epochs of linear rise come first. `clip` bounds the norm
    of the whole gradient; 0 is off. `weight_decay` is added to the gradient (L2), except in adamw, where it
    shrinks the weights apart (Loshchilov & Hutter 2019); biases and normalisation are spared.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "adam"
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    rho: float | None = Field(default=None, ge=0, lt=1)
    eps: float = Field(default=1e-7, gt=0)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    clip: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    schedule: Schedule = "constant"
    factor: float = Field(default=0.1, gt=0, le=1)
    drops: tuple[float, ...] = ()
    decay: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.0, ge=0)

    @property
    def rate(self) -> float:
        return self.lr if self.lr is not None else DEFAULT_LR[self.kind]


def scheduled(optim: Optim, step: int, *, steps: int, per_epoch: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`, `per_epoch` of them an epoch. Pure: a resume
    needs no state.
    """
    rise = optim.warmup * per_epoch
    warm = min(1.0, (step + 1) / rise) if rise > 0 else 1.0
    epoch = step / per_epoch
    progress = min(max(step - rise, 0) / max(steps - rise, 1), 1.0)
    match optim.schedule:
        case "constant":
            share = 1.0
        case "step":
            share = optim.factor ** sum(epoch >= drop for drop in optim.drops)
        case "exponential":
            share = optim.factor**epoch
        case "inverse-time":
            share = 1 / (1 + optim.decay * step)
        case "cosine":
            share = (1 + math.cos(math.pi * progress)) / 2
        case "one-cycle":
            share = _one_cycle(progress)
    return optim.rate * warm * share


def _one_cycle(progress: float) -> float:
    if progress < ONE_CYCLE_RISE:
        return (
            ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - math.cos(math.pi * progress / ONE_CYCLE_RISE)) / 2
        )
    return (1 + math.cos(math.pi * (progress - ONE_CYCLE_RISE) / (1 - ONE_CYCLE_RISE))) / 2


class Optimizer:
    """torch's optimizer with what belongs to one step: unscale, clip, step, zero."""

    def __init__(self, optim: Optim, network: nn.Module) -> None:
        self.optim = optim
        with _compiler_left_out():
            self.inner = _make(optim, _groups(network, optim.weight_decay))
        self._update = inspect.unwrap(type(self.inner).step)

    def state_dict(self) -> dict[str, Any]:
        """torch's own, of the optimizer within."""
        with _compiler_left_out():
            return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with _compiler_left_out():
            self.inner.load_state_dict(state)

    def step(self, lr: float, scaler: torch.amp.GradScaler) -> None:
        """Move the weights by their gradients at rate `lr`, then drop the gradients."""
        for group in self.inner.param_groups:
            group["lr"] = lr
        if self.optim.clip:
            scaler.unscale_(self.inner)
            parameters = [p for group in self.inner.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.optim.clip)
        if scaler.is_enabled():
            scaler.step(self.inner)
            scaler.update()
        else:
            with torch.no_grad():
                self._update(self.inner)
        for group in self.inner.param_groups:
            for parameter in group["params"]:
                parameter.grad = None


@contextlib.contextmanager
def _compiler_left_out() -> Iterator[None]:
    """torch's optimizers import its compiler at their first use (2 s, 70 MiB), only to tell it to leave them
    alone.

    While this is open they find that already said. `step` is taken without its wrappers for the same reason;
    what they add (profiling, hooks, `differentiable`) is not used here.
    """
    methods = [getattr(method, "__wrapped__", None) for method in vars(torch.optim.Optimizer).values()]
    marked = [plain for plain in methods if plain is not None and not hasattr(plain, _MARK)]
    for plain in marked:
        setattr(plain, _MARK, plain)
    try:
        yield
    finally:
        for plain in marked:
            delattr(plain, _MARK)


_MARK = "__dynamo_disable"  # where torch keeps the marked twin of a method


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices and kernels decay; vectors (biases, normalisation) do not."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not weight_decay:
        return [{"params": parameters, "weight_decay": 0.0}]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


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
