"""Pictures with their answers: a right and a wrong one, the worst mistakes, and samples of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from neocog.answers import Answers
from neocog.data.dataset import Split
from neocog.report.section import Section, fill
from neocog.report.subject import Subject
from neocog.show import charts, markup

MISTAKES, SAMPLES = 24, 32
"""Pictures shown: mistakes with the highest loss, and pictures evenly over the split (experiment E7)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One picture with its answer: `surety` says in words how sure the network was."""

    source: Markup
    name: str
    truth: str
    predicted: str
    right: bool
    surety: tuple[str, ...]


def one_of_each(subject: Subject) -> Section | None:
    """The first right and the first wrong answer with the bars of their probabilities (experiment E4)."""
    answers = subject.answers
    if answers is None or not len(answers):
        return None
    split = subject.dataset.split(answers.report.split)
    firsts = (("right", answers.first("right")), ("wrong", answers.first("wrong")))
    examples = tuple((said, _bars(answers, split, row)) for said, row in firsts if row is not None)
    body = fill("one_of_each", examples=examples, split=answers.report.split)
    return Section("answers", "One right answer, one wrong", body, link="")


def mistakes(subject: Subject) -> Section | None:
    """The wrong answers with the highest loss."""
    answers = subject.answers
    shown = worst(subject)
    if answers is None or not shown:
        return None
    body = fill(
        "mistakes",
        mistakes=shown,
        in_all=len(answers) - int(answers.right.sum()),
        n=len(answers),
        pixelated=subject.pixelated,
    )
    return Section("mistakes", "Worst mistakes", body)


def samples(subject: Subject) -> Section | None:
    """Pictures evenly over the split, right or wrong."""
    shown = even(subject)
    if subject.answers is None or not shown:
        return None
    split = subject.answers.report.split
    body = fill("samples", samples=shown, split=split, pixelated=subject.pixelated)
    return Section("samples", "Pictures with their answers", body, link="Pictures")


def worst(subject: Subject) -> tuple[Example, ...]:
    """At most `MISTAKES` wrong answers, the highest loss first."""
    answers = subject.answers
    return _examples(subject, answers.worst(MISTAKES)) if answers is not None else ()


def even(subject: Subject) -> tuple[Example, ...]:
    """At most `SAMPLES` answers, evenly over the split."""
    if subject.answers is None:
        return ()
    n = len(subject.answers)
    return _examples(subject, [i * n // SAMPLES for i in range(SAMPLES)] if n > SAMPLES else range(n))


def _examples(subject: Subject, rows: Sequence[int]) -> tuple[Example, ...]:
    answers = subject.answers
    if answers is None:
        return ()
    split = subject.dataset.split(answers.report.split)
    return tuple(_example(answers, split, row) for row in rows)


def _example(answers: Answers, split: Split, row: int) -> Example:
    truth, predicted = answers.truth[row], answers.predicted[row]
    sureness = answers.task.sureness(answers.probabilities[row], predicted, truth, float(answers.losses[row]))
    return Example(
        markup.data_uri(markup.thumbnail(split.x[row].numpy())),
        split.names[row] if split.names else f"{answers.report.split}[{row}]",
        answers.named(truth),
        answers.named(predicted),
        bool(answers.right[row]),
        tuple(sureness),
    )


def _bars(answers: Answers, split: Split, row: int) -> Markup:
    chances = answers.probabilities[row].numpy()
    truth = int(answers.truth[row])
    return markup.data_uri(charts.answer(split.x[row].numpy(), chances, answers.task.classes, truth=truth))
