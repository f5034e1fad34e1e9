"""When a training is saved, in what order and by whom, under a clock of the test's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from neocog.errors import CheckFailed
from neocog.events import Saved
from neocog.recipes.chapters import RECIPES
from neocog.training import saving
from neocog.training.saving import Saver, Snapshot, saver_of


class Folder:
    """A run that notes what is written into it; a state takes `cost` seconds."""

    model_file = Path("model.safetensors")

    def __init__(self, now: list[float], written: list[str], cost: float) -> None:
        self.now, self.written, self.cost = now, written, cost

    def require(self) -> None:
        self.written.append("folder is there")

    def save(self, live: Any, recipe: Any) -> None:
        self.written.append("state")
        self.now[0] += self.cost


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(saving.time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(saving, "write_model", lambda path, *given: found.append(str(path)))
    return found


def training(step: int = 7) -> Any:
    return SimpleNamespace(state=SimpleNamespace(step=step), network=nn.Linear(2, 1))


def test_saving_takes_a_twenty_fifth_of_the_time_at_most(now: list[float], written: list[str]) -> None:
    saver = Saver(Folder(now, written, cost=2.0), RECIPES["m1"])  # type: ignore[arg-type]
    due = []
    for now[0] in (104.9, 105.0):
        due.append(saver.due(after=5))
    assert due == [False, True]
    assert saver.save(training()) == Saved(7, 2.0)
    due = []
    for now[0] in (107 + 49.9, 107 + 50.0):  # 2 s are a twenty-fifth of 50
        due.append(saver.due(after=5))
    assert due == [False, True]


def test_the_model_is_written_before_the_state_and_once(now: list[float], written: list[str]) -> None:
    saver = Saver(Folder(now, written, cost=0.0), RECIPES["m1"])  # type: ignore[arg-type]
    saver.keep(Snapshot({}, {}))
    saver.save(training())
    assert written == ["folder is there", "model.safetensors", "state"]
    saver.save(training())
    assert written[3:] == ["state"]


def test_weights_that_are_not_finite_are_not_written(now: list[float], written: list[str]) -> None:
    saver = Saver(Folder(now, written, cost=0.0), RECIPES["m1"])  # type: ignore[arg-type]
    saver.keep(Snapshot({}, {}))
    sick = training(step=12)
    with torch.no_grad():
        sick.network.bias.fill_(float("nan"))
    with pytest.raises(
        CheckFailed, match=r"the weights of bias are not finite at step 12; .* lower learning"
    ):
        saver.save(sick)
    assert written == []


def test_of_several_ranks_the_first_writes_and_all_wait(now: list[float], written: list[str]) -> None:
    def ranks(first: bool, number: int) -> Any:
        return SimpleNamespace(first=first, number=number, wait=lambda: now.__setitem__(0, now[0] + 3.0))

    folder: Any = Folder(now, written, cost=2.0)
    assert isinstance(saver_of(folder, RECIPES["m1"], ranks(True, 1)), Saver)
    first = saver_of(folder, RECIPES["m1"], ranks(True, 2))
    now[0] += 5
    assert first.due(after=5)
    first.keep(Snapshot({}, {}))
    assert first.save(training()) == Saved(7, 5.0)
    assert written == ["folder is there", "model.safetensors", "state"]
    other = saver_of(folder, RECIPES["m1"], ranks(False, 2))
    now[0] += 500
    assert not other.due(after=5)
    other.keep(Snapshot({}, {}))
    assert other.save(training()) == Saved(7, 3.0)
    assert len(written) == 3
