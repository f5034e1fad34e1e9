"""Claims that one way of training beats another: what is told of the runs, and what is made again of them."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest
import torch

import neocog
from neocog.figures.claimed.depth import BLOCKS, Tower
from neocog.figures.claimed.overfitting import HIGH, errors
from neocog.figures.entry import Asked, Entry, Replayable
from neocog.figures.rivals import Rivals, Way, holds
from neocog.figures.row import read
from neocog.figures.table import ENTRIES
from neocog.figures.training import right, trained
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.run import Run
from neocog.tasks.spread import Difference
from neocog.zoo.chapters import ANSWER, FLATTEN, dense

FEW = ("data.limit=300", "epochs=6", "batch=16")
LEARNS = Rivals(
    what="learning helps",
    ours=Way(name="Adam", recipe="digits", changes=FEW, layers=(FLATTEN, dense(32), ANSWER)),
    theirs=Way(name="none", recipe="digits", changes=(*FEW, "optim.lr=1e-9"), layers=(FLATTEN, ANSWER)),
    picture="learns",
    after=(1,),
    seeds=(0, 1, 2),
)


def test_what_a_difference_says() -> None:
    assert [holds(Difference(mean, mean - 0.02, mean + 0.02)) for mean in (0.03, 0.01, -0.03)] == [
        True,
        None,
        False,
    ]
    assert holds(Difference(0.0, -0.005, 0.005), allowed=0.01) is True
    assert holds(Difference(-0.03, -0.04, -0.02), allowed=0.01) is False


def test_a_claim_is_judged_by_its_runs_and_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("figures.table", "studies.prove", "studies.reproduce"):
        monkeypatch.setattr(f"neocog.{module}.ENTRIES", {"R1": Entry("R1", "rivals", "ours", (LEARNS,))})
    results, runs = tmp_path / "results", tmp_path / "runs"
    soon, late = neocog.reproduce(["R1"], out=results, runs=runs).entries[0].rows
    assert (soon.what, late.what) == ("learning helps, after 1 epoch", "learning helps")
    assert late.verdict == "holds"
    assert len(late.detail["runs"]) == 6
    mine, theirs = (statistics.fmean(group) for group in late.detail["accuracies"])
    assert late.detail["difference"][0] == pytest.approx(mine - theirs)
    first = Run(runs / late.detail["runs"][0]["run"])
    assert soon.detail["accuracies"][0][0] == first.metrics()[0]["val_accuracy"]
    assert late.detail["accuracies"][0][0] == first.facts()["result"]["test_accuracy"]
    assert (runs / "files" / "learns.png").read_bytes().startswith(b"\x89PNG")
    assert {proof.verdict for proof in neocog.prove("r1", results=results, runs=runs).proofs} == {
        "proved to the bit"
    }
    facts = first.facts()
    first.write_facts({**facts, "result": {**facts["result"], "test_accuracy": 0.0}})
    assert neocog.prove("r1", results=results, runs=runs).proofs[1].verdict == "broken here"


def test_a_claim_of_kept_runs_trains_nothing_and_is_judged_picture_by_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "quick", override(RECIPES["digits"], FEW))
    monkeypatch.setitem(RECIPES, "lame", override(RECIPES["digits"], (*FEW, "optim.lr=1e-9")))
    whole = Rivals(
        what="learning helps",
        ours=Way(name="Adam", recipe="quick"),
        theirs=Way(name="none", recipe="lame"),
        picture="learns",
        kept=True,
    )
    entry = Entry("R2", "rivals", "ours", (whole,))
    for module in ("figures.table", "studies.prove", "studies.reproduce"):
        monkeypatch.setattr(f"neocog.{module}.ENTRIES", {"R2": entry})
    asked = Asked(runs=tmp_path)
    (waits,) = entry.run(asked)
    assert (waits.verdict, waits.remark) == (
        "not yet run",
        "needs the training of Adam: reproduce QUICK first",
    )
    assert not list(tmp_path.iterdir())

    runs = [trained(way.asked, asked, name=way.recipe, seed=0) for way in (whole.ours, whole.theirs)]
    (row,) = neocog.reproduce(["R2"], out=tmp_path / "results", runs=tmp_path).entries[0].rows
    ours, theirs = (right(run, asked) for run in runs)
    only = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    mean, low, high = row.detail["difference"]
    assert mean == pytest.approx((only[0] - only[1]) / len(ours))
    assert high - low == pytest.approx(
        2 * 1.96 * (sum(only) / len(ours) - mean**2) ** 0.5 / len(ours) ** 0.5, rel=0.01
    )
    assert row.verdict == "holds"
    assert {
        proof.verdict for proof in neocog.prove("R2", results=tmp_path / "results", runs=tmp_path).proofs
    } == {"proved to the bit"}


def test_what_nobody_watched_is_shown_by_its_end_under_every_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[dict[str, Any]] = []

    def curves(series: Any, **words: str) -> bytes:
        drawn.append({"series": series, **words})
        return b""

    monkeypatch.setattr("neocog.figures.rivals.charts.curves", curves)
    short = ("data.limit=100", "epochs=1", "data.val=none")
    ours, theirs = (
        Way(name=name, recipe="digits", changes=(*short, more), drawn=True)
        for name, more in (("fast", "optim.lr=1e-2"), ("slow", "optim.lr=1e-9"))
    )
    unwatched = Rivals(what="rate", ours=ours, theirs=theirs, picture="rate", seeds=(3, 5))
    (row,) = unwatched.rows(Asked(runs=tmp_path))
    (picture,) = drawn
    assert picture["x_label"] == "seed"
    accuracies = row.detail["accuracies"]
    assert picture["series"] == {
        name: list(zip((3.0, 5.0), found, strict=True))
        for name, found in zip(("fast", "slow"), accuracies, strict=True)
    }


def test_every_rival_is_trained_by_a_recipe_of_its_own() -> None:
    rivals = [part for entry in ENTRIES.values() for part in entry.parts if isinstance(part, Rivals)]
    assert len(rivals) >= 7
    assert len({part.picture for part in rivals}) == len(rivals)
    for part in rivals:
        assert isinstance(part, Replayable)
        assert part.ours.asked.identity != part.theirs.asked.identity
        assert not part.quick
        assert [read(row.json()).verdict for row in part.waiting("")] == ["not yet run"]


def test_shortcuts_are_all_that_two_towers_differ_in() -> None:
    plain, residual = Tower(shortcuts=False), Tower(shortcuts=True)
    residual.load_state_dict(plain.state_dict())
    x = torch.rand(4, 1, 8, 8)
    assert plain.eval()(x).shape == residual.eval()(x).shape == (4, 10)
    with torch.no_grad():
        for block in residual.blocks:
            block[2][1].weight.zero_()  # the last norm: what is left is the shortcut
    passed = residual.head(torch.relu(residual.stem(x)).mean((2, 3)))
    assert torch.allclose(residual(x), passed, atol=1e-6)
    assert len(residual.blocks) == BLOCKS


def test_a_polynomial_through_every_point() -> None:
    there, behind = errors(HIGH, 0)
    assert there < 1e-20 < behind
    assert errors(2, 0)[1] < behind
