"""Remarks: what a reader should know before trusting the figures."""

from __future__ import annotations

from neocog.report.section import Section, fill
from neocog.report.subject import Subject


def remarks(subject: Subject) -> Section | None:
    """What the run, the data and the measurement remarked, each once."""
    report = subject.report
    known = (
        *subject.facts.get("remarks", ()),
        *subject.dataset.remarks,
        *(report.remarks if report is not None else ()),
    )
    if not known:
        return None
    return Section("remarks", "Remarks", fill("remarks", remarks=tuple(dict.fromkeys(known))))
