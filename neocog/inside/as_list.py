"""As a layer list: a network that is a chain of layers, written as data that can be edited and trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from neocog.errors import UsageError
from neocog.zoo.blocks import GlobalPool, Logistic, Network
from neocog.zoo.borders import L2Pool, Pad, Same, SameAveragePool
from neocog.zoo.layer_list import Layer, parse
from neocog.zoo.layers.growing import LINEAR, TRANSPOSED
from neocog.zoo.layers.layer import ACTIVATIONS, penalty_of
from neocog.zoo.layers.plain import AVERAGE_POOL, BATCH_NORM, CONV, MAX_POOL

Entry = dict[str, Any]
WORDS = {kind: word for word, kind in ACTIVATIONS.items()}
CHAINS = "the vgg networks, alexnet-owt, lenet5-relu and those of the chapters"


def as_list(network: Network, name: str) -> tuple[Layer, ...]:
    """The layers of `network` in order: same sizes, same numbers of parameters, the same function of the same
    weights. The last dense layer is left to the classes of whatever data it will be trained on, under a
    softmax. `UsageError` names the first part that is no layer of a chain, `name` is the network's.
    """
    found: list[Entry] = []
    same: Same | None = None
    for path, module in _chain(network):
        if isinstance(module, Same):
            same = module
            continue
        entry = _entry(module)
        if entry is None:
            what = f"'{path}' is a {type(module).__name__}"
            raise UsageError(
                f"{name} is no chain of layers that a layer list has: {what}; networks that are: {CHAINS}"
            )
        if same is not None:
            entry |= _like(same, entry, path)
            same = None
        if _folds(found, entry):
            found[-1]["activation"] = entry["kind"]
        elif entry:
            found.append(entry | _named(path, entry))
    last = next((entry for entry in reversed(found) if entry["kind"] == "dense"), None)
    if last is not None and last is found[-1] and "activation" not in last:
        last |= {"units": "classes", "activation": "softmax"}
    return parse(found)


def _chain(network: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The leaves of Sequentials within Sequentials, in order, with their names."""
    for name, module in network.named_children():
        inside = f"{path}.{name}" if path else name
        if type(module) is nn.Sequential or (isinstance(network, Network) and name == "features"):
            yield from _chain(module, inside)
        elif not (isinstance(module, nn.ModuleDict) and not len(module)):
            yield inside, module


def _named(path: str, entry: Entry) -> Entry:
    """The stage's own name, where a layer may bear it: the zoo's names tell more than conv1, conv2."""
    *_, stage, word = ("", *path.split("."))
    name = stage if word in ("conv", "dense", "0") and stage not in ("features", "head") else word
    return {"name": name} if entry["kind"] in ("conv", "dense") and not name.isdecimal() else {}


def _folds(found: Sequence[Entry], entry: Entry) -> bool:
    """Whether an activation belongs to the layer before."""
    return (
        entry.get("kind") in ACTIVATIONS
        and bool(found)
        and found[-1]["kind"] in ("conv", "dense", "transposed-conv")
        and "activation" not in found[-1]
    )


def _like(same: Same, entry: Entry, path: str) -> Entry:
    if entry["kind"] not in ("conv", "maxpool", "l2pool"):
        raise UsageError(
            f"the padding before '{path}' belongs to no window; write it as a layer list by hand"
        )
    border = {"border": same.border} if same.border not in ("zero", "constant") else {}
    number = {"border": "constant", "value": same.value} if same.border == "constant" else {}
    return {"padding": "same", **(border | number if entry["kind"] == "conv" else {})}


