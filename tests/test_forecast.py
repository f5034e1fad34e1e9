"""What a training will cost, said before it begins: the figures are those of a piece, stretched; nothing is
left behind, and disk comes out as it then does. No test looks at how long anything takes."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import neocog
from neocog.cli import run as command
from neocog.data import Data, load
from neocog.errors import Interrupted
from neocog.events import Epoch, Finished, Saved
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.run import Run
from neocog.training.forecast import MEASURED, Forecast, Stage, Stopwatch, _piece, _some, _stage
from neocog.training.loop import Training, prepare
from neocog.world import find
from neocog.zoo import resolved

CHANGES = ["epochs=3", "optim.schedule=constant", "optim.lr=0.002"]
"""Those of the run of conftest.py."""


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Forecast, list[Path]]:
    """A dry run of conftest's training, and the files that are left where it was asked for and in the folder
    for temporary ones."""
    asked, temporary = (tmp_path_factory.mktemp(name) for name in ("asked", "temporary"))
    before = tempfile.tempdir
    tempfile.tempdir = str(temporary)
    try:
        found = neocog.forecast("digits", changes=CHANGES, out=asked / "run")
    finally:
        tempfile.tempdir = before
    return found, [*asked.rglob("*"), *temporary.rglob("*")]


def test_nothing_is_left_behind(dry: tuple[Forecast, list[Path]]) -> None:
    assert dry[1] == []


def test_steps_pictures_and_disk_are_those_of_the_training(
    dry: tuple[Forecast, list[Path]], run: Run
) -> None:
    found = dry[0].json()
    assert found["epochs"] == 3
    assert set(found) == described()
    assert found["pictures"] == run.facts()["counts"]["train"]
    assert found["steps"] == run.steps()
    assert found["precision"] == run.facts()["precision"]
    assert found["memory_bytes"] > 50e6
    size = sum(path.stat().st_size for path in run.path.rglob("*"))
    assert abs(found["disk_bytes"] - size) < 0.2 * size
    assert found["remarks"] == run.facts()["remarks"]
    text = dry[0].text()
    for word in ("3 epochs of 1,222 pictures", "each", "in all:", "memory:", "disk:"):
        assert word in text


def described() -> set[str]:
    """The keys that docs/json.md tells of."""
    text = (Path(__file__).parent.parent / "docs" / "json.md").read_text()
    table = text.partition("### `neocog train --dry-run --json`")[2].partition("###")[0]
    return {
        name
        for line in table.splitlines()
        for name in re.findall(r"`(\w+)`", line.split("|")[1:2][0] if "|" in line else "")
    }


def job(*changes: str) -> Training:
    recipe = override(RECIPES["digits"], changes)
    dataset = load(Data(name="digits"))
    recipe = recipe.model_copy(update={"model": resolved(recipe.model, dataset.shape)})
    return prepare(recipe, dataset, find("cpu", "float32"))


def test_a_piece_is_the_same_training_on_some_pictures() -> None:
    whole = job("optim.schedule=one-cycle", "optim.warmup=1", "stop.patience=2", "batch=32")
    piece = _piece(whole, 3)
    assert piece.plan.per_epoch == 3
    assert piece.recipe.epochs == 2
    assert piece.recipe.stop.patience == 0
    assert piece.recipe.phases[0].optim.kind == whole.recipe.phases[0].optim.kind
    assert len(piece.dataset.split("test")) == MEASURED
    rows = torch.arange(10)
    few = _some(type(whole.dataset.train)(rows[:, None, None, None], rows), 4)
    assert few.y.tolist() == [0, 2, 5, 7]


def heard(events: list[tuple[float, Any]], monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    """A stopwatch that hears `events` at their times."""
    clock = iter([0.0, *(at for at, _ in events)])
    monkeypatch.setattr("neocog.training.forecast.time.monotonic", lambda: next(clock))
    watch = Stopwatch()
    for _, event in events:
        watch(event)
    monkeypatch.undo()
    return watch


def epoch(seconds: float) -> Epoch:
    return Epoch(1, 1, {}, {}, 0.1, seconds, 1.0, True)


def test_epochs_are_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps by the number of steps, measuring by the number of pictures, a save at most by its share."""
    whole = job("batch=32", "epochs=5")
    piece = _piece(whole, 3)
    events = [
        (3.0, epoch(2.0)),
        (3.5, Saved(3, 0.5)),
        (6.0, epoch(1.5)),
        (6.5, Saved(6, 0.5)),
        (6.5, Finished(6, 2, "done", 1)),
    ]
    stage = _stage(whole, piece, heard(events, monkeypatch), 0)
    measuring = (6.0 - 3.0 - 1.5 - 0.5) * len(whole.dataset.split("val")) / MEASURED
    steps = 1.5 / 3 * whole.plan.per_epoch
    assert stage.epochs == 5
    assert stage.epoch_seconds == pytest.approx(steps + measuring + min(0.5, 0.04 * (steps + measuring)))
    assert stage.before_seconds == 0


