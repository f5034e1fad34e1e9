"""The rules of size: what each kind of leaf module makes of an input, one rule per kind.

Sizes are `(C, *sizes)` without the batch axis, for one, two and three dimensions. The window formula is
floor((n + 2p - d(k-1) - 1)/s) + 1 per axis (Dumoulin & Visin 2016, relationship 6; d is the dilation, and p counts each side).
torch's own layers stand in the table `RULES`. Any other leaf module tells its rule itself, by a method `output_size(sizes) -> sizes`
or by the attributes `kernel_size`, `stride` and `padding` of torch's windows; one that does neither has no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn
from torch.nn.modules import activation, padding
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _LPPoolNd, _MaxPoolNd

from neocog.errors import ShapeError

Shape = tuple[int, ...]
"""(C, H, W); (C,) after a flatten, (C, L) for one-dimensional signals, (C, D, H, W) for volumes."""

FORMULA = "floor((n + 2p - d(k-1) - 1)/s) + 1"
TRANSPOSED = "(n - 1)s - 2p + d(k-1) + output padding + 1"


class Refusal(ShapeError):
    """Why one layer cannot take its input.

    `problem` is the sentence after the layer's name, `needs` the words that end the chain of sizes ('needs at least 7'), `formula` the
    arithmetic with its numbers, `mend` what would make this one layer fit.
    """

    def __init__(self, problem: str, *, needs: str, formula: str = "", mend: Sequence[str] = ()) -> None:
        self.problem, self.needs, self.formula, self.mend = problem, needs, formula, tuple(mend)
        super().__init__("\n  ".join([problem, *([f"formula: {formula}"] if formula else [])]))


def written(shape: Sequence[int]) -> str:
    """A shape as people write it, the channels last: (3, 32, 32) is '32x32x3'."""
    return "x".join(str(n) for n in (*shape[1:], *shape[:1]))


def times(sizes: Sequence[int]) -> str:
    """Sizes per axis joined by 'x': (7, 7) is '7x7'."""
    return "x".join(str(n) for n in sizes)


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """torch's number-or-tuple as one number per axis."""
    if isinstance(value, (tuple, list)):
        return tuple(value) if len(value) == axes else tuple(value) * axes
    return (value,) * axes


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window, one entry per axis; `padding` on each side; `total` where the zeros are not the same on both."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    total: tuple[int, ...]
    ceil: bool = False

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels from the first to the last that the window touches: d(k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def size(self, n: int, axis: int) -> int:
        """Positions of the window on an axis of `n` pixels; zero or less where it does not fit."""
        room, stride = n + self.total[axis] - self.reach[axis], self.stride[axis]
        if not self.ceil:
            return room // stride + 1
        positions = -(-room // stride) + 1
        return positions - 1 if (positions - 1) * stride >= n + self.padding[axis] else positions

    def dropped(self, n: int, axis: int) -> int:
        """Pixels at the end of the axis that no position of the window sees."""
        room = n + self.total[axis] - self.reach[axis]
        return 0 if self.ceil else max(room % self.stride[axis] - (self.total[axis] - self.padding[axis]), 0)

    def formula(self, n: int, axis: int) -> str:
        """The formula with its numbers."""
        numbers = f"({n} + {self.total[axis]} - {self.reach[axis] - 1} - 1)/{self.stride[axis]}"
        words = FORMULA.replace("floor", "ceil") if self.ceil else FORMULA
        return f"{words} = {'ceil' if self.ceil else 'floor'}({numbers}) + 1 = {self.size(n, axis)}"


def window(module: nn.Module) -> Window | None:
    """The sliding window of a convolution or pooling layer; None for any other module."""
    if (
        not hasattr(module, "kernel_size")
        or not hasattr(module, "stride")
        or isinstance(module, _ConvTransposeNd)
    ):
        return None
    axes = dimensions(module)
    kernel = per_axis(module.kernel_size, axes)
    stride = kernel if module.stride is None else per_axis(module.stride, axes)
    dilation = per_axis(getattr(module, "dilation", 1), axes)
    pad = getattr(module, "padding", 0)
    ceil = bool(getattr(module, "ceil_mode", False))
    if pad == "same":
        total = tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
        return Window(kernel, stride, tuple(t // 2 for t in total), dilation, total, ceil)
    each = (0,) * axes if pad == "valid" else per_axis(pad, axes)
    return Window(kernel, stride, each, dilation, tuple(2 * p for p in each), ceil)


def dimensions(module: nn.Module) -> int:
    """1, 2 or 3: the spatial axes a layer works on, read from its name as torch spells it, else from its kernel."""
    for kind in type(module).__mro__:
        if kind.__name__[-2:] in {"1d", "2d", "3d"}:
            return int(kind.__name__[-2])
    size = getattr(module, "kernel_size", None)
    return len(size) if isinstance(size, (tuple, list)) else 2


# --- the rules: (module, shape) -> shape --------------------------------------------------------------------------------------------


def _axes(module: nn.Module, shape: Shape) -> None:
    """Refuse an input with another number of spatial axes than the layer works on, or with an empty one."""
    axes = dimensions(module)
    if len(shape) != axes + 1:
        names = "x".join(("D", "H", "W")[-axes:] if axes > 1 else ("L",)) + "xC"
        raise Refusal(
            f"its input is {written(shape)}, and it works on {axes} spatial ax{'i' if axes == 1 else 'e'}s ({names})",
            needs=f"needs {names}",
        )
    if min(shape) < 1:
        raise Refusal(f"its input {written(shape)} is empty", needs="needs at least 1")


def _channels(module: nn.Module, shape: Shape, expected: int) -> None:
    """Refuse an input with another number of channels than `expected`."""
    if shape[0] == expected:
        return
    text = f"its input is {written(shape)}: expected input to have {expected} channels, but got {shape[0]} channels instead"
    mend = [f"give it {expected} channels"]
    if len(shape) == 3 and shape[-1] == expected:
        text += f"; the channels seem to come last: did you mean permute? x.permute(0, 3, 1, 2) makes it {times(shape[:2])}x{shape[2]}"
        mend = ["permute the input to channels first: x.permute(0, 3, 1, 2)"]
    elif shape[0] == 1 and expected == 3:
        text += " (a grey picture where colour is needed: repeat the channel three times)"
        mend = [
            "repeat the grey channel three times: x.expand(-1, 3, -1, -1)",
            "build the network for 1 channel",
        ]
    raise Refusal(text, needs=f"needs {expected} channels", mend=mend)


def _slide(module: nn.Module, shape: Shape) -> tuple[int, ...]:
    """The sizes after the sliding window of `module`, or the refusal with its arithmetic."""
    frame = window(module)
    assert frame is not None
    sizes = tuple(frame.size(n, axis) for axis, n in enumerate(shape[1:]))
    for axis, (n, size) in enumerate(zip(shape[1:], sizes, strict=True)):
        if size >= 1:
            continue
        least = frame.reach[axis] - frame.total[axis]
        short = frame.reach[axis] - n - frame.total[axis]
        raise Refusal(
            f"its input is {written(shape)}, and its {times(frame.kernel)} window needs at least {least} where there are {n}: "
            "negative dimension size; kernel size can't be greater than actual input size "
            f"(padded input {times(tuple(a + t for a, t in zip(shape[1:], frame.total, strict=True)))}, kernel {times(frame.reach)})",
            needs=f"needs at least {least}",
            formula=frame.formula(n, axis),
            mend=(
                f"pad it by {frame.padding[axis] + -(-short // 2)}",
                f"a window of {n + frame.total[axis]} or less",
            ),
        )
    return sizes


def _conv(module: Any, shape: Shape) -> Shape:
    _axes(module, shape)
    _channels(module, shape, module.in_channels)
    frame = window(module)
    assert frame is not None
    limit = {"reflect": 1, "circular": 0}.get(module.padding_mode)
    if limit is not None:
        for n, pad in zip(shape[1:], (t - t // 2 for t in frame.total), strict=True):
            _mirror(shape, n, pad, limit)
    return (module.out_channels, *_slide(module, shape))


def _transposed(module: Any, shape: Shape) -> Shape:
    _axes(module, shape)
    _channels(module, shape, module.in_channels)
    sizes = []
    for n, k, s, p, d, extra in zip(
        shape[1:],
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.output_padding,
        strict=True,
    ):
        if extra >= max(s, d):
            raise Refusal(
                f"its output padding {extra} must be smaller than its stride {s} or its dilation {d}",
                needs="needs less output padding",
            )
        size = (n - 1) * s - 2 * p + d * (k - 1) + extra + 1
        sizes.append(size)
        if size < 1:
            raise Refusal(
                f"its input is {written(shape)}, and its padding {p} leaves nothing of it: negative dimension size",
                needs="needs more",
                formula=f"{TRANSPOSED} = ({n} - 1)*{s} - {2 * p} + {d * (k - 1)} + {extra} + 1 = {size}",
                mend=("less padding",),
            )
    return (module.out_channels, *sizes)


def _pool(module: nn.Module, shape: Shape) -> Shape:
    _axes(module, shape)
    frame = window(module)
    assert frame is not None
    for pad, reach in zip(frame.padding, frame.reach, strict=True):
        if 2 * pad > reach:
            raise Refusal(
                f"its padding {pad} should be at most half of its window of {reach}",
                needs=f"needs a padding of {reach // 2} or less",
            )
    return (shape[0], *_slide(module, shape))


def _adaptive(module: Any, shape: Shape) -> Shape:
    _axes(module, shape)
    asked = per_axis(module.output_size, dimensions(module))
    return (shape[0], *(n if size is None else size for n, size in zip(shape[1:], asked, strict=True)))


def _linear(module: Any, shape: Shape) -> Shape:
    if not shape or shape[-1] != module.in_features:
        given, rows = (shape[-1], prod(shape[:-1])) if shape else (0, 1)
        flat = prod(shape)
        product = " x ".join(str(n) for n in shape)
        meant = f"; flattened it is {product} = {flat}" if len(shape) > 1 else ""
        raise Refusal(
            f"its input is {written(shape)}, its width {module.in_features}: mat1 and mat2 shapes cannot be multiplied "
            f"({rows}x{given} and {module.in_features}x{module.out_features}){meant}",
            needs=f"needs {module.in_features} numbers",
            mend=(
                f"nn.Linear({flat}, {module.out_features})" + (" after a flatten" if len(shape) > 1 else ""),
            ),
        )
    return (*shape[:-1], module.out_features)


def _flatten(module: nn.Flatten, shape: Shape) -> Shape:
    rank = len(shape) + 1
    start, end = (n + rank if n < 0 else n for n in (module.start_dim, module.end_dim))
    if start == 0 and end > 0:
        raise Refusal(
            "it flattens from axis 0 and would mix the pictures of a batch", needs="needs start_dim=1"
        )
    if not 0 <= start <= end < rank:
        raise Refusal(
            f"its input {written(shape)} has no axes {module.start_dim} to {module.end_dim}",
            needs=f"needs {max(start, end)} axes",
        )
    return shape if end == 0 else (*shape[: start - 1], prod(shape[start - 1 : end]), *shape[end:])


def _unflatten(module: Any, shape: Shape) -> Shape:
    axis = module.dim + (len(shape) + 1 if module.dim < 0 else 0) - 1
    sizes = tuple(module.unflattened_size)
    if not 0 <= axis < len(shape):
        raise Refusal(f"its input {written(shape)} has no axis {module.dim}", needs="needs that axis")
    known = prod(n for n in sizes if n != -1)
    if (shape[axis] % known if -1 in sizes else shape[axis] != known) or not known:
        raise Refusal(f"{shape[axis]} numbers cannot be laid out as {times(sizes)}", needs=f"needs {known}")
    return (*shape[:axis], *(shape[axis] // known if n == -1 else n for n in sizes), *shape[axis + 1 :])


def _batch_norm(module: Any, shape: Shape) -> Shape:
    axes = dimensions(module)
    if not (axes == 1 and len(shape) == 1):
        _axes(module, shape)
    if module.weight is not None or module.running_mean is not None:
        _channels(module, shape, module.num_features)
    return shape


def _instance_norm(module: Any, shape: Shape) -> Shape:
    _axes(module, shape)
    if module.affine or module.track_running_stats:
        _channels(module, shape, module.num_features)
    if prod(shape[1:]) == 1 and (module.training or not module.track_running_stats):
        raise Refusal(
            f"its input {written(shape)} has one pixel per channel, which has no spread",
            needs="needs at least 2 pixels",
        )
    return shape


def _group_norm(module: Any, shape: Shape) -> Shape:
    _channels(module, shape, module.num_channels)
    return shape


def _layer_norm(module: Any, shape: Shape) -> Shape:
    expected = tuple(module.normalized_shape)
    if shape[-len(expected) :] != expected:
        raise Refusal(
            f"its input is {written(shape)}, and its last axes must be {times(expected)}",
            needs=f"needs {times(expected)}",
        )
    return shape


def _local_norm(module: nn.Module, shape: Shape) -> Shape:
    if len(shape) < 2:
        raise Refusal(f"its input {written(shape)} has no pixels", needs="needs spatial axes")
    return shape


def _same(module: nn.Module, shape: Shape) -> Shape:
    return shape


def _prelu(module: Any, shape: Shape) -> Shape:
    if module.num_parameters != 1:
        _channels(module, shape, module.num_parameters)
    return shape


def _glu(module: Any, shape: Shape) -> Shape:
    axis = module.dim + (len(shape) + 1 if module.dim < 0 else 0) - 1
    if not 0 <= axis < len(shape) or shape[axis] % 2:
        raise Refusal(
            f"its input {written(shape)} cannot be halved along axis {module.dim}",
            needs="needs an even number",
        )
    return (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])


def _mirror(shape: Shape, n: int, pad: int, limit: int) -> None:
    if pad > n - limit:
        kind = "mirrored" if limit else "repeated"
        raise Refusal(
            f"its input is {written(shape)}: {n} pixels cannot be {kind} by {pad}",
            needs=f"needs at least {pad + limit}",
            mend=("zeros",),
        )


def _border(module: Any, shape: Shape) -> Shape:
    amounts = tuple(module.padding)
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    constant = isinstance(module, padding._ConstantPadNd)
    if not constant:
        _axes(module, shape)
    elif len(shape) < len(pairs):
        raise Refusal(
            f"its input {written(shape)} has fewer than {len(pairs)} axes", needs=f"needs {len(pairs)} axes"
        )
    kept, sizes = shape[: len(shape) - len(pairs)], shape[len(shape) - len(pairs) :]
    limit = (
        1
        if isinstance(module, padding._ReflectionPadNd)
        else 0
        if isinstance(module, padding._CircularPadNd)
        else None
    )
    result = []
    for n, (before, after) in zip(sizes, pairs, strict=True):
        if limit is not None:
            _mirror(shape, n, max(before, after), limit)
        result.append(n + before + after)
    if min(result) < 1:
        raise Refusal(f"its negative padding leaves nothing of {written(shape)}", needs="needs more")
    return (*kept, *result)


def _upsample(module: Any, shape: Shape) -> Shape:
    axes = len(shape) - 1
    needed = {"linear": (1,), "bilinear": (2,), "bicubic": (2,), "trilinear": (3,)}.get(
        module.mode, (1, 2, 3)
    )
    if axes not in needed:
        raise Refusal(
            f"its input is {written(shape)}, and mode '{module.mode}' does not work on {axes} axes",
            needs="needs another mode",
        )
    if module.size is not None:
        return (shape[0], *per_axis(module.size, axes))
    return (
        shape[0],
        *(int(n * scale) for n, scale in zip(shape[1:], per_axis(module.scale_factor, axes), strict=True)),
    )


def _pixel_shuffle(module: Any, shape: Shape) -> Shape:
    r = module.upscale_factor
    if len(shape) < 3 or shape[-3] % (r * r):
        raise Refusal(
            f"its input is {written(shape)}, and the channels must divide by {r * r}",
            needs=f"needs a multiple of {r * r}",
        )
    return (*shape[:-3], shape[-3] // (r * r), shape[-2] * r, shape[-1] * r)


def _pixel_unshuffle(module: Any, shape: Shape) -> Shape:
    r = module.downscale_factor
    if len(shape) < 3 or shape[-2] % r or shape[-1] % r:
        raise Refusal(
            f"its input is {written(shape)}, and the sizes must divide by {r}",
            needs=f"needs a multiple of {r}",
        )
    return (*shape[:-3], shape[-3] * r * r, shape[-2] // r, shape[-1] // r)


def _channel_shuffle(module: Any, shape: Shape) -> Shape:
    if len(shape) < 2 or shape[0] % module.groups:
        raise Refusal(
            f"its input is {written(shape)}, and the channels must divide by {module.groups}",
            needs=f"needs a multiple of {module.groups}",
        )
    return shape


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table: the classes, what the project calls them, their rule, and whether an output pixel sees one input pixel."""

    classes: tuple[type[nn.Module], ...]
    kind: str
    size: Callable[[Any, Shape], Shape]


_ELEMENTWISE = tuple(
    getattr(activation, name)
    for name in activation.__all__
    if name not in {"GLU", "PReLU", "MultiheadAttention", "Softmax2d", "Softmax", "LogSoftmax", "Softmin"}
)

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
    Rule((_InstanceNorm,), "instance norm", _instance_norm),
    Rule((_BatchNorm,), "batch norm", _batch_norm),
    Rule((nn.GroupNorm,), "group norm", _group_norm),
    Rule((nn.LayerNorm, nn.RMSNorm), "layer norm", _layer_norm),
    Rule((nn.LocalResponseNorm, nn.CrossMapLRN2d), "local norm", _local_norm),
    Rule((_DropoutNd,), "dropout", _same),
    Rule((nn.Softmax, nn.LogSoftmax, nn.Softmin), "softmax", _same),
    Rule((nn.PReLU,), "prelu", _prelu),
    Rule((nn.GLU,), "glu", _glu),
    Rule(_ELEMENTWISE, "activation", _same),
    Rule((nn.Identity,), "identity", _same),
    Rule(
        (padding._ConstantPadNd, padding._ReflectionPadNd, padding._ReplicationPadNd, padding._CircularPadNd),
        "padding",
        _border,
    ),
    Rule((nn.Upsample,), "upsample", _upsample),
    Rule((nn.PixelShuffle,), "pixel shuffle", _pixel_shuffle),
    Rule((nn.PixelUnshuffle,), "pixel unshuffle", _pixel_unshuffle),
    Rule((nn.ChannelShuffle,), "channel shuffle", _channel_shuffle),
)


def rule(module: nn.Module) -> Rule | None:
    """The row of the table for `module`, or the rule that it tells itself, or None."""
    for row in RULES:
        if isinstance(module, row.classes):
            return row
    own, kind = getattr(module, "output_size", None), type(module).__name__.lower()
    if callable(own):
        return Rule((type(module),), kind, lambda layer, shape: (shape[0], *layer.output_size(shape[1:])))
    if not type(module).__module__.startswith("torch.nn.") and window(module) is not None:
        return Rule((type(module),), kind, _pool)
    return None
