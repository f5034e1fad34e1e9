"""Confusions of a classification: which class was taken for which."""

from __future__ import annotations

from typing import cast

import torch
from markupsafe import Markup

from neocog.report.section import Section, fill
from neocog.report.subject import Subject
from neocog.show import charts, markup
from neocog.tasks.metrics import Report

MOST_CELLS = 30
"""Classes up to which a confusion matrix stands as a table."""

MOST_DRAWN = 150
"""Classes up to which the confusion matrix is drawn; of more, the worst confusions are named."""


def confusion(subject: Subject) -> Section | None:
    """The worst confusions in words, and the matrix; the page asks for it where the task is classification,
    whose result is a `Report`.
    """
    if subject.report is None:
        return None
    report = cast(Report, subject.report)
    body = fill(
        "confusion", report=report, picture=_drawn(report), grouped=subject.grouped, most_cells=MOST_CELLS
    )
    return Section("confusion", "Confusions", body)


def _drawn(report: Report) -> Markup | None:
    """The matrix as a picture, where it is too large for a table."""
    if not report.n or not MOST_CELLS < len(report.classes) <= MOST_DRAWN:
        return None
    return markup.data_uri(charts.confusion(torch.tensor(report.confusion).numpy(), report.classes))
