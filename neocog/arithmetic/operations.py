"""The shapes that tensor operations between layers make: sums, joins, means and elementwise functions.

The walk asks here first and lets torch's meta device answer for everything else. torch would be right about
these too, but its first sum or ReLU on the meta device loads its compiler, which takes seconds.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_BROADCAST = {
    "add", "__add__", "__radd__", "sub", "__sub__", "__rsub__", "rsub",
    "mul", "__mul__", "__rmul__", "div", "__truediv__",
    "add_", "__iadd__", "sub_", "__isub__", "mul_", "__imul__", "div_", "__itruediv__",
}  # fmt: skip
_IN_PLACE = {
    name for name in _BROADCAST if name.startswith("__i") or (not name.startswith("_") and name.endswith("_"))
}
_KEEP = {
    "relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh",
    "softmax", "log_softmax", "dropout", "sqrt", "square", "clamp", "exp", "abs",
}  # fmt: skip
_REDUCE = {"mean", "sum", "amax"}


def result(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """An empty tensor like the one that the operation makes; None where torch must say."""
    shape = None
    if name in _BROADCAST and len(args) == 2 and not kwargs:
        shape = _broadcast(*args)
        if name in _IN_PLACE and shape != tuple(args[0].shape):
            return None
    elif name in _KEEP and args and isinstance(args[0], Tensor) and not kwargs.get("inplace"):
        shape = tuple(args[0].shape)
    elif name in {"cat", "concat"} and args:
        shape = _joined(args[0], args[1] if len(args) > 1 else kwargs.get("dim", 0))
    elif name in _REDUCE and args and isinstance(args[0], Tensor):
        shape = _reduced(args[0], args[1] if len(args) > 1 else kwargs.get("dim"), args[2:], kwargs)
    return None if shape is None else torch.empty(shape, device="meta")


def _broadcast(left: Any, right: Any) -> tuple[int, ...]:
    """Sizes aligned at the right, a 1 stretching to whatever stands opposite."""
    sizes = [tuple(x.shape) if isinstance(x, Tensor) else () for x in (left, right)]
    rank = max(len(size) for size in sizes)
    aligned = [(1,) * (rank - len(size)) + size for size in sizes]
    for axis, (a, b) in reversed(list(enumerate(zip(*aligned, strict=True)))):
        if a != b and 1 not in (a, b):
            raise RuntimeError(  # torch's own words, which people search for; its meta device has others
                f"The size of tensor a ({a}) must match the size of tensor b ({b}) "
                f"at non-singleton dimension {axis}"
            )
    return tuple(b if a == 1 else a for a, b in zip(*aligned, strict=True))


def _joined(parts: Any, axis: Any) -> tuple[int, ...] | None:
    if not isinstance(parts, (tuple, list)) or not parts or not isinstance(axis, int):
        return None
    sizes = [list(part.shape) for part in parts]
    rank = len(sizes[0])
    if not -rank <= axis < rank or any(len(size) != rank for size in sizes):
        return None
    total = sum(size[axis] for size in sizes)
    for size in sizes:
        size[axis] = total
    return tuple(sizes[0]) if all(size == sizes[0] for size in sizes) else None


def _reduced(x: Tensor, axes: Any, more: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, ...] | None:
    axes = (axes,) if isinstance(axes, int) else axes
    if not isinstance(axes, (tuple, list)) or not set(kwargs) <= {"dim", "keepdim"} or len(more) > 1:
        return None
    if any(not -x.ndim <= axis < x.ndim for axis in axes):
        return None
    gone, keep = {axis % x.ndim for axis in axes}, bool(more[0] if more else kwargs.get("keepdim", False))
    return tuple(1 if axis in gone else n for axis, n in enumerate(x.shape) if keep or axis not in gone)
