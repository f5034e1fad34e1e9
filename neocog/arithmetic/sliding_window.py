"""The sliding window of convolutions and pooling layers: where it fits, what it leaves unseen, and the
formula in numbers.

floor((n + 2p - d(k-1) - 1)/s) + 1 positions per axis: Dumoulin & Visin 2016, relationships 6 and 15; torch's
own documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

from neocog.errors import ShapeError

Shape = tuple[int, ...]
"""(C, H, W); (C,) after a flatten, (C, L) for one-dimensional signals, (C, D, H, W) for volumes. No batch
axis.
"""

FORMULA = "floor((n + 2p - d(k-1) - 1)/s) + 1"


class Refusal(ShapeError):
    """Why one layer cannot take its input.

    `problem` is the sentence after the layer's name, `needs` the words that end the chain of sizes ('needs at
    least 7'), `formula` the arithmetic with its numbers, '' where there is none; `excess` by how many numbers
    the input is too large (above zero) or too small (below), 0 where it is neither.
    """

    def __init__(self, problem: str, *, needs: str, formula: str = "", excess: int = 0) -> None:
        self.problem, self.needs, self.formula, self.excess = problem, needs, formula, excess
        super().__init__(problem + (f"\n  formula: {formula}" if formula else ""))

    def with_hint(self, hint: str) -> Refusal:
        """The same refusal, its problem explained further."""
        return Refusal(self.problem + hint, needs=self.needs, formula=self.formula, excess=self.excess)


def written(shape: Sequence[int]) -> str:
    """A shape as people write it, the channels last: (3, 32, 32) is '32x32x3'."""
    return times((*shape[1:], *shape[:1]))


def times(sizes: Sequence[int]) -> str:
    """Sizes joined by 'x': (7, 7) is '7x7'."""
    return "x".join(str(n) for n in sizes)


def per_axis(value: Any, axes: int) -> tuple[int, ...]:
    """torch's number-or-tuple as one number per axis."""
    if isinstance(value, (tuple, list)):
        return tuple(value) if len(value) == axes else tuple(value) * axes
    return (value,) * axes


def dimensions(module: nn.Module) -> int:
    """1, 2 or 3: the spatial axes that a layer works on, from its class's name as torch spells it, else from
    its kernel.
    """
    for kind in type(module).__mro__:
        if kind.__name__[-2:] in {"1d", "2d", "3d"}:
            return int(kind.__name__[-2])
    size = getattr(module, "kernel_size", None)
    return len(size) if isinstance(size, (tuple, list)) else 2


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window, one entry per axis; `before` and `after` are the padded pixels at either end."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    ceil: bool = False

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels from the first to the last that the window touches: d(k - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    def room(self, n: int, axis: int) -> int:
        """How far the window can move on an axis of `n` pixels; negative where it does not fit."""
        return n + self.before[axis] + self.after[axis] - self.reach[axis]

    def positions(self, n: int, axis: int) -> int:
        """Positions of the window on an axis of `n` pixels; zero or less where it does not fit."""
        room, stride = self.room(n, axis), self.stride[axis]
        if not self.ceil:
            return room // stride + 1
        count = -(-room // stride) + 1
        # A last window that would begin in the padding after the picture is not taken.
        return count - 1 if (count - 1) * stride >= n + self.before[axis] else count

    def dropped(self, n: int, axis: int) -> int:
        """Pixels at the end of the axis that no position of the window sees; 0 where the stride leaps over
        pixels anyway.
        """
        leaps = self.ceil or self.stride[axis] > self.reach[axis]
        return 0 if leaps else max(self.room(n, axis) % self.stride[axis] - self.after[axis], 0)

    def formula(self, n: int, axis: int) -> str:
        """The formula and its numbers for an axis of `n` pixels."""
        word = "ceil" if self.ceil else "floor"
        padding = self.before[axis] + self.after[axis]
        numbers = f"{word}(({n} + {padding} - {self.reach[axis] - 1} - 1)/{self.stride[axis]}) + 1"
        return f"{FORMULA.replace('floor', word)} = {numbers} = {self.positions(n, axis)}"


def window(module: nn.Module) -> Window | None:
    """The sliding window of a convolution or pooling layer, torch's or our own; None for any other module."""
    if isinstance(module, _ConvTransposeNd) or not (
        hasattr(module, "kernel_size") and hasattr(module, "stride")
    ):
        return None
    axes = dimensions(module)
    kernel = per_axis(module.kernel_size, axes)
    stride = kernel if module.stride is None else per_axis(module.stride, axes)
    dilation = per_axis(getattr(module, "dilation", 1), axes)
    padding = getattr(module, "padding", 0)
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        before, after = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    else:
        before = after = (0,) * axes if padding == "valid" else per_axis(padding, axes)
    return Window(kernel, stride, dilation, before, after, bool(getattr(module, "ceil_mode", False)))


def dropped_pixels(module: nn.Module, given: Shape, made: Shape) -> str:
    """What a window leaves unseen at the border of `given`, in words; '' where it sees everything."""
    frame = window(module)
    if frame is None or len(given) != len(frame.kernel) + 1:
        return ""
    if made[1:] != tuple(frame.positions(n, axis) for axis, n in enumerate(given[1:])):
        return ""  # a layer of our own that pads in a way of its own
    lost = [frame.dropped(n, axis) for axis, n in enumerate(given[1:])]
    if not any(lost):
        return ""
    names = {1: ("sample",), 2: ("row", "column"), 3: ("slice", "row", "column")}[len(lost)]
    words = [f"{n} {name}{'s' if n > 1 else ''}" for n, name in zip(lost, names, strict=True) if n]
    axis = next(axis for axis, n in enumerate(lost) if n)
    padding = frame.before[axis] + frame.after[axis]
    border = f" + {padding}" if padding else ""
    division = f"({given[1 + axis]}{border} - {frame.reach[axis]})/{frame.stride[axis]}".replace(
        " ", "" if not border else " "
    )
    return f"drops {' and '.join(words)} at the border: {division} is not whole"
