"""The course of a training in pictures: its curves, and the first batch as the network saw it."""

from __future__ import annotations

from neocog.report.section import Section, fill
from neocog.report.subject import Subject
from neocog.show import charts, markup


def curves(subject: Subject) -> Section | None:
    """The curves that lie in the run's folder, or drawn now where it has none."""
    png = subject.file("curves.png")
    if png is None and subject.run is not None and (epochs := subject.run.metrics()):
        png = charts.training_curves(epochs)
    if png is None:
        return None
    alt = f"loss and accuracy over the epochs, training and {subject.dataset.watched}"
    body = fill("picture", look="paper fit", source=markup.data_uri(png), alt=alt)
    return Section("curves", "Curves", body)


def first_batch(subject: Subject) -> Section | None:
    """The picture of the first batch that lies in the run's folder."""
    png = subject.file("first_batch.png")
    if png is None:
        return None
    alt = "the first training pictures as the network saw them"
    return Section(
        "batch", "First batch", fill("picture", look="paper shrunk", source=markup.data_uri(png), alt=alt)
    )
