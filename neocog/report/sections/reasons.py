"""Reasons: where the network looked for its worst mistakes and some right answers; its first filters."""

from __future__ import annotations

from markupsafe import Markup

from neocog.errors import NeocogError
from neocog.inside.explain.question import Picture, Question
from neocog.inside.explain.table import METHODS
from neocog.report.section import Section, fill
from neocog.report.subject import Subject
from neocog.show import markup

EACH = 3
"""Mistakes, and right answers, that are explained."""


def reasons(subject: Subject) -> Section | None:
    """Grad-CAM of at most three mistakes and three right answers, each for the class that the network gave;
    the filters of the first convolution. None where nothing was answered, or nothing of it can be shown.
    """
    pictures = _pictures(subject)
    if not pictures:
        return None
    trained = subject.trained
    question = Question(
        network=trained.network,
        preprocess=trained.preprocess,
        classes=trained.classes,
        shape=trained.shape,
        pictures=pictures,
    )
    try:
        maps = METHODS["gradcam"].explain(question)
        looked = markup.data_uri(maps.png() or b"")
    except NeocogError:  # a network without maps has no places to look at
        return None
    body = fill("reasons", looked=looked, layer=maps.lines[0], filters=_filters(question))
    return Section("reasons", "Where it looked", body)


def _pictures(subject: Subject) -> tuple[Picture, ...]:
    """The worst mistakes, then right answers evenly over the split."""
    answers = subject.answers
    if answers is None or not len(answers):
        return ()
    split = subject.dataset.split(answers.report.split)
    right = [n for n in range(len(answers)) if bool(answers.right[n])]
    some = [right[i * len(right) // EACH] for i in range(EACH)] if len(right) > EACH else right
    found = []
    for n in [*answers.worst(EACH), *some]:
        truth, of = answers.named(answers.truth[n]), int(answers.predicted[n])
        word = "right" if bool(answers.right[n]) else f"in truth {truth}"
        found.append(Picture(word, split.x[n].numpy(), of, float(answers.probabilities[n][of])))
    return tuple(found)


def _filters(question: Question) -> Markup | None:
    """The first layer's filters, where they are more than single numbers."""
    sheet = METHODS["filters"].explain(question).sheets[0]
    return markup.data_uri(sheet.png()) if min(sheet.panels[0].pixels.shape[-2:]) > 1 else None
