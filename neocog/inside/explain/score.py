"""Score: the number that an explanation is about, one for each picture, from a network and its input.

A class's logit, one class against another, or how strongly a channel responds. Any other callable
`(network, x) -> (N,)` does as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from neocog.errors import ShapeError, UsageError, unknown
from neocog.inside.capture import capture

Score = Callable[[nn.Module, Tensor], Tensor]
"""(network, x (N, ...)) -> (N,), each number made of its own picture alone."""


@dataclass(frozen=True, slots=True)
class ClassScore:
    """The logit of class `of`; with `against`, how far it lies above the logit of that class."""

    of: int
    against: int | None = None

    def __post_init__(self) -> None:
        if self.against == self.of:
            raise UsageError(f"class {self.of} against itself; give two classes")

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        logits: Tensor = network(x)
        if logits.ndim != 2 or len(logits) != len(x):
            raise ShapeError(
                f"the network answers {tuple(x.shape)} with {tuple(logits.shape)}; "
                f"classes are explained of logits (N, classes)"
            )
        for number in (self.of, self.against):
            if number is not None and not 0 <= number < logits.shape[1]:
                raise UsageError(f"class {number} of {logits.shape[1]}; give 0 to {logits.shape[1] - 1}")
        score = logits[:, self.of]
        return score if self.against is None else score - logits[:, self.against]


@dataclass(frozen=True, slots=True)
class ProbabilityScore:
    """The probability of class `of`, 0..1: what `probabilities` makes of logits (N, classes)."""

    of: int
    probabilities: Callable[[Tensor], Tensor]

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        return self.probabilities(network(x))[:, self.of]


@dataclass(frozen=True, slots=True)
class ChannelScore:
    """The response of channel `channel` of the layer `layer` (a name of `network.named_modules()`): at the
    place `at`, one number an axis; without one the `largest` over all places, or their `mean`.
    """

    layer: str
    channel: int
    at: tuple[int, ...] | None = None
    over: Literal["largest", "mean"] = "largest"

    def __post_init__(self) -> None:
        if self.over not in ("largest", "mean"):
            raise unknown("way to take a channel's places together", self.over, ("largest", "mean"))

    def __call__(self, network: nn.Module, x: Tensor) -> Tensor:
        with capture(network, [self.layer]) as found:
            network(x)
        maps = found[self.layer]
        if not 0 <= self.channel < maps.shape[1]:
            raise UsageError(
                f"{self.layer} has channels 0 to {maps.shape[1] - 1}; there is no channel {self.channel}"
            )
        chosen = maps[:, self.channel]
        if self.at is not None:
            sizes = tuple(chosen.shape[1:])
            if len(self.at) != len(sizes) or not all(0 <= a < n for a, n in zip(self.at, sizes)):
                most = ",".join(str(n - 1) for n in sizes)
                raise UsageError(
                    f"{self.layer} has no place {','.join(map(str, self.at))}; "
                    f"its places go to {most or '()'}"
                )
            for place in self.at:
                chosen = chosen[:, place]
            return chosen
        flat = chosen.reshape(len(chosen), -1)
        return flat.amax(1) if self.over == "largest" else flat.mean(1)
