"""Products: the multiply-accumulates of whatever no rule knows (attention, recurrent layers, `matmul`, a
layer's own `forward`), counted where torch comes down to matrix products; and the bound within which a
network runs.
"""

from __future__ import annotations

import time
from math import prod
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from neocog.arithmetic.ghost import NotFollowed, tensors_in

SECONDS = 20.0
"""How long a network may run that is run for real."""

LARGEST = 2**29
"""Numbers in one tensor of a network that is run for real: 2 GiB."""

_DIVIDED = {"mm": 1, "bmm": 1, "addmm": 2, "baddbmm": 2, "mv": 1, "dot": 1, "_int_mm": 1}
"""By torch's name of a matrix product: the place of the operand whose first axis is summed over."""


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__
    """Counts the multiply-accumulates of everything that runs under it.

    With `bounded`, a run that takes longer than SECONDS, or makes a tensor of more than LARGEST numbers, ends
    in NotFollowed.
    """

    def __init__(self, *, bounded: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0
        self._until = time.monotonic() + SECONDS if bounded else None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.macs += _macs(func.overloadpacket.__name__, args, made)
        if self._until is not None:
            if time.monotonic() > self._until:
                raise NotFollowed(f"it runs for more than {SECONDS:g} seconds on this processor")
            if any(x.numel() > LARGEST for x in tensors_in(made)):
                raise NotFollowed(f"it makes a tensor of more than {LARGEST * 4 // 2**30} GiB")
        return made


def _macs(name: str, args: tuple[Any, ...], made: Any) -> int:
    """Multiply-accumulates of one of torch's basic operations; 0 where it multiplies no matrices."""
    if name in _DIVIDED and isinstance(made, Tensor):
        return int(made.numel() * args[_DIVIDED[name]].shape[-2 if args[_DIVIDED[name]].ndim > 1 else 0])
    if name in _CONVOLUTIONS:
        x, weight = args[:2]
        transposed = name == "convolution" and args[6]
        # A weight is (out, in / groups, *kernel), transposed (in, out / groups, *kernel): each number of the
        # side named first meets all that follows.
        return int((x if transposed else made).numel() * prod(weight.shape[1:]))
    if name == "mkldnn_rnn_layer":  # (length, N, width) through the weights of a recurrent layer
        return int(prod(args[0].shape[:-1]) * (args[1].numel() + args[2].numel()))
    return _attended(*args[:3]) if name.startswith("_scaled_dot_product") else 0


_CONVOLUTIONS = {"convolution", "_convolution", "mkldnn_convolution"}


def _attended(query: Tensor, key: Tensor, value: Tensor) -> int:
    """Scaled dot-product attention in one operation: queries times keys, then weights times values."""
    return (
        query.numel() * key.shape[-2] + query.numel() // query.shape[-1] * value.shape[-2] * value.shape[-1]
    )
