"""Posed: a data set as pictures to be restored: damaged ones are shown, undamaged ones are asked for."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from neocog.data.batches import stream
from neocog.data.damage import Damage
from neocog.data.dataset import Dataset, Split

DAMAGE = 101
"""Purpose of the streams that held-out pictures are damaged by."""
PIECE = 512
"""Pictures damaged at a time; part of what decides the draws."""
TRAIN, VAL, TEST = range(3)


def posed(dataset: Dataset, damage: Damage | None) -> Dataset:
    """`dataset` with its pictures as targets, uint8 (N, C, H, W), and damaged pictures in their place; as it
    is without `damage`. Pictures to learn from stay whole where every epoch damages them anew.
    """
    if damage is None:
        return dataset
    train = dataset.train
    shown = _damaged(train.x, damage, TRAIN) if damage.redraw == "never" else train.x
    test = _asked(dataset.test, damage, TEST)
    val = test if dataset.val is dataset.test else _asked(dataset.val, damage, VAL)
    return replace(dataset, train=_of(train, shown), val=val, test=test)


def _asked(split: Split | None, damage: Damage, number: int) -> Split | None:
    return None if split is None else _of(split, _damaged(split.x, damage, number))


def _of(split: Split, shown: Tensor) -> Split:
    """A view as target: letting go of the pictures shown does not shorten it."""
    return replace(split, x=shown, y=split.x.view(split.x.shape))


def _damaged(x: Tensor, damage: Damage, number: int) -> Tensor:
    """uint8 (N, C, H, W), each piece from a stream of its own."""
    made = torch.empty_like(x)
    for start in range(0, len(x), PIECE):
        piece = x[start : start + PIECE].float()
        made[start : start + PIECE] = damage(piece, stream(damage.seed, DAMAGE, number, start)).byte()
    return made
