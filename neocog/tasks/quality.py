"""Quality of restored pictures: peak signal-to-noise ratio, structural similarity; the median filter, to
which a network is compared.

Pictures are (N, C, H, W), levels 0..255.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.pictures.smoothing import gaussian, smoothed

PEAK = 255.0
MOST = 100.0
"""dB: what two equal pictures have, whose ratio is infinite."""
WINDOW, SPREAD = 11, 1.5
"""Side of SSIM's Gaussian window and its standard deviation, in pixels."""
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """(N,), dB: 10 log10(255^2 / MSE), the mean over all pixels and channels of a picture; at most 100."""
    error = (x.double() - y.double()).square().flatten(1).mean(1)
    return (10 * torch.log10(PEAK**2 / error.clamp(min=1e-12))).clamp(max=MOST)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """(N,), at most 1: the mean structural similarity over all windows that lie inside, channel by channel.

    Wang, Bovik, Sheikh, Simoncelli, 'Image quality assessment', IEEE TIP 13 (2004), equation 13, with their
    Gaussian window of 11 x 11 (smaller in pictures that are), K1 = 0.01, K2 = 0.03.
    """
    x, y = x.double(), y.double()
    window = gaussian(min(WINDOW, *x.shape[2:]), SPREAD, like=x)
    a, b = smoothed(x, window), smoothed(y, window)
    spread_a, spread_b = smoothed(x * x, window) - a * a, smoothed(y * y, window) - b * b
    both = smoothed(x * y, window) - a * b
    found = (2 * a * b + C1) * (2 * both + C2) / ((a * a + b * b + C1) * (spread_a + spread_b + C2))
    return found.flatten(1).mean(1)


def median_filtered(x: Tensor) -> Tensor:
    """The median of each pixel's 3 x 3 neighbourhood, channel by channel; the border is repeated."""
    n, c, h, w = x.shape
    around = F.pad(x.float(), (1, 1, 1, 1), mode="replicate").reshape(n * c, 1, h + 2, w + 2)
    return F.unfold(around, 3).median(dim=1).values.view(n, c, h, w)
