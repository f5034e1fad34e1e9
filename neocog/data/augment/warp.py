"""Moving the pixels of a whole batch: copies for whole pixels, one bilinear resampling for all else.

A movement is said backwards, as Keras' `apply_affine_transform` does: for each pixel of the result, the place
in the source it is read from. Places are (row, column) relative to the picture's centre, so a movement is a
3x3 matrix that acts on (row, column, 1), and a chain of movements is a product of matrices. Matrices are
float64: products of single precision could be taken in a coarser format by the hardware, which moves pixels
of large pictures visibly.

Differs from Keras (whose pixels come from scipy.ndimage with order 1): `wrap` repeats the picture with its
true period, the side (scipy calls this 'grid-wrap'; its 'wrap' drops a row); `constant` blends into the fill
value over the last half pixel ('grid-constant') in place of jumping to it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Fill = Literal["nearest", "constant", "reflect", "wrap"]
_PADDING = {"nearest": "border", "constant": "zeros", "reflect": "reflection", "wrap": "border"}


def _matrix(*entries: Tensor | float) -> Tensor:
    """Matrices (N, 3, 3), float64: the six `entries` as first rows, each a number or one per picture (N,)."""
    like = next(entry for entry in entries if isinstance(entry, Tensor))
    columns = [
        torch.as_tensor(e, dtype=torch.float64, device=like.device).expand(len(like))
        for e in (*entries, 0, 0, 1)
    ]
    return torch.stack(columns, dim=1).view(-1, 3, 3)


def rotation(degrees: Tensor) -> Tensor:
    """Turn each picture by `degrees` (N,), clockwise as seen on a screen, as Keras does: (N, 3, 3)."""
    angle = degrees.double() * (math.pi / 180)
    return _matrix(angle.cos(), -angle.sin(), 0.0, angle.sin(), angle.cos(), 0.0)


def shift(rows: Tensor, columns: Tensor) -> Tensor:
    """Read `rows` lower and `columns` further right, in pixels (N,): (N, 3, 3)."""
    return _matrix(1.0, 0.0, rows, 0.0, 1.0, columns)


def shear(degrees: Tensor) -> Tensor:
    """Slant each picture by `degrees` (N,), by Keras' formula: (N, 3, 3)."""
    angle = degrees.double() * (math.pi / 180)
    return _matrix(1.0, -angle.sin(), 0.0, 0.0, angle.cos(), 0.0)


def scale(rows: Tensor, columns: Tensor) -> Tensor:
    """Read with steps of `rows` and `columns` pixels (N,); below 1 the picture grows: (N, 3, 3)."""
    return _matrix(rows, 0.0, 0.0, 0.0, columns, 0.0)


def resample(x: Tensor, matrix: Tensor, *, fill: Fill, fill_value: float = 0.0) -> Tensor:
    """The pictures `x` (N, C, H, W), float32, moved by `matrix` (N, 3, 3); memory format as in `x`."""
    if fill == "constant" and fill_value:
        return resample(x - fill_value, matrix, fill=fill).add_(fill_value)
    layout = memory_format(x)
    height, width = x.shape[2:]
    row, column, one = matrix[:, :2].float().to(x.device)[:, :, :, None, None].unbind(2)
    rows = _centred(height, x.device)[:, None]
    columns = _centred(width, x.device)
    grid = torch.empty(len(x), height, width, 2, device=x.device)
    for axis, side in (
        (0, height),
        (1, width),
    ):  # grid_sample wants (x, y), in units where the outer edges are -1 and 1
        unit = 2 / side
        offset = (row[:, axis] * rows + one[:, axis]) * unit
        torch.add(offset, column[:, axis] * columns * unit, out=grid[..., 1 - axis])
    if fill == "wrap":
        x = F.pad(x, (1, 1, 1, 1), mode="circular")
        inner = torch.tensor([width / (width + 2), height / (height + 2)], device=x.device)
        grid = (torch.remainder(grid + 1, 2) - 1) * inner
    moved = F.grid_sample(x, grid, mode="bilinear", padding_mode=_PADDING[fill], align_corners=False)
    return moved.contiguous(memory_format=layout)


def take_lines(x: Tensor, rows: Tensor, columns: Tensor, *, fill: Fill, fill_value: float = 0.0) -> Tensor:
    """Exact copies: pixel (i, j) of picture n is `x[n, :, rows[n, i], columns[n, j]]`; memory format as in
    `x`.

    `rows` (N, H) and `columns` (N, W) are int64 and may point outside of the picture: `fill` says what is
    there.
    """
    n, channels, height, width = x.shape
    from_rows, from_columns = _fold(rows, height, fill), _fold(columns, width, fill)
    places = from_rows[:, :, None] * width + from_columns[:, None, :]
    if memory_format(x) is torch.channels_last:
        places = places + torch.arange(n, device=x.device)[:, None, None] * (height * width)
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)  # a view: one row per pixel
        moved = pixels[places.flatten()].view(n, *places.shape[1:], channels).permute(0, 3, 1, 2)
    else:
        moved = (
            x.flatten(2)
            .gather(2, places.view(n, 1, -1).expand(-1, channels, -1))
            .view(n, channels, *places.shape[1:])
        )
    if fill == "constant":
        outside = (rows != from_rows)[:, None, :, None] | (columns != from_columns)[:, None, None, :]
        moved.masked_fill_(outside, fill_value)
    return moved


def flip(x: Tensor, *, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Mirror top to bottom where `rows` (N,) is true, left to right where `columns` is; None for none."""
    for mirrored, axis in ((rows, 2), (columns, 3)):
        if mirrored is not None:
            x = torch.where(mirrored[:, None, None, None], x.flip(axis), x)
    return x


def memory_format(x: Tensor) -> torch.memory_format:
    """How the pixels of `x` (N, C, H, W) lie in memory: channels_last, or contiguous."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _centred(side: int, device: torch.device) -> Tensor:
    """The places of `side` pixels relative to their middle."""
    return torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2


def _fold(index: Tensor, side: int, fill: Fill) -> Tensor:
    """`index` brought inside 0 .. side-1 the way `fill` says (constant: clamped, to be masked afterwards)."""
    if fill == "wrap":
        return torch.remainder(index, side)
    if fill == "reflect":  # d c b a | a b c d | d c b a: the edge pixel is repeated, as in scipy and Keras
        folded = torch.remainder(index, 2 * side)
        return torch.minimum(folded, 2 * side - 1 - folded)
    return index.clamp(0, side - 1)
