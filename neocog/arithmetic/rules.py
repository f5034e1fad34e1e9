"""The rules of size: what each kind of leaf module makes of an input, one rule per kind, for one, two and
three dimensions.

torch's own layers stand in the table `RULES`. Another leaf without weights may tell its rule itself, by a
method `output_size(sizes) -> sizes`; one that does not has no rule. A rule takes (module, shape) and returns
the shape, both (C, *sizes) without the batch axis, or raises Refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn
from torch.nn.modules import activation, padding
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import (
    _AdaptiveAvgPoolNd,
    _AdaptiveMaxPoolNd,
    _AvgPoolNd,
    _LPPoolNd,
    _MaxPoolNd,
)

from neocog.arithmetic import keeping
from neocog.arithmetic.needs import need, need_axes, need_channels, need_pixels
from neocog.arithmetic.sliding_window import Shape, dimensions, per_axis, times, window, written

# --- windows -----------------------------------------------------------------------------------------------


def _slide(module: nn.Module, shape: Shape) -> tuple[int, ...]:
    """The sizes after the sliding window of `module`, or the refusal with its arithmetic."""
    frame = window(module)
    assert frame is not None
    sizes = tuple(frame.positions(n, axis) for axis, n in enumerate(shape[1:]))
    for axis, (n, size) in enumerate(zip(shape[1:], sizes, strict=True)):
        least = n
        while frame.positions(least, axis) < 1:
            least += 1
        need(
            size >= 1,
            f"its input is {written(shape)}, and its {times(frame.kernel)} window needs at least {least} "
            f"where there are {n} (negative dimension size: "
            "kernel size can't be greater than actual input size)",
            f"needs at least {least}",
            frame.formula(n, axis),
            excess=n - least,
        )
    return sizes


def _conv(module: Any, shape: Shape) -> Shape:
    need_axes(module, shape)
    need_channels(shape, module.in_channels)
    frame = window(module)
    assert frame is not None
    for n, pad in zip(shape[1:], frame.after, strict=True):
        if module.padding_mode == "reflect":
            need_pixels(shape, n, pad, pad + 1, "mirrored")
        elif module.padding_mode == "circular":
            need_pixels(shape, n, pad, pad, "wrapped")
    return (module.out_channels, *_slide(module, shape))


def _transposed(module: Any, shape: Shape) -> Shape:
    need_axes(module, shape)
    need_channels(shape, module.in_channels)
    sizes = []
    for axis, n in enumerate(shape[1:]):
        k, s, p = module.kernel_size[axis], module.stride[axis], module.padding[axis]
        d, extra = module.dilation[axis], module.output_padding[axis]
        problem = f"its output padding {extra} must be smaller than its stride {s} or its dilation {d}"
        need(extra < max(s, d), problem, "needs less output padding")
        size = (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        formula = (
            f"(n - 1)s - 2p + d(k-1) + o + 1 = ({n} - 1)*{s} - {2 * p} + {d * (k - 1)} + {extra} + 1 = {size}"
        )
        problem = f"its input is {written(shape)}, its padding {p} leaves nothing (negative dimension size)"
        need(size >= 1, problem, "needs more", formula)
        sizes.append(size)
    return (module.out_channels, *sizes)


def _pool(module: nn.Module, shape: Shape) -> Shape:
    need_axes(module, shape)
    frame = window(module)
    assert frame is not None
    given = f"its input is {written(shape)}"
    for n, pad, kernel in zip(shape[1:], frame.before, frame.kernel, strict=True):
        problem = f"its padding {pad} should be at most half of its kernel size {kernel}"
        need(2 * pad <= kernel, problem, f"needs a padding of {kernel // 2} or less")
        if isinstance(module, nn.AvgPool3d | nn.LPPool3d):  # torch's own condition, in three dimensions alone
            need(
                n >= kernel,
                f"{given}: input image smaller than kernel size {kernel}",
                f"needs at least {kernel}",
            )
    return (shape[0], *_slide(module, shape))


def _adaptive(module: Any, shape: Shape) -> Shape:
    need_axes(module, shape)
    asked = per_axis(module.output_size, dimensions(module))
    return (shape[0], *(n if size is None else size for n, size in zip(shape[1:], asked, strict=True)))


def _told(module: Any, shape: Shape) -> Shape:
    """The rule that a leaf tells itself; a window that does not fit is refused as a pool's is."""
    sizes = tuple(module.output_size(shape[1:]))
    if min(sizes, default=1) < 1:
        _slide(module, shape)
    return (shape[0], *sizes)


