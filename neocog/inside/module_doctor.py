"""The module doctor: single edits that mend a module which cannot be, each built and run before it is named.

A layer that refuses its input is replaced on a copy without memory, the copy is walked, and an edit that
leads to a further refusal is followed by one for that, up to DEPTH.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.overrides import TorchFunctionMode

from neocog.arithmetic import Impossible, Shape, walk, window, written
from neocog.arithmetic.ghost import ghost
from neocog.arithmetic.sliding_window import per_axis, times
from neocog.errors import NeocogError

DEPTH = 3
"""Edits in a row that are tried: another width of one layer often asks for another width of the next."""

WINDOWS = 24
"""Windows before the place of a refusal whose borders are tried."""

_BATCH_NORM: tuple[Any, ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONV: tuple[Any, ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ADAPTIVE: tuple[Any, ...] = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


@dataclass(frozen=True, slots=True)
class Edit:
    """One change in words; what it makes of a network, given a copy of its own, and of the input's shape."""

    words: str
    change: Callable[[nn.Module], nn.Module]
    shape: Shape
    adapts: bool = False  # a layer was put to what reaches it; the next may need the same


def cures(network: nn.Module, shape: Shape, error: Impossible) -> dict[str, Shape]:
    """The edits that make a network of `network` for inputs of `shape`, the most likely first, and what the
    network then gives.
    """
    found: dict[str, Shape] = {}
    for edit in _candidates(network, shape, error):
        if (works := _tried(network, edit, DEPTH if edit.adapts else 1)) is not None:
            found.setdefault(*works)
    return found


def _tried(network: nn.Module, edit: Edit, depth: int) -> tuple[str, Shape] | None:
    """The words of `edit`, and of those that it asks for, where they lead to a network, and its output."""
    try:
        with torch.device("meta"):
            changed = edit.change(ghost(network))
        found = walk(changed, edit.shape, real="never")
    except Impossible as further:
        if depth > 1:
            for following in _candidates(changed, edit.shape, further):
                if following.adapts and (more := _tried(changed, following, depth - 1)) is not None:
                    return f"{edit.words} and {more[0]}", more[1]
        return None
    except (NeocogError, ValueError, TypeError, RuntimeError, AttributeError, ZeroDivisionError):
        return None
    mixed = any("mixes the pictures" in remark for remark in found.remarks)
    return (edit.words, found.output) if not mixed else None


def _candidates(network: nn.Module, shape: Shape, error: Impossible) -> Iterator[Edit]:
    """What may mend the refusal: at the layer, at the input, at the windows before it, at a `view`."""
    place, given = error.layer, error.place.given
    leaf = dict(network.named_modules()).get(place)

    def put(words: str, made: Callable[[], nn.Module], *, adapts: bool = False) -> Edit:
        return Edit(words, partial(_put, place=place, made=made), shape, adapts)

    if leaf is not None and given:
        name = error.shown.partition(" (")[0] if place else type(leaf).__name__
        if isinstance(leaf, nn.Linear):
            yield from _for_linear(leaf, name, given, put)
        elif isinstance(leaf, _ConvNd):
            yield from _for_conv(leaf, name, given, put)
        elif isinstance(leaf, _BatchNorm) and len(given) <= 4:
            kind = _BATCH_NORM[max(len(given) - 2, 0)]
            yield put(f"nn.{kind.__name__}({given[0]}) as {name}", lambda: kind(given[0]))
        elif isinstance(leaf, nn.GroupNorm) and given[0] % leaf.num_groups == 0:
            words = f"nn.GroupNorm({leaf.num_groups}, {given[0]}) as {name}"
            yield put(words, lambda: nn.GroupNorm(leaf.num_groups, given[0]))
        elif isinstance(leaf, nn.RNNBase):
            words = f"nn.{leaf.mode.partition('_')[0]}({given[-1]}, {leaf.hidden_size}) as {name}"
            yield put(words, lambda: _recurrent_like(leaf, given[-1]))
        elif isinstance(leaf, nn.LayerNorm):
            yield put(f"nn.GroupNorm(1, {given[0]}) as {name}", lambda: nn.GroupNorm(1, given[0]))
            sizes = given[-len(leaf.normalized_shape) :]
            yield put(f"nn.LayerNorm({list(sizes)}) as {name}", lambda: nn.LayerNorm(sizes))
        if place and not isinstance(leaf, nn.Linear | _ConvNd) and not list(leaf.children()):
            yield put(f"drop {name}", nn.Identity)
        if isinstance(leaf, nn.Linear) and len(given) == 1:
            yield from _for_flat(leaf, shape, error)
    yield from _for_input(shape)
    yield from _for_widths(network, shape, error)
    yield from _for_windows(network, shape, error)
    if any(word in str(error) for word in ("view", "reshape", "is invalid for input of size")):
        yield Edit("x.flatten(1) in place of the view", _Flattened, shape, adapts=True)


