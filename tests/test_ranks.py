"""Several processes train one network together: the same as one, whoever of them stops or dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import neocog
from neocog import sealed
from neocog.cli import run as command
from neocog.errors import Interrupted, UsageError
from neocog.runs.run import Run
from neocog.training.ranks import Ranks
from neocog.world import World, find

PATIENCE = 120
"""Seconds after which a process that hangs is killed."""


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def begun(number: int, words: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    """So many processes with the environment that torchrun gives each; `words` follow `neocog train`."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port()), "WORLD_SIZE": str(number)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "neocog", "train", *words],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        for rank in range(number)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each."""
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=PATIENCE)
            found.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return found


def same(one: Run, other: Run, within: float = 1e-6) -> None:
    """Equal weights and equal figures, but for the order in which sums are added up."""
    weights, others = (sealed.read(run.state_file)[0] for run in (one, other))
    assert weights.keys() == others.keys()
    for name in weights:
        if name.startswith("network/"):
            assert (weights[name] - others[name]).abs().max() <= within, name
    for a, b in zip(one.metrics(), other.metrics(), strict=True):
        for key in ("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "kept"):
            assert a[key] == pytest.approx(b[key], abs=1e-5), key


@pytest.fixture
def words(tiny: Path) -> list[str]:
    """Eight training pictures in batches of 3, 3 and 2, varied; four held out; float32."""
    changes = ["epochs=3", "batch=3", "precision=float32", "augment.rotation=20", "optim.kind=adam"]
    changes.append("optim.schedule=constant")
    words = [str(tiny / "pictures"), "--model", str(tiny / "net.json")]
    return [*words, *(word for change in changes for word in ("--set", change))]


def test_rows_are_all_and_each_once() -> None:
    for n in range(12):
        for number in range(1, 6):
            parts = [range(*Ranks(rank, number).rows(n)) for rank in range(number)]
            assert [row for part in parts for row in part] == list(range(n))


def test_two_processes_are_as_one(words: list[str], tmp_path: Path) -> None:
    """Batches of odd size, augmentation, held-out figures; the first alone writes and speaks; the run goes on
    in one process to what one process alone comes to."""
    first, second = ended(begun(2, [*words, "--out", "two", "--set", "epochs=2"], tmp_path))
    picture, net, changes = words[0], words[2], words[4::2]
    neocog.train(picture, model=net, changes=changes, out=tmp_path / "one")
    assert first[0] == second[0] == 0, first[2] + second[2]
    assert "2 processes train together" in first[2]
    assert second[1:] == ("", "")
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    assert (one.facts()["processes"], two.facts()["processes"]) == (1, 2)
    assert {path.name for path in two.path.iterdir()} == {path.name for path in one.path.iterdir()}
    going = neocog.resume(two.path, epochs=3)
    assert "processes was 2, is 1" in " ".join(going.facts()["remarks"])
    same(one, two)


def under_way(words: list[str], folder: Path) -> list[subprocess.Popen[str]]:
    """Two processes in the middle of a training without end, of which a state is saved."""
    processes = begun(2, [*words, "--set", "epochs=100000", "--out", "run"], folder)
    for _ in range(20 * PATIENCE):
        if (folder / "run" / "last.safetensors").exists() or processes[0].poll() is not None:
            break
        time.sleep(0.05)
    return processes


def test_what_cannot_be_trained_together_and_what_differs() -> None:
    def layers(*kinds: nn.Module) -> nn.Module:
        return nn.Sequential(*kinds)

    two, world = Ranks(0, 2), find("cpu", "float32")
    normalised = layers(nn.BatchNorm2d(3))
    with pytest.raises(UsageError, match="the smallest batch of an epoch has 3 pictures"):
        two.require_possible(normalised, world, 3)
    assert "normalises within" in two.require_possible(normalised, world, 4)[1]
    assert "own dropout" in two.require_possible(layers(nn.Dropout(0.5)), world, 1)[1]
    assert len(two.require_possible(layers(nn.ReLU()), world, 1)) == 1
    assert Ranks().require_possible(normalised, world, 1) == ()
    with pytest.raises(UsageError, match="--device cpu"):
        two.require_possible(normalised, World(torch.device("cuda"), "float32"), 8)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_forecast_is_of_one_process(
    rank: int, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first says so, the others end without a word."""
    for name, value in (("MASTER_ADDR", "127.0.0.1"), ("WORLD_SIZE", "2"), ("RANK", str(rank))):
        monkeypatch.setenv(name, value)
    assert command(["train", *words, "--dry-run"]) == 2
    line = "error: --dry-run is for one process, and 2 were begun; give it without torchrun\n"
    assert capsys.readouterr().err == (line if rank == 0 else "")


def test_draws_are_told_apart() -> None:
    assert len({Ranks(rank, 3).counters for rank in range(3)}) == 3
    assert Ranks(0, 3).counters == (), "the first draws as one process alone"


@pytest.mark.slow
def test_torchrun_with_several_batches_to_measure(tmp_path: Path) -> None:
    """Three processes, measured pictures in more batches than processes; a run of one process goes on in
    two."""
    changes = ["precision=float32", "optim.kind=sgd", "optim.schedule=constant", "optim.lr=0.01"]
    changes.append("preprocess.size=[16, 16]")
    words = ["digits", "--model", "lenet", *(word for one in changes for word in ("--set", one))]

    def torchrun(number: int, *words: str) -> None:
        launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(number)]
        launch += ["--master-port", str(port()), "-m", "neocog", "train"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *launch, *words],
            cwd=tmp_path,
            env=environment,
            timeout=PATIENCE,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    neocog.train("digits", model="lenet", changes=[*changes, "epochs=2"], out=tmp_path / "one")
    torchrun(3, *words, "--set", "epochs=2", "--out", "three")
    neocog.train("digits", model="lenet", changes=[*changes, "epochs=1"], out=tmp_path / "first")
    torchrun(2, "--resume", "first", "--epochs", "2")
    for other in ("three", "first"):
        same(Run(tmp_path / "one"), Run(tmp_path / other))


@pytest.mark.slow
def test_one_that_is_silent_is_given_up(words: list[str], tmp_path: Path) -> None:
    processes = under_way(words, tmp_path)
    processes[1].send_signal(signal.SIGSTOP)
    since = time.monotonic()
    code, _, err = ended(processes[:1])[0]
    processes[1].kill()
    ended(processes[1:])
    assert time.monotonic() - since < 40, "25 seconds are given, beside a machine in use"
    assert code == 4
    assert "does not answer any more" in err
    goes_on(Run(tmp_path / "run"))


def goes_on(run: Run) -> None:
    """From the saved state, in this process, which is stopped at once."""
    before = run.saved()["step"]
    assert before > 0
    with pytest.raises(Interrupted):
        neocog.resume(run.path, stop=lambda: True)
    assert run.saved()["step"] > before


@pytest.mark.parametrize("dead", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_where_one_dies_the_other_ends(dead: int, words: list[str], tmp_path: Path) -> None:
    processes = under_way(words, tmp_path)
    processes[dead].kill()
    since = time.monotonic()
    code, out, err = ended(processes)[1 - dead]
    assert time.monotonic() - since < 30, "a promise, not a speed: what is gone is noticed"
    assert (code, out) == (4, "")
    assert "another process of this training has ended" in err.splitlines()[-1]
    assert "neocog train --resume run" in err
    assert "Traceback" not in err
    goes_on(Run(tmp_path / "run"))


@pytest.mark.slow
def test_where_one_is_asked_to_stop_both_do(words: list[str], tmp_path: Path) -> None:
    processes = under_way(words, tmp_path)
    processes[1].send_signal(signal.SIGTERM)
    first, second = ended(processes)
    assert "the state is saved" in first[2]
    assert (first[0], second[0]) == (130, 143)
    goes_on(Run(tmp_path / "run"))
