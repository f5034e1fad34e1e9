"""Runs beside one another: which is better and whether that can be said, what differs, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import neocog
from neocog.cli import run as command
from neocog.errors import UsageError
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.run import Run
from neocog.tasks.spread import difference, mean_interval, student
from neocog.verbs.compare import Measured, holm
from neocog.verbs.compare import _changes as changes
from neocog.verbs.compare import _grouped as grouped
from neocog.verbs.compare import _pairs as pairs

Capture = pytest.CaptureFixture[str]


def test_student_and_welch_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 2.7, 9, 40):
        assert student(0.95, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-6)
    a, b = [0.91, 0.92, 0.915], [0.93, 0.925, 0.96, 0.94]
    theirs = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    ours = difference(a, b)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-6)
    assert mean_interval(b) == pytest.approx(
        stats.t.interval(0.95, 3, loc=sum(b) / 4, scale=stats.sem(b)), rel=1e-6
    )
    assert difference([0.9, 0.9], [0.8, 0.8]).told_apart
    assert not difference([0.9, 0.9], [0.9, 0.9]).told_apart


def test_several_tests_are_corrected() -> None:
    """Holm: 0.01 x 3, 0.02 x 2, 0.03 x 1 which must not fall below the one before."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def measured(name: str, right: int, *changed: str, wrong_first: bool = False) -> Measured:
    """A made-up run that got so many of 1,000 pictures right: the first ones, or the last."""
    answers = torch.arange(1000) < right
    recipe = override(RECIPES["digits"], changed)
    return Measured(Run(Path(name)), name, recipe, answers.flip(0) if wrong_first else answers)


def test_two_runs_are_told_apart_or_not() -> None:
    lower = "optim.lr=0.001"
    for other, verdict, only in (
        (measured("b", 940, lower), "better", (0, 40)),
        (measured("b", 860, lower), "worse", (40, 0)),
        (measured("b", 903, lower), "cannot be told apart", (0, 3)),
        (measured("b", 905, lower, wrong_first=True), "cannot be told apart", (95, 100)),
    ):
        (pair,) = pairs(grouped([measured("a", 900), other]))
        assert pair.verdict == verdict
        assert pair.paired is not None
        assert (pair.paired.only_a, pair.paired.only_b) == only
    assert (
        "b is better than a: +4.00 points"
        in pairs(grouped([measured("a", 900), measured("b", 940, lower)]))[0].text()
    )


def test_seeds_of_a_recipe_are_a_group_and_groups_are_compared_over_them() -> None:
    lower = "optim.lr=0.001"
    first = [measured(f"a{n}", 900 + 3 * n, f"seed={n}") for n in range(3)]
    second = [measured(f"b{n}", 930 + 3 * n, f"seed={n}", lower) for n in range(3)]
    groups = grouped([*first, *second])
    assert [len(group.runs) for group in groups] == [3, 3]
    (pair,) = pairs(groups)
    assert pair.paired is None
    assert pair.spread is not None
    assert pair.spread.mean == pytest.approx(0.03)
    assert pair.verdict == "better"
    assert changes(groups) == {"phases.0.optim.lr": (0.003, 0.001)}
    wide = [replace(one, right=torch.arange(1000) < 850 + 80 * n) for n, one in enumerate(second)]
    assert pairs(grouped([*first, *wide]))[0].verdict == "cannot be told apart"
    lonely = pairs(grouped([*first, second[0]]))[0]
    assert (lonely.verdict, lonely.p) == ("cannot be told apart", None)
    assert "give several seeds of both" in lonely.text()
    twice = grouped([first[0], first[0]])
    assert [len(group.runs) for group in twice] == [1, 1]
    assert pairs(twice)[0].p == 1


def test_a_run_beside_others(run: Run, copied_run: Run, tmp_path: Path, capsys: Capture) -> None:
    """What a run got right is what it said in its result; answers of another model file are not believed."""
    assert (
        command(["compare", str(run.path), str(copied_run.path), "-o", str(tmp_path / "c.png"), "--json"])
        == 0
    )
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(document) == {"split", "n", "groups", "pairs", "changes"}
    (pair,) = document["pairs"]
    assert (pair["p"], pair["only_a"], pair["verdict"]) == (1, 0, "cannot be told apart")
    accuracy = run.facts()["result"]["test_accuracy"]
    assert document["groups"][0]["accuracies"] == [accuracy]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    (copied_run.path / "answers.safetensors").unlink()
    found = neocog.compare([run, copied_run])
    assert found.groups[1].accuracies == [accuracy]
    assert found.changes == {}
    assert [group.name for group in found.groups] == [str(run.path), str(copied_run.path)], (
        "both are called digits"
    )


def test_what_cannot_be_compared_is_refused(run: Run, copied_run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give 2 to 12"):
        neocog.compare([run])
    other = neocog.train(
        "shapes", changes=["epochs=1", "data.limit=40", "model.name=m1"], out=tmp_path / "shapes"
    )
    with pytest.raises(UsageError, match="answered about other pictures"):
        neocog.compare([run, other])
    facts = copied_run.facts()
    del facts["result"]
    copied_run.write_facts(facts)
    with pytest.raises(UsageError, match="is not finished; go on with"):
        neocog.compare([run, copied_run])