def _put(network: nn.Module, place: str, made: Callable[[], nn.Module]) -> nn.Module:
    return _replaced(network, place, made())


def _replaced(network: nn.Module, place: str, made: nn.Module) -> nn.Module:
    if not place:
        return made
    network.set_submodule(place, made)
    return network.eval()


# --- at the layer -------------------------------------------------------------------------------------------


def _for_linear(leaf: nn.Linear, name: str, given: Shape, put: Callable[..., Edit]) -> Iterator[Edit]:
    out, flat, axes = leaf.out_features, math.prod(given), len(given) - 1
    if 1 <= axes <= 3:
        yield put(f"nn.Flatten() before {name}", lambda: nn.Sequential(nn.Flatten(), leaf))
        words = f"nn.Flatten() and nn.Linear({flat}, {out}) in place of {name}"
        yield put(words, lambda: nn.Sequential(nn.Flatten(), nn.Linear(flat, out)), adapts=True)
        kind = _ADAPTIVE[axes - 1]
        words = f"nn.{kind.__name__}(1) and nn.Flatten() before {name}"
        yield put(words, lambda: nn.Sequential(kind(1), nn.Flatten(), leaf))
    width = given[-1]
    yield put(f"nn.Linear({width}, {out}) as {name}", lambda: nn.Linear(width, out), adapts=True)


def _for_flat(leaf: nn.Linear, shape: Shape, error: Impossible) -> Iterator[Edit]:
    """Maps pooled to the size that a dense layer was made for, after the last layer that made maps."""
    maps = [(row.name, row.output) for row in error.place.path if len(row.output) > 1]
    if not maps:
        return
    name, (channels, *sizes) = maps[-1]
    side, kind = round((leaf.in_features / channels) ** (1 / len(sizes))), _ADAPTIVE[len(sizes) - 1]
    yield Edit(
        f"nn.{kind.__name__}({side}) after {name}",
        lambda copy: _replaced(copy, name, nn.Sequential(copy.get_submodule(name), kind(side))),
        shape,
    )


def _for_conv(leaf: _ConvNd, name: str, given: Shape, put: Callable[..., Edit]) -> Iterator[Edit]:
    axes = len(leaf.kernel_size)

    def conv(words: str, *, adapts: bool = False, **changes: Any) -> Edit:
        return put(f"{words} in {name}", lambda: _conv_like(leaf, **changes), adapts=adapts)

    if len(given) == 1:
        side = round((given[0] / leaf.in_channels) ** (1 / axes))
        sizes = (leaf.in_channels, *(side,) * axes)
        words = f"nn.Unflatten(1, {sizes}) before {name}"
        yield put(words, lambda: nn.Sequential(nn.Unflatten(1, sizes), leaf))
    if given[0] != leaf.in_channels and len(given) == axes + 1:
        groups = math.gcd(leaf.groups, given[0])
        words = f"in_channels={given[0]}" + (f" and groups={groups}" if groups != leaf.groups else "")
        yield conv(words, adapts=True, in_channels=given[0], groups=groups)
    if len(given) != axes + 1 and 2 <= len(given) <= 4 and len(set(leaf.kernel_size)) == 1:
        kind = _CONV[len(given) - 2]
        k, s, p = leaf.kernel_size[0], leaf.stride[0], leaf.padding[0]
        yield put(
            f"nn.{kind.__name__} in place of {name}",
            lambda: kind(given[0], leaf.out_channels, k, s, p, bias=leaf.bias is not None),
            adapts=True,
        )


