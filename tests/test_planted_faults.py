"""Faults that were once planted by hand and that no test noticed, each with the test that does.

(Frozen parameters that reach the optimizer are noticed by test_optim.py.)
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import neocog
from neocog.data import Data
from neocog.data.dataset import Dataset, Split
from neocog.errors import Interrupted, OutOfMemory, UsageError
from neocog.events import Epoch, Event, Finished, Started, Step
from neocog.model import Trained
from neocog.pictures.decode import Preprocess
from neocog.recipes.recipe import Recipe
from neocog.runs.run import Run, open_run
from neocog.tasks.multilabel import MultiLabel
from neocog.training import watchers
from neocog.training.loop import Training, prepare
from neocog.training.resuming import goes_on
from neocog.training.watchers import Console, Record
from neocog.world import find
from neocog.zoo import Model, build
from neocog.zoo.layer_list import parse

LINEAR = Model(
    layers=parse(
        {"layers": [{"kind": "flatten"}, {"kind": "dense", "units": "classes", "activation": "softmax"}]}
    )
)


def recipe(**changes: Any) -> Recipe:
    """A linear network, an epoch at a constant rate, float32."""
    return Recipe(data=Data(name="given"), model=LINEAR, precision="float32", **changes)


def bright(n: int = 40) -> Dataset:
    """Dark and bright pictures by turns, all three splits alike."""
    y = torch.arange(n) % 2
    split = Split((60 + 120 * y).view(n, 1, 1, 1).expand(n, 1, 2, 2).to(torch.uint8).contiguous(), y)
    return Dataset("bright", ("dark", "bright"), split, val=split, test=split)


def train(out: Path, *changes: str, watcher: Any = None, stop: Any = None) -> Run:
    listening = [lambda run: watcher] if watcher is not None else []
    given = ["precision=float32", "batch=10", "epochs=2", *changes]
    return neocog.train(recipe(), dataset=bright(), changes=given, out=out, watchers=listening, stop=stop)


# --- patience --------------------------------------------------------------------------------------


class Scored:
    """The result of a measurement that is only a score."""

    n, split, remarks = 1, "val", ()

    def __init__(self, accuracy: float) -> None:
        self.score = (accuracy, 0.0)

    def figures(self) -> dict[str, float]:
        return {"loss": 1.0, "accuracy": self.score[0]}


def finished(folder: Path, scores: list[float], patience: int, *, resume: bool = False) -> Finished:
    """How a training ends whose watched split gives these scores, an epoch each."""
    folder.mkdir(exist_ok=True)
    given: Iterator[Scored] = map(Scored, scores)
    job = prepare(
        recipe(batch=20, phases=({"epochs": 12},), stop={"patience": patience}), bright(), find("cpu")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "watched", lambda self, network, sight: next(given))
        run = Run(folder)
        run.write_recipe(job.recipe)
        going = goes_on(job, run, run.saved_state() if resume else None, job.recipe)
        events = list(job.events(run, live=going.live, stop=lambda: False))
    assert isinstance(events[-1], Finished)
    return events[-1]


@pytest.mark.parametrize(
    ("patience", "scores", "epochs", "best"),
    [
        (2, [0.1, 0.1, 0.1], 3, 1),
        (2, [0.1, 0.2, 0.15, 0.3, 0.3, 0.25], 6, 4),  # epochs 2 and 4 are better: patience begins anew
        (1, [0.1, 0.2, 0.3, 0.3], 4, 3),
        (3, [0.5, 0.1, 0.1, 0.6, 0.1, 0.1, 0.1], 7, 4),
        (0, [0.5] + [0.1] * 11, 12, 1),
    ],
)
def test_patience_counts_from_the_last_better_epoch(
    tmp_path: Path, patience: int, scores: list[float], epochs: int, best: int
) -> None:
    end = finished(tmp_path / "run", scores, patience)
    assert (end.epoch, end.best_epoch) == (epochs, best)
    assert end.reason == ("stopped early" if patience else "done")


def test_a_run_that_stopped_early_has_its_whole_patience_again(tmp_path: Path) -> None:
    assert finished(tmp_path / "run", [0.5, 0.1, 0.1], 2).epoch == 3
    end = finished(tmp_path / "run", [0.1, 0.1], 2, resume=True)
    assert (end.epoch, end.best_epoch) == (5, 1)


# --- label sets ------------------------------------------------------------------------------------

OUTPUTS = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
SETS = torch.tensor([[1.0, 0.0], [0.0, 1.0]])


def logistic(output: float, target: float, weight: float = 1.0) -> float:
    """Binary cross-entropy of one output by its definition."""
    p = 1 / (1 + math.exp(-output))
    return -(weight * target * math.log(p) + (1 - target) * math.log(1 - p))


def mean_loss(smoothing: float, weights: tuple[float, float]) -> float:
    terms = [
        logistic(output, target * (1 - smoothing) + smoothing / 2, weight)
        for outputs, targets in zip(OUTPUTS.tolist(), SETS.tolist())
        for output, target, weight in zip(outputs, targets, weights)
    ]
    return sum(terms) / len(terms)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 0.25)])
def test_the_loss_of_label_sets_by_hand(smoothing: float, weights: tuple[float, float]) -> None:
    task = MultiLabel(("a", "b"), smoothing, torch.tensor(weights))
    assert float(task.loss(OUTPUTS, SETS)) == pytest.approx(mean_loss(smoothing, weights), rel=1e-6)
    plain = [[logistic(o, t) for o, t in zip(*rows)] for rows in zip(OUTPUTS.tolist(), SETS.tolist())]
    assert task.losses(OUTPUTS, SETS).tolist() == pytest.approx([sum(row) / 2 for row in plain], rel=1e-6)


def test_smoothing_and_balance_of_a_recipe_reach_the_loss_of_label_sets() -> None:
    y = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    data = Dataset("sets", ("a", "b"), Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), y))
    job = prepare(recipe(balance="loss", label_smoothing=0.2), data, find("cpu"))
    expected = mean_loss(0.2, (1 / 3, 3.0))  # pictures without the label for each with it
    assert float(job.task.loss(OUTPUTS, SETS)) == pytest.approx(expected, rel=1e-6)
    plain = prepare(recipe(), data, find("cpu"))
    assert float(plain.task.loss(OUTPUTS, SETS)) == pytest.approx(mean_loss(0.0, (1.0, 1.0)), rel=1e-6)


# --- the world -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amx", "avx512"), [(False, False), (True, False), (False, True), (True, True)])
def test_automatic_precision_on_a_cpu_is_what_its_hardware_multiplies(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    fast = amx or avx512
    assert find("cpu").precision == find("cpu", "auto").precision == ("bfloat16" if fast else "float32")
    assert find("cpu", "float32").precision == "float32"
    assert find("cpu", "bfloat16").precision == "bfloat16"


# --- more sure than right --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "swapped", "said"),
    [
        (4.0, 0.3, "more sure than it is right"),
        (0.02, 0.0, "less sure than it is right"),
    ],
)
def test_a_report_says_on_which_side_the_network_errs(
    tmp_path: Path, gain: float, swapped: float, said: str
) -> None:
    """The network tells dark from bright, with a certainty of our choice; so many labels are wrong."""
    data = bright(200)
    test = data.split("test")
    y = test.y.clone()
    y[: round(200 * swapped)] = 1 - y[: round(200 * swapped)]
    network = build(LINEAR, shape=(1, 2, 2), classes=2)
    weight, bias = network.parameters()
    with torch.no_grad():
        weight.copy_(torch.tensor([-gain, gain]).view(2, 1).expand(2, 4))
        bias.zero_()
    trained = Trained(
        network=network.eval(),
        model=LINEAR,
        shape=(1, 2, 2),
        classes=data.classes,
        preprocess=Preprocess(size=(2, 2), channels=1, scale="128"),
    )
    page = tmp_path / "report.html"
    measured = Dataset(data.name, data.classes, data.train, test=Split(test.x, y))
    report = neocog.evaluate(trained, dataset=measured, report=page)
    assert report.json()["accuracy"] == pytest.approx(1 - swapped)
    other = {"more": "less", "less": "more"}[said.split()[0]]
    text = " ".join(page.read_text().split())
    assert said in text
    assert f"{other} {said.partition(' ')[2]}" not in text


# --- time left -------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the watchers take for the time; the test sets it."""
    now = [1000.0]
    monkeypatch.setattr(watchers.time, "monotonic", lambda: now[0])
    return now


