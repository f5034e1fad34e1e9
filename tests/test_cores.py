"""Which cores are free, from what the kernel counted; how many threads a training then has, and who may say
otherwise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import neocog
from neocog import cores, world
from neocog.cores import Moment

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the kernel is not asked")

LINES = """cpu  900 0 90 9000 9 9 9 9 0 0
cpu0 100 10 20 5000 7 3 4 70 0 0
cpu1 200 20 40 4000 2 6 5 90 0 0
intr 1 2 3
"""


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A file in the place of /proc/stat, and a process that may run on both of its cores."""
    path = tmp_path / "stat"
    path.write_text(LINES)
    monkeypatch.setattr(cores, "STAT", path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    cores.free.cache_clear()
    yield path
    cores.free.cache_clear()


def begun(monkeypatch: pytest.MonkeyPatch, *, seconds: float, others: float) -> None:
    """The command line began so many seconds ago; other processes kept so many cores busy since."""
    now = cores.moment()
    assert now is not None
    monkeypatch.setattr(cores, "moment", lambda: now)
    before = Moment(now.clock - seconds, now.worked - seconds * others - 0.3, now.own - 0.3)
    monkeypatch.setattr(cores, "_begun", before)


def test_work_of_the_cores_that_it_may_use(two_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    found = cores.moment()
    assert found is not None
    assert found.worked == pytest.approx((100 + 10 + 20 + 3 + 4 + 200 + 20 + 40 + 6 + 5) * tick)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1})
    found = cores.moment()
    assert found is not None
    assert found.worked == pytest.approx((200 + 20 + 40 + 6 + 5) * tick)


@pytest.mark.parametrize("text", ["", "cpu0 1 2\n", "cpu0 a b c d e f g\ncpu1 1 2 3 4 5 6 7\n"])
def test_nothing_is_known_where_the_kernel_says_nothing(two_cores: Path, text: str) -> None:
    two_cores.write_text(text)
    assert cores.moment() is None
    two_cores.unlink()
    assert cores.moment() is None


def test_own_work_is_not_another_processes() -> None:
    assert cores.taken(Moment(10, 50, 20), Moment(14, 57, 24)) == pytest.approx(0.75)
    assert cores.taken(Moment(10, 50, 20), Moment(14, 51, 24)) == 0


@pytest.mark.parametrize(
    ("seconds", "others", "threads"),
    [(4, 0.0, None), (4, 0.7, None), (4, 0.8, 1), (4, 1.0, 1), (4, 1.9, 1), (4, 2.6, 1), (0.4, 1.0, None)],
)
def test_as_many_threads_as_cores_are_free(
    two_cores: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, others: float, threads: int | None
) -> None:
    begun(monkeypatch, seconds=seconds, others=others)
    assert cores.free() == threads


def test_of_many_cores_those_that_are_left(two_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    two_cores.write_text("".join(f"cpu{n} 100 0 0 0 0 0 0\n" for n in range(8)))
    begun(monkeypatch, seconds=4, others=2.9)
    assert cores.free() == 5


def test_nobody_watched(two_cores: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_begun", None)
    assert cores.free() is None
    assert cores.remarks(2) == ()


def test_a_training_has_them_says_so_and_gives_them_back(
    two_cores: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        begun(monkeypatch, seconds=4, others=1.0)
        changes = ["data.limit=60", "epochs=1", "batch=30", "probes=off"]
        run = neocog.train("digits", changes=changes, out=tmp_path / "run", device="cpu")
        assert torch.get_num_threads() == 2
        facts = run.facts()
        assert facts["threads"] == 1
        (said,) = (line for line in facts["remarks"] if "busy" in line)
        assert said.startswith("other processes keep 1 of 2 cores busy, so 1 thread does the sums")
        assert "OMP_NUM_THREADS=2" in said
        foreseen = neocog.forecast("digits", changes=changes, device="cpu")
        assert foreseen.json()["threads"] == 1
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        other = neocog.train("digits", changes=changes, out=tmp_path / "other", device="cpu")
        assert other.facts()["threads"] == 2
        assert not any("busy" in line for line in other.facts()["remarks"])
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_the_command_line_beside_a_busy_process() -> None:
    clean = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    processors = len(os.sched_getaffinity(0))
    if processors < 2 or world.torch.get_num_threads() > processors:
        pytest.skip("one core")
    neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        words = [sys.executable, "-m", "neocog", "train", "digits", "--dry-run", "--json", "-q"]
        done = subprocess.run(words, env=clean, capture_output=True, text=True, check=True)
    finally:
        neighbour.kill()
        neighbour.wait()
    assert json.loads(done.stdout)["threads"] < processors
