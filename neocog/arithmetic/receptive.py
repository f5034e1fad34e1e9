"""How far a number sees: receptive field and stride, carried from tensor to tensor through a network.

A window of reach r = d(k-1) + 1 and stride s turns field f and jump j into f + (r - 1) j and s j (Araujo,
Norris & Sim 2019, equations 1 and 2). Where branches meet, the widest counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd

from neocog.arithmetic.rules import rule
from neocog.arithmetic.sliding_window import Shape, window

Axes = tuple[Fraction, ...]
_BORDERS = {"padding", "pad", "same"}


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a tensor comes from: the rows of the walk that led to it, and what one of its numbers sees of the
    input.

    `field` and `jump` are input pixels per axis; None where the number sees everything.
    """

    rows: tuple[int, ...] = ()
    field: Axes | None = None
    jump: Axes | None = None

    @classmethod
    def of_input(cls, shape: Shape) -> Trace:
        """The input itself: each pixel sees itself. A flat input has no axes to see along."""
        ones = (Fraction(1),) * (len(shape) - 1)
        return cls((), ones, ones) if ones else cls()

    def blind(self) -> Trace:
        """The same origin, the axes lost."""
        return Trace(self.rows)

    def through(self, module: nn.Module, given: Shape, made: Shape) -> Trace:
        """The trace after a leaf that made `made` of `given`."""
        if self.field is None or self.jump is None:
            return self
        if not len(made) == len(given) == len(self.field) + 1 or (
            max(made[1:]) == 1 < max(given[1:]) and _shrinks(module)
        ):
            return self.blind()
        reach, stride = _reach(module, given, made)
        field = tuple(f + (r - 1) * j for f, r, j in zip(self.field, reach, self.jump, strict=True))
        return replace(self, field=field, jump=tuple(j * s for j, s in zip(self.jump, stride, strict=True)))


def _shrinks(module: nn.Module) -> bool:
    """True for a module that has no window of its own and can only have looked everywhere, such as adaptive
    pooling to 1x1.
    """
    return window(module) is None and not isinstance(module, _ConvTransposeNd)


def _reach(module: nn.Module, given: Shape, made: Shape) -> tuple[Axes, Axes]:
    """Reach and stride per axis of one leaf."""
    axes = len(given) - 1
    known = rule(module)
    frame = window(module) if known is not None else None
    if isinstance(module, _ConvTransposeNd):
        spans = zip(module.kernel_size, module.stride, module.dilation, strict=True)
        reach = tuple(Fraction(-(-(d * (k - 1) + 1) // s)) for k, s, d in spans)
        return reach, tuple(Fraction(1, s) for s in module.stride)
    if frame is not None:
        return tuple(Fraction(r) for r in frame.reach), tuple(Fraction(s) for s in frame.stride)
    if given[1:] == made[1:] or (known is not None and known.kind in _BORDERS):
        return (Fraction(1),) * axes, (Fraction(1),) * axes
    pairs = list(zip(given[1:], made[1:], strict=True))
    # Adaptive pooling takes windows of n/m pixels, rounded outwards; enlarging takes one pixel at least.
    return tuple(Fraction(-(-n // m) + bool(n % m and n > m)) for n, m in pairs), tuple(
        Fraction(n, m) for n, m in pairs
    )


def merged(traces: Sequence[Trace]) -> Trace:
    """The trace of a tensor made of several: it sees what the widest of them sees; the longest chain stands
    for all.
    """
    longest = max(traces, key=lambda trace: len(trace.rows), default=Trace())
    fields = [trace.field for trace in traces if trace.field is not None]
    jumps = [trace.jump for trace in traces if trace.jump is not None]
    if not traces or len(fields) < len(traces) or len({len(f) for f in fields}) > 1:
        return longest.blind()
    return Trace(
        longest.rows, tuple(map(max, zip(*fields, strict=True))), tuple(map(max, zip(*jumps, strict=True)))
    )
