"""Which pixels one place of a layer sees: its receptive field, where it lies in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from neocog.arithmetic import walk
from neocog.inside.capture import capture
from neocog.zoo.modes import evaluating


@dataclass(frozen=True, slots=True)
class Sight:
    """What the places of a layer see: place i of an axis sees the pixels from `first + step * i` on, `field`
    of them, those outside the picture being padding. None for a layer that sees all at every place.
    """

    first: tuple[int, ...]
    step: tuple[int, ...]
    field: tuple[int, ...]

    def box(self, place: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        """(first pixel, the one after the last) along every axis; may lie outside the picture."""
        starts = [f + s * i for f, s, i in zip(self.first, self.step, place, strict=True)]
        return tuple((start, start + n) for start, n in zip(starts, self.field, strict=True))


@torch.no_grad()
def sight(network: nn.Module, layer: str, shape: tuple[int, ...]) -> Sight | None:
    """What the places of `layer` see of an input of `shape` (C, *sizes).

    Sizes are the walk's arithmetic. Where fields begin is found by looking: a pixel that is no number makes
    no number of every place that sees it.
    """
    rows = [
        row for row in walk(network, shape).layers if row.name == layer or row.name.startswith(f"{layer}.")
    ]
    if not rows or rows[-1].receptive_field is None or rows[-1].stride is None:
        return None
    field, step = rows[-1].receptive_field, tuple(int(s) for s in rows[-1].stride)
    if any(s < 1 for s in step):
        return None
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    firsts: list[int | None] = [None] * len(step)
    with evaluating(network), capture(network, [layer]) as found:
        for shift in range(max(step)):
            x = torch.zeros(1, *shape, device=device)
            pixel = tuple(size // 2 - shift for size in shape[1:])
            if min(pixel) < 0:
                break
            x.movedim(1, -1)[0][pixel] = float("nan")
            network(x)
            seen = found[layer][0].isnan().any(0)
            if not bool(seen.any()):
                continue
            for axis, start in enumerate(_starts(seen, pixel, step)):
                known = firsts[axis]
                firsts[axis] = start if known is None else min(known, start)
    return None if None in firsts else Sight(tuple(f for f in firsts if f is not None), step, field)


def _starts(seen: torch.Tensor, pixel: tuple[int, ...], step: tuple[int, ...]) -> list[int]:
    """Where the field of place 0 begins at the latest, along each axis: the last place that sees `pixel`
    begins there or, by less than a step, before.
    """
    found = []
    for axis in range(seen.ndim):
        line = seen.any(dim=[a for a in range(seen.ndim) if a != axis]) if seen.ndim > 1 else seen
        last = int(line.nonzero()[-1])
        found.append(pixel[axis] - step[axis] * last)
    return found