def _recurrent_like(leaf: nn.RNNBase, width: int) -> nn.Module:
    """The same kind of recurrent layer for another width."""
    fields = ("hidden_size", "num_layers", "bias", "batch_first", "bidirectional")
    kind: Any = type(leaf)
    return kind(width, **{field: getattr(leaf, field) for field in fields})  # type: ignore[no-any-return]


def _conv_like(leaf: _ConvNd, **changes: Any) -> nn.Module:
    """The same kind of convolution with other numbers."""
    words = ["in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"]
    if isinstance(leaf, _ConvTransposeNd):
        words.append("output_padding")
    numbers = {word: getattr(leaf, word) for word in words} | changes
    kind: Any = next(base for base in type(leaf).__mro__ if base.__module__.startswith("torch.nn.modules."))
    return kind(**numbers, bias=leaf.bias is not None, padding_mode=leaf.padding_mode)  # type: ignore[no-any-return]


# --- at the input, at the shortcuts, at the windows, at a view ----------------------------------------------


def _for_input(shape: Shape) -> Iterator[Edit]:
    """Another input: channels first, channels of their own, one grey channel for three or three for one."""

    def unchanged(network: nn.Module) -> nn.Module:
        return network

    if len(shape) > 1:
        first = (shape[-1], *shape[:-1])
        axes = ", ".join(map(str, (0, len(shape), *range(1, len(shape)))))
        yield Edit(f"x.permute({axes}), which puts the channels first", unchanged, first)
    if len(shape) == 3 and shape[0] == 1:
        yield Edit("x.expand(-1, 3, -1, -1), which repeats the grey channel", unchanged, (3, *shape[1:]))
    if len(shape) == 3 and shape[0] == 3:
        yield Edit("x.mean(1, keepdim=True), which makes colours grey", unchanged, (1, *shape[1:]))
    if len(shape) < 4:
        one = (1, *shape)
        yield Edit(f"x.unsqueeze(1), an input of {written(one)}", unchanged, one)


def _for_widths(network: nn.Module, shape: Shape, error: Impossible) -> Iterator[Edit]:
    """Where a sum meets unlike maps: a 1x1 convolution for a shortcut that does nothing, other strides and
    filters for a convolution that makes one of them.
    """
    if len(error.place.met) != 2 or len({len(size) for size in error.place.met}) > 1:
        return
    ways = (error.place.met, error.place.met[::-1])
    for name, module in network.named_modules():
        owner = name.rpartition(".")[0]
        idle = isinstance(module, nn.Identity) or (isinstance(module, nn.Sequential) and not len(module))
        if name and idle and owner == error.layer and 2 <= len(ways[0][0]) <= 4:
            for (width, *here), (out, *there) in ways:
                kind, stride = _CONV[len(here) - 1], max(1, round(here[0] / there[0]))
                yield Edit(
                    f"nn.{kind.__name__}({width}, {out}, 1, stride={stride}) as {name}",
                    partial(_put, place=name, made=partial(kind, width, out, 1, stride=stride)),
                    shape,
                    adapts=True,
                )
    for name, module in network.named_modules():
        within = isinstance(module, _ConvNd) and name.startswith(f"{error.layer}." if error.layer else "")
        for (width, *here), (out, *there) in ways if within and name else ():
            fields: dict[str, Any] = {"out_channels": out} if out != width else {}
            if (factor := max(round(n / m) for n, m in zip(here, there, strict=True))) > 1:
                fields["stride"] = tuple(factor * s for s in module.stride)
            if module.out_channels == width and module.groups == 1 and fields:
                words = " and ".join(f"{field}={_short(value)}" for field, value in fields.items())
                change = partial(_with_fields, name=name, fields=fields)
                yield Edit(f"{words} in {name}", change, shape, adapts="stride" not in fields)


