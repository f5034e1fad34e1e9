"""Calibration of a classification: whether 80 % sure means 80 % right."""

from __future__ import annotations

from typing import cast

from neocog.report.section import Section, fill
from neocog.report.subject import Subject
from neocog.show.words import percent
from neocog.tasks.metrics import Report

FEW = 10
"""Pictures in a bin below which its bar is drawn pale."""


def calibration(subject: Subject) -> Section | None:
    """The expected calibration error in words (Guo et al. 2017), and accuracy over confidence; the page asks
    for it where the task is classification, whose result is a `Report`.
    """
    answers = subject.answers
    if answers is None:
        return None
    report = cast(Report, answers.report)
    if report.calibration is None:
        return None
    confidence = float(answers.probabilities.max(1).values.double().mean())
    words = said(report.calibration.error, confidence, report.accuracy or 0.0, len(report.calibration.bins))
    body = fill("calibration", words=words, bins=report.calibration.bins, few=FEW)
    return Section("calibration", "Calibration", body)


def said(error: float, confidence: float, accuracy: float, bins: int) -> str:
    """What the network claims beside what it reaches, in words; all but `bins` are shares, 0..1."""
    lean = "more sure than it is right" if confidence > accuracy else "less sure than it is right"
    return (
        f"On average the network gives its answer a probability of {percent(confidence)} and is right in "
        f"{percent(accuracy)} of cases: it is {lean}. Over {bins} "
        f"bins of confidence, what it claims and what it reaches lie {100 * error:.2f} points apart "
        f"(the expected calibration error, {percent(error)})."
    )
