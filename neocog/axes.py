"""Axes: what a layer is told once for all spatial axes of its input, or once for each."""

from __future__ import annotations

from collections.abc import Sequence

from neocog.errors import UsageError


def per_axis(value: int | str | Sequence[int], axes: int) -> tuple[int, ...]:
    """One number for each of `axes`, where `value` is one for all or one each; else `UsageError`."""
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise UsageError(
            f"{list(value)} gives {len(value)} sizes, but the input has {axes} axes; give one or {axes}"
        )
    return tuple(int(n) for n in value)
