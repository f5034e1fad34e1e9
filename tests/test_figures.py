"""Experiments of the chapters: every id has its entry, what can be run in seconds is run, kept results are of
today's recipes.
"""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

import neocog
from neocog.cli import run as command
from neocog.errors import UsageError
from neocog.figures.claimed.distortions import distorted
from neocog.figures.entry import Asked, Check, Entry, Replayable
from neocog.figures.rivals import Way
from neocog.figures.row import Verdict, claim, fact, read, share_verdict
from neocog.figures.table import ENTRIES
from neocog.figures.training import Training
from neocog.files import write_json
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.run import open_run
from neocog.studies.reproduce import kept, result_file
from neocog.tasks.spread import loses_less

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
KEPT = [id for id in ENTRIES if result_file(RESULTS, id).exists()]
Capture = pytest.CaptureFixture[str]


def ids(text: str) -> list[str]:
    """The ids in the first column of a page's tables, each once."""
    return list(dict.fromkeys(re.findall(r"^\| ([A-Z]\d+) \|", text, re.MULTILINE)))


def test_every_experiment_has_an_entry() -> None:
    assert set(ids((ROOT / "docs" / "experiments.md").read_text())) == set(ENTRIES)


def test_entries_are_those_of_the_chapters_list() -> None:
    path = ROOT.parent / "shared" / "mission" / "experiments.md"
    if not path.exists():
        pytest.skip("the list of the chapters' experiments is not here")
    listed = ids(path.read_text())
    assert sorted(listed) == sorted(ENTRIES)
    assert len(listed) > 70


