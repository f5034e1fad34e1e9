"""Copies: pictures that are the same, or nearly: saved again, resized, a little brighter.

Candidates share most of a perceptual hash of 64 bits (the signs of low frequencies, as in Zauner,
'Implementation and benchmarking of perceptual image hash functions', 2010, section 3.2); the prints of a
pair, 16x16 pixels in colour, must then agree. Pictures that are nearly flat have no such hash: of them only
exact copies count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.pictures.pixels import GREY, Pixels

BITS_APART = 7
"""Of 64: eight bytes of which at least one is then the same, so pairs are looked for byte by byte."""
CORRELATION = 0.9985
LEVELS_APART = 24
"""Of 255, between the means of a pair, in each channel."""
FLAT = 6.0
"""Standard deviation, in levels, below which a print says too little."""
CHUNK, PAIRS = 1024, 1 << 14
"""Rows, and pairs of rows, that are compared at a time."""
Families = tuple[tuple[int, ...], ...]

Numbers = NDArray[np.int64]


def groups(prints: Pixels, pixels: Sequence[str]) -> Families:
    """The rows that are copies of each other, each group and all groups ascending.

    `prints` is uint8 (N, 3, 16, 16); `pixels` holds a digest of each picture, equal for exact copies.
    """
    links = _Links(len(pixels))
    first: dict[str, int] = {}
    for row, digest in enumerate(pixels):
        links.join(first.setdefault(digest, row), row)
    rows = np.array(sorted(first.values()), np.int64)
    _join_near(prints, rows, links)
    return links.groups()


class _Links:
    """Disjoint sets over 0..count-1, each known by its lowest member."""

    def __init__(self, count: int) -> None:
        self.parent = np.arange(count)

    def root(self, row: int) -> int:
        while self.parent[row] != row:
            self.parent[row] = self.parent[self.parent[row]]
            row = int(self.parent[row])
        return row

    def join(self, one: int, other: int) -> None:
        low, high = sorted((self.root(one), self.root(other)))
        self.parent[high] = low

    def groups(self) -> Families:
        found: dict[int, list[int]] = {}
        for row in np.flatnonzero(self._joined()).tolist():
            found.setdefault(self.root(row), []).append(row)
        return tuple(tuple(rows) for _, rows in sorted(found.items()))

    def _joined(self) -> NDArray[np.bool_]:
        joined: NDArray[np.bool_] = self.parent != np.arange(len(self.parent))
        joined[self.parent[joined]] = True
        return joined


@dataclass(frozen=True, slots=True)
class _Prints:
    """Prints uint8 (n, 3, 16, 16), their hashes and the `rows` that they are of."""

    rows: Numbers
    small: Pixels
    hashes: NDArray[np.uint64]

    def near(self, ones: Numbers, others: Numbers) -> NDArray[np.bool_]:
        """Which of the pairs agree: in correlation, and in the mean of every channel."""
        (x, a), (y, b) = _centred(self.small[ones]), _centred(self.small[others])
        product = np.einsum("nk,nk->n", x, y)
        norms = np.einsum("nk,nk->n", x, x) * np.einsum("nk,nk->n", y, y)
        alike: NDArray[np.bool_] = product >= CORRELATION * np.sqrt(norms)
        alike &= (np.abs(a - b) <= LEVELS_APART).all(1)
        return alike


def _join_near(prints: Pixels, rows: Numbers, links: _Links) -> None:
    """Join those of `rows` whose hashes and prints are near."""
    hashes, told = np.zeros(len(rows), np.uint64), np.zeros(len(rows), bool)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        x, _ = _centred(prints[rows[part]])
        hashes[part] = _hashes(x)
        told[part] = x.std(1) >= FLAT
    known = _Prints(rows[told], prints[rows[told]], hashes[told])
    for byte in range(8):
        keys = (known.hashes >> np.uint64(8 * byte)).astype(np.uint8)
        order = np.argsort(keys, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            _join_bucket(bucket, byte, known, links)


def _join_bucket(bucket: Numbers, byte: int, known: _Prints, links: _Links) -> None:
    """Join those of a bucket, whose hashes share `byte`; who shares an earlier byte was compared before."""
    for start in range(0, len(bucket), CHUNK):
        part, later = bucket[start : start + CHUNK], bucket[start:]
        apart = np.bitwise_count(known.hashes[part, None] ^ known.hashes[None, later])
        ones, others = np.nonzero(np.triu(apart <= BITS_APART, 1))
        for i in range(0, len(ones), PAIRS):
            one, other = part[ones[i : i + PAIRS]], later[others[i : i + PAIRS]]
            differ = known.hashes[one] ^ known.hashes[other]
            fresh = np.ones(len(one), bool)
            for before in range(byte):
                fresh &= (differ >> np.uint64(8 * before)) & np.uint64(255) != 0
            one, other = one[fresh], other[fresh]
            alike = known.near(one, other)
            for a, b in zip(known.rows[one[alike]].tolist(), known.rows[other[alike]].tolist()):
                links.join(a, b)


def _centred(small: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Prints as rows (n, 768) without the mean of each channel, and those means (n, 3)."""
    planes = small.reshape(len(small), 3, 256).astype(np.float32)
    means = planes.mean(2)
    return (planes - means[:, :, None]).reshape(len(small), 768), means


def _hashes(x: NDArray[np.float32]) -> NDArray[np.uint64]:
    """64 bits of each print (N, 3 * 256): which of its 8x8 lowest frequencies, but for the mean, lie above
    their median.
    """
    grey = np.tensordot(x.reshape(len(x), 3, 16, 16), np.array(GREY, np.float32), ((1,), (0,)))
    k, n = np.arange(8)[:, None], np.arange(16)[None]
    waves = np.cos(np.pi * k * (2 * n + 1) / 32).astype(np.float32)
    low = np.einsum("nij,ki,lj->nkl", grey, waves, waves, optimize=True).reshape(len(x), 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
