"""Other rules for the way back through ReLU, for as long as a block lasts.

The rules are put where the functions are called, not on the modules: they hold for `nn.ReLU` (in place, used
twice) and for `F.relu` within a `forward` alike, and there is nothing on the network that could stay behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from neocog.errors import unknown

Rule = Literal["guided", "deconvnet"]

_RELU = {F.relu, torch.relu, Tensor.relu}
_IN_PLACE = {torch.relu_, Tensor.relu_}


@dataclass(slots=True)
class Replaced:
    """How many ReLUs ran under the rule so far."""

    count: int = 0


@contextlib.contextmanager
def relu_rule(rule: Rule) -> Iterator[Replaced]:
    """Within the block every ReLU and ReLU6 computes what it did, and hands back of the gradient g that
    reaches it (x being its input):

    guided     g where g > 0 and x lets values pass (Springenberg et al. 2015, figure 1)
    deconvnet  g where g > 0, whatever x was (Zeiler and Fergus 2014, section 2.1: ReLU on the way back)
    """
    if rule not in ("guided", "deconvnet"):
        raise unknown("rule for ReLU", rule, ("guided", "deconvnet"))
    replaced = Replaced()
    with _Rules(rule, replaced):
        yield replaced


class _Rules(TorchFunctionMode):
    def __init__(self, rule: Rule, replaced: Replaced) -> None:
        super().__init__()
        self.rule, self.replaced = rule, replaced

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        call = _as_relu(func, args, kwargs or {})
        if call is None:
            return func(*args, **(kwargs or {}))
        self.replaced.count += 1
        x = call.x.clone() if call.in_place else call.x
        made = _Relu.apply(x, call.top, self.rule)  # type: ignore[no-untyped-call]
        return call.x.copy_(made) if call.in_place else made


@dataclass(frozen=True, slots=True)
class _Call:
    """min(max(x, 0), top), asked for."""

    x: Tensor
    top: float
    in_place: bool


def _as_relu(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call | None:
    """A call of one of torch's functions as one of a ReLU, if it is one. nn.ReLU6 calls `F.hardtanh`."""
    if func in _IN_PLACE:
        return _Call(args[0], float("inf"), True)
    if func in (F.hardtanh, F.hardtanh_):
        given = {"min_val": -1.0, "max_val": 1.0, "inplace": func is F.hardtanh_, **kwargs}
        given.update(zip(("input", "min_val", "max_val", "inplace"), args))
        top = float(given["max_val"])
        return _Call(given["input"], top, bool(given["inplace"])) if given["min_val"] == 0 < top else None
    if func in _RELU or func is F.relu6:
        given = {"inplace": False, **kwargs, **dict(zip(("input", "inplace"), args))}
        return _Call(given["input"], 6.0 if func is F.relu6 else float("inf"), bool(given["inplace"]))
    return None


class _Relu(torch.autograd.Function):
    """min(max(x, 0), top), with the rule on its way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: float, rule: Rule) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward((x > 0) & (x < top))
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient by the rule; None for the two settings."""
        (passes,) = ctx.saved_tensors
        kept = gradients[0].clamp(min=0)
        return (kept * passes if ctx.rule == "guided" else kept), None, None
