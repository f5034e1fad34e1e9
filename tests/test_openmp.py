"""How OpenMP's threads wait: the command line says it before torch is loaded, a user's own word wins, nothing
is set by an import, and a resume has as many threads as the run began with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import neocog
from neocog import openmp
from neocog.runs.run import Run
from neocog.world import as_many_threads

MAIN = """
import os, sys
before = dict(os.environ)
import neocog, neocog.cli
assert dict(os.environ) == before, "an import changes the environment"
def run(argv):
    print(os.environ.get("GOMP_SPINCOUNT"), os.environ.get("OMP_WAIT_POLICY"), "torch" in sys.modules)
    return 0
neocog.cli.run = run
neocog.cli.main()
"""


@pytest.mark.parametrize(
    ("said", "printed"),
    [
        ({}, f"{openmp.FEW} None False"),
        ({"GOMP_SPINCOUNT": "7"}, "7 None False"),
        ({"OMP_WAIT_POLICY": "active"}, "None active False"),
    ],
)
def test_the_command_line_says_how_threads_wait_before_torch_is_loaded(
    said: dict[str, str], printed: str
) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in openmp.WAITING}
    done = subprocess.run(
        [sys.executable, "-c", MAIN], env={**clean, **said}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == printed


def test_what_cannot_be_set_any_more_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    (said,) = openmp.remarks({}, 2)
    assert "GOMP_SPINCOUNT=2000" in said
    assert "\n" not in said
    assert openmp.remarks({}, 1) == ()
    assert openmp.remarks({"OMP_WAIT_POLICY": "passive"}, 2) == ()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert openmp.remarks({}, 2) == ()


def test_as_many_threads_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    processors = len(os.sched_getaffinity(0))
    other = 1 if before > 1 else processors
    with as_many_threads(other):
        assert torch.get_num_threads() == other
    assert torch.get_num_threads() == before
    with as_many_threads(None), as_many_threads(other):
        assert torch.get_num_threads() == other
    with as_many_threads(other), as_many_threads(before):
        assert torch.get_num_threads() == other
    with as_many_threads(processors + 1):
        assert torch.get_num_threads() == before
    monkeypatch.setenv("OMP_NUM_THREADS", str(before))
    with as_many_threads(other):
        assert torch.get_num_threads() == before


def test_a_resume_has_the_threads_of_the_start(copied_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    begun, before = copied_run.facts()["threads"], torch.get_num_threads()
    seen: list[int] = []
    torch.set_num_threads(3)
    try:
        neocog.resume(copied_run.path, epochs=4, stop=lambda: seen.append(torch.get_num_threads()) or False)  # type: ignore[func-returns-value]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {begun}
    facts = copied_run.facts()
    assert facts["threads"] == begun
    assert facts["waiting"] == {"GOMP_SPINCOUNT": "7"}
    assert not any("not the machine" in remark for remark in facts["remarks"])


def test_from_python_a_training_says_that_its_threads_spin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in openmp.WAITING:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = neocog.train("digits", changes=["epochs=1", "data.limit=64"], out=tmp_path / "run")
    finally:
        torch.set_num_threads(before)
    assert any("spinning" in remark for remark in run.facts()["remarks"])
