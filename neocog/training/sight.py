"""Sight: what of a network a phase trains, and what that part is fed with.

While stages are frozen and the pictures do not vary, what the stages make of them is always the same: it is
computed once, and what trains is the rest of the network, fed with features in the order in which the whole
would be fed with pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from neocog.data.augment.augment import Augment
from neocog.data.batches import EVALUATION_BATCH, Feed, Varying, cuts_after, plain_batches
from neocog.data.dataset import Dataset, Split
from neocog.pictures.decode import Preprocess
from neocog.recipes.recipe import Phase
from neocog.transfer.features import MOST, Copies, Features, cut, features, nbytes
from neocog.world import World
from neocog.zoo.blocks import Ending, Network

Batches = Iterator[tuple[Tensor, Tensor]]
SOME = 2000
"""Training pictures that are enough to know where the classes lie, or what their mean and variance is."""


class Sight(Protocol):
    """What a phase trains, and with what."""

    def learner(self, network: Network) -> Network | Ending:
        """The part of `network` that is fed."""

    def batches(self, epoch: int, *, taken: int = 0) -> Batches:
        """The training batches of `epoch` (from 0) after the first `taken` pictures."""

    def held_out(self, split: Split) -> Batches:
        """Every picture of `split` once, in order, as evaluation sees it."""

    def plain(self, split: Split, rows: Tensor | None = None) -> Batches:
        """Training pictures, which `split` are, once, as evaluation sees them: those of `rows` in that order;
        without, some where they are many.
        """


@dataclass(frozen=True, slots=True)
class Pictures:
    """The whole network, fed with pictures."""

    feed: Callable[[int], Feed]
    preprocess: Preprocess
    device: torch.device

    def learner(self, network: Network) -> Network:
        return network

    def batches(self, epoch: int, *, taken: int = 0) -> Batches:
        """See `Feed.batches`."""
        return self.feed(epoch).batches(epoch, taken=taken)

    def held_out(self, split: Split) -> Batches:
        """See `plain_batches`."""
        return plain_batches(split, self.preprocess, device=self.device)

    def plain(self, split: Split, rows: Tensor | None = None) -> Batches:
        """Evenly spread over the split, where no rows are given."""
        if rows is None:
            rows = torch.arange(0, len(split), max(len(split) // SOME, 1))
        return plain_batches(split.subset(rows), self.preprocess, device=self.device)


@dataclass(frozen=True, slots=True)
class Kept:
    """The stages after `stage`, fed with what those up to it made of the pictures once."""

    stage: str
    feed: Callable[[int], Feed]
    train: Features
    watched: Features | None
    device: torch.device

    def learner(self, network: Network) -> Ending:
        return network.after(self.stage)

    def batches(self, epoch: int, *, taken: int = 0) -> Batches:
        """Of the copies of each picture, epoch after epoch takes the next."""
        feed, copy = self.feed(epoch), epoch % len(self.train.x)
        rows = feed.rows(epoch)
        for start, end in cuts_after(taken, len(rows), feed.batch):
            chosen = rows[start:end]
            x, y = self.train.x[copy][chosen], self.train.y[copy][chosen]
            yield x.to(self.device), y.to(self.device)

    def held_out(self, split: Split) -> Batches:
        """What was kept of the watched pictures, which `split` are."""
        assert self.watched is not None  # it is asked for where there are some
        return self._in_order(self.watched)

    def plain(self, split: Split, rows: Tensor | None = None) -> Batches:
        """All of them, where no rows are given: what was kept costs nothing."""
        if rows is None:
            return self._in_order(self.train)
        return self._in_order(Features(self.train.x[:, rows], self.train.y[:, rows]))

    def part(self, rows: Tensor, left: Tensor, feed: Callable[[int], Feed]) -> Kept:
        """What was kept of the training pictures `rows`, fed by their `feed`, and of `left`, watched."""
        of, others = (Features(self.train.x[:, i], self.train.y[:, i]) for i in (rows, left))
        return replace(self, train=of, watched=others, feed=feed)

    def _in_order(self, kept: Features) -> Batches:
        for start in range(0, len(kept), EVALUATION_BATCH):
            rows = slice(start, start + EVALUATION_BATCH)
            yield kept.x[0][rows].to(self.device), kept.y[0][rows].to(self.device)


@dataclass(frozen=True, slots=True)
class Part:
    """Some pictures of a job: the training pictures `rows` and `left`, which are watched. What frozen stages
    make of them is what they make of all, in the `sights` of the job's phases.
    """

    sights: Sequence[tuple[Phase, Sight]]
    rows: Tensor
    left: Tensor

    def sight(self, phase: Phase, feed: Callable[[int], Feed]) -> Sight:
        """What `phase`, whose features are kept, trains and with what."""
        whole = next(sight for each, sight in self.sights if each == phase)
        assert isinstance(whole, Kept)  # it is asked for nothing else
        return whole.part(self.rows, self.left, feed)


def why_not(phase: Phase, varying: Varying, dataset: Dataset, network: Network) -> str | None:
    """Why the features of `phase` cannot be kept, in a sentence; None where they can or nothing is frozen."""
    if phase.freeze is None:
        return None
    if not isinstance(varying, Augment):
        return "features are not kept: an augmentation of one's own varies the pictures in every epoch"
    if not varying.is_off and not phase.copies:
        on = ", ".join(varying.model_dump(exclude_defaults=True))
        return (
            f"features are not kept: augment ({on}) varies the pictures in every epoch; "
            "copies=8 keeps eight variants of each picture"
        )
    if len(network.aux):
        return "features are not kept: auxiliary heads hang on the frozen stages"
    stage = cut(network, phase.freeze)
    pictures = len(dataset.train) * max(phase.copies, 1) + len(dataset.val or ())
    size = nbytes(network, stage, dataset.shape, pictures)
    if size > MOST:
        return (
            f"features are not kept: after {stage} they take {size / 2**30:.1f} GiB, more than "
            f"{MOST / 2**30:.0f}"
        )
    return None


def kept(
    phase: Phase,
    network: Network,
    dataset: Dataset,
    *,
    feed: Callable[[int], Feed],
    preprocess: Preprocess,
    world: World,
) -> Kept:
    """The sight of a phase whose features can be kept; computes them where the cache has them not."""
    assert phase.freeze is not None  # else there is nothing to keep
    stage = cut(network, phase.freeze)
    copies = None
    if phase.copies and not phase.augment.is_off:
        copies = Copies(phase.copies, phase.augment, feed(0).seed, len(dataset.classes))
    train = features(network, stage, dataset.train, preprocess, world=world, copies=copies)
    watched = None
    if dataset.val is not None:
        watched = features(network, stage, dataset.val, preprocess, world=replace(world, precision="float32"))
    return Kept(stage, feed, train, watched, world.device)