def _for_windows(network: nn.Module, shape: Shape, error: Impossible) -> Iterator[Edit]:
    """Other borders, windows or strides in the layers up to the place, the nearest first."""
    seen = [row.name for row in error.place.path] + [error.layer]
    modules = dict(network.named_modules())
    if any(isinstance(module, _ConvNd) for module in modules.values()):
        yield Edit(f"{_half_windows(modules.values())} in every convolution", _padded, shape)
    for name in [name for name in reversed(dict.fromkeys(seen)) if name in modules][:WINDOWS]:
        module, frame = modules[name], window(modules[name])
        if frame is None or not hasattr(module, "padding"):
            continue
        for words, fields in _other_windows(module, frame.kernel, name == error.layer):
            shown = name.rpartition(".")[2] if not name.rpartition(".")[2].isdigit() else name
            yield Edit(
                f"{words} in {shown}",
                partial(_with_fields, name=name, fields=fields),
                shape,
            )


def _half(module: _ConvNd) -> tuple[int, ...]:
    """A border on each side under which a convolution with an odd window keeps the size at stride 1."""
    return tuple(d * (k - 1) // 2 for k, d in zip(module.kernel_size, module.dilation, strict=True))


def _half_windows(modules: Iterable[nn.Module]) -> str:
    """'padding=1' where it is the same for all, else in words."""
    sides = {n for module in modules if isinstance(module, _ConvNd) for n in _half(module)}
    return f"padding={sides.pop()}" if len(sides) == 1 else "a padding of half its window"


def _padded(network: nn.Module) -> nn.Module:
    """Every convolution with a border of half its window on each side, so that it keeps the size."""
    for name, module in list(network.named_modules()):
        if isinstance(module, _ConvNd) and not isinstance(module, _ConvTransposeNd) and name:
            network = _with_fields(network, name, {"padding": _half(module)})
    return network


def _other_windows(
    module: nn.Module, kernel: tuple[int, ...], failing: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    axes = len(kernel)
    half = tuple(k // 2 for k in kernel)
    if any(half) and per_axis(module.padding, axes) != half:
        yield f"padding={_short(half)}", {"padding": half}
    if hasattr(module, "ceil_mode") and not module.ceil_mode:
        yield "ceil_mode=True", {"ceil_mode": True}
    if max(per_axis(getattr(module, "stride", None) or 1, axes)) > 1:
        yield "stride=1", {"stride": (1,) * axes}
    if failing:
        for side in range(max(kernel) - 1, 0, -1):
            yield f"a window of {times((side,) * axes)}", {"kernel_size": (side,) * axes}


def _short(value: Any) -> Any:
    """One number where all axes have the same."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def _with_fields(network: nn.Module, name: str, fields: dict[str, Any]) -> nn.Module:
    module = network.get_submodule(name)
    if isinstance(module, _ConvNd):
        return _replaced(network, name, _conv_like(module, **fields))
    for field, value in fields.items():
        setattr(module, field, value)
    return network


class _Flattening(TorchFunctionMode):
    """Takes every `view` of maps as two axes for `flatten(1)`."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, sizes = getattr(func, "__name__", ""), args[1:]
        if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
            sizes = tuple(sizes[0])
        if name in {"view", "reshape"} and len(sizes) == 2 and args[0].ndim > 2:
            return args[0].flatten(1)
        return func(*args, **(kwargs or {}))


class _Flattened(nn.Module):
    """A network whose views are taken for `flatten(1)`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        with _Flattening():
            return self.network(x)
