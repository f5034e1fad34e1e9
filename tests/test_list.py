"""list: every row of the tables is there, sorted and filtered as asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from neocog.data import DATASETS
from neocog.errors import UsageError
from neocog.recipes.chapters import RECIPES
from neocog.runs.run import Run
from neocog.verbs.list import list_
from neocog.zoo import ZOO


def names(**asked: object) -> list[str]:
    return [row["name"] for row in list_("models", **asked).json()]  # type: ignore[arg-type]


def test_tables_are_whole() -> None:
    assert set(names()) == set(ZOO)
    assert {row["name"] for row in list_("data").json()} == set(DATASETS)
    assert {row["name"] for row in list_("recipes").json()} == set(RECIPES)


def test_sorting_and_filtering() -> None:
    assert names(where=["name=vgg1", "parameters>1.4e8"]) == ["vgg19", "vgg19-bn"]
    assert names(where=["year=1998"]) == ["lenet5", "lenet5-relu"]
    assert names(where=["name!=net", "name=v3"]) == ["inception_v3"]
    assert names(where=["macs>1.5e10"], sort="-macs")[0].startswith("vgg19")
    accuracies = [row["top1"] for row in list_("models", sort="-top1").json()]
    known = [value for value in accuracies if value is not None]
    assert known == sorted(known, reverse=True)
    assert accuracies[: len(known)] == known, "rows without a figure come last"
    assert "138,357,544" in list_("models", where=["name=vgg16"]).text()
    assert list_("models", where=["year>2100"]).text() == "no models match"


def test_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_RUNS_DIR", str(run.path.parent))
    rows = {Path(row["run"]).name: row for row in list_("runs").json()}
    assert rows["digits"]["test_accuracy"] == run.json()["test_accuracy"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"sort": "params"}, "did you mean 'parameters'"),
        ({"where": ["parameters"]}, "is not a comparison"),
        ({"where": ["parameters<many"]}, "is a number"),
        ({"where": ["yaer=1"]}, "did you mean 'year'"),
    ],
)
def test_a_wrong_question_is_refused(asked: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        list_("models", **asked)  # type: ignore[arg-type]
