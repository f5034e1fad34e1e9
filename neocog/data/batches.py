"""Split -> shuffled, augmented, normalised batches on a device. Counter-based: seed, epoch and step decide
everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import torch
from torch import Tensor

from neocog.data import targets
from neocog.data.dataset import Split
from neocog.data.splits import counted
from neocog.pictures.decode import Preprocess

EVALUATION_BATCH = 64
"""More pictures at once are no faster on a CPU, and their maps take more memory than training does."""


def stream(*counters: int) -> torch.Generator:
    """A CPU generator for these counters (seed, purpose, step ...): the same counters give the same draws,
    always.
    """
    return torch.Generator().manual_seed(counted(*counters))


SHUFFLE, AUGMENT, DROPOUT, WEIGHTS, STATISTICS = range(5)
"""Purposes of streams, so that none shares its draws with another."""


def cuts(n: int, batch: int) -> list[tuple[int, int]]:
    """Where the batches of an epoch begin and end. A last batch of one joins its neighbour: batch norm
    needs two.
    """
    edges = [*range(0, n, batch), n]
    if len(edges) > 2 and edges[-1] - edges[-2] == 1:
        del edges[-2]
    return list(pairwise(edges))


def cuts_after(taken: int, n: int, batch: int) -> list[tuple[int, int]]:
    """The batches of an epoch of which `taken` pictures are done: those of `cuts` where that is one of its
    edges.
    """
    return [(taken + start, taken + end) for start, end in cuts(n - taken, batch)] if taken < n else []


Order = Literal["shuffled", "as given", "balanced"]
"""Of an epoch's pictures. Balanced: drawn with replacement, each class alike often."""


class Varying(Protocol):
    """How a batch is varied; see `Augment`, which is one."""

    @property
    def is_off(self) -> bool: ...

    def __call__(
        self, x: Tensor, y: Tensor, classes: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The training pictures of a phase, as the network is fed with them."""

    split: Split
    preprocess: Preprocess
    augment: Varying
    batch: int
    classes: int
    seed: int
    order: Order
    device: torch.device

    def batches(self, epoch: int, *, taken: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of `epoch` (from 0) after the first `taken` of its pictures: x float32 (N, C, H, W) as
        the network sees it, and y.
        """
        rows = self.rows(epoch)
        for start, end in cuts_after(taken, len(self.split), self.batch):
            number = start // self.batch
            x, y = self.split.take(rows[start:end])
            x, y = channels_last(x.to(self.device)), y.to(self.device)
            if not self.augment.is_off:
                draws = stream(self.seed, AUGMENT, epoch, number)
                x, y = self.augment(x.float(), y, self.classes, draws)
            yield self.preprocess.normalise(x), y

    def rows(self, epoch: int) -> Tensor:
        """Which pictures `epoch` takes, in which order: int64 (N,)."""
        n, draws = len(self.split), stream(self.seed, SHUFFLE, epoch)
        if self.order == "as given":
            return torch.arange(n)
        if self.order == "shuffled":
            return torch.randperm(n, generator=draws)
        chances = targets.form_of(self.split.y).chances(self.split.y, self.classes)
        return torch.multinomial(chances, n, replacement=True, generator=draws)


def plain_batches(
    split: Split, preprocess: Preprocess, *, batch: int = EVALUATION_BATCH, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every picture once, in order, as evaluation and prediction see it."""
    for start in range(0, len(split), batch):
        x, y = split.take(torch.arange(start, min(start + batch, len(split))))
        yield preprocess.normalise(channels_last(x.to(device))), y.to(device)


def channels_last(x: Tensor) -> Tensor:
    """The memory layout in which convolutions are fastest on CPU and GPU; values and shape stay."""
    return x.contiguous(memory_format=torch.channels_last)
