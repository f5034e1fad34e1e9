"""What a training leaves behind besides its state: the first batch as a picture, curves, result, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from neocog.answers import ANSWERS_FILE, collect
from neocog.answers import keep as keep_answers
from neocog.data import targets
from neocog.data.choice import GIVEN
from neocog.model import load as load_model
from neocog.model import write_model
from neocog.runs.run import UNREPORTED, Run
from neocog.show import charts, grids
from neocog.tasks.doubt import Limits, apart, cross_fitted, doubtful, limits
from neocog.training.loop import Training
from neocog.training.tuning import limits_of
from neocog.transfer.features import ALL
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
    answers, which the report shares. The other pictures are not needed any more. What a kill leaves undone
    of it is done again by a resume.
    """
    from neocog.report.page import html  # memory that no step of a training should need beside its own
    from neocog.report.subject import Subject

    doubts = _fix_doubt(job, run)
    measured = next((name for name in ("test", "val") if name in job.dataset.splits), None)
    if job.recipe.data.name != GIVEN:
        job.dataset.free(but=measured)
    give_back_memory()
    run.write(run.curves_file.name, charts.training_curves(run.metrics()))
    result: dict[str, Any] = {"reason": ended.reason, "epochs": ended.epochs, "test_accuracy": None}
    trained, dataset = load_model(run.model_file), job.dataset
    answers = collect(trained, dataset.split(measured), measured, job.world.device) if measured else None
    remarks = doubts
    if answers is not None:
        remarks = (*doubts, *keep_answers(run.path / ANSWERS_FILE, answers, dataset, run.model_file))
    if answers is not None and measured == "test":
        result |= {f"test_{name}": value for name, value in answers.report.result().items()}
    note(run, ended.seconds, result, remarks)
    page = html(Subject(trained=trained, dataset=dataset, answers=answers, run=run))
    run.write(run.report_file.name, page.encode())
    facts = run.facts()
    del facts[UNREPORTED]
    run.write_facts(facts)


def _fix_doubt(job: Training, run: Run) -> tuple[str, ...]:
    """Where the recipe asks for a coverage: fix when the shipped network's answers are to be doubted, by the
    pictures that are watched or, where a last layer or features were tuned alone, by those left out in turn,
    and keep that in the model file. A remark where neither can be.
    """
    coverage, watched = job.recipe.coverage, job.dataset.val
    if coverage is None:
        return ()
    trained, phase = load_model(run.model_file), job.recipe.phases[-1]
    sight, task = job.sight(phase), trained.answers
    network = trained.network.to(job.world.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner, training = sight.learner(network), partial(sight.plain, job.dataset.train)
    if watched is not None:
        held_out = sight.held_out(watched)
        found: Limits | None = limits(task, apart(learner, task, training(), held_out), coverage)
    elif _last_layer_alone(job):
        strength = phase.optim.weight_decay
        found = cross_fitted(learner, task, training(), strength, coverage)
    else:
        found = limits_of(run, job.recipe)
    if found is None:
        return (
            "no picture will be called unlike those of the training: none was held out to fix what is "
            "(--set data.held_out=0.1 holds some out)",
        )
    run.require()
    doubt = doubtful(learner, task, training(), found, coverage)
    shipped = replace(trained, doubt=doubt)
    write_model(run.model_file, shipped.tensors(), shipped.document())
    return ()


def _last_layer_alone(job: Training) -> bool:
    """Whether nothing but the last layer of the network learned."""
    learned = [
        m for m in job.trained.network.head.modules() if next(m.parameters(recurse=False), None) is not None
    ]
    return len(learned) == 1 and all(phase.freeze == ALL for phase in job.recipe.phases)


def note(run: Run, seconds: float, result: dict[str, Any] | None = None, remarks: Sequence[str] = ()) -> None:
    """Add `seconds`, `remarks` and the `result` to the run's facts; a result has no report yet."""
    facts = run.facts()
    facts["seconds"] = round(facts.get("seconds", 0.0) + seconds, 3)
    facts["remarks"] = list(dict.fromkeys((*facts.get("remarks", ()), *remarks)))
    facts["findings"] = run.findings()
    run.write_facts(facts if result is None else {**facts, "result": result, UNREPORTED: True})
