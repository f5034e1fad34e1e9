"""Input sizes that fit: the smallest a network can be made for, and those that one as it stands takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from neocog.arithmetic import Impossible, NotFollowed, Shape, walk
from neocog.arithmetic.sliding_window import times
from neocog.errors import ShapeError

LARGEST = 4096
"""Pixels a side up to which an input that fits is looked for."""

SAMPLED = 160
"""Sides tried one by one where sizes that fit have gaps."""


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest legal side: `size` works and `size - 1` does not. `and_all_larger` says whether the
    sixteen sizes above it and its doubles work too; where not, only the sizes tried are known to.
    """

    size: int
    and_all_larger: bool

    def text(self, axes: int = 2) -> str:
        """In words, for a network of so many spatial axes: 'an input of 33x33 or more'."""
        return f"an input of {times((self.size,) * axes)}{' or more' if self.and_all_larger else ''}"


def square(shape: Shape, side: int) -> Shape:
    """`shape` with every spatial axis of the same length."""
    return (shape[0], *(side for _ in shape[1:]))


def smallest_input(works: Callable[[int], bool], *, largest: int = LARGEST) -> Smallest | None:
    """The smallest side of a square input for which `works` says True; None where none up to `largest` does.

    Doubling finds a side that works, halving the smallest below it. Legality is not monotone where pooling
    rounds and branches meet, so that a smaller island is conceivable below `size - 1`; `size` and its lower
    neighbour are tried.
    """
    high = 1
    while not works(high):
        if high >= largest:
            return None
        high = min(2 * high, largest)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    above = [high + step for step in range(1, 17)] + [2 * high, 4 * high]
    return Smallest(high, all(works(side) for side in above))


def smallest_square(build: Callable[[Shape], nn.Module], channels: int, *, axes: int = 2) -> Smallest | None:
    """The smallest square input of a family of networks, `build(shape)` making the one for each input."""

    def works(side: int) -> bool:
        shape = (channels, *(side,) * axes)
        try:
            with torch.device("meta"):
                network = build(shape)
            walk(network, shape)
        except (ShapeError, ValueError, RuntimeError, ZeroDivisionError):
            return False
        return True

    return smallest_input(works, largest=1024)


@dataclass(frozen=True, slots=True)
class Fitting:
    """The square inputs that one given network takes: every `step` pixels from `least` to `most`, None:
    without end.
    """

    least: int
    most: int | None
    step: int = 1

    def words(self, axes: int) -> str:
        """For a network of so many spatial axes: 'a square input, its side 32 to 35 pixels'."""
        if axes == 1:
            return f"an input of length {self.text()}"
        return f"a {'square' if axes == 2 else 'cubic'} input, its side {self.text()} pixels"

    def text(self) -> str:
        if self.most is None:
            return (
                f"{self.least}, {self.least + self.step}, ..." if self.step > 1 else f"{self.least} or more"
            )
        return f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"


def fitting_sizes(network: nn.Module, channels: int, *, axes: int = 2, largest: int = 2048) -> Fitting | None:
    """The sides of square inputs that `network` as it stands takes; None where none was found.

    A fully convolutional network takes everything from some size on, or every n-th size where branches must
    meet; a dense layer of fixed width takes the few sizes that flatten to it. Both ends are tried, and the
    neighbours outside.
    """

    def excess(side: int) -> int:
        """Below zero where the input is too small, above where it is too large, zero where it fits."""
        try:
            found = walk(network, (channels, *(side,) * axes), real="never")
        except Impossible as error:
            return error.refusal.excess or -1
        except NotFollowed:
            return -1
        return -1 if any("mixes the pictures" in remark for remark in found.remarks) else 0

    def first(reached: Callable[[int], bool], low: int, high: int) -> int:
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high

    end = excess(largest)
    least = first(lambda side: excess(side) >= 0, 0, largest)
    if end <= 0 and any(excess(least + step) for step in range(17)):
        return _every_nth([side for side in range(1, SAMPLED) if excess(side) == 0])
    if excess(least) != 0:
        return None
    return Fitting(least, None if end == 0 else first(lambda side: excess(side) > 0, least, largest) - 1)


def _every_nth(sides: Sequence[int]) -> Fitting | None:
    """The rule behind `sides`, those that fit below SAMPLED; None where there are too few, or no rule, to
    say.
    """
    if sides and list(sides) == list(range(sides[0], sides[-1] + 1)) and sides[-1] + 1 < SAMPLED:
        return Fitting(sides[0], sides[-1])
    if len(sides) < 3:
        return None
    step, start = sides[-1] - sides[-2], len(sides) - 1
    while start and sides[start] - sides[start - 1] == step:
        start -= 1
    regular = sides[-1] + step >= SAMPLED and len(sides) - start > 2
    return Fitting(sides[start], None, step) if regular else None
