"""Census: what the pictures of a data set are like, all of them counted."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import torch

from neocog.data import targets
from neocog.data.dataset import Dataset, Split


class Brightness(NamedTuple):
    """The mean of all values 0..255 of each class' pictures (None where there are none), and mean and
    standard deviation over all pictures.
    """

    by_class: tuple[float | None, ...]
    mean: float
    spread: float


def brightness(split: Split, classes: int) -> Brightness:
    """Of the pictures of a split, a few megabytes at a time."""
    rows = max(1, (1 << 22) // split.x[0].numel())
    parts = [split.x[start : start + rows].flatten(1).double() for start in range(0, len(split), rows)]
    per_picture = torch.cat([part.mean(1) for part in parts])
    squares = torch.cat([part.square().mean(1) for part in parts])
    mean = float(per_picture.mean())
    spread = max(float(squares.mean()) - mean**2, 0.0) ** 0.5
    members = targets.form_of(split.y).members(split.y, classes)
    by_class = [float(per_picture[of].mean()) if of.any() else None for of in members.T]
    return Brightness(tuple(by_class), mean, spread)


def copies(dataset: Dataset) -> int:
    """How many pictures are, pixel for pixel, one that was there before."""
    seen: set[bytes] = set()
    total = 0
    for split in dataset.splits.values():
        total += len(split)
        seen.update(hashlib.blake2b(x.contiguous().numpy().data, digest_size=16).digest() for x in split.x)
    return total - len(seen)
