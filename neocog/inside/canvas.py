"""Canvas: how a picture is held while a score is climbed, which decides what pictures can come out.

`Waves` holds its spectrum, after Olah, Mordvintsev and Schubert, "Feature Visualization", 2017,
https://distill.pub/2017/feature-visualization: slow waves weigh more (1/f) and colours are correlated as in
photos.

`Facet` holds how far it is from the mean of some training pictures that are alike, in the directions in which
these differ: the beginning is that of Nguyen, Yosinski and Clune, "Multifaceted Feature Visualization", 2016,
https://arxiv.org/abs/1602.03616, the directions and the cost are a Gaussian prior on pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (0.9, 0.95, 1.0, 1.05, 1.1)
_COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
"""The root of the covariance of red, green and blue over ImageNet, as Olah et al. have it."""

AMONG = 4_000
"""Training pictures that are looked at, evenly over them."""
NEAR = 12
"""Training pictures that make a facet: one, and those that are nearest to it pixel by pixel."""
COPIES, DEGREES, GROWTH, NOISE = 2, 10.0, 0.1, 0.03
"""Of a facet's picture at each step: copies, each turned and scaled by up to so much, with noise on top."""
_PRIOR, _OUTSIDE, _LEAK = 0.01, 0.05, 0.1


class Canvas(Protocol):
    """What holds a picture as numbers that are climbed."""

    def begin(self, generator: torch.Generator) -> Tensor:
        """The numbers at the beginning."""

    def picture(self, held: Tensor) -> Tensor:
        """The numbers as a picture (C, H, W); what is below 0 or above 1 is black or white."""

    def moved(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """Copies (N, C, H, W), varied by chance, so that what remains does not hang on single pixels."""

    def cost(self, held: Tensor) -> Tensor:
        """What is taken off the score: one number."""


@dataclass(frozen=True, slots=True)
class Waves:
    """A picture of `shape` (C, H, W) as its spectrum (2, C, H, W // 2 + 1), around the level `background`
    (0..1; None: grey).
    """

    shape: tuple[int, ...]
    background: float | None

    def begin(self, generator: torch.Generator) -> Tensor:
        channels, height, width = self.shape
        return 0.01 * torch.randn(2, channels, height, width // 2 + 1, generator=generator)

    def picture(self, held: Tensor) -> Tensor:
        """(C, H, W), between 0 and 1."""
        size = self.shape[1:]
        rows = torch.fft.fftfreq(size[0], device=held.device)[:, None]
        columns = torch.fft.rfftfreq(size[1], device=held.device)[None]
        pitch = (rows.square() + columns.square()).sqrt().clamp(min=1 / max(size))
        spectrum = torch.complex(held[0], held[1]) * math.sqrt(size[0] * size[1]) / pitch
        plain = torch.fft.irfft2(spectrum, s=size) / 4
        if len(plain) == 3:
            root = torch.tensor(_COLOURS, device=held.device)
            plain = torch.einsum("oc,chw->ohw", root / root.norm(dim=0).max(), plain)
        bright = 0.5 if self.background is None else min(max(self.background, 0.02), 0.98)
        return torch.sigmoid(plain + math.log(bright / (1 - bright)))

    def moved(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """One copy, scaled and moved by a few pixels."""
        size = picture.shape[1:]
        scale = SCALES[int(torch.randint(len(SCALES), (), generator=generator))]
        sides = [max(1, round(scale * side)) for side in size]
        scaled = F.interpolate(picture[None], sides, mode="bilinear", align_corners=False)
        most = [max(1, side // 16) for side in size]
        missing = [max(0, side - made) for side, made in zip(size, sides)]
        pads = [n for m, extra in zip(reversed(most), reversed(missing)) for n in (m, m + extra)]
        padded = F.pad(scaled, pads, value=0.5)
        free = [n - side + 1 for n, side in zip(padded.shape[2:], size)]
        top, left = (int(torch.randint(n, (), generator=generator)) for n in free)
        return padded[:, :, top : top + size[0], left : left + size[1]]

    def cost(self, held: Tensor) -> Tensor:
        return held.new_zeros(())


@dataclass(frozen=True, slots=True)
class Facet:
    """A picture as `mean` (C, H, W) and a sum of the `directions` (D, C, H, W), each as long as the standard
    deviation along it: held are D numbers, usual ones about 1.
    """

    mean: Tensor
    directions: Tensor

    def begin(self, generator: torch.Generator) -> Tensor:
        return torch.zeros(len(self.directions))

    def picture(self, held: Tensor) -> Tensor:
        """(C, H, W), a little below 0 and above 1 too."""
        whole = self.mean.to(held.device) + torch.tensordot(held, self.directions.to(held.device), dims=1)
        inside = whole.clamp(0, 1)
        # a little beyond, so that a pixel beyond black or white finds its way back
        leaking: Tensor = inside + _LEAK * (whole - inside)
        return leaking

    def moved(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        """Copies that are turned, scaled and moved by a few pixels, with noise."""
        turn, size, down, across = 2 * torch.rand(4, COPIES, generator=generator) - 1
        angle, size = turn * math.radians(DEGREES), 1 + GROWTH * size
        by = 2 / 14  # of the side from -1 to 1: a fourteenth of it
        rows = [
            size * angle.cos(),
            -size * angle.sin(),
            by * across,
            size * angle.sin(),
            size * angle.cos(),
            by * down,
        ]
        where = torch.stack(rows, dim=1).reshape(COPIES, 2, 3).to(picture.device)
        copies = picture.expand(COPIES, *picture.shape)
        grid = F.affine_grid(where, list(copies.shape), align_corners=False)
        turned = F.grid_sample(copies, grid, padding_mode="border", align_corners=False)
        noise = torch.randn(turned.shape, generator=generator).to(turned)
        return turned + NOISE * noise

    def cost(self, held: Tensor) -> Tensor:
        """The Gaussian prior, and how far pixels are beyond black and white."""
        picture = self.picture(held)
        beyond = (picture - picture.clamp(0, 1)) / _LEAK
        return _PRIOR * held.square().sum() + _OUTSIDE * beyond.square().sum()


@dataclass(frozen=True, slots=True)
class Facets:
    """The facets of a data set: `pictures` (N, C, H, W), 0..1; the row n of `near` are those that are alike
    picture n, itself among them.
    """

    pictures: Tensor = field(repr=False, compare=False)
    near: Tensor = field(repr=False, compare=False)

    @classmethod
    def of(cls, pictures: Tensor) -> Facets:
        """Of pictures uint8 (N, C, H, W); of more than `AMONG` some, evenly over them."""
        some = pictures[:: -(-len(pictures) // AMONG)].float() / 255
        flat = some.flatten(1)
        near = torch.cdist(flat, flat).topk(min(NEAR, len(flat)), largest=False).indices
        return cls(some, near)

    @torch.no_grad()
    def strongest(self, score: Callable[[Tensor], Tensor]) -> Facet:
        """The facet whose mean has the largest score; `score` takes pictures (N, C, H, W) of 0..1."""
        means = (self.pictures[rows].mean(1) for rows in torch.split(self.near, 100))
        best = int(torch.cat([score(some).cpu() for some in means]).argmax())
        some = self.pictures[self.near[best]]
        mean = some.mean(0)
        _, spread, directions = torch.linalg.svd((some - mean).flatten(1), full_matrices=False)
        kept = spread > 1e-3 * spread[0]
        lengths = spread[kept] / math.sqrt(len(some))
        return Facet(mean, (directions[kept] * lengths[:, None]).reshape(len(lengths), *mean.shape))
