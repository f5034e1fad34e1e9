"""The world of a computation: another precision in predictions only when asked for; its seeds."""

from __future__ import annotations

import json
from unittest import mock

import pytest
import torch

import neocog
from neocog.cli import run as command
from neocog.runs.run import Run
from neocog.world import find


def test_another_precision_answers_a_little_otherwise(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """float32 unless asked; bfloat16 keeps 8 bits, on files and on the items of a split."""
    exact = neocog.predict(run, split="test", index=range(64))
    rough = neocog.predict(run, split="test", index=range(64), precision="bfloat16")
    pairs = [(a.top[0], b.top[0]) for a, b in zip(exact.items, rough.items, strict=True)]
    assert sum(a.name == b.name for a, b in pairs) > 60
    apart = [abs(a.probability - b.probability) for a, b in pairs if a.name == b.name]
    assert 0 < max(apart) < 0.1
    picture = run.path / "curves.png"
    one, other = (neocog.predict(run, [picture], precision=p).items[0].top for p in ("float32", "bfloat16"))
    assert one != other
    assert neocog.predict(run, [picture]).items[0].top == one
    assert command(["predict", str(run.path), str(picture), "--precision", "bfloat16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["top"][0]["probability"] == pytest.approx(
        other[0].probability
    )


def test_a_seed_of_the_world_is_torchs_own() -> None:
    """Runs of older versions, which seeded by `torch.manual_seed`, go on to the same draws; a stack trace for
    every kind of GPU that there is not, which that one takes at each step, is not taken."""
    torch.manual_seed(2**62 + 5)
    expected = torch.rand(3)
    with mock.patch("traceback.format_stack", side_effect=AssertionError("a trace was taken")):
        find("cpu").seed(2**62 + 5)
    assert torch.equal(torch.rand(3), expected)
