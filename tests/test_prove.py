"""Proofs: a chain that holds is proved, and whatever is changed in it is found, at its own link."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog
from neocog.cli import run as command
from neocog.errors import NetworkNeeded, UsageError
from neocog.figures.entry import Check, Entry
from neocog.figures.row import fact
from neocog.figures.training import Training
from neocog.files import read_json, write_json
from neocog.model import load, write_model
from neocog.runs.run import Run
from neocog.studies.chain import Link, links, to_the_first_broken
from neocog.studies.prove import Proof, Proofs

Capture = pytest.CaptureFixture[str]
CHAIN = ["facts", "recipe", "weights", "pictures", "preprocessing", "answers", "count", "interval"]


def broken(found: Proofs) -> str:
    """The link that broke; the chain ends there."""
    (proof,) = found.proofs
    assert proof.verdict == "broken here"
    assert [link.state == "broken" for link in proof.links] == [False] * (len(proof.links) - 1) + [True]
    assert found.exit_code == 4
    assert proof.text().endswith(f"broken here: {proof.links[-1].name}")
    return proof.links[-1].name


def test_a_run_is_proved_to_the_bit(run: Run, capsys: Capture) -> None:
    assert command(["prove", str(run.path)]) == 0
    out = capsys.readouterr().out
    assert out.endswith("proved to the bit\n")
    assert [line.split(":")[0].strip() for line in out.splitlines()[1:-1]] == CHAIN
    model = neocog.prove(run.model_file)
    assert model.proofs[0].verdict == "proved to the bit"
    assert set(neocog.prove(run.path).json()[0]) == {"figure", "verdict", "links"}


def test_changed_weights_are_found(copied_run: Run) -> None:
    path = copied_run.model_file
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    assert broken(neocog.prove(copied_run.path)) == "weights"
    path.write_bytes(before)
    other = load(path)
    tensors = {name: tensor + 0.5 for name, tensor in other.tensors().items()}
    write_model(path, tensors, other.document())  # sealed again, as if it had been so
    assert broken(neocog.prove(copied_run.path)) == "answers"
    (copied_run.path / "answers.safetensors").unlink()
    assert broken(neocog.prove(copied_run.path)) == "count"
    alone = path.rename(copied_run.path.parent / "alone.safetensors")
    assert broken(neocog.prove(alone)) == "figures"


def test_a_changed_recipe_is_found(copied_run: Run) -> None:
    document = read_json(copied_run.recipe_file)
    write_json(copied_run.recipe_file, {**document, "batch": 64})
    assert broken(neocog.prove(copied_run.path)) == "recipe"


@pytest.mark.parametrize(
    ("figure", "value", "link"),
    [("test_accuracy", 0.5, "count"), ("test_interval", [0.1, 0.9], "interval")],
)
def test_a_changed_figure_is_found(copied_run: Run, figure: str, value: Any, link: str) -> None:
    facts = copied_run.facts()
    facts["result"] = {**facts["result"], figure: value}
    write_json(copied_run.facts_file, {**facts, "sha256": read_json(copied_run.facts_file)["sha256"]})
    assert broken(neocog.prove(copied_run.path)) == "facts"
    copied_run.write_facts(facts)  # sealed again
    assert broken(neocog.prove(copied_run.path)) == link


def test_other_preprocessing_is_found(copied_run: Run) -> None:
    trained = load(copied_run.model_file)
    document = trained.document()
    document["preprocess"] = {**document["preprocess"], "scale": "raw", "mean": None, "std": None}
    write_model(copied_run.model_file, trained.tensors(), document)
    assert broken(neocog.prove(copied_run.path)) == "preprocessing"


def test_a_changed_picture_is_found_and_a_training_is_proved_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 8, 8), np.uint8), np.arange(60) % 2
    arrays = {"x_train": x[:40], "y_train": y[:40], "x_test": x[40:], "y_test": y[40:]}
    np.savez(tmp_path / "own.npz", **arrays)
    run = neocog.train(tmp_path / "own.npz", model="m1", changes=["epochs=1"], out=tmp_path / "run")
    again = neocog.prove(run.path, replay="training").proofs[0]
    assert [link.name for link in again.links] == [*CHAIN, "training"]
    assert again.verdict == "proved to the bit", again.text()
    arrays["x_train"][7, 3, 3] ^= 1
    np.savez(tmp_path / "own.npz", **arrays)
    assert broken(neocog.prove(run.path)) == "pictures"


def test_an_experiment_is_proved_with_its_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its result's figure is made anew of the runs; a figure changed by hand is found, and so is a changed
    recipe. A fact is worked out again.
    """
    parts = (
        Training(recipe="digits", changes=("epochs=1", "data.limit=200"), published=0.9),
        Training(recipe="digits", what="two seeds", changes=("epochs=1", "data.limit=200"), seeds=(0, 1)),
        Check("sum", lambda asked: iter([fact("2 + 2", 4, 2 + 2)])),
    )
    entries = {"D1": Entry("D1", "digits", "ours", parts)}
    for module in ("figures.table", "studies.prove", "studies.reproduce"):
        monkeypatch.setattr(f"neocog.{module}.ENTRIES", entries)
    results, runs = tmp_path / "results", tmp_path / "runs"
    made = neocog.reproduce(["D1"], out=results, runs=runs).entries[0].rows
    proofs = neocog.prove("d1", results=results, runs=runs).proofs
    assert [proof.verdict for proof in proofs] == ["proved to the bit"] * 3
    short = neocog.prove(made[0].short, results=results, runs=runs).proofs
    assert short == proofs[:1]
    path = results / "D1.json"
    document = json.loads(path.read_text())
    for change, link in (
        ({"ours": "99.99 %"}, "figure"),
        ({"detail": {**document["rows"][0]["detail"], "accuracy": 0.99}}, "figure"),
        ({"verdict": "better"}, "figure"),
    ):
        write_json(path, {**document, "rows": [{**document["rows"][0], **change}]})
        assert broken(neocog.prove("D1", results=results, runs=runs)) == link
    write_json(path, {**document, "rows": [{**document["rows"][2], "ours": "5"}]})
    assert broken(neocog.prove("D1", results=results, runs=runs)) == "worked out again"
    write_json(path, {**document, "rows": document["rows"][:1]})
    away = neocog.prove("D1", results=results, runs=tmp_path / "nowhere").proofs[0]
    assert (away.verdict, away.links[-1].state) == ("not proved here", "not here")
    from neocog.recipes.chapters import RECIPES

    changed = {**RECIPES, "digits": RECIPES["digits"].model_copy(update={"batch": 16})}
    monkeypatch.setattr("neocog.figures.training.RECIPES", changed)
    assert broken(neocog.prove("D1", results=results, runs=runs)) == "recipe of today"


def test_data_that_are_elsewhere_break_nothing() -> None:
    def download() -> Link:
        raise NetworkNeeded("cannot download train.gz\nmore")

    proof = Proof("", to_the_first_broken(links({"pictures": download, "count": download})))
    assert [link.text() for link in proof.links] == ["  pictures: cannot download train.gz (not here)"]
    assert (proof.verdict, Proofs((proof,)).exit_code) == ("not proved here", 0)


def test_what_cannot_be_proved_is_refused(
    copied_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # `make demo` leaves a folder called runs
    with pytest.raises(UsageError, match="no run or model file at"):
        neocog.prove(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"holds no result of M9; make one: neocog reproduce M9 --out"):
        neocog.prove("M9", results=tmp_path)
    with pytest.raises(UsageError, match="unknown run, model file, experiment or short id"):
        neocog.prove("runs", results=tmp_path)
    facts = copied_run.facts()
    del facts["result"]
    copied_run.write_facts(facts)
    assert neocog.prove(copied_run.path).proofs[0].verdict == "not proved here"
