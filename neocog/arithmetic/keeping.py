"""The rules of size of layers that keep their input's: each returns it, or refuses one that does not fit."""

from __future__ import annotations

from math import prod
from typing import Any

from torch import nn

from neocog.arithmetic.needs import need, need_axes, need_channels
from neocog.arithmetic.sliding_window import Shape, dimensions, times, written


def keep(module: nn.Module, shape: Shape) -> Shape:
    """Any input, as it is."""
    return shape


def batch_norm(module: Any, shape: Shape) -> Shape:
    """(C, *sizes) with the channels that are normalised; flat ones in one dimension."""
    if not (dimensions(module) == 1 and len(shape) == 1):
        need_axes(module, shape)
    if module.weight is not None or module.running_mean is not None:
        need_channels(shape, module.num_features)
    return shape


def instance_norm(module: Any, shape: Shape) -> Shape:
    """(C, *sizes), of more than one pixel where the variance is measured."""
    need_axes(module, shape)
    if module.affine or module.track_running_stats:
        need_channels(shape, module.num_features)
    measured = module.training or not module.track_running_stats
    problem = f"its input {written(shape)} has one pixel per channel, whose variance is not defined"
    need(not measured or prod(shape[1:]) > 1, problem, "needs at least 2 pixels")
    return shape


def group_norm(module: Any, shape: Shape) -> Shape:
    """(C, *sizes) with the channels that are grouped."""
    need_channels(shape, module.num_channels)
    return shape


def layer_norm(module: Any, shape: Shape) -> Shape:
    """Any input whose last axes are the normalised ones."""
    expected = tuple(module.normalized_shape)
    problem = f"its input is {shape} (channels first), and its last axes must be {times(expected)}"
    need(shape[-len(expected) :] == expected, problem, f"needs {times(expected)}")
    return shape


def local_norm(module: nn.Module, shape: Shape) -> Shape:
    """(C, *sizes) with at least one spatial axis."""
    need(len(shape) >= 2, f"its input {written(shape)} has no pixels", "needs spatial axes")
    return shape


def prelu(module: Any, shape: Shape) -> Shape:
    """Any input; with a slope for each channel, as many channels."""
    if module.num_parameters != 1:
        need_channels(shape, module.num_parameters)
    return shape
