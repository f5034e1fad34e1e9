"""Classes: the pictures of each in every split, and its scores."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.data.dataset import class_counts
from neocog.report.section import Section, fill
from neocog.report.subject import Subject
from neocog.tasks.task import Columns

MOST_ROWS = 200
"""Classes in the table."""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class: its pictures in each split, then its scores."""

    name: str
    counts: tuple[int, ...]
    scores: tuple[str, ...]


def classes(subject: Subject) -> Section:
    """A row for each class, with the columns that the task's result brings."""
    dataset, report = subject.dataset, subject.report
    scores = report.columns() if report is not None else Columns()
    counts = [class_counts(split, len(dataset.classes)) for split in dataset.splits.values()]
    rows = [
        ClassRow(name, tuple(of[k] for of in counts), scores.of_class[k] if scores.of_class else ())
        for k, name in enumerate(dataset.classes)
    ]
    body = fill(
        "classes",
        splits=tuple(dataset.splits),
        score_names=scores.names,
        rows=rows[:MOST_ROWS],
        more=max(0, len(rows) - MOST_ROWS),
        means=scores.means,
    )
    return Section("classes", "Classes", body)