# --- axes put together and taken apart ---------------------------------------------------------------------


def _linear(module: Any, shape: Shape) -> Shape:
    width, out, given = module.in_features, module.out_features, shape[-1] if shape else 0
    meant = (
        f"; flattened it is {' x '.join(str(n) for n in shape)} = {prod(shape)} numbers"
        if len(shape) > 1
        else ""
    )
    need(
        given == width,
        f"its input is {written(shape)} and its width {width} (mat1 and mat2 shapes cannot be multiplied: "
        f"{prod(shape[:-1])}x{given} and {width}x{out}; size mismatch, m1: [{prod(shape[:-1])} x {given}], "
        f"m2: [{width} x {out}]){meant}",
        f"needs {width}",
        excess=given - width,
    )
    return (*shape[:-1], out)


def _flatten(module: nn.Flatten, shape: Shape) -> Shape:
    rank = len(shape) + 1
    start, end = (n + rank if n < 0 else n for n in (module.start_dim, module.end_dim))
    need(
        start > 0 or end == 0,
        "it flattens from axis 0 and would mix the pictures of a batch",
        "needs start_dim=1",
    )
    problem = (
        f"its input {written(shape)} has no axes {module.start_dim} to {module.end_dim} (0 is the batch)"
    )
    need(0 <= start <= end < rank, problem, f"needs axes {module.start_dim} to {module.end_dim}")
    return shape if end == 0 else (*shape[: start - 1], prod(shape[start - 1 : end]), *shape[end:])