def _entry(module: Any) -> Entry | None:
    """One module as an entry; empty where it computes nothing, None where the list has no such layer."""
    if type(module) in CONV:
        return _conv(module)
    if type(module) is nn.Linear:
        bias = _false(bias=module.bias is not None)
        return {"kind": "dense", "units": module.out_features, **bias, **_penalty(module)}
    if type(module) in MAX_POOL and not module.ceil_mode and _plain(module.dilation) == 1:
        return {"kind": "maxpool", **_window(module)}
    if type(module) in AVERAGE_POOL and not module.ceil_mode and module.count_include_pad:
        return {"kind": "avgpool", **_window(module)}
    if isinstance(module, SameAveragePool):
        return {"kind": "avgpool", "padding": "same", **_sides(module)}
    if isinstance(module, L2Pool):
        return {"kind": "l2pool", **_sides(module)}
    if isinstance(module, GlobalPool):
        return {"kind": "globalpool", **({"how": "max"} if module.how == "max" else {})}
    if type(module) in BATCH_NORM and module.affine and module.track_running_stats:
        return {"kind": "batchnorm", "momentum": round(1 - (module.momentum or 0), 6), "eps": module.eps}
    if type(module) in WORDS:
        return {"kind": WORDS[type(module)]}
    if type(module) is nn.Softmax:
        return {"kind": "softmax"}
    if type(module) is nn.Dropout:
        return {"kind": "dropout", "rate": module.p}
    if type(module) is nn.Flatten and module.start_dim == 1 and module.end_dim == -1:
        return {"kind": "flatten"}
    if type(module) in TRANSPOSED:
        return _transposed(module)
    if type(module) is nn.Unflatten and module.dim == 1 and min(module.unflattened_size) > 0:
        channels, *sides = module.unflattened_size
        return (
            {"kind": "unflatten", "sizes": [*sides, channels]} if min(module.unflattened_size) > 0 else None
        )
    if type(module) is nn.Upsample:
        return _upsample(module)
    if isinstance(module, Pad):
        number = {"value": module.value} if module.value else {}
        border = {"border": module.border} if module.border != "zero" else {}
        return {"kind": "pad", "amount": _plain(module.amount), **border, **number}
    if type(module) in (nn.Identity, Logistic):
        return {} if type(module) is nn.Identity else None
    return None


def _conv(module: Any) -> Entry | None:
    if isinstance(module.padding, str) or module.padding_mode != "zeros" or module.transposed:
        return None
    more = {"stride": _plain(module.stride), "dilation": _plain(module.dilation), "groups": module.groups}
    return {
        "kind": "conv",
        "filters": module.out_channels,
        "kernel": _plain(module.kernel_size),
        **{key: value for key, value in more.items() if value != 1},
        **({"padding": _plain(module.padding)} if any(module.padding) else {}),
        **_false(bias=module.bias is not None),
        **_penalty(module),
    }


def _transposed(module: Any) -> Entry | None:
    """One with equal sides, no dilation and no groups, cut off as 'valid' or 'same' do."""
    sides = ("kernel_size", "stride", "padding", "output_padding", "dilation")
    found = [set(getattr(module, side)) for side in sides]
    if any(len(each) > 1 for each in found):
        return None
    kernel, stride, border, more, dilation = (each.pop() for each in found)
    same = (border, more) == ((kernel - stride + 1) // 2, (kernel - stride) % 2) and kernel >= stride
    if dilation != 1 or module.groups != 1 or not (same or (border, more) == (0, 0)):
        return None
    return {
        "kind": "transposed-conv",
        "filters": module.out_channels,
        "kernel": kernel,
        **({"stride": stride} if stride != 1 else {}),
        **({"padding": "same"} if border else {}),
        **_false(bias=module.bias is not None),
    }


def _upsample(module: Any) -> Entry | None:
    factor = module.scale_factor
    whole = isinstance(factor, int | float) and factor == int(factor)
    if module.mode not in ("nearest", *LINEAR) or module.align_corners or not whole:
        return None
    how = {"how": "linear"} if module.mode in LINEAR else {}
    return {"kind": "upsample", **({"factor": int(factor)} if factor != 2 else {}), **how}


def _window(module: Any) -> Entry:
    padding = _plain(module.padding)
    return {**_sides(module), **({"padding": padding} if padding else {})}


def _sides(module: Any) -> Entry:
    size, stride = _plain(module.kernel_size), _plain(module.stride)
    return {"size": size, **({"stride": stride} if stride != size else {})}


def _penalty(module: nn.Module) -> Entry:
    found = penalty_of(module)
    return {name: value for name, value in (("l1", found.l1), ("l2", found.l2)) if value}


def _false(**given: bool) -> Entry:
    return {name: value for name, value in given.items() if not value}


def _plain(value: int | Sequence[int]) -> int | list[int]:
    """One number where all axes agree."""
    values = [value] if isinstance(value, int) else list(value)
    return values[0] if len(set(values)) == 1 else values
