"""The training loop: it learns, repeats itself, resumes with the same bits, stops, and refuses to go on
from nonsense.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import neocog
from neocog import sealed
from neocog.data.batches import cuts
from neocog.data.dataset import Dataset, Split
from neocog.data.splits import counted
from neocog.errors import CheckFailed, Interrupted, UnreadableError, UsageError
from neocog.events import Epoch, Event, Saved, Started, Step
from neocog.runs.run import Run, open_run
from neocog.training import loop, saving

QUICK = ["epochs=2", "optim.schedule=constant", "optim.lr=0.001", "data.limit=320"]


def train(out: Path, *changes: str, watch: list[Event] | None = None) -> Run:
    watchers = [] if watch is None else [lambda run: watch.append]
    return neocog.train("digits", changes=[*QUICK, *changes], out=out, watchers=watchers)


def same_weights(a: Run, b: Run) -> bool:
    return a.model_file.read_bytes() == b.model_file.read_bytes()


def test_it_learns_and_reports(run: Run) -> None:
    figures = run.json()
    assert set(figures) == {"run", "epochs", "seconds", "test_accuracy"}
    assert figures["epochs"] == 3
    assert figures["test_accuracy"] > 0.9
    assert neocog.evaluate(run).accuracy == figures["test_accuracy"]
    files = {path.name for path in run.path.iterdir()}
    expected = (
        "recipe.json facts.json metrics.jsonl status.json last.safetensors model.safetensors model.json"
    )
    assert {*expected.split(), "curves.png", "first_batch.png", "answers.safetensors"} <= files
    assert json.loads((run.path / "status.json").read_text())["state"] == "done"
    assert [m["epoch"] for m in run.metrics()] == [1, 2, 3]


def test_held_out_accuracy_seen_is_the_one_evaluate_finds(run: Run) -> None:
    best = max(run.metrics(), key=lambda m: (m["val_accuracy"], -m["val_loss"]))
    report = neocog.evaluate(run, split="val")
    assert report.accuracy == best["val_accuracy"]
    assert report.loss == pytest.approx(best["val_loss"], rel=1e-6)


def test_same_recipe_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    first, second, other = train(tmp_path / "a"), train(tmp_path / "b"), train(tmp_path / "c", "seed=1")
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_events_come_in_order(tmp_path: Path) -> None:
    seen: list[Event] = []
    train(tmp_path / "a", watch=seen)
    assert isinstance(seen[0], Started)
    steps = [event.step for event in seen if isinstance(event, Step)]
    assert steps == list(range(1, 21))
    assert [event.epoch for event in seen if isinstance(event, Epoch)] == [1, 2]
    assert any(isinstance(event, Saved) for event in seen)


class Stop(Exception):
    pass


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "adadelta", "nesterov"])
def test_resume_in_mid_epoch_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, optimizer: str
) -> None:
    changes = [f"precision={precision}", f"optim.kind={optimizer}", "augment.rotation=10", "model.name=m8"]
    whole = train(tmp_path / "whole", *changes)
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(saving, "SAVE_SHARE", math.inf)

    def fall_over(event: Event) -> None:
        if isinstance(event, Step) and event.step == 14:
            raise Stop

    with pytest.raises(Stop):
        neocog.train(
            "digits", changes=[*QUICK, *changes], out=tmp_path / "cut", watchers=[lambda run: fall_over]
        )
    cut = open_run(tmp_path / "cut")
    assert cut.saved()["step"] == 13
    neocog.resume(cut.path)
    assert same_weights(whole, cut)
    assert whole.metrics()[1]["val_loss"] == cut.metrics()[1]["val_loss"]
    assert whole.metrics()[1]["loss"] == cut.metrics()[1]["loss"]


def test_more_epochs_go_on_and_say_so(copied_run: Run) -> None:
    with pytest.raises(UsageError, match="is finished"):
        neocog.resume(copied_run.path)
    seen: list[Event] = []
    more = neocog.resume(copied_run.path, epochs=4, watchers=[lambda run: seen.append])
    assert [m["epoch"] for m in more.metrics()] == [1, 2, 3, 4]
    assert isinstance(seen[0], Started)
    assert "stretched" in " ".join(seen[0].remarks)
    assert more.recipe().epochs == 4


def test_two_and_one_epochs_are_three_where_the_schedule_is_constant(tmp_path: Path) -> None:
    run = train(tmp_path / "a")
    neocog.resume(run.path, epochs=3)
    assert (
        sealed.read(train(tmp_path / "b", "epochs=3").state_file)[0].keys()
        == sealed.read(run.state_file)[0].keys()
    )
    ours, whole = sealed.read(run.state_file)[0], sealed.read(tmp_path / "b" / "last.safetensors")[0]
    assert all(torch.equal(ours[name], whole[name]) for name in ours)


def test_early_stop_keeps_the_best_and_can_go_on(tmp_path: Path) -> None:
    run = train(tmp_path / "a", "epochs=12", "stop.patience=1", "optim.lr=0.02")
    metrics = run.metrics()
    assert len(metrics) < 12, "the rate is high enough for an epoch without progress"
    best = max(metrics, key=lambda m: (m["val_accuracy"], -m["val_loss"]))
    assert neocog.evaluate(run, split="val").accuracy == best["val_accuracy"]
    assert run.facts()["result"]["reason"] == "stopped early"
    neocog.resume(run.path)
    assert len(run.metrics()) > len(metrics)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_save_and_say_how_to_go_on(tmp_path: Path, number: int) -> None:
    def send(event: Event) -> None:
        if isinstance(event, Step) and event.step == 5:
            os.kill(os.getpid(), number)

    with pytest.raises(Interrupted, match="--resume") as stopped:
        neocog.train("digits", changes=QUICK, out=tmp_path / "cut", watchers=[lambda run: send])
    assert stopped.value.exit_code == 128 + number
    cut = open_run(tmp_path / "cut")
    assert cut.saved()["step"] in (5, 6)
    neocog.resume(cut.path)
    assert same_weights(cut, train(tmp_path / "whole"))


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"not finite.*step \d+") as stopped:
        train(tmp_path / "a", "optim.lr=1e30", "optim.kind=sgd", "precision=float32")
    assert stopped.value.exit_code == 4
    run = open_run(tmp_path / "a")
    assert not run.state_file.exists(), "nothing that is not finite is ever saved"


def test_the_last_good_state_survives_a_divergence(tmp_path: Path) -> None:
    run = train(tmp_path / "a", "precision=float32", "optim.kind=sgd")
    good = run.model_file.read_bytes()
    with pytest.raises(CheckFailed):
        neocog.resume(run.path, epochs=4, changes=["optim.lr=1e30"])
    assert run.model_file.read_bytes() == good
    assert neocog.evaluate(run).accuracy > 0.05
    neocog.resume(run.path, epochs=4, changes=["optim.lr=0.01"])


def test_resume_refuses_changed_pictures(copied_run: Run) -> None:
    facts = copied_run.facts()
    copied_run.write_facts({**facts, "data_fingerprint": "0" * 64})
    with pytest.raises(CheckFailed, match="pictures changed"):
        neocog.resume(copied_run.path, epochs=4)


def test_two_trainings_in_one_folder_are_refused(copied_run: Run) -> None:
    with copied_run.alone(), pytest.raises(UsageError, match="another process is training"):
        neocog.resume(copied_run.path, epochs=4)
    with pytest.raises(UsageError, match="exists already"):
        train(copied_run.path)


def test_a_cut_state_file_is_refused(copied_run: Run) -> None:
    copied_run.state_file.write_bytes(copied_run.state_file.read_bytes()[:-100])
    with pytest.raises(UnreadableError):
        neocog.resume(copied_run.path, epochs=4)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc is told")
def test_a_step_asks_the_kernel_for_no_memory_that_the_last_one_freed() -> None:
    code = (
        "import resource, torch\n"
        "from neocog.world import find\n"
        "find('cpu', 'float32')\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): torch.ones(12_000_000)\n"  # malloc needs some rounds to settle
        "before = faults()\n"
        "for _ in range(20): torch.ones(12_000_000)\n"
        "assert faults() - before < 1000, faults() - before\n"  # 12,000 each time otherwise
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_pictures_are_let_go_and_their_labels_and_the_split_that_is_measured_stay() -> None:
    x, y = torch.zeros(6, 1, 4, 4, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64)
    alone = Dataset("own", ("a",), Split(x.clone(), y), test=Split(x[:2].clone(), y[:2]))
    alone.free(but="test")
    assert alone.train.x.numel() == 0
    assert len(alone.train) == 6
    assert int(alone.split("test").x.sum()) == 0
    watched = Dataset("watched", ("a",), Split(x.clone(), y), val=alone.test, test=alone.test)
    watched.free(but="test")
    assert watched.split("val").x.shape == (2, 1, 4, 4)
    shared = Dataset("shared", ("a",), Split(x[:4], y[:4]), test=Split(x[4:], y[4:]))
    shared.free(but="test")
    assert shared.split("test").x.shape == (2, 1, 4, 4)


def test_cuts_cover_every_picture_once() -> None:
    for n in range(1, 40):
        for batch in range(1, 12):
            pieces = cuts(n, batch)
            assert [i for a, b in pieces for i in range(a, b)] == list(range(n))
            assert batch == 1 or len(pieces) == 1 or all(b - a > 1 for a, b in pieces)


def test_counters_give_unrelated_seeds() -> None:
    seeds = {counted(a, b, c) for a in range(10) for b in range(4) for c in range(100)}
    assert len(seeds) == 4000
    bits = [seed.bit_count() for seed in seeds]
    assert 29 < sum(bits) / len(bits) < 34


CHILD = """
import sys, neocog.training.loop as t, neocog.training.saving as s
t.SAVE_EVERY, s.SAVE_SHARE = 0.0, float("inf")
from neocog.cli import run
sys.exit(run(sys.argv[1:]))
"""


def test_killed_through_the_command_line(tmp_path: Path) -> None:
    """One kill -9 of a real process; tests/test_kills.py does many."""
    command = [sys.executable, "-c", CHILD, "train", "digits", "-q", "--out", str(tmp_path / "cut")]
    command += [part for change in QUICK for part in ("--set", change)]
    process = subprocess.Popen(command)
    state = tmp_path / "cut" / "last.safetensors"
    deadline = time.monotonic() + 60
    while not state.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    run = open_run(tmp_path / "cut")
    if run.saved()["finished"] != "done":
        neocog.resume(run.path)
    assert same_weights(run, train(tmp_path / "whole"))
