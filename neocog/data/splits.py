"""Which pictures are held out, and which are a smaller sample: stratified, seeded, the same on every machine.

Every row gets one number that depends on the seed and on the row alone: on its position in a data set that is
an array, on its key (a hash of the file) in a folder. Nothing depends on a library's random generator, so no
update moves a picture.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neocog.data import targets

if TYPE_CHECKING:
    from neocog.data.choice import Data, Divide

Draws = NDArray[np.uint64]
GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""SplitMix64's step and its two factors."""
TEST_SHARE = 0.2
"""Of each class, where the data bring neither val nor test."""


def numbered(labels: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """All labels after each other, and for train, val and test which rows of them are theirs."""
    rows, start = {}, 0
    for name, y in labels.items():
        rows[name] = torch.arange(start, start + len(y))
        start += len(y)
    none = torch.empty(0, dtype=torch.int64)
    return {name: rows.get(name, none) for name in ("train", "val", "test")}, torch.cat(list(labels.values()))


def divided(
    rows: Mapping[str, Tensor],
    y: Tensor,
    data: Data,
    keys: Sequence[str] | None = None,
    divide: Divide = "as trained",
) -> tuple[dict[str, Tensor], list[str]]:
    """The row numbers of the splits that training sees, and what there is to say of them: own splits where
    there are any, else held out of train.

    `rows` are the data's own train, val and test (empty where there is none), `y` all labels; `keys`, one per
    row, as in `hold_out`.
    """
    if divide != "as trained" and not len(rows["val"]) and not len(rows["test"]):
        if divide == "as given":
            return dict(rows), []
        remark = f"all {len(rows['train'])} pictures are tested: the data say no test of their own"
        return {"train": rows["val"], "val": rows["val"], "test": rows["train"]}, [remark]
    train, val, test = rows["train"], rows["val"], rows["test"]
    remarks = []

    def of(chosen: Tensor, salt: str) -> list[str] | None:
        return None if keys is None else [f"{salt}{keys[i]}" for i in chosen.tolist()]

    def held(share: float, salt: str) -> tuple[Tensor, Tensor]:
        keep, out = hold_out(y[train], share, data.seed, of(train, f"{salt} "))
        return train[keep], train[out]

    if not len(test) and len(val):
        test, val = val, val[:0]
        remarks.append("val is what is tested, since there is no test; it is never selected by")
    elif not len(test):
        total = len(train)
        train, test = held(TEST_SHARE, "test")
        said = "about a fifth of each class, chosen by a hash of the file"
        remarks.append(f"{len(test)} of {total} pictures are the test set, {said}")
    if data.val != "held-out":
        if len(val):
            remarks.append(f"the folder's val is not used: what is watched is '{data.val}'")
        val = val[:0]
    elif not len(val) and data.held_out:
        total = len(train)
        train, val = held(data.held_out, "val")
        remarks.append(f"{len(val)} of {total} training pictures are held out as val")
    if data.limit is not None and data.limit < len(train):
        remarks.append(f"{data.limit} of {len(train)} training pictures are used")
        train = train[sample(y[train], data.limit, data.seed, of(train, ""))]
    return {"train": train, "val": val, "test": test}, remarks


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


def parted(x: Tensor, *parts: Tensor, chunk: int = 1024) -> list[Tensor]:
    """The rows of `x` that each of `parts` numbers, ascending, one part behind the other in the memory of
    `x`, which is used up. No row is in two parts.
    """
    aside = [x[rows] for rows in parts[1:]]
    for start in range(0, len(parts[0]), chunk):
        rows = parts[0][start : start + chunk]
        x[start : start + len(rows)] = x[rows]
    found, end = [x[: len(parts[0])].detach()], len(parts[0])
    for part in aside:
        x[end : end + len(part)] = part
        found.append(x[end : end + len(part)].detach())
        end += len(part)
    return found


def _classes(y: Tensor) -> list[NDArray[np.int64]]:
    """The row numbers of each label (of each distinct label set), ascending."""
    label = targets.form_of(y).strata(y)
    order = torch.argsort(label, stable=True).numpy()
    edges = np.cumsum(torch.unique(label, return_counts=True)[1].numpy())[:-1]
    return list(np.split(order, edges)) if len(order) else []


def _draws(count: int, seed: int, keys: Sequence[str] | None) -> Draws:
    """One 64-bit number per row, uniform, from (seed, row) or (seed, key)."""
    if keys is None:
        return _drawn(np.arange(count, dtype=np.uint64) + _drawn(np.array([seed % 2**64], np.uint64)))
    digests = (
        hashlib.blake2b(f"{seed}|{key}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
        for key in keys
    )
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def counted(*counters: int) -> int:
    """A seed of 63 bits for these counters: neighbouring ones give unrelated seeds."""
    state = GOLDEN
    for counter in counters:
        summed = (state + counter * FIRST + SECOND) % 2**64
        state = int(_mixed(np.array([summed], np.uint64))[0])
    return state % 2**63


def _drawn(z: Draws) -> Draws:
    """Number z of SplitMix64's sequence that begins at 0."""
    return _mixed(z * np.uint64(GOLDEN))


def _mixed(z: Draws) -> Draws:
    """SplitMix64's finaliser (Steele, Lea and Flood, 'Fast splittable pseudorandom number generators',
    2014).
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
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
