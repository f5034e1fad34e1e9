"""The refusal in words: which layer, why, and the chain of sizes from the input to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod

from neocog.arithmetic.record import Impossible, Place
from neocog.arithmetic.sliding_window import Refusal, Shape, written

LONGEST = 17
"""Words in a chain before its middle is left out."""


class Names:
    """How the layers of one network are called in messages: by the last word of the name where that is
    unique.
    """

    def __init__(self, leaves: Iterable[str]) -> None:
        self._words = Counter(name.rpartition(".")[2] for name in leaves)

    def short(self, name: str) -> str:
        last = name.rpartition(".")[2]
        return last if self._words[last] <= 1 and not last.isdigit() else name

    def step(self, name: str, label: str) -> str:
        """A layer within the chain: 'conv1 9x9/2', or 'features.0 (conv 9x9/2)' where the name hides the
        kind.
        """
        if not name:
            return "the network"
        kind, _, rest = label.rpartition(" ")
        short = self.short(name)
        if kind and kind[-4:] in short:
            return f"{short} {rest}"
        return f"{short} ({label})" if label and label != short else short


def impossible(
    refusal: Refusal, *, names: Names, layer: str, label: str, shape: Shape, place: Place
) -> Impossible:
    """The error for a `layer` that refuses what it is given at `place`, the network's input being `shape`."""
    given, path = place.given, place.path
    steps, size = [f"input {written(shape)}"], shape
    for row in path:
        if row.input != size:
            steps.append(written(row.input))
        if row.output != row.input:
            steps += [names.step(row.name, row.label), written(row.output)]
        size = row.output
    hint = _flattened(given, [shape, *(row.output for row in path)]) + _channels_last(shape, refusal)
    if given not in {(), size}:
        steps.append(written(given))
    if len(steps) > LONGEST:
        steps = [*steps[:3], "...", *steps[4 - LONGEST :]]
    last = f"{names.step(layer, label)} {refusal.needs}".strip()
    name = names.short(layer)
    return Impossible(
        layer=layer,
        shown=f"{name} ({label})" if name and label else name or "the network",
        refusal=refusal.with_hint(hint),
        place=place,
        chain=" -> ".join([*steps, last]),
    )


def _flattened(given: Shape, sizes: Sequence[Shape]) -> str:
    """Where a flat input comes from: '; it comes from 20 x 12 x 12 = 2880'."""
    if len(given) == 1:
        for size in reversed(sizes):
            if len(size) > 1 and prod(size) == given[0]:
                return f"; it comes from channels x sizes = {' x '.join(str(n) for n in size)} = {given[0]}"
    return ""


def _channels_last(shape: Shape, refusal: Refusal) -> str:
    """The hint for a picture given as (height, width, channels)."""
    if len(shape) == 3 and shape[0] > 4 and shape[-1] in {1, 3} and "permute" not in refusal.problem:
        return f"; sizes here are (channels, height, width), and these are {shape}: did you mean permute?"
    return ""
