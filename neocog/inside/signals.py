"""Things to filter that are no pictures, made here: a sound, letters, a short video (experiment F8)."""

from __future__ import annotations

import numpy as np

from neocog.errors import UsageError
from neocog.inside.kernels import Kernel, Numbers

ALPHABET = "abcdefghijklmnopqrstuvwxyz "
"""One channel each; every other character is silence in all channels."""
MOST_LETTERS = 10_000

_RATE = 8000  # samples a second
_SIDE, _FRAMES, _SQUARE = 12, 8, 3  # pixels, pictures, pixels


def sound() -> Numbers:
    """A tenth of a second, (1, 800) in -1..1, 8,000 samples a second: silence, 440 Hz, then 1,760 Hz."""
    t = np.arange(_RATE // 10) / _RATE
    low, high = np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 1760 * t)
    return np.asarray(np.where(t < 0.02, 0.0, np.where(t < 0.06, low, high)))[None]


def letters(text: str) -> Numbers:
    """A text as (27, length): a row for each letter and the space, 1 where the text has it, capitals as small
    letters.
    """
    if not 1 <= len(text) <= MOST_LETTERS:
        raise UsageError(f"a text of {len(text):,} letters; give 1 to {MOST_LETTERS:,}")
    return np.array([[float(c == a) for c in text.lower()] for a in ALPHABET])


def finder(word: str) -> Kernel:
    """A filter over letters that counts those that fit: len(word) where `word` stands."""
    return Kernel(f"letters:{word}", letters(word))


def video() -> Numbers:
    """(1, 8, 12, 12) in 0..1: a square of 3x3 on black that stands still for four pictures, then moves one
    pixel to the right with each.
    """
    frames = np.zeros((1, _FRAMES, _SIDE, _SIDE))
    for n in range(_FRAMES):
        left = 2 + max(0, n - _FRAMES // 2 + 1)
        frames[0, n, 4 : 4 + _SQUARE, left : left + _SQUARE] = 1
    return frames