@pytest.mark.parametrize(
    ("cost", "adds"), [(0.0, 0.0), (0.3, 0.3), (7.0, 0.04 * (1.5 / 3 * 41 + 0.25 * 144 / 128))]
)
def test_a_save_counts_as_it_is_or_by_its_share(
    cost: float, adds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state is never saved so often that it takes more than its share: the lesser of the two is added, the
    cost itself is no measuring, and what the piece's epoch took besides is."""
    whole = job("batch=32", "epochs=5")
    assert (whole.plan.per_epoch, len(whole.dataset.split("val"))) == (41, 144)
    events = [
        (2.0, epoch(1.5)),
        (2.0 + cost, Saved(3, cost)),
        (2.0 + 1.5 + 0.25 + cost, epoch(1.5)),
    ]
    stage = _stage(whole, _piece(whole, 3), heard(events, monkeypatch), 0)
    assert stage.epoch_seconds == pytest.approx(1.5 / 3 * 41 + 0.25 * 144 / 128 + adds)


def test_nothing_held_out_is_measured_in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a clock that says less than the steps took, too, measuring takes no time, not less."""
    whole = job("batch=32", "epochs=5")
    early = heard([(2.0, epoch(2.0)), (3.0, epoch(1.5))], monkeypatch)
    stage = _stage(whole, _piece(whole, 3), early, 0)
    assert stage.epoch_seconds == pytest.approx(1.5 / 3 * 41)
    without = replace(whole, dataset=replace(whole.dataset, val=None))
    late = heard([(2.0, epoch(1.5)), (4.0, epoch(1.5))], monkeypatch)
    stage = _stage(without, _piece(without, 3), late, 0)
    assert stage.epoch_seconds == pytest.approx(1.5 / 3 * 41 + 0.5)


def test_what_is_kept_of_frozen_stages_is_stretched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = job('phases=[{"epochs": 4, "freeze": "features"}, {"epochs": 2}]', "batch=32")
    piece = _piece(whole, 2)
    watch = heard(
        [(9.0, epoch(1.0)), (11.0, epoch(1.0)), (14.0, epoch(3.0)), (17.0, epoch(3.0))], monkeypatch
    )
    kept, free = (_stage(whole, piece, watch, number) for number in (0, 1))
    pictures = [len(each.dataset.train) + len(each.dataset.val or ()) for each in (whole, piece)]
    assert kept.before_seconds == pytest.approx((9.0 - 1.0 - 1.0) * pictures[0] / pictures[1])
    assert free.before_seconds == 0
    assert free.epoch_seconds == pytest.approx(3.0 / 2 * whole.plan.per_epoch)
    assert (kept.epochs, free.epochs) == (4, 2)


def test_seconds_add_up() -> None:
    """And what is said of them."""
    one = Stage(epochs=3, epoch_seconds=2.0, before_seconds=1.0)
    found = Forecast(
        stages=(one, replace(one, epochs=1, before_seconds=0.0)),
        conclusion_seconds=0.5,
        reading_seconds=7.0,
        memory=1_000_000_000,
        disk=4_500_000,
        pictures=1200,
        steps=1,
        facts={"device": "cpu", "precision": "float32", "threads": 1},
        remarks=("said",),
    )
    assert found.seconds == 9.5
    assert found.text().splitlines() == [
        "4 epochs of 1,200 pictures on cpu, float32, 1 thread",
        "phase 1: 3 epochs, 2 s each, 1 s before",
        "phase 2: 1 epoch, 2 s each",
        "in all: 9.5 s, 0.5 s of them for the report",
        "memory: 1.0 GB at most",
        "disk: 4.5 MB",
        "said",
    ]
    phases = [
        {"epochs": 3, "epoch_seconds": 2.0, "before_seconds": 1.0},
        {"epochs": 1, "epoch_seconds": 2.0, "before_seconds": 0.0},
    ]
    assert replace(found, conclusion_seconds=0.50049, reading_seconds=7.12349).json() == {
        "epochs": 4, "steps": 1, "pictures": 1200, "seconds": 9.5, "conclusion_seconds": 0.5,
        "phases": phases, "reading_seconds": 7.123, "memory_bytes": 1_000_000_000,
        "disk_bytes": 4_500_000, "device": "cpu",
        "precision": "float32", "threads": 1, "remarks": ["said"],
    }  # fmt: skip
    alone = replace(found, stages=(one,), memory=None)
    assert alone.text().splitlines()[1:4:2] == ["3 epochs, 2 s each, 1 s before", "memory: not known"]


def test_an_interrupt_is_of_the_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: object) -> None:
        raise Interrupted("stopped after step 3; go on with --resume", exit_code=143)

    monkeypatch.setattr("neocog.training.forecast._forecast", interrupted)
    with pytest.raises(Interrupted, match=r"^the dry run was interrupted$") as caught:
        neocog.forecast("digits")
    assert caught.value.exit_code == 143


def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("neocog.training.forecast.PROBED", 0.0)
    monkeypatch.setattr("neocog.training.forecast._of_one_picture", lambda job, split: 1000.0)
    assert command(["train", "digits", "--dry-run", "--json", "-q", "--epochs", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["epochs"] == 2
    assert found["conclusion_seconds"] // 1000 == 359 - MEASURED, "test pictures that were not measured"
    assert list(tmp_path.iterdir()) == []
    assert command(["train", "--resume", "runs/digits", "--dry-run"]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_too_large_a_batch_is_said_for_the_command_that_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise MemoryError

    monkeypatch.setattr("neocog.training.loop.Training._step", full)
    with pytest.raises(neocog.NeocogError, match=r"try: --batch-size 16$"):
        neocog.forecast("digits", changes=["batch=32"])
