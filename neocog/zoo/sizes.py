"""The sizes of a network's maps before it runs, and the dense heads that are made to fit them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import nn

from neocog.arithmetic import walk
from neocog.errors import ShapeError
from neocog.zoo.architectures import Shape


def out_shape(stages: Mapping[str, nn.Module], shape: Shape) -> Shape:
    """The shape that leaves the last of the named `stages` for one picture of `shape` (C, H, W)."""
    return list(stage_shapes(stages, shape).values())[-1]


def stage_shapes(stages: Mapping[str, nn.Module], shape: Shape) -> dict[str, Shape]:
    """The shape that leaves each of the named `stages`, for one picture of `shape` (C, H, W).

    Nothing is computed. Raises `ShapeError` with the stage and the sizes that led to it where the maps
    vanish or do not meet.
    """
    if len(shape) != 3:
        raise ShapeError(f"an input of {shape} cannot be: give a picture's (channels, height, width)")
    walked = walk(nn.Sequential(OrderedDict(stages)), shape)
    entering: dict[str, Shape] = {}
    for row in walked.layers:
        entering.setdefault(row.name.partition(".")[0], row.input)
    leaving = [*(entering[name] for name in stages), walked.output][1:]
    return dict(zip(stages, leaving, strict=True))


def dense(width: int, out: int) -> nn.Sequential:
    """A dense layer and its ReLU: (N, width) -> (N, out)."""
    return nn.Sequential(OrderedDict(dense=nn.Linear(width, out), relu=nn.ReLU()))


def dense_head(shape: Shape, widths: Sequence[int], classes: int, *, dropout: float = 0.5) -> nn.Sequential:
    """AlexNet's and VGG's head on maps of `shape`: fc6, fc7 of `widths`, dropout after each, and fc8."""
    stages: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    width = math.prod(shape)
    for number, out in enumerate(widths, start=6):
        stages[f"fc{number}"] = dense(width, out)
        stages[f"dropout{number}"] = nn.Dropout(dropout)
        width = out
    stages["fc8"] = nn.Linear(width, classes)
    return nn.Sequential(stages)
