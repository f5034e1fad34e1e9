"""Draw: random amounts, one per picture of a batch, from one explicit generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Draw:
    """Draws for `n` pictures, on the generator's device: a CPU generator gives the same for every device."""

    n: int
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        return self.generator.device

    def uniform(self, low: float, high: float, *, per_picture: int | None = None) -> Tensor:
        """Float32 (N,), or (N, per_picture), in low .. high."""
        shape = (self.n,) if per_picture is None else (self.n, per_picture)
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def whole(self, low: int, high: int) -> Tensor:
        """Int64 (N,), each of low .. high, both included, equally often."""
        return torch.randint(low, high + 1, (self.n,), generator=self.generator, device=self.device)

    def coin(self) -> Tensor:
        """Bool (N,), true with chance 1/2."""
        return self.whole(0, 1).bool()

    def shift(self, amount: float, side: int) -> Tensor:
        """Pixels (N,): any fractions up to a share of `side` for an `amount` below 1, else whole pixels."""
        if amount < 1:
            return self.uniform(-amount * side, amount * side)
        return self.whole(-int(amount), int(amount))

    def beta(self, alpha: float) -> Tensor:
        """Float32 (N,) in 0..1 of the distribution Beta(alpha, alpha).

        torch draws from it with its default generator only, hence NumPy, seeded by a draw of ours.
        """
        seed = int(torch.randint(2**62, (), generator=self.generator, device=self.device))
        return (
            torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, self.n)).float().to(self.device)
        )

    def partners(self) -> Tensor:
        """Int64 (N,): a permutation that pairs each picture with another (or, rarely, itself)."""
        return torch.randperm(self.n, generator=self.generator, device=self.device)
