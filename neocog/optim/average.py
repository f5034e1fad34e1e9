"""Average: the running mean of a network's weights, which is what is measured and shipped where it is kept.

Polyak & Juditsky 1992, in the exponential form. While training is young the mean forgets faster, so that it
does not drag the first weights along: the decay of step t is min(decay, (1 + t) / (10 + t)).
"""

from __future__ import annotations

import copy

import torch

from neocog.zoo.blocks import Network


class Average:
    """Follows `network`; with `decay` 0 it is the network itself and does nothing."""

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.source = network
        self.network = copy.deepcopy(network).requires_grad_(False) if decay else network
        self._pairs = []
        if decay:
            ours, theirs = self.network.state_dict(keep_vars=True), network.state_dict(keep_vars=True)
            self._pairs = [(ours[name], theirs[name]) for name in theirs]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` (from 1). Counters, which are whole numbers, are copied."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, value in self._pairs:
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def state(self) -> dict[str, torch.Tensor]:
        """What has to be saved: nothing where the average is off."""
        return self.network.state_dict() if self.decay else {}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Put a saved `state` back."""
        if self.decay:
            self.network.load_state_dict(state)
