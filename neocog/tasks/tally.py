"""Tally: what a classifier answered, counted in batches, and the report that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.errors import CheckFailed
from neocog.show.words import plural
from neocog.tasks.intervals import wilson
from neocog.tasks.metrics import TOP, Bin, Calibration, Report, from_confusion, ratio

BINS = 15
"""Bins of the calibration, as in Guo et al., 'On Calibration of Modern Neural Networks', 2017."""


class Tally:
    """Sums over the batches of an evaluation; memory is that of the confusion matrix.

    `sums` holds plain tensors that can be added up over processes before `report`.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.sums: dict[str, Tensor] = {}

    def add(self, logits: Tensor, y: Tensor, loss_sum: Tensor | float | None = None) -> None:
        """Count a batch: `logits` (N, classes) and class indices `y` (N,), int64, on one device.

        `loss_sum` is the sum of the pictures' losses; without it, cross-entropy.
        """
        logits = logits.detach().float()
        sums = self.sums = self.sums or self._zeros(logits.device)
        sums["loss"] += F.cross_entropy(logits, y, reduction="sum") if loss_sum is None else loss_sum
        sums["not_finite"] += (~logits.isfinite().all(1)).sum()
        confidence, predicted = logits.nan_to_num().softmax(1).max(1)
        right = predicted == y
        sums["confusion"].view(-1).index_add_(0, y * self.classes + predicted, torch.ones_like(y))
        if self.classes > TOP:
            sums["top5"] += (logits.topk(TOP, dim=1).indices == y[:, None]).any(1).sum()
        place = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
        sums["bin_n"].index_add_(0, place, torch.ones_like(y))
        sums["bin_right"].index_add_(0, place, right.long())
        sums["bin_confidence"].index_add_(0, place, confidence.double())

    def report(self, classes: Sequence[str], *, split: str, remarks: Sequence[str] = ()) -> Report:
        """The measures of everything added so far; `CheckFailed` where an output was not finite."""
        sums = {name: total.cpu() for name, total in (self.sums or self._zeros("cpu")).items()}
        n = int(sums["confusion"].sum())
        if bad := int(sums["not_finite"]):
            raise CheckFailed(
                f"the network's output is not finite for {plural(bad, 'picture')} of {n:,}; "
                "train again with a lower learning rate"
            )
        report = from_confusion(sums["confusion"], tuple(classes), split=split, remarks=tuple(remarks))
        if n == 0:
            return report
        top5 = int(sums["top5"]) if self.classes > TOP else None
        return replace(
            report,
            loss=float(sums["loss"]) / n,
            top5=None if top5 is None else top5 / n,
            top5_interval=None if top5 is None else wilson(top5, n),
            calibration=_calibration(sums),
        )

    def _zeros(self, device: torch.device | str) -> dict[str, Tensor]:
        sizes = {
            "confusion": (self.classes, self.classes),
            "top5": (),
            "not_finite": (),
            "bin_n": (BINS,),
            "bin_right": (BINS,),
        }
        sums = {name: torch.zeros(size, dtype=torch.int64, device=device) for name, size in sizes.items()}
        sums["bin_confidence"] = torch.zeros(BINS, dtype=torch.float64, device=device)
        sums["loss"] = torch.zeros((), dtype=torch.float64, device=device)
        return sums


def _calibration(sums: Mapping[str, Tensor]) -> Calibration:
    counts, right = sums["bin_n"].tolist(), sums["bin_right"].tolist()
    confidence = sums["bin_confidence"].tolist()
    gaps = sum(abs(r - c) for r, c in zip(right, confidence, strict=True))
    bins = tuple(
        Bin(i / BINS, (i + 1) / BINS, n, ratio(c, n), ratio(r, n))
        for i, (n, r, c) in enumerate(zip(counts, right, confidence, strict=True))
    )
    return Calibration(gaps / sum(counts), bins)
