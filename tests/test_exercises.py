"""E8, C8 and T2 of the chapters, on small data sets in the place of theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import neocog
from neocog.data import Data, load
from neocog.data.loading import fingerprint
from neocog.figures import elsewhere, lending
from neocog.figures.entry import Asked, Entry
from neocog.figures.further import WAYS, Improvements
from neocog.figures.rivals import Way
from neocog.figures.table import ENTRIES
from neocog.figures.training import right
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.run import open_run
from neocog.tasks.spread import paired
from neocog.zoo.chapters import ANSWER, FLATTEN

FEW = ("data.limit=300", "epochs=3", "batch=16")


def test_two_figures_of_the_same_pictures() -> None:
    a, b = torch.tensor([1.0, 0, 0, 1] * 100), torch.tensor([1.0, 1, 0, 1] * 100)
    found = paired(a, b)
    half = 1.96 * float((b - a).std()) / 20
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25 - half, 0.25 + half))
    assert paired(b, a).mean == pytest.approx(-0.25)
    assert not paired(a, a).told_apart


def test_what_beats_a_network_and_at_what_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = Way(name="three epochs", recipe="digits", changes=FEW)
    ways = (
        Way(name="six epochs", recipe="digits", changes=(*FEW, "epochs=6")),
        Way(name="no step", recipe="digits", changes=(*FEW, "optim.lr=1e-9"), layers=(FLATTEN, ANSWER)),
    )
    part = Improvements(base=base, ways=ways, picture="beats")
    for module in ("figures.table", "studies.prove", "studies.reproduce"):
        monkeypatch.setattr(f"neocog.{module}.ENTRIES", {"E0": Entry("E0", "exercise", "ours", (part,))})
    results, runs = tmp_path / "results", tmp_path / "runs"
    first, longer, still = neocog.reproduce(["E0"], out=results, runs=runs).entries[0].rows
    assert (first.what, first.verdict) == ("three epochs", "seen")
    assert longer.verdict in ("holds", "cannot be told apart")
    assert ", 6 epochs, 2.0 times the cost" in longer.ours
    ours, theirs = (right(open_run(runs / one["run"]), Asked(runs=runs)) for one in longer.detail["runs"])
    assert f"{100 * paired(theirs, ours).mean:+.2f} points" in longer.ours
    assert still.detail["cost"][0] == 640 * 3 * 300, "a dense layer of ten units on 64 pixels"
    assert still.verdict == "does not hold"
    assert "-" in still.ours.split("points")[0]
    assert (runs / "files" / "beats.png").read_bytes().startswith(b"\x89PNG")
    proved = neocog.prove("E0", results=results, runs=runs).proofs
    assert [proof.verdict for proof in proved] == ["proved to the bit"] * 3


def test_what_stops_early_watches_something_by_which_to_stop() -> None:
    stops = [way.asked for way in WAYS if way.asked.stop.patience]
    assert [(asked.data.val, asked.stop.select) for asked in stops] == [("held-out", "best")]
    assert stops[0].data.held_out > 0


def test_nothing_watched_by_which_to_stop_is_said(tmp_path: Path) -> None:
    changes = (*FEW, "epochs=1", "stop.patience=3", "data.val=none")
    said = neocog.train("digits", changes=changes, out=tmp_path / "run").facts()["remarks"]
    assert any("does not stop early (stop.patience=3) and the last epoch is kept" in line for line in said)


def test_a_network_answers_elsewhere_as_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = override(RECIPES["g3"], ["data.limit=90", "epochs=1"])
    for name in ("c1", "c2", "c3"):
        monkeypatch.setitem(RECIPES, name, small)
    asked = Asked(runs=tmp_path)
    photos, same = ENTRIES["C8"].run(asked)
    assert (photos.published, photos.ours.count("class ")) == ("class 3, class 5", 2)
    assert photos.verdict == ("same" if photos.ours == photos.published else "differs")
    assert same.verdict == "holds"
    names = {path.name for path in (tmp_path / "files").iterdir()}
    assert names >= {"C8-network.json", "C8-network.weights.h5", "C8-dog.png", "C8-photos.png"}
    layers, numbers = (tmp_path / "files" / f"C8-network{end}" for end in (".json", ".weights.h5"))
    there = neocog.predict(layers, [tmp_path / "files" / "C8-dog.png"], weights=numbers)
    assert photos.ours.endswith(f"class {there.items[0].top[0].index}")
    monkeypatch.setattr(elsewhere, "SAME", -1.0)
    assert list(ENTRIES["C8"].run(asked))[1].verdict == "does not hold"


def test_borrowed_eyes_against_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The eyes are a run's that learned other digits: whether they are better is not the question here."""
    eyes = neocog.train("digits", changes=FEW, out=tmp_path / "eyes")
    found = load(Data(name="digits", limit=100, held_out=0.0))
    test = found.splits["test"].subset(torch.arange(100))
    few = replace(found, val=None, test=test)
    few = replace(few, fingerprint=fingerprint(few))
    monkeypatch.setattr(lending, "_few", lambda: few)
    monkeypatch.setitem(RECIPES, "c1", override(RECIPES["digits"], ["epochs=2"]))
    monkeypatch.setattr(lending, "INCEPTION", ("conv1",))
    asked = Asked(runs=tmp_path, weights=eyes.path)
    (new,) = ENTRIES["T1"].run(asked)
    assert new.verdict == "seen"
    (tuned,) = tmp_path.glob("T-tuned-*")
    assert (lending.UNTUNED in new.remark) is (len(open_run(tuned).recipe().phases) == 1)
    (point,) = ENTRIES["T2"].run(asked)
    assert point.verdict in ("holds", "does not hold", "cannot be told apart")
    assert {path.name.rpartition("-")[0] for path in tmp_path.glob("T-*")} == {
        "T-tuned-Inception V3", "T-from-nothing", "T-frozen-Inception V3",
    }  # fmt: skip
    assert list(ENTRIES["T2"].run(asked)) == [point]  # finished trainings are found again