def test_what_takes_seconds_agrees_with_the_chapters(capsys: Capture, tmp_path: Path) -> None:
    assert command(["reproduce", "--quick", "--runs", str(tmp_path), "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = [row for one in found for row in one["rows"]]
    assert {one["id"] for one in found} >= {"F3", "F4", "F5", "S2", "S3", "S4", "S8", "M7", "G3", "Z2", "Z4"}
    assert {row["verdict"] for row in rows} == {"same", "seen", "cut short", "holds"}
    cut = {row["detail"]["recipe"]: row["detail"] for row in rows if row["verdict"] == "cut short"}
    assert cut["m7"]["accuracy"] > 0.5
    assert cut["g3"]["n"] == 900
    again = neocog.reproduce(["M7"], effort="quick", runs=tmp_path)
    assert again.entries[0].rows[0].detail["runs"] == cut["m7"]["runs"], "the run is found again"


def test_a_figure_that_is_not_the_published_one_is_told() -> None:
    assert fact("", 18, 18).verdict == "same"
    assert fact("", 18, 20).verdict == "differs"
    assert fact("", 1_200, 1_200).published == "1,200"
    losses = torch.tensor([1.0] * 60 + [0.0] * 940)
    assert [loses_less(losses, other) for other in (losses * 0, losses.flip(0), torch.ones(1000))] == [
        False,
        None,
        True,
    ]
    told = [claim("", "", holds).verdict for holds in (True, False, None)]
    assert told == ["holds", "does not hold", "cannot be told apart"]
    # 91.0 % of 10,000: its interval is 90.42 to 91.55
    assert [share_verdict(ours, 0.91, 10_000) for ours in (0.9040, 0.9044, 0.9154, 0.9157)] == [
        "worse",
        "same",
        "same",
        "better",
    ]


def test_distortions() -> None:
    x = torch.randint(0, 256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    moved = distorted(x, "shift", 2)
    assert torch.equal(moved[..., 2:], x[..., :-2])
    assert int(moved[..., :2].max()) == 0
    for kind, nothing in (("turn", 0), ("zoom", 1), ("noise", 0)):
        assert torch.equal(distorted(x, kind, nothing), x), kind
    assert torch.equal(distorted(x, "turn", 90), torch.rot90(x, 1, (2, 3)))
    spot = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    spot[..., 10:18, 10:18] = 255  # 8 pixels wide; at half the size 4
    assert int((distorted(spot, "zoom", 0.5) > 127).sum()) == 16
    noisy = distorted(torch.full((4, 1, 28, 28), 128, dtype=torch.uint8), "noise", 25).float()
    assert float(noisy.std()) == pytest.approx(25, rel=0.05)


def test_what_cannot_be_run_is_said_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEOCOG_DATA", str(tmp_path / "nothing"))
    found = neocog.reproduce(["f1", "S5", "M12", "M2"], runs=tmp_path, out=tmp_path / "results")
    verdicts = {one.entry.id: {row.verdict for row in one.rows} for one in found.entries}
    assert verdicts == {"F1": {"not yet run"}, "S5": {"same"}, "M12": {"not yet run"}, "M2": {"not yet run"}}
    assert "source: outside the chapters" in found.text()
    assert "published 96.50 %" in found.text()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["S5.json"]
    assert kept(tmp_path / "results" / "S5.json") == found.entries[1].rows
    listed = neocog.reproduce(which="list", out=tmp_path / "results").entries
    assert [one.entry.id for one in listed] == list(ENTRIES)
    assert {one.entry.id for one in listed if one.rows[0].verdict == "same"} == {"S5"}
    left = neocog.reproduce(["S5", "S7"], which="missing", out=tmp_path / "results", runs=tmp_path)
    assert [one.entry.id for one in left.entries] == ["S7"]


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    for given, said in (
        ({}, "say which experiments"),
        ({"ids": ["M99"]}, "unknown experiment 'M99'"),
        ({"effort": "quick", "out": tmp_path}, "not kept"),
        ({"which": "missing"}, "say which: --out"),
    ):
        with pytest.raises(UsageError, match=said):
            neocog.reproduce(**given)  # type: ignore[arg-type]
    assert command(["reproduce", "list", "--all"]) == 2
    (tmp_path / "S5.json").write_text("{}")
    assert command(["reproduce", "list", "--out", str(tmp_path)]) == 3


def test_an_interrupted_experiment_stops_the_rest(tmp_path: Path) -> None:
    from neocog.errors import Interrupted

    def stopped(asked: Asked) -> Any:
        raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        list(Entry("X", "", "", (Check("", stopped),)).run(Asked(runs=tmp_path)))


def test_every_training_has_its_recipe() -> None:
    trainings = [part for entry in ENTRIES.values() for part in entry.parts if isinstance(part, Training)]
    naming = {name for name, recipe in RECIPES.items() if recipe.damage is None}  # restorations are checks
    assert {part.recipe for part in trainings} == naming - {"digits"}
    for part in trainings:
        assert part.asked.epochs >= 1
        assert next(part.waiting("")).verdict == "not yet run"
        if part.quick:
            assert override(part.asked, part.short).identity != part.asked.identity


# --- what was run and kept ----------------------------------------------------------------------------------


@pytest.mark.parametrize("id", KEPT)
def test_kept_results_are_of_todays_recipes(id: str) -> None:
    """A recipe that changes makes its result one of another training: reproduce it again."""
    rows = kept(result_file(RESULTS, id))
    assert {row.verdict for row in rows} <= set(get_args(Verdict)) - {"cut short"}
    for row in rows:
        assert read(row.json()) == row
        if not row.detail:
            continue
        detail = row.detail
        parts = [part for part in ENTRIES[id].parts if isinstance(part, Replayable) and part.is_of(row)]
        assert [part.identity for part in parts] == [detail["recipe_identity"]], f"{id}: {row.what}"
        if isinstance(parts[0], Training):
            assert (
                detail["published"] in (RECIPES[detail["recipe"]].expect, None)
                or detail["changes"]
                or id == "C7"
            )
            shares = [run["right"] / detail["n"] for run in detail["runs"]]
            assert detail["accuracy"] == pytest.approx(sum(shares) / len(shares))
            if detail["published"] is not None:
                assert row.verdict == share_verdict(detail["accuracy"], detail["published"], detail["n"])


def test_the_page_of_results_is_made_of_the_kept_files() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "results.py"))["written"](RESULTS)
    assert (ROOT / "RESULTS.md").read_text() == made, "python tools/results.py writes it"
    assert set(ids(made)) == set(ENTRIES)


def test_a_keras_share_stands_beside_the_figure_of_its_recipe_alone(tmp_path: Path) -> None:
    (row,) = kept(result_file(RESULTS, "C0"))
    write_json(result_file(tmp_path, "C0"), {"rows": [row.json()]})
    page = runpy.run_path(str(ROOT / "tools" / "results.py"))["written"]
    assert "in Keras" not in page(tmp_path)
    found = {"c0": {"test": [0.5, 0.25], "printed": [0.75]}}
    for recipes, said in (
        (found, "; in Keras 37.50 % (2 seeds: 25.00 % to 50.00 %) |"),
        ({"c1": found["c0"]}, ""),
    ):
        write_json(tmp_path / "keras_chapters.json", {"recipes": recipes})
        (line,) = [line for line in page(tmp_path).splitlines() if line.startswith("| C0 |")]
        assert ("in Keras" in line) is bool(said)
        assert said in line
    (row,) = [row for row in kept(result_file(RESULTS, "C7")) if row.published]
    write_json(result_file(tmp_path, "C7"), {"rows": [row.json()]})
    write_json(tmp_path / "keras_chapters.json", {"recipes": {"c7": found["c0"]}})
    assert "; in Keras 75.00 % |" in page(tmp_path)


# --- how a training is measured -----------------------------------------------------------------------------

SMALL = ("data.limit=100", "epochs=1")


def test_each_seed_draws_its_pictures_where_that_is_asked(tmp_path: Path) -> None:
    asked = Asked(runs=tmp_path)
    for drawn, seeds in ((False, [0, 0]), (True, [0, 1])):
        (row,) = Training(recipe="digits", changes=SMALL, seeds=(0, 1), drawn=drawn).rows(asked)
        recipes = [open_run(tmp_path / run["run"]).recipe() for run in row.detail["runs"]]
        assert [recipe.data.seed for recipe in recipes] == seeds
        assert [recipe.seed for recipe in recipes] == [0, 1]
    way = Way(name="", recipe="digits", changes=SMALL, drawn=True)
    assert [run.path.name for run in way.runs(asked, (0, 1))] == [run["run"] for run in row.detail["runs"]]


def test_the_accuracy_that_is_printed_is_that_of_the_last_epoch_while_it_learned(tmp_path: Path) -> None:
    part = Training(recipe="digits", changes=SMALL, split="printed")
    (row,) = part.rows(Asked(runs=tmp_path))
    (line,) = open_run(tmp_path / row.detail["runs"][0]["run"]).metrics()
    assert row.detail["n"] == 100
    assert row.detail["accuracy"] == pytest.approx(line["accuracy"])
    assert line["accuracy"] != pytest.approx(line["val_accuracy"])
