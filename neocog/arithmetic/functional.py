"""Layers that a network calls as functions (`F.max_pool2d` in its `forward`), seen as the modules that they
stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

_ARGUMENTS = {
    "conv": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose": ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    "linear": ("weight", "bias"),
    "max_pool": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avg_pool": ("kernel_size", "stride", "padding", "ceil_mode"),
    "lp_pool": ("norm_type", "kernel_size", "stride", "ceil_mode"),
    "adaptive_avg_pool": ("output_size",),
    "adaptive_max_pool": ("output_size",),
}
"""The parameters after the input, in torch's order, of the functions that change sizes or multiply."""

_CLASSES = {
    "conv": "Conv{}d",
    "conv_transpose": "ConvTranspose{}d",
    "max_pool": "MaxPool{}d",
    "avg_pool": "AvgPool{}d",
    "lp_pool": "LPPool{}d",
    "adaptive_avg_pool": "AdaptiveAvgPool{}d",
    "adaptive_max_pool": "AdaptiveMaxPool{}d",
}


def as_module(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> nn.Module | None:
    """The leaf module, on the meta device, that the call of function `name` with these arguments stands for;
    None for others.
    """
    stem, axes = (name[:-2], name[-2:-1]) if name[-2:] in {"1d", "2d", "3d"} else (name, "")
    if stem not in _ARGUMENTS:
        return None
    given = dict(zip(_ARGUMENTS[stem], args[1:], strict=False))
    given |= {key: value for key, value in kwargs.items() if key in _ARGUMENTS[stem]}
    weight, bias = given.pop("weight", None), given.pop("bias", None) is not None
    if stem == "linear":
        return (
            nn.Linear(weight.shape[1], weight.shape[0], bias, device="meta") if weight is not None else None
        )
    kind: Callable[..., nn.Module] = getattr(nn, _CLASSES[stem].format(axes))
    if weight is None:
        return kind(**given)
    groups, kernel = given.get("groups", 1), tuple(weight.shape[2:])
    inside, outside = weight.shape[1] * groups, weight.shape[0]
    if stem == "conv_transpose":
        inside, outside = outside, inside
    return kind(inside, outside, kernel, **given, bias=bias, device="meta")
