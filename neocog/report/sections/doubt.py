"""Doubt: how often the surest answers are wrong, and beyond which distance a picture is called unlike."""

from __future__ import annotations

import torch
from torch import Tensor

from neocog.report.section import Section, fill
from neocog.report.subject import Subject

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.5)
"""Shares of the pictures that are answered, the surest first."""


def doubt(subject: Subject) -> Section | None:
    """Coverage against risk on the measured pictures (El-Yaniv and Wiener 2010), where the model file says
    when to doubt its answers.
    """
    answers, kept = subject.answers, subject.trained.doubt
    if kept is None or answers is None or not len(answers):
        return None
    wrong = (~answers.right)[_surest_first(answers.probabilities, subject.task)].double()
    rows = []
    for coverage in COVERAGES:
        n = max(round(coverage * len(wrong)), 1)
        rows.append((coverage, n, float(wrong[:n].mean())))
    body = fill("doubt", rows=rows, doubt=kept)
    return Section("doubt", "When to doubt an answer", body, "Doubt")


def _surest_first(probabilities: Tensor, task: str) -> Tensor:
    """Row numbers: by the probability of the answer, for label sets by that of the least certain label."""
    sure = torch.maximum(probabilities, 1 - probabilities)
    sureness = sure.amin(1) if task == "multilabel" else probabilities.amax(1)
    return sureness.sort(descending=True, stable=True).indices
