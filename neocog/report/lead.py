"""The lead of a page: what was trained on what, for how long, and the few figures that it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neocog.data import DATASETS
from neocog.data.dataset import Dataset
from neocog.model import Trained
from neocog.recipes.recipe import Recipe
from neocog.report.subject import Subject
from neocog.show.words import duration, percent, plural
from neocog.tasks.task import Result


@dataclass(frozen=True, slots=True)
class Lead:
    """The head of a page: `figures` each with what it is; `note` says what was measured where that is not
    the test split.
    """

    title: str
    text: str
    figures: tuple[tuple[str, str], ...]
    note: str


def lead(subject: Subject) -> Lead:
    """The head of the page about `subject`."""
    trained, run = subject.trained, subject.run
    return Lead(
        title=run.path.resolve().name if run is not None else _network(trained),
        text=_lead(trained, subject.dataset, subject.facts),
        figures=_figures(subject.report, subject.recipe),
        note=_note(subject.report),
    )


def _note(report: Result | None) -> str:
    if report is None:
        return "No pictures were held out of the training, so nothing was measured."
    if report.split != "test":
        return f"Measured on the split {report.split}, as there is no test split."
    return ""


def _network(trained: Trained) -> str:
    return f"The network {trained.model.name}" if trained.model.name else "A layer list"


def _lead(trained: Trained, dataset: Dataset, facts: Mapping[str, Any]) -> str:
    """What was trained on what, for how long."""
    size = "x".join(str(n) for n in (*trained.shape[1:], trained.shape[0]))
    parameters = sum(p.numel() for p in trained.network.parameters())
    row = DATASETS.get(dataset.name)
    data = f"the data set {row.title.split(':')[0]}" if row else f"the folder {_folder(dataset, facts)}"
    parts = [
        f"{_network(trained)} ({parameters:,} parameters, input {size}) on {data}, "
        f"{plural(len(dataset.classes), 'class').replace('classs', 'classes')}"
    ]
    if "result" in facts:
        result = facts["result"]
        parts.append(
            f"trained for {plural(result['epochs'], 'epoch')} in {duration(facts['seconds'])}"
            f" ({result['reason']})"
        )
    return ", ".join(parts) + "."


def _folder(dataset: Dataset, facts: Mapping[str, Any]) -> str:
    """A folder by its name alone: where it lay says nothing to a reader elsewhere."""
    return Path(facts["where"]).name if facts.get("where") else dataset.name


def _figures(report: Result | None, recipe: Recipe | None) -> tuple[tuple[str, str], ...]:
    """The few figures at the top, each with what it is."""
    if report is None or not report.headline():
        return ()
    if recipe is None or recipe.expect is None:
        return tuple(report.headline())
    return (*report.headline(), (percent(recipe.expect), f"published for this recipe ({recipe.source})"))
