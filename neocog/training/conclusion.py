"""What a training leaves behind besides its state: the first batch as a picture, curves, result, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from neocog.answers import ANSWERS_FILE, collect
from neocog.answers import keep as keep_answers
from neocog.data import targets
from neocog.data.choice import GIVEN
from neocog.model import load as load_model
from neocog.model import write_model
from neocog.report.page import html
from neocog.report.subject import Subject
from neocog.runs.run import UNREPORTED, Run
from neocog.show import charts, grids
from neocog.tasks.doubt import fitted
from neocog.training.loop import Training
from neocog.world import give_back_memory


def first_batch(job: Training, run: Run) -> None:
    """The first pictures as the network sees them: augmented, placed and scaled, then scaled back to be
    looked at.
    """
    x, y = next(job.batches(0))
    x, y = x[:32].float().cpu(), y[:32].cpu()
    low, high = x.amin(), x.amax()
    shown = ((x - low) / (high - low).clamp(min=1e-6) * 255).round().to(torch.uint8)
    png = grids.grid(
        list(shown.numpy()),
        titles=targets.named(y, job.dataset.classes),
        caption="the first batch as the network sees it; "
        f"values from {float(low):.3g} (black) to {float(high):.3g} (white)",
    )
    run.write("first_batch.png", png)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a training ended: after so many whole epochs and seconds, 'done' or 'stopped early'."""

    epochs: int
    seconds: float
    reason: str


def conclude(job: Training, run: Run, ended: Ended) -> None:
    """Curves, the test accuracy (evaluate's own measurement, on the saved model file, in float32), and its
    answers, which the report shares. The training pictures are not needed any more. What a kill leaves undone
    of it is done again by a resume.
    """
    _fix_doubt(job, run)
    if job.recipe.data.name != GIVEN:
        job.dataset.free_train()
    give_back_memory()
    run.write("curves.png", charts.training_curves(run.metrics()))
    result: dict[str, Any] = {"reason": ended.reason, "epochs": ended.epochs, "test_accuracy": None}
    trained, dataset = load_model(run.model_file), job.dataset
    measured = next((name for name in ("test", "val") if name in dataset.splits), None)
    answers = collect(trained, dataset.split(measured), measured, job.world.device) if measured else None
    remarks: tuple[str, ...] = ()
    if answers is not None:
        remarks = keep_answers(run.path / ANSWERS_FILE, answers, dataset, run.model_file)
    if answers is not None and measured == "test":
        result |= {f"test_{name}": value for name, value in answers.report.result().items()}
    note(run, ended.seconds, result, remarks)
    page = html(Subject(trained=trained, dataset=dataset, answers=answers, run=run))
    run.write(run.report_file.name, page.encode())
    facts = run.facts()
    del facts[UNREPORTED]
    run.write_facts(facts)


def _fix_doubt(job: Training, run: Run) -> None:
    """Where the recipe asks for a coverage and pictures are watched: fix when the shipped network's answers
    are to be doubted, and keep that in the model file.
    """
    coverage, watched = job.recipe.coverage, job.dataset.val
    if coverage is None or watched is None:
        return
    trained, sight = load_model(run.model_file), job.sight(job.recipe.phases[-1])
    network = trained.network.to(job.world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = sight.learner(network)
    batches = sight.plain(job.dataset.train), sight.held_out(watched)
    doubt = fitted(learner, trained.answers, *batches, coverage)
    run.require()
    doubtful = replace(trained, doubt=doubt)
    write_model(run.model_file, doubtful.tensors(), doubtful.document())


def note(run: Run, seconds: float, result: dict[str, Any] | None = None, remarks: Sequence[str] = ()) -> None:
    """Add `seconds`, `remarks` and the `result` to the run's facts; a result has no report yet."""
    facts = run.facts()
    facts["seconds"] = round(facts.get("seconds", 0.0) + seconds, 3)
    facts["remarks"] = list(dict.fromkeys((*facts.get("remarks", ()), *remarks)))
    facts["findings"] = run.findings()
    run.write_facts(facts if result is None else {**facts, "result": result, UNREPORTED: True})
