"""The watchers of a training, told its events one by one under a clock of the test's own."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from neocog.events import Epoch, Finding, Finished, Saved, Started, Step
from neocog.runs.run import Run
from neocog.training import watchers
from neocog.training.watchers import Console, Record, epoch_line, metrics_of

STARTED = Started(step=10, epoch=2, epochs=4, steps=40, steps_per_epoch=10, remarks=("said before",))
EPOCH = Epoch(
    2, 20, {"loss": 0.5, "accuracy": 0.75}, {"loss": 0.25, "accuracy": 0.8}, 0.1, 1.2345, 1234.56, True
)  # fmt: skip
FINDING = Finding(20, "a name", "What is wrong.", "What mends it.", {"figure": 1.0})


def step(number: int, epoch: int, loss: float, *, pictures: int) -> Step:
    return Step(number, epoch, torch.tensor(loss), pictures)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What `time.monotonic` says: the one number of a list."""
    now = [100.0]
    monkeypatch.setattr(watchers.time, "monotonic", lambda: now[0])
    return now


def test_the_console_prints_a_line_an_epoch(clock: list[float]) -> None:
    stream = io.StringIO()
    with Console(stream) as console:
        console(STARTED)
        clock[0] = 105.0
        console(step(15, 2, 0.5, pictures=160))
        clock[0] = 110.0
        console(EPOCH)
        console(FINDING)
        console(Finished(step=40, epoch=4, reason="done", best_epoch=3))
    assert stream.getvalue().splitlines() == [
        "said before",
        "epoch 2/4  loss 0.5000  accuracy 75.00 %  held out: loss 0.2500  accuracy 80.00 %  1,235 "
        "pictures/s  "
        "1.2 s  20 s left",  # ten of thirty steps took ten seconds
        "What is wrong. What mends it.",
        "done after 4 epochs; epoch 3 is kept",
    ]


def test_the_last_line_of_a_training_that_kept_nothing() -> None:
    stream = io.StringIO()
    Console(stream)(Finished(step=10, epoch=1, reason="stopped", best_epoch=None))
    assert stream.getvalue() == "stopped after 1 epoch\n"


def test_a_line_of_an_epoch_without_held_out_pictures_and_at_the_end() -> None:
    nothing = {"loss": None, "psnr": None}
    bare = Epoch(1, 20, {"loss": 0.5, "psnr": 21.349}, nothing, 0.1, 0.05, 9.6, True, "test")
    assert epoch_line(bare, 1, left=0.99) == "epoch 1/1  loss 0.5000  psnr 21.35 dB  10 pictures/s  0.050 s"
    watched = Epoch(1, 20, {"loss": 0.5}, {"loss": 1.0}, 0.1, 0.05, 9.6, True, "test")
    said = epoch_line(watched, 1, left=1).split("  ")
    assert said[2:] == ["test: loss 1.0000", "10 pictures/s", "0.050 s", "1 s left"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_one_live_line(clock: list[float]) -> None:
    with Console(Terminal()) as console:
        console(STARTED)
        live = console.live
        (task,) = live.tasks
        assert (task.completed, task.total) == (10, 40)
        assert task.fields == {"epoch": 2, "epochs": 4, "figures": ""}
        clock[0] = 104.0
        console(step(15, 2, 0.5, pictures=160))
        # 5 steps of 160 / 5 pictures in four seconds
        assert (task.completed, task.fields["figures"]) == (15, "loss 0.5000  40 pictures/s")
        clock[0] = 104.19
        console(step(16, 2, 0.4, pictures=192))
        assert task.completed == 15, "a fifth of a second is not over"
        clock[0] = 104.21
        console(step(17, 3, 0.3, pictures=224))
        assert (task.completed, task.fields["epoch"]) == (17, 3)
    assert console.live is None
    assert live.finished or not live.live.is_started


def test_a_reader_that_went_away_ends_nothing() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = Console(Gone())
    console(STARTED)
    assert type(console.stream) is io.StringIO


def status(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.path / "status.json").read_text())
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_record_says_where_a_training_stands(
    clock: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "_now", lambda: "now")
    run = Run(tmp_path)
    run.recipe_file.write_text("{}")  # without one it is no run's folder any more
    record = Record(run)
    record(STARTED)
    assert status(run) == {
        "state": "training", "pid": os.getpid(), "step": 10, "steps": 40, "epoch": 2, "epochs": 4,
        "seconds_left": None, "updated": "now", "figures": {}, "remarks": ["said before"], "findings": [],
    }  # fmt: skip
    clock[0] = 104.9
    record(step(14, 2, 0.5, pictures=160))
    assert status(run)["step"] == 10, "five seconds are not over"
    clock[0] = 105.0
    record(step(15, 2, 0.5, pictures=160))
    assert status(run)["step"] == 15
    assert status(run)["figures"] == {"loss": 0.5}
    assert status(run)["seconds_left"] == 25  # five steps took five seconds
    clock[0] = 110.0
    record(EPOCH)
    assert (status(run)["epoch"], status(run)["seconds_left"]) == (3, 20)
    assert status(run)["figures"] == metrics_of(EPOCH)
    record(FINDING)
    assert (status(run)["epoch"], status(run)["state"]) == (3, "training")
    assert [found["name"] for found in status(run)["findings"]] == ["a name"]
    record(Saved(step=20, seconds=0.1))
    record(Finished(step=40, epoch=4, reason="done", best_epoch=3))
    assert (status(run)["state"], status(run)["epoch"], status(run)["seconds_left"]) == ("done", 4, None)
    assert lines(run.metrics_file) == [metrics_of(EPOCH)]
    told = [line["event"] for line in lines(tmp_path / "events.jsonl")]
    assert told == ["started", "step", "epoch", "finding", "saved", "finished"]
    assert {line["time"] for line in lines(tmp_path / "events.jsonl")} == {"now"}


def test_a_line_of_the_metrics() -> None:
    assert metrics_of(EPOCH) == {
        "epoch": 2, "step": 20, "loss": 0.5, "accuracy": 0.75, "val_loss": 0.25, "val_accuracy": 0.8,
        "lr": 0.1, "seconds": 1.234, "pictures_per_second": 1234.6, "kept": True, "watched": "held out",
    }  # fmt: skip
