"""report.html: everything about a training on one page that needs neither network, script nor other file.

What there is to say is gathered here into a `Page`; `page` and its template say how it looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from markupsafe import Markup

from neocog.answers import Answers
from neocog.data import DATASETS, Data
from neocog.data.dataset import Dataset, Split, class_counts
from neocog.files import write_text
from neocog.model import Trained
from neocog.recipes.recipe import Phase, Recipe
from neocog.report import page
from neocog.report.page import MOST_CELLS, Example, Page, Row, Setting
from neocog.run import Run
from neocog.show import charts, markup
from neocog.show.words import percent, plural
from neocog.tasks.metrics import Report
from neocog.tasks.task import Columns, Result

MISTAKES, SAMPLES = 24, 32
"""Pictures shown: mistakes with the highest loss, and pictures evenly over the split (experiment E7)."""

MOST_DRAWN = 150
"""Classes up to which the confusion matrix is drawn; of more, the worst confusions are named."""

MOST_ROWS = 200
"""Classes in the table of classes, and skipped files in their list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a page is about. `answers` is None where no pictures were held out, `run` where a model file came
    alone; `grouped` is the same measurement by groups of classes, where asked for.
    """

    trained: Trained
    dataset: Dataset
    answers: Answers | None = None
    run: Run | None = None
    grouped: Result | None = None


def write(path: Path, subject: Subject) -> None:
    """Write the page about `subject` to `path`, atomically."""
    write_text(path, html(subject))


def html(subject: Subject) -> str:
    """The page about `subject`: one HTML document."""
    return page.render(describe(subject))


def describe(subject: Subject) -> Page:
    """Gather what a page says about `subject`."""
    trained, run, answers = subject.trained, subject.run, subject.answers
    facts = run.facts() if run is not None else {}
    report = answers.report if answers is not None else None
    classified = report if isinstance(report, Report) else None
    recipe = run.recipe() if run is not None else None
    known = (*facts.get("remarks", ()), *subject.dataset.remarks, *(report.remarks if report else ()))
    skipped = subject.dataset.skipped
    scores = report.columns() if report is not None else Columns()
    rows = _rows(subject.dataset, scores)
    return Page(
        title=run.path.resolve().name if run is not None else _network(trained),
        lead=_lead(trained, subject.dataset, facts),
        command=facts.get("command", ""),
        remarks=tuple(dict.fromkeys(known)),
        report=report,
        classified=classified,
        figures=_figures(report, recipe),
        settings=tuple(_settings(recipe)) if recipe is not None else (),
        facts=tuple(_facts(trained, facts)),
        skipped=tuple((s.path, s.reason) for s in skipped[:MOST_ROWS]),
        more_skipped=max(0, len(skipped) - MOST_ROWS),
        splits=tuple(subject.dataset.splits),
        rows=rows[:MOST_ROWS],
        more_rows=max(0, len(rows) - MOST_ROWS),
        score_names=scores.names,
        means=scores.means,
        curves=_curves(run),
        first_batch=_file(run, "first_batch.png"),
        confusion_picture=_confusion(classified),
        calibration_words=_calibration(answers, classified),
        pixelated=max(subject.dataset.shape[1:]) <= markup.SMALL,
        grouped=subject.grouped,
        **(_pictures(answers, subject.dataset) if answers is not None else {}),
    )


# Words


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
            f"trained for {plural(result['epochs'], 'epoch')} in {_duration(facts['seconds'])}"
            f" ({result['reason']})"
        )
    return ", ".join(parts) + "."


def _folder(dataset: Dataset, facts: Mapping[str, Any]) -> str:
    """A folder by its name alone: where it lay says nothing to a reader elsewhere."""
    return Path(facts["where"]).name if facts.get("where") else dataset.name


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _figures(report: Result | None, recipe: Recipe | None) -> tuple[tuple[str, str], ...]:
    """The few figures at the top, each with what it is."""
    if report is None or not report.headline():
        return ()
    if recipe is None or recipe.expect is None:
        return tuple(report.headline())
    return (*report.headline(), (percent(recipe.expect), f"published for this recipe ({recipe.source})"))


def _settings(recipe: Recipe) -> Iterator[Setting]:
    """Every field of the recipe, beside what it would be by default."""
    plain = Recipe(
        data=Data(name=recipe.data.name), model=recipe.model, phases=tuple(Phase() for _ in recipe.phases)
    )
    defaults = dict(_flat(plain.model_dump(mode="json")))
    for name, value in _flat(recipe.model_dump(mode="json")):
        if name in ("title", "source", "expect"):
            continue
        changed = name in ("data.name", "model.name", "model.layers") and value is not None
        default = defaults.get(name)
        yield Setting(
            name.removeprefix("phases.0.") if len(recipe.phases) == 1 else name,
            _shown(value),
            "" if changed else _shown(default),
            changed or value != default,
        )


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A JSON document as (dotted path, leaf); a list is a leaf, but for a recipe's phases."""
    if isinstance(value, list) and path == "phases":
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield path, value
        return
    for key, item in value.items():
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _facts(trained: Trained, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Versions, machine and data, as they were when the training began."""
    yield "pictures become input", trained.preprocess.describe()
    said = {
        "begun": "begun",
        "neocog": "neocog",
        "torch": "torch",
        "python": "Python",
        "device": "device",
        "device_name": "processor",
        "threads": "threads",
        "precision": "precision",
        "data_fingerprint": "fingerprint of the data",
        "recipe_identity": "identity of the recipe",
    }
    for key, name in said.items():
        if facts.get(key) is not None:
            yield name, str(facts[key])
    if "epoch" in trained.provenance:
        yield "weights kept", f"those after epoch {trained.provenance['epoch']}"


def _rows(dataset: Dataset, scores: Columns) -> tuple[Row, ...]:
    counts = [class_counts(split, len(dataset.classes)) for split in dataset.splits.values()]
    return tuple(
        Row(name, tuple(of[k] for of in counts), scores.of_class[k] if scores.of_class else ())
        for k, name in enumerate(dataset.classes)
    )


def _calibration(answers: Answers | None, report: Report | None) -> str:
    """The expected calibration error in words (Guo et al. 2017)."""
    if answers is None or report is None or report.calibration is None:
        return ""
    error, accuracy = report.calibration.error, report.accuracy or 0.0
    confidence = float(answers.probabilities.max(1).values.double().mean())
    lean = "more sure than it is right" if confidence > accuracy else "less sure than it is right"
    return (
        f"On average the network gives its answer a probability of {percent(confidence)} and is right in "
        f"{percent(accuracy)} of cases: it is {lean}. Over {len(report.calibration.bins)} "
        f"bins of confidence, what it claims and what it reaches lie {100 * error:.2f} points apart "
        f"(the expected calibration error, {percent(error)})."
    )


# Pictures


def _file(run: Run | None, name: str) -> Markup | None:
    path = run.path / name if run is not None else None
    return markup.data_uri(path.read_bytes()) if path is not None and path.is_file() else None


def _curves(run: Run | None) -> Markup | None:
    """The curves that lie in the run's folder, or drawn now where it has none."""
    found = _file(run, "curves.png")
    if found is None and run is not None and (epochs := run.metrics()):
        return markup.data_uri(charts.training_curves(epochs))
    return found


def _confusion(report: Report | None) -> Markup | None:
    if report is None or not report.n or not MOST_CELLS < len(report.classes) <= MOST_DRAWN:
        return None
    return markup.data_uri(charts.confusion(torch.tensor(report.confusion).numpy(), report.classes))


def _pictures(answers: Answers, dataset: Dataset) -> dict[str, Any]:
    """Mistakes, samples, and a right and a wrong answer with their bars (experiment E4)."""
    split = dataset.split(answers.report.split)
    n = len(answers)
    rows = [i * n // SAMPLES for i in range(SAMPLES)] if n > SAMPLES else list(range(n))
    firsts: list[tuple[str, int | None]] = []
    if isinstance(answers.report, Report):
        firsts = [("right", answers.first("right")), ("wrong", answers.first("wrong"))]
    return {
        "mistakes": tuple(_example(answers, split, row) for row in answers.worst(MISTAKES)),
        "mistakes_in_all": n - int(answers.right.sum()),
        "samples": tuple(_example(answers, split, row) for row in rows),
        "examples": tuple((said, _bars(answers, split, row)) for said, row in firsts if row is not None),
    }


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
