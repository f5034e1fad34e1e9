"""Question: what a method of explaining is asked, about a network and, for most, pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from neocog.data.dataset import Split
from neocog.data.targets import form_of
from neocog.errors import UsageError
from neocog.inside.explain.score import ClassScore, ProbabilityScore, Score
from neocog.inside.stages import Choice, last_maps
from neocog.pictures.pixels import Pixels
from neocog.pictures.preprocess import Preprocess

MOST_CLASSES = 20
"""Classes that are shown by a picture each where no picture was named."""


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(1)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture under its name: as the network sees it, uint8 (C, H, W); with the class that is explained
    and its probability (0..1). `path` is its file, where it has one.
    """

    name: str
    pixels: Pixels = field(repr=False)
    of: int
    probability: float
    path: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked.

    network     in evaluation, on its device
    shape       (C, H, W) of one input
    pictures    none where the method needs none
    of          the class asked for; None: of each picture its own
    against     the other class, where the question is why one rather than another
    layer, channel, at   the full name of a module, a channel of what it puts out, a place in it; None where
                the method is to choose
    first       how many filters, maps or patches to show; None: as many as the method thinks fit
    levels      what black and white stand for in a sheet: the least and greatest of the 'layer', or of each
                'filter'
    check       'verdict' where class maps are to be put to the test
    step        'forward', or 'backward' for what one step of learning at rate `rate` makes of a weight
    probabilities   what makes probabilities of logits (N, classes)
    data        reads pictures of the data set, with their classes, of the split named or, where the method
                names none, of the usual one; `UsageError` where there are none
    seed        decides every draw
    """

    network: nn.Module
    preprocess: Preprocess
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    pictures: tuple[Picture, ...] = ()
    of: int | None = None
    against: int | None = None
    layer: str | None = None
    channel: int | None = None
    at: tuple[int, ...] | None = None
    first: int | None = None
    levels: Literal["layer", "filter"] = "layer"
    check: Literal["nothing", "verdict"] = "nothing"
    step: Literal["forward", "backward"] = "forward"
    rate: float = 0.1
    probabilities: Callable[[Tensor], Tensor] = _softmax
    data: Callable[[str | None], Split] | None = None
    seed: int = 0

    def x(self, number: int) -> Tensor:
        """The input (1, C, H, W), float32, for the picture `number`."""
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        return self.preprocess.normalise(torch.from_numpy(self.pictures[number].pixels)[None].to(device))

    def score(self, number: int, scale: Literal["logit", "probability"] = "logit") -> Score:
        """What is explained of the picture `number`: its class's logit, or its probability; of two classes
        always how far the logits lie apart.
        """
        of = self.pictures[number].of
        if of == self.against:
            raise UsageError(
                f"{self.pictures[number].name} is taken for {self.named(of)} already; "
                f"give --class with another than --against"
            )
        if scale == "probability" and self.against is None:
            return ProbabilityScore(of, self.probabilities)
        return ClassScore(of, self.against)

    def split(self, name: str | None = None) -> Split:
        """The pictures of the data set's split `name`; `UsageError` where there are none."""
        if self.data is None:
            raise UsageError("this method looks at the data set; say which: --data NAME or FOLDER")
        return self.data(name)

    def with_one_of_each_class(self) -> Question:
        """This question about the first picture of every class, where it names no picture."""
        if self.pictures:
            return self
        split = self.split()
        single = form_of(split.y).only(split.y)
        firsts = {label: n for n, label in reversed(list(enumerate(single))) if label is not None}
        found = [
            Picture(self.named(label), split.x[firsts[label]].numpy(), label, float("nan"))
            for label in sorted(firsts)
        ]
        return replace(self, pictures=tuple(found[:MOST_CLASSES]))

    def blank(self) -> Tensor:
        """An input of zeros, (1, C, H, W): for asking which layers there are."""
        device = next((p.device for p in self.network.parameters()), torch.device("cpu"))
        return torch.zeros(1, *self.shape, device=device)

    def layer_or(self, choose: Callable[[nn.Module, Tensor], Choice] = last_maps) -> Choice:
        """The layer that was asked for, or the one that `choose` finds, with its reason."""
        if self.layer is not None:
            return Choice(self.layer, "as asked")
        return choose(self.network, self.blank())

    def named(self, of: int) -> str:
        """The name of class `of`; its number where names are not known."""
        return self.classes[of] if of < len(self.classes) else str(of)
