"""Restored: pictures of a restoration, damaged above restored above undamaged."""

from __future__ import annotations

from collections.abc import Sequence

from neocog.answers import PictureAnswers
from neocog.data.dataset import Split
from neocog.report.section import Section, fill
from neocog.report.subject import Subject
from neocog.show import grids, markup

COLUMNS = 10
"""Pictures side by side, as in chapter D."""


def restored(subject: Subject) -> Section | None:
    """The first pictures of the split."""
    return _section(subject, "restored", "Damaged above restored", range(COLUMNS))


def worst_restored(subject: Subject) -> Section | None:
    """The pictures that the network came least near to."""
    answers = subject.answers
    if answers is None:
        return None
    worst = answers.losses.sort(descending=True, stable=True).indices[:COLUMNS]
    return _section(subject, "worst", "Restored worst", worst.tolist())


def _section(subject: Subject, anchor: str, title: str, rows: Sequence[int]) -> Section | None:
    answers = subject.answers
    if answers is None or not len(answers):
        return None
    split = subject.dataset.split(answers.report.split)
    png = sheet(split, answers, [row for row in rows if row < len(answers)])
    alt = "damaged pictures above what the network made of them, and the undamaged ones below"
    return Section(anchor, title, fill("picture", look="fit", source=markup.data_uri(png), alt=alt))


def sheet(split: Split, answers: PictureAnswers, rows: Sequence[int]) -> bytes:
    """A PNG of the pictures at `rows` of `split`: as damaged, restored, and undamaged, one above another."""
    shown = [split.x[row] for row in rows]
    shown += [answers.probabilities[row] for row in rows]
    shown += [answers.truth[row] for row in rows]
    return grids.grid(
        [picture.numpy() for picture in shown],
        columns=len(rows),
        caption="above: damaged; middle: restored; below: undamaged",
    )
