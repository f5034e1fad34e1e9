"""One Keras layer's arrays -> our tensors, and back.

Keras keeps kernels as (height, width, in, out) and dense weights as (in, out), and flattens pictures position
by position; torch keeps (out, in, height, width) and (out, in), and flattens channel by channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from neocog.errors import UnreadableError
from neocog.pretrained.keras.h5 import Variable
from neocog.zoo.architectures import Shape

Order = npt.NDArray[np.int64]
"""For each of our flat features, Keras' number of it."""

_STATISTICS = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}


def hwc_to_chw(shape: Shape) -> Order:
    """The order of the features of a flattened picture of `shape` (C, *sizes): Keras puts channels last."""
    channels, *sizes = shape
    there = np.arange(int(np.prod(shape))).reshape(*sizes, channels)
    return np.ascontiguousarray(np.moveaxis(there, -1, 0)).reshape(-1)


def from_keras(
    variables: Sequence[Variable], module: nn.Module, ours: str, *, order: Order | None, layer: str
) -> dict[str, Tensor]:
    """The tensors of `module`, named under `ours`. `order` is given where what comes in was flattened.

    A separable convolution is a module with `depthwise` and `pointwise`. Raises `UnreadableError`, naming
    `layer`, where number or dimensions of the arrays do not belong to such a module.
    """
    arrays = [np.asarray(variable.value) for variable in variables]
    try:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            found = _normalisation(variables, order)
        elif isinstance(module, nn.Linear):
            found = _dense(arrays, order)
        elif isinstance(module, nn.Sequential):
            found = _separable(arrays, module)
        else:
            found = _convolution(arrays, module)
    except (ValueError, IndexError, KeyError) as error:
        sizes = ", ".join("x".join(map(str, array.shape)) for array in arrays)
        raise UnreadableError(
            f"layer {layer} has arrays of {sizes}, which do not make a {type(module).__name__}"
        ) from error
    return {f"{ours}.{key}": torch.from_numpy(np.array(value, np.float32)) for key, value in found.items()}


def _convolution(arrays: Sequence[Any], module: nn.Module) -> dict[str, Any]:
    kernel, *bias = arrays
    groups = int(module.groups)  # type: ignore[arg-type]
    axes = kernel.ndim - 2
    weight = np.moveaxis(kernel, (-1, -2), (0, 1))
    if groups > 1 and kernel.shape[-2] == groups:  # depthwise: (*sizes, channels, multiplier)
        weight = np.moveaxis(kernel, (-2, -1), (0, 1)).reshape(-1, 1, *kernel.shape[:axes])
    return {"weight": weight} | ({"bias": bias[0]} if bias else {})


def _separable(arrays: Sequence[Any], module: nn.Sequential) -> dict[str, Any]:
    depthwise, pointwise, *bias = arrays
    parts = {
        "depthwise": _convolution([depthwise], module.get_submodule("depthwise")),
        "pointwise": _convolution([pointwise, *bias], module.get_submodule("pointwise")),
    }
    return {f"{part}.{key}": value for part, found in parts.items() for key, value in found.items()}


def _dense(arrays: Sequence[Any], order: Order | None) -> dict[str, Any]:
    kernel, *bias = arrays
    if order is not None:
        if len(order) != len(kernel):
            raise ValueError("another number of inputs than was flattened")
        kernel = kernel[order]
    return {"weight": kernel.T} | ({"bias": bias[0]} if bias else {})


def _normalisation(variables: Sequence[Variable], order: Order | None) -> dict[str, Any]:
    """By name where there are names; else by number: gamma may be left out (Inception V3), beta too."""
    words = [_word(variable.name) for variable in variables]
    if "" in words:
        words = list(_STATISTICS)[4 - len(variables) :]
    found = {word: np.asarray(v.value) for word, v in zip(words, variables, strict=True)}
    size = len(found["mean"])
    found = {"gamma": np.ones(size), "beta": np.zeros(size)} | found
    return {_STATISTICS[word]: value if order is None else value[order] for word, value in found.items()}


def _word(name: str) -> str:
    """gamma, moving_mean, moving_variance; running_std in files of Keras 1, which meant the variance."""
    for part, word in (
        ("gamma", "gamma"),
        ("beta", "beta"),
        ("mean", "mean"),
        ("var", "variance"),
        ("std", "variance"),
    ):
        if part in name:
            return word
    return ""


def to_keras(module: nn.Module, *, order: Order | None) -> list[tuple[str, npt.NDArray[Any]]]:
    """The arrays of `module`, with Keras' names, in Keras' order; the inverse of `from_keras`."""
    state = {key: value.detach().cpu().numpy() for key, value in module.state_dict().items()}
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        back = {
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        }
        if order is None:
            return [(word, state[key]) for word, key in back.items()]
        return [(word, _scattered(state[key], order)) for word, key in back.items()]
    if isinstance(module, nn.Linear):
        kernel = state["weight"].T
        kernel = np.ascontiguousarray(kernel if order is None else _scattered(kernel, order))
    else:
        weight, groups = state["weight"], int(module.groups)  # type: ignore[arg-type]
        if groups > 1 and weight.shape[1] == 1:
            split = weight.reshape(groups, -1, *weight.shape[2:])
            kernel = np.moveaxis(split, (0, 1), (-2, -1))
        else:
            kernel = np.moveaxis(weight, (0, 1), (-1, -2))
    return [("kernel", np.ascontiguousarray(kernel))] + ([("bias", state["bias"])] if "bias" in state else [])


def _scattered(value: npt.NDArray[Any], order: Order) -> npt.NDArray[Any]:
    back = np.empty_like(value)
    back[order] = value
    return back
