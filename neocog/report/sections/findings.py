"""Findings: what the training doctor found wrong with the training, and what mends it."""

from __future__ import annotations

from neocog.report.section import Section, fill
from neocog.report.subject import Subject


def findings(subject: Subject) -> Section | None:
    """What the run's facts say was found; None where nothing was."""
    found = subject.facts.get("findings", ())
    if not found:
        return None
    return Section(
        "findings", "What is wrong with this training", fill("findings", findings=found), link="Findings"
    )
