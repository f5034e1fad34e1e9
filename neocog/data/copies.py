"""Copies: pictures that are the same, or nearly: saved again, resized, a little brighter.

Candidates share most of a perceptual hash of 64 bits (the signs of low frequencies, as in Zauner,
'Implementation and benchmarking of perceptual image hash functions', 2010, section 3.2); the prints of a
pair, 16x16 pixels in colour, must then agree. Pictures that are nearly flat have no such hash: of them only
exact copies count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neocog.image import Pixels

BITS_APART = 7
"""Of 64: eight bytes of which at least one is then the same, so pairs are looked for byte by byte."""
CORRELATION = 0.997
LEVELS_APART = 24
"""Of 255, between the means of a pair, in each channel."""
FLAT = 6.0
"""Standard deviation, in levels, below which a print says too little."""
CHUNK = 1024

Numbers = NDArray[np.int64]


def groups(prints: Pixels, pixels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
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

    def groups(self) -> tuple[tuple[int, ...], ...]:
        found: dict[int, list[int]] = {}
        for row in np.flatnonzero(self._joined()).tolist():
            found.setdefault(self.root(row), []).append(row)
        return tuple(tuple(rows) for _, rows in sorted(found.items()))

    def _joined(self) -> NDArray[np.bool_]:
        joined: NDArray[np.bool_] = self.parent != np.arange(len(self.parent))
        joined[self.parent[joined]] = True
        return joined


def _join_near(prints: Pixels, rows: Numbers, links: _Links) -> None:
    """Join those of `rows` whose hashes and prints are near."""
    planes = prints[rows].reshape(len(rows), -1, 256).astype(np.float32)
    means = planes.mean(2)
    x = (planes - means[:, :, None]).reshape(len(rows), -1)
    norms = np.sqrt((x * x).sum(1))
    told = norms >= FLAT * np.sqrt(x.shape[1])
    rows, x, means = rows[told], x[told] / norms[told, None], means[told]
    hashes = _hashes(x)
    for byte in range(8):
        keys = (hashes >> np.uint64(8 * byte)).astype(np.uint8)
        order = np.argsort(keys, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1):
            _join_bucket(bucket, rows, hashes, x, means, links)


def _join_bucket(
    bucket: Numbers,
    rows: Numbers,
    hashes: NDArray[np.uint64],
    x: NDArray[np.float32],
    means: NDArray[np.float32],
    links: _Links,
) -> None:
    for start in range(0, len(bucket), CHUNK):
        part, later = bucket[start : start + CHUNK], bucket[start:]
        apart = np.bitwise_count(hashes[part, None] ^ hashes[None, later])
        ones, others = np.nonzero(np.triu(apart <= BITS_APART, 1))
        for i in range(0, len(ones), 1 << 16):
            one, other = part[ones[i : i + (1 << 16)]], later[others[i : i + (1 << 16)]]
            alike = np.einsum("nk,nk->n", x[one], x[other]) >= CORRELATION
            alike &= (np.abs(means[one] - means[other]) <= LEVELS_APART).all(1)
            for a, b in zip(rows[one[alike]].tolist(), rows[other[alike]].tolist()):
                links.join(a, b)


def _hashes(x: NDArray[np.float32]) -> NDArray[np.uint64]:
    """64 bits of each print (N, 3 * 256): which of its 8x8 lowest frequencies, but for the mean, lie above
    their median.
    """
    grey = np.tensordot(
        x.reshape(len(x), 3, 16, 16), np.array([0.299, 0.587, 0.114], np.float32), ((1,), (0,))
    )
    k, n = np.arange(8)[:, None], np.arange(16)[None]
    waves = np.cos(np.pi * k * (2 * n + 1) / 32).astype(np.float32)
    low = np.einsum("nij,ki,lj->nkl", grey, waves, waves, optimize=True).reshape(len(x), 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)
