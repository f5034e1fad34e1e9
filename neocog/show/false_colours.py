"""Numbers as colours: heat for amounts, blue and red for what speaks against and for, three maps as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from neocog.errors import UsageError
from neocog.show import plotting
from neocog.show.grids import Pixels, rgb

Numbers = npt.NDArray[Any]


def heat(values: Numbers, *, over: Pixels | None = None) -> Pixels:
    """A map (h, w) as uint8 (h, w, 3): dark for its least value, bright yellow for its greatest.

    `over` a picture, the map is brought to the picture's size and both are mixed half and half. `UsageError`
    for what is no map of finite numbers.
    """
    plotting.settle()
    import matplotlib

    values = _map(values)
    spread = float(values.max() - values.min())
    shares = (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
    if over is None:
        return _coloured(matplotlib.colormaps["inferno"], shares)
    below = rgb(over)
    colours = _coloured(matplotlib.colormaps["inferno"], resized(shares, below.shape[:2]))
    return np.ascontiguousarray((colours.astype(np.uint16) + below) // 2, dtype=np.uint8)


def signed(values: Numbers) -> Pixels:
    """A map (h, w) as uint8 (h, w, 3): red above zero, blue below, white at zero, as strong as the largest
    of its absolute values allows.
    """
    plotting.settle()
    import matplotlib

    values = _map(values)
    most = float(np.abs(values).max())
    return _coloured(matplotlib.colormaps["RdBu_r"], 0.5 + (values / (2 * most) if most > 0 else 0 * values))


def grey(values: Numbers, *, low: float | None = None, high: float | None = None) -> Pixels:
    """Numbers of any shape as uint8 of the same shape: black at `low`, white at `high`, without them at the
    least and the greatest; all black where those are one.
    """
    values = np.asarray(values, dtype=np.float64)
    least = float(values.min()) if low is None else low
    most = float(values.max()) if high is None else high
    if most <= least:
        return np.zeros(values.shape, dtype=np.uint8)
    return np.asarray(np.round(255 * ((values - least) / (most - least)).clip(0, 1)), dtype=np.uint8)


def around_grey(values: Numbers) -> Pixels:
    """A picture (C, h, w) of positive and negative numbers, zero being grey: uint8, of the same shape."""
    most = float(np.abs(values).max())
    return grey(values, low=-most, high=most) if most > 0 else np.full(values.shape, 128, dtype=np.uint8)


def resized(values: Numbers, size: tuple[int, int]) -> Numbers:
    """A map (h, w) brought to `size`, between its own places by straight lines."""
    image = Image.fromarray(np.asarray(values, dtype=np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _map(values: Numbers) -> Numbers:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise UsageError(f"a heat map was given as {values.shape}; it is (h, w), every value a finite number")
    return values


def _coloured(colours: Any, shares: Numbers) -> Pixels:
    return np.ascontiguousarray(colours(np.clip(shares, 0, 1), bytes=True)[:, :, :3])