def epoch(number: int, step: int) -> Epoch:
    return Epoch(number, step, {"loss": 1.0}, {"loss": None}, 0.1, 2.0, 50.0, True)


@pytest.mark.parametrize(
    ("first", "step", "took", "left"),
    [
        (0, 10, 20.0, "1 min 00 s left"),  # 30 steps are to come, 2 s each
        (0, 30, 20.0, "7 s left"),
        (20, 30, 5.0, "5 s left"),  # a resumed run: only its own ten steps took time
        (0, 1, 300.0, "3 h 15 min left"),
        (0, 40, 20.0, None),
    ],
)
def test_the_console_says_the_time_left(
    clock: list[float], first: int, step: int, took: float, left: str | None
) -> None:
    stream = io.StringIO()
    console = Console(stream)
    console(Started(first, 40, 10, 4))
    clock[0] += took
    console(epoch(step // 10, step))
    line = stream.getvalue().strip()
    assert line.endswith(left) if left else "left" not in line


def test_status_json_says_the_seconds_left(clock: list[float], tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_recipe(recipe())
    record = Record(run)
    record(Started(10, 40, 10, 4))
    clock[0] += 12.0
    record(Step(16, 2, torch.zeros(()), 100))
    status = json.loads((tmp_path / "status.json").read_text())
    assert status["seconds_left"] == pytest.approx(48.0)  # 6 steps in 12 s, 24 to come
    assert (status["step"], status["steps"], status["epoch"], status["epochs"]) == (16, 40, 2, 4)


# --- out of memory ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 80000000000 bytes"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize(("batch", "half"), [(10, 5), (7, 3), (2, 1), (1, 1)])
def test_out_of_memory_proposes_half_the_batch(
    tmp_path: Path, error: BaseException, batch: int, half: int
) -> None:
    def fail(event: Event) -> None:
        if isinstance(event, Step):
            raise error

    with pytest.raises(OutOfMemory, match=rf"batch of {batch} pictures .*--batch-size {half}$") as said:
        train(tmp_path / "run", f"batch={batch}", watcher=fail)
    assert said.value.__cause__ is error


def test_any_other_error_of_a_step_stays_what_it_is(tmp_path: Path) -> None:
    wrong = RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    def fail(event: Event) -> None:
        if isinstance(event, Step):
            raise wrong

    with pytest.raises(RuntimeError) as said:
        train(tmp_path / "run", watcher=fail)
    assert said.value is wrong


# --- going on --------------------------------------------------------------------------------------


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.path.iterdir()}


def test_a_finished_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    before = files(run)
    for more in ({}, {"epochs": 2}, {"epochs": 1}):
        with pytest.raises(UsageError, match=r"is finished \(\d epochs?\).*--epochs N"):
            neocog.resume(run.path, dataset=bright(), **more)
    assert files(run) == before


def test_a_run_killed_before_its_result_was_written_is_concluded(tmp_path: Path) -> None:
    """All steps are done, and nothing says how it came out: not finished, and nothing to train."""
    run = train(tmp_path / "run")
    weights, facts = run.model_file.read_bytes(), run.facts()
    result = facts.pop("result")
    run.write_facts(facts)
    run.report_file.unlink()
    steps: list[Event] = []
    neocog.resume(run.path, dataset=bright(), watchers=[lambda _: steps.append])
    assert not [event for event in steps if isinstance(event, Step)]
    assert run.facts()["result"] == result
    assert run.model_file.read_bytes() == weights
    assert run.report_file.exists()


def test_a_run_that_stopped_early_is_not_finished(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "epochs=9", "stop.patience=1", "optim.kind=sgd", "optim.lr=1e-12")
    assert run.facts()["result"]["reason"] == "stopped early"
    done = len(run.metrics())
    neocog.resume(run.path, dataset=bright())
    assert len(run.metrics()) > done


def test_metrics_written_after_the_state_are_cut_on_resume(tmp_path: Path) -> None:
    """The epoch's line is written before the state is: a kill between the two leaves a line too many."""
    whole = train(tmp_path / "whole", "epochs=3")
    steps = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", "epochs=3", stop=lambda: next(steps) == 6)
    cut = open_run(tmp_path / "cut")
    assert cut.saved()["step"] == 6
    assert cut.saved()["metrics_bytes"] == cut.metrics_file.stat().st_size
    with cut.metrics_file.open("a") as file:
        file.write(json.dumps({"epoch": 2, "loss": 77.0}) + '\n{"epoch": 3, "lo')
    neocog.resume(cut.path, dataset=bright())
    lines = cut.metrics_file.read_text().splitlines()
    assert len(lines) == 3
    assert [m["epoch"] for m in cut.metrics()] == [1, 2, 3]
    assert [m["loss"] for m in cut.metrics()] == [m["loss"] for m in whole.metrics()]


def test_metrics_are_kept_where_the_state_is_as_new(tmp_path: Path) -> None:
    steps = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", "epochs=3", stop=lambda: next(steps) == 7)
    cut = open_run(tmp_path / "cut")
    first = cut.metrics_file.read_bytes()
    neocog.resume(cut.path, dataset=bright())
    assert cut.metrics_file.read_bytes().startswith(first)
