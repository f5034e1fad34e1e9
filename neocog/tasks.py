"""Tasks: what a training minimises and how its result is measured. A loss is mean over the pictures of a
batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.metrics import Report, Tally
from neocog.zoo.blocks import Network


Onlooker = Callable[[Tensor, Tensor], None]
"""Is shown every batch that is measured: logits (N, classes), float32, and truth (N,)."""


def nobody(logits: Tensor, y: Tensor) -> None:
    """The onlooker that looks away."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one training batch: the loss to minimise (a scalar), the plain loss of the answer, and how many
    were right.
    """

    loss: Tensor
    answer_loss: Tensor
    right: Tensor


@dataclass(frozen=True, slots=True)
class Classify:
    """One class of many: cross-entropy on softmax, with label smoothing (Szegedy et al. 2016, section 7)
    if asked.
    """

    classes: tuple[str, ...]
    label_smoothing: float = 0.0

    def outcome(self, network: Network, x: Tensor, y: Tensor) -> Outcome:
        """`y` holds class indices (N,), or shares (N, classes) where pictures were mixed."""
        answer, *others = (logits.float() for logits in network.all_logits(x))
        loss = F.cross_entropy(answer, y, label_smoothing=self.label_smoothing)
        total = loss
        for logits in others:
            total = total + network.aux_weight * F.cross_entropy(
                logits, y, label_smoothing=self.label_smoothing
            )
        with torch.no_grad():
            truth = y if y.ndim == 1 else y.argmax(1)
            right = (answer.argmax(1) == truth).sum()
        return Outcome(total, loss.detach(), right)

    @torch.inference_mode()
    def report(
        self,
        network: nn.Module,
        batches: Iterable[tuple[Tensor, Tensor]],
        split: str,
        *,
        onlooker: Onlooker = nobody,
    ) -> Report:
        """Measure `network`, in evaluation mode, over `batches`; its mode is restored. `onlooker` sees every
        batch's logits and truth.
        """
        tally = Tally(len(self.classes))
        was_training = network.training
        network.eval()
        try:
            for x, y in batches:
                logits = network(x).float()
                tally.add(logits, y, F.cross_entropy(logits, y, reduction="sum").double())
                onlooker(logits, y)
        finally:
            network.train(was_training)
        return tally.report(self.classes, split=split)
