"""How accuracy grows with the number of training pictures: the law, the samples, what is said and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

import neocog
from neocog.cli import run as command
from neocog.data import Data, load
from neocog.errors import UsageError
from neocog.studies.data_size import Curve, Growth, Plan, Point, fitted, grow

Capture = pytest.CaptureFixture[str]
SIZES = (100, 200, 400, 800)


def powers(exponent: float, *, n: int = 10**9) -> tuple[Point, ...]:
    """Points whose errors are size ** -exponent, on very many test pictures."""
    return tuple(Point(size, (1 - size**-exponent,), n) for size in SIZES)


def test_a_power_law_is_found_again() -> None:
    law = fitted(powers(0.5))
    assert law is not None
    assert law.exponent == pytest.approx(0.5, abs=1e-5)
    assert law.factor == pytest.approx(1, abs=1e-4)
    assert law.high - law.low < 1e-4
    assert law.gain(0.2)[0] == pytest.approx(0.2 * (1 - 2**-0.5), abs=1e-5)
    assert fitted(powers(0.5)[:2]) is None


def test_its_uncertainty_is_that_of_the_regression() -> None:
    stats = pytest.importorskip("scipy.stats")
    shares = ((0.70, 0.72), (0.78, 0.77), (0.83, 0.85), (0.88, 0.88))
    points = [Point(size, pair, 10**9) for size, pair in zip(SIZES, shares, strict=True)]
    law = fitted(points)
    x = torch.tensor([size for size in SIZES for _ in range(2)]).double().log().numpy()
    y = torch.tensor([1 - share for pair in shares for share in pair]).double().log().numpy()
    theirs = stats.linregress(x, y)
    assert law is not None
    assert law.exponent == pytest.approx(-theirs.slope, rel=1e-5)
    half = stats.t.ppf(0.975, len(x) - 2) * theirs.stderr
    assert (law.low, law.high) == pytest.approx((-theirs.slope - half, -theirs.slope + half), rel=1e-5)


def test_what_is_said() -> None:
    said = Curve("m1", powers(0.5)).sentence()
    assert said.startswith("m1: twice the 800 pictures should gain about 1.0 points (1.0 to 1.0)")
    level = tuple(
        Point(size, (share,), 1000) for size, share in zip(SIZES, (0.8, 0.9, 0.7, 0.8), strict=True)
    )
    assert Curve("m1", level).sentence() == "m1: these sizes do not say whether more pictures help"
    assert "three sizes or more" in Curve("m1", level[:2]).sentence()
    text = Growth("digits", 1000, (Curve("a", level), Curve("b", level))).text()
    assert re.search(r"^800 +80\.00 % \[77\.41, 82\.36\]  80\.00 % \[77\.41, 82\.36\]$", text, re.MULTILINE)


def test_samples_are_nested_and_keep_the_classes() -> None:
    taken = {}
    for size in (100, 250, 600):
        x = load(Data(name="digits", limit=size)).train
        taken[size] = {picture.numpy().tobytes() for picture in x.x}
        shares = torch.bincount(x.y, minlength=10) / size
        assert float((shares - 0.1).abs().max()) < 0.02
    assert taken[100] < taken[250] < taken[600]
    other = load(Data(name="digits", limit=100, seed=1)).train
    assert {picture.numpy().tobytes() for picture in other.x} != taken[100]


def test_a_study(tmp_path: Path, capsys: Capture) -> None:
    argv = ["study", "data-size", "digits", "--models", "m1,digits", "--sizes", "40,20", "--set", "epochs=1"]
    argv += ["--runs", str(tmp_path / "runs"), "-o", str(tmp_path / "c.png"), "-q"]
    assert command([*argv, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"what", "n", "curves"}
    assert document["n"] == 359
    assert [[p["size"] for p in curve["points"]] for curve in document["curves"]] == [[20, 40]] * 2
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    runs = sorted((tmp_path / "runs").iterdir())
    assert [run.name.rpartition("-")[0] for run in runs] == ["digits"] * 2 + ["m1"] * 2
    recipes = [neocog.Run(run).recipe() for run in runs]
    assert {recipe.data.limit for recipe in recipes} == {20, 40}
    before = [(run / "facts.json").stat().st_mtime_ns for run in runs]
    assert command([*argv[:-3], "-o", str(tmp_path / "c.csv"), "-q"]) == 0
    assert [(run / "facts.json").stat().st_mtime_ns for run in runs] == before, "found again"
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 5


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    for plan, said in (
        (Plan(), "say on how many"),
        (Plan(sizes=(0, 5)), "say on how many"),
        (Plan(sizes=tuple(range(1, 32)), seeds=2), "more than 60 trainings"),
    ):
        with pytest.raises(UsageError, match=said):
            grow("digits", plan)
    with pytest.raises(UsageError, match="belong to study data-size"):
        neocog.study("labels", tmp_path, sizes=[5])
    assert command(["study", "data-size", "digits", "--sizes", "a,b"]) == 2
