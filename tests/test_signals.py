"""A signal that asks for an end is one line, its exit code and nothing half written, whenever it comes."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neocog import signals
from neocog.cli import run as command
from neocog.data.folders import picture_cache
from neocog.files import PART
from neocog.report import page
from neocog.runs.run import Run
from neocog.training import conclusion

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 3}


@pytest.fixture(autouse=True)
def _as_on_the_command_line() -> Iterator[None]:
    """`main` calls this first."""
    before = {number: signal.getsignal(number) for number in signals.wishes()}
    signals.end_at_once()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def sent(name: str, then: object = None) -> Any:
    """In the place of a function: the signal comes, and then what it gives."""

    def come(*given: object, **more: object) -> object:
        os.kill(os.getpid(), getattr(signal, name))
        return then

    return come


def left_over(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob(f"*{PART}")]


@pytest.fixture
def train(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A training of a tenth of a second into `run`, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path / "cache"))
    given = [str(tiny / "pictures"), "--model", str(tiny / "net.json"), "--set", "precision=float32"]
    return ["train", *given, "--epochs", "2", "-q", "--out", "run"]


@pytest.mark.parametrize("name", CODES)
def test_while_pictures_are_read(
    name: str, train: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    read = picture_cache._pictures

    def some(*given: Any) -> Iterator[Any]:
        yield from itertools.islice(read(*given), 3)
        sent(name)()
        yield from ()

    with monkeypatch.context() as patch:
        patch.setattr(picture_cache, "_pictures", some)
        assert command(train) == CODES[name]
    said = capsys.readouterr()
    gone = ", as the terminal is gone" if name == "SIGHUP" else ""
    assert (said.out, said.err) == ("", f"error: interrupted{gone}\n")
    assert not (tmp_path / "run").exists()
    assert not left_over(tmp_path)
    assert command(train) == 0


@pytest.mark.parametrize("moment", ["before the first step", "while the report is written"])
@pytest.mark.parametrize("name", CODES)
def test_in_a_run_the_line_says_how_to_go_on(
    name: str, moment: str, train: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with monkeypatch.context() as patch:
        if moment == "before the first step":
            patch.setattr(conclusion.grids, "grid", sent(name, b"first batch"))
        else:
            patch.setattr(page, "html", sent(name))
        assert command(train) == CODES[name]
    said = capsys.readouterr().err
    assert said.startswith("error: interrupted")
    assert said.lower().endswith(" to go on: neocog train --resume run\n")
    assert said.count("\n") == 1
    assert not left_over(Path("run"))
    assert command(["train", "--resume", "run", "-q"]) == 0
    assert Run(Path("run")).concluded()


def test_a_shell_and_the_system_may_both_say_that_the_terminal_is_gone() -> None:
    with pytest.raises(signals.EndAtOnce):
        sent("SIGHUP")()
    sent("SIGHUP")()
    with pytest.raises(signals.EndAtOnce):
        sent("SIGTERM")()


def test_what_is_ignored_stays_ignored() -> None:
    """As by nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.end_at_once()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


SCRIPT = """
import os, signal, sys
import neocog.verbs.list as verb
from neocog.cli import main
verb._recipes = lambda: os.kill(os.getpid(), signal.{name})
sys.argv = ["neocog", "list", "recipes"]
main()
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_every_command_ends_in_a_line(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(name=name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == CODES[name]
    assert done.stderr.startswith("error: interrupted")
    assert done.stderr.count("\n") == 1
