"""Which pictures are held out, and which are a smaller sample: stratified, seeded, the same on every machine.

Every row gets one number that depends on the seed and on the row alone: on its position in a data set that is
an array, on its key (a hash of the file) in a folder. Nothing depends on a library's random generator, so no
update moves a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Draws = NDArray[np.uint64]


def hold_out(y: Tensor, share: float, seed: int, keys: Sequence[str] | None = None) -> tuple[Tensor, Tensor]:
    """Row numbers (int64, ascending) to keep and to hold out, stratified by the labels `y`, (N,) or label
    sets (N, classes).

    Without `keys`, exactly round(`share` N) rows are held out, spread over the classes by largest remainder.
    With `keys`, one per row, a row is held out when the hash of (seed, key) falls below `share`: adding or
    removing other rows never moves it, rows with equal keys stay together, and the share is met on average,
    not exactly. A class whose expected number reaches a half has at least one row held out. In both, every
    class keeps at least one row.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must lie in [0, 1), not {share}")
    draws = _draws(len(y), seed, keys)
    held = np.zeros(len(y), bool)
    groups = _classes(y)
    if keys is None:
        most = [max(len(rows) - 1, 0) for rows in groups]
        for rows, count in zip(
            groups, _apportion(round(share * len(y)), [len(rows) for rows in groups], most)
        ):
            held[_lowest(rows, draws, count)] = True
    else:
        for rows in groups:
            held[rows] = _below(draws[rows], share)
    numbers = torch.arange(len(y))
    chosen = torch.from_numpy(held)
    return numbers[~chosen], numbers[chosen]


def sample(y: Tensor, count: int, seed: int, keys: Sequence[str] | None = None) -> Tensor:
    """Row numbers (int64, ascending) of `count` rows, stratified by `y`; a smaller count gives (nearly) a
    subset of a larger.

    Shares are met to within one row per class. All rows where there are no more than `count`.
    """
    groups = _classes(y)
    draws = _draws(len(y), seed, keys)
    sizes = [len(rows) for rows in groups]
    counts = _apportion(min(count, len(y)), sizes, sizes)
    chosen = np.concatenate(
        [_lowest(rows, draws, n) for rows, n in zip(groups, counts)] or [np.empty(0, np.int64)]
    )
    return torch.from_numpy(np.sort(chosen))


def compact(x: Tensor, rows: Tensor, *, chunk: int = 1024) -> Tensor:
    """The rows of `x` numbered by the ascending `rows`, moved to the front of the same memory: `x` is used
    up.
    """
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        x[start : start + len(part)] = x[part]
    return x[: len(rows)].detach()  # a view would hold the whole


def _classes(y: Tensor) -> list[NDArray[np.int64]]:
    """The row numbers of each label (of each distinct label set), ascending."""
    label = y if y.ndim == 1 else torch.unique(y, dim=0, return_inverse=True)[1]
    order = torch.argsort(label, stable=True).numpy()
    edges = np.cumsum(torch.unique(label, return_counts=True)[1].numpy())[:-1]
    return list(np.split(order, edges)) if len(order) else []


def _draws(count: int, seed: int, keys: Sequence[str] | None) -> Draws:
    """One 64-bit number per row, uniform, from (seed, row) or (seed, key)."""
    if keys is None:
        return _mixed(np.arange(count, dtype=np.uint64) + (_mixed(np.array([seed % 2**64], np.uint64))))
    digests = (
        hashlib.blake2b(f"{seed}|{key}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for key in keys
    )
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def _mixed(z: Draws) -> Draws:
    """SplitMix64's finaliser (Steele, Lea and Flood, 'Fast splittable pseudorandom number generators',
    2014).
    """
    z = z * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Draws = z ^ (z >> np.uint64(31))
    return mixed


def _lowest(rows: NDArray[np.int64], draws: Draws, count: int) -> NDArray[np.int64]:
    return rows[np.argsort(draws[rows], kind="stable")[:count]]


def _apportion(total: int, sizes: list[int], most: list[int]) -> list[int]:
    """`total` seats for groups of these `sizes`, in proportion, by largest remainder; never more than `most`
    of a group.
    """
    everything = sum(sizes)
    seats = [min(total * size // everything, cap) for size, cap in zip(sizes, most)]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (-(total * sizes[i] % everything), i))
    left = min(total, sum(most)) - sum(seats)
    while left:
        for i in by_remainder:
            if left and seats[i] < most[i]:
                seats[i] += 1
                left -= 1
    return seats


def _below(draws: Draws, share: float) -> NDArray[np.bool_]:
    """Which rows of one class lie below the threshold, mended so that neither side is empty without need."""
    held: NDArray[np.bool_] = draws < np.uint64(min(int(share * 2.0**64), 2**64 - 1))
    distinct = np.unique(draws)
    if held.all():
        held = draws < distinct[-1]
    elif not held.any() and len(distinct) > 1 and share * len(draws) >= 0.5:
        held = draws == distinct[0]
    return held
