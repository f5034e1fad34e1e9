"""A ghost: the copy of a network that runs on the meta device, where tensors have shapes and no memory."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from neocog.errors import ShapeError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class NotFollowed(ShapeError):
    """A network that may well run and that the walk cannot follow."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the network cannot be followed: {why}")


def ghost(network: nn.Module, *, training: bool = False) -> nn.Module:
    """A copy of `network` with empty tensors and without its hooks; the network itself is only read.

    In training mode, normalisations whose weights are frozen stay in evaluation. Raises ShapeError where a
    layer has no sizes yet.
    """
    memo: dict[int, Any] = {}
    for module in network.modules():
        for name in _HOOKS:
            memo[id(getattr(module, name))] = OrderedDict()
        for tensor in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(tensor, Tensor):
                memo[id(tensor)] = _empty(tensor, type(module).__name__)
    try:
        made = copy.deepcopy(network, memo)
    except Exception as error:  # whatever a stranger's module holds: a lock, a file, a generator
        raise NotFollowed(f"it cannot be copied ({error})") from error
    made.train(training)
    for module in made.modules():
        if frozen_norm(module):
            module.eval()
    return made


def _empty(tensor: Tensor, owner: str) -> Tensor:
    if is_lazy(tensor):
        raise ShapeError(f"a {owner} has no sizes yet: run the network once on a picture, then ask again")
    hollow = torch.empty_like(tensor, device="meta")
    return nn.Parameter(hollow, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else hollow


def frozen_norm(module: nn.Module) -> bool:
    """A batch normalisation whose weights are frozen: it uses its running statistics in training too."""
    weights = list(module.parameters(recurse=False))
    return isinstance(module, _BatchNorm) and bool(weights) and not any(p.requires_grad for p in weights)


def tensors_in(value: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return (
        [tensor for item in value for tensor in tensors_in(item)] if isinstance(value, (tuple, list)) else []
    )