def _unflatten(module: Any, shape: Shape) -> Shape:
    axis = module.dim + (len(shape) + 1 if module.dim < 0 else 0) - 1
    sizes = tuple(module.unflattened_size)
    need(
        0 <= axis < len(shape),
        f"its input {written(shape)} has no axis {module.dim}",
        f"needs axis {module.dim}",
    )
    known = prod(n for n in sizes if n != -1)
    fits = known and (shape[axis] % known == 0 if -1 in sizes else shape[axis] == known)
    need(fits, f"{shape[axis]} numbers cannot be laid out as {times(sizes)}", f"needs {known}")
    return (*shape[:axis], *(shape[axis] // known if n == -1 else n for n in sizes), *shape[axis + 1 :])


def _border(module: Any, shape: Shape) -> Shape:
    amounts = tuple(module.padding)
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    if not isinstance(module, padding._ConstantPadNd):
        need_axes(module, shape)
    need(len(shape) >= len(pairs), f"its input {written(shape)} has too few axes", f"needs {len(pairs)} axes")
    kept, sizes = shape[: len(shape) - len(pairs)], shape[len(shape) - len(pairs) :]
    for n, pair in zip(sizes, pairs, strict=True):
        if isinstance(module, padding._ReflectionPadNd):
            need_pixels(shape, n, max(pair), max(pair) + 1, "mirrored")
        elif isinstance(module, padding._CircularPadNd):
            need_pixels(shape, n, max(pair), max(pair), "wrapped")
        need(n + sum(pair) >= 1, f"its negative border leaves nothing of {written(shape)}", "needs more")
    return (*kept, *(n + sum(pair) for n, pair in zip(sizes, pairs, strict=True)))


def _upsample(module: Any, shape: Shape) -> Shape:
    axes = len(shape) - 1
    works = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}.get(module.mode, (1, 2, 3))
    problem = f"its input is {written(shape)}, and mode '{module.mode}' works on {works[0]} spatial axes"
    need(axes in works, problem, "needs another mode")
    if module.size is not None:
        return (shape[0], *per_axis(module.size, axes))
    scales = per_axis(module.scale_factor, axes)
    sizes = tuple(int(n * scale) for n, scale in zip(shape[1:], scales, strict=True))
    need(
        min(sizes) >= 1,
        f"its input is {written(shape)}, and {module.scale_factor} times that is nothing",
        "needs more",
    )
    return (shape[0], *sizes)


def _pixel_shuffle(module: Any, shape: Shape) -> Shape:
    r = module.upscale_factor
    fits = len(shape) >= 3 and shape[-3] % (r * r) == 0
    need(
        fits,
        f"its input is {written(shape)}, and {r * r} must divide its channels",
        f"needs a multiple of {r * r}",
    )
    return (*shape[:-3], shape[-3] // (r * r), shape[-2] * r, shape[-1] * r)


def _pixel_unshuffle(module: Any, shape: Shape) -> Shape:
    r = module.downscale_factor
    fits = len(shape) >= 3 and shape[-2] % r == 0 and shape[-1] % r == 0
    need(
        fits,
        f"its input is {written(shape)}, and {r} must divide height and width",
        f"needs a multiple of {r}",
    )
    return (*shape[:-3], shape[-3] * r * r, shape[-2] // r, shape[-1] // r)


def _channel_shuffle(module: Any, shape: Shape) -> Shape:
    fits = len(shape) >= 2 and shape[0] % module.groups == 0
    problem = f"its input is {written(shape)}, and {module.groups} groups must divide its channels"
    need(fits, problem, f"needs a multiple of {module.groups}")
    return shape


def _glu(module: Any, shape: Shape) -> Shape:
    axis = module.dim + (len(shape) + 1 if module.dim < 0 else 0) - 1
    fits = 0 <= axis < len(shape) and shape[axis] % 2 == 0
    need(fits, f"its input {written(shape)} cannot be halved along axis {module.dim}", "needs an even number")
    return (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])


# --- the table ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: the classes, what the project calls them, and their rule."""

    classes: tuple[type[nn.Module], ...]
    kind: str
    size: Callable[[Any, Shape], Shape]


_PADDING = (
    padding._ConstantPadNd,
    padding._ReflectionPadNd,
    padding._ReplicationPadNd,
    padding._CircularPadNd,
)
_SOFTMAX = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
_APART = {"GLU", "PReLU", "MultiheadAttention", "Softmax2d", *(kind.__name__ for kind in _SOFTMAX)}
_COMPUTING = ("forward", "_conv_forward", "_output_padding")
"""The methods by which torch's layers compute: a class that overrides one of them computes something else."""

_ELEMENTWISE = tuple(getattr(activation, name) for name in activation.__all__ if name not in _APART)

RULES: tuple[Rule, ...] = (
    Rule((_ConvTransposeNd,), "transposed conv", _transposed),
    Rule((_ConvNd,), "conv", _conv),
    Rule((_MaxPoolNd,), "maxpool", _pool),
    Rule((_AvgPoolNd,), "avgpool", _pool),
    Rule((_LPPoolNd,), "lppool", _pool),
    Rule((_AdaptiveAvgPoolNd,), "adaptive avgpool", _adaptive),
    Rule((_AdaptiveMaxPoolNd,), "adaptive maxpool", _adaptive),
    Rule((nn.Linear,), "dense", _linear),
    Rule((nn.Flatten,), "flatten", _flatten),
    Rule((nn.Unflatten,), "unflatten", _unflatten),
    Rule((_InstanceNorm,), "instance norm", keeping.instance_norm),
    Rule((_BatchNorm,), "batch norm", keeping.batch_norm),
    Rule((nn.GroupNorm,), "group norm", keeping.group_norm),
    Rule((nn.LayerNorm, nn.RMSNorm), "layer norm", keeping.layer_norm),
    Rule((nn.LocalResponseNorm, nn.CrossMapLRN2d), "local norm", keeping.local_norm),
    Rule((_DropoutNd,), "dropout", keeping.keep),
    Rule(_SOFTMAX, "softmax", keeping.keep),
    Rule((nn.PReLU,), "prelu", keeping.prelu),
    Rule((nn.GLU,), "glu", _glu),
    Rule(_ELEMENTWISE, "activation", keeping.keep),
    Rule((nn.Identity,), "identity", keeping.keep),
    Rule(_PADDING, "padding", _border),
    Rule((nn.Upsample,), "upsample", _upsample),
    Rule((nn.PixelShuffle,), "pixel shuffle", _pixel_shuffle),
    Rule((nn.PixelUnshuffle,), "pixel unshuffle", _pixel_unshuffle),
    Rule((nn.ChannelShuffle,), "channel shuffle", _channel_shuffle),
)


def rule(module: nn.Module) -> Rule | None:
    """The row of the table for `module`, or the rule that it tells itself, or None.

    A row holds only where the layer computes as the class of the row does: a class that overrides `forward`
    (timm's `Conv2dSame`, padded pools, causal convolutions) has no rule, and is run instead.
    """
    for row in RULES:
        if isinstance(module, row.classes):
            return row if _computes_as_torch_does(module) else None
    told = callable(getattr(module, "output_size", None)) and next(module.parameters(), None) is None
    return Rule((type(module),), type(module).__name__.lower(), _told) if told else None


def _computes_as_torch_does(module: nn.Module) -> bool:
    kind = type(module)
    known = next(base for base in kind.__mro__ if base.__module__.startswith("torch.nn.modules."))
    return all(getattr(kind, name, None) is getattr(known, name, None) for name in _COMPUTING)
