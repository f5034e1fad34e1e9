"""One fault at every rename and every flush of a whole run, from its first byte to its report: it goes
on, and ends with the same bits.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import neocog
from neocog.errors import UnreadableError
from neocog.runs.run import Run
from neocog.training import conclusion, loop, saving

QUICK = ["epochs=2", "optim.schedule=constant", "data.limit=96", "precision=float32"]


class Killed(BaseException):
    """What nothing catches."""


@pytest.fixture(autouse=True)
def _saved_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(saving, "SAVE_SHARE", float("inf"))
    monkeypatch.setattr(conclusion.grids, "grid", lambda *given, **more: b"first batch")
    monkeypatch.setattr(conclusion.charts, "training_curves", lambda *given: b"curves")
    monkeypatch.setattr(conclusion, "html", lambda subject: "report")


def trained(out: Path, fail_at: int, fault: BaseException) -> int:
    """Train with the fault at that rename or flush; how many there were."""
    calls = 0
    flush, replace = os.fsync, Path.replace

    def count() -> None:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            raise fault

    def flushing(handle: int) -> None:
        count()
        flush(handle)

    def replacing(self: Path, target: Path) -> Path:
        count()
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", flushing)
        patch.setattr(Path, "replace", replacing)
        neocog.train("digits", changes=QUICK, out=out)
    return calls


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return neocog.train("digits", changes=QUICK, out=tmp_path_factory.mktemp("whole") / "run")


def faults() -> Iterator[BaseException]:
    yield Killed()
    for number in (errno.ENOSPC, errno.EIO):
        yield OSError(number, os.strerror(number))


def check(whole: Run, folder: Path, every: int) -> None:
    timed = {"seconds", "pictures_per_second"}

    def figures(run: Run) -> list[dict[str, object]]:
        return [{k: v for k, v in m.items() if k not in timed} for m in run.metrics()]

    total = trained(folder / "counted", 0, Killed())
    for fault in faults():
        for number in range(1, total + 1, every):
            run = Run(folder / f"{type(fault).__name__}{getattr(fault, 'errno', '')}-{number}")
            with pytest.raises((Killed, UnreadableError)):
                trained(run.path, number, fault)
            facts = run.facts() if run.recipe_file.exists() else {}
            if "result" in facts and "unreported" not in facts:
                pass  # the fault came after the last rename
            elif facts:
                neocog.resume(run.path)
            else:
                neocog.train("digits", changes=QUICK, out=run.path)
            assert run.model_file.read_bytes() == whole.model_file.read_bytes(), (fault, number)
            assert figures(run) == figures(whole), (fault, number)
            assert run.facts()["result"] == whole.facts()["result"], (fault, number)
            assert run.report_file.read_bytes() == b"report"
            assert not list(run.path.glob(".*.part")), (fault, number)


def test_a_fault_now_and_then(whole: Run, tmp_path: Path) -> None:
    check(whole, tmp_path, every=29)


@pytest.mark.slow
def test_a_fault_at_every_rename_and_flush(whole: Run, tmp_path: Path) -> None:
    check(whole, tmp_path, every=1)
