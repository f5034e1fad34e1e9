"""`--engine numpy`: a run like any other, of which torch did no sum of the learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neocog
from neocog.data import load
from neocog.errors import Interrupted, UsageError
from neocog.mirror.training import from_recipe, train
from neocog.model import load as load_model
from neocog.optim.optimizers import Optimizer
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.run import Run
from neocog.tasks.task import Objective
from neocog.training.loop import prepare
from neocog.training.numpy_engine import by_numpy
from neocog.world import find
from neocog.zoo import resolved

SHORT = ["epochs=2", "batch=64", "optim.lr=0.1"]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Run:
    def refused(*given: Any, **more: Any) -> None:
        raise AssertionError("torch was asked to learn")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Objective, "forward", refused)
        patch.setattr(Optimizer, "step", refused)
        out = tmp_path_factory.mktemp("runs") / "g1"
        return neocog.train("g1", changes=SHORT, out=out, engine="numpy")


def test_it_is_a_run_like_any_other(mirrored: Run) -> None:
    facts = mirrored.facts()
    assert facts["engine"] == "numpy"
    assert facts["command"].endswith("--set optim.lr=0.1")
    assert "--engine numpy" in facts["command"]
    assert [line["epoch"] for line in mirrored.metrics()] == [1, 2]
    assert mirrored.report_file.exists()
    found = neocog.evaluate(mirrored)
    assert found.json()["accuracy"] == facts["result"]["test_accuracy"]
    assert mirrored.metrics()[-1]["step"] == 2 * -(-facts["counts"]["train"] // 64)


def test_its_weights_are_those_of_the_mirror_from_the_torch_engines_first_ones(mirrored: Run) -> None:
    recipe = override(RECIPES["g1"], SHORT)
    data = load(recipe.data)
    recipe = recipe.model_copy(update={"model": resolved(recipe.model, data.shape)})
    job = prepare(recipe, data, find("cpu", "float32"))
    mirror = by_numpy(job).mirror()
    first = job.trained.network.state_dict()
    assert all(np.array_equal(array, first[name].numpy()) for name, array in mirror.weights().items())
    x, y = data.train.x.numpy(), data.train.y.numpy()
    kept = [mirror.copied_weights() for _ in train(mirror, x, y, from_recipe(recipe.json()))]
    best = max(range(2), key=lambda k: mirrored.metrics()[k]["val_accuracy"])
    shipped = load_model(mirrored.model_file).network.state_dict()
    assert all(np.array_equal(array, shipped[name].numpy()) for name, array in kept[best].items())


def test_it_stops_between_epochs_and_cannot_go_on(mirrored: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the NumPy engine, which cannot go on"):
        neocog.resume(mirrored.path, epochs=3)
    with pytest.raises(Interrupted):
        neocog.train("g1", changes=SHORT, out=tmp_path / "cut", engine="numpy", stop=lambda: True)
    assert len(Run(tmp_path / "cut").metrics()) == 1


@pytest.mark.parametrize(
    ("what", "changes", "said"),
    [
        ("digits", [], "schedule"),
        ("g1", ["optim.kind=adam"], "under adam"),
        ("g1", ["augment.flip=horizontal"], "augment"),
        ("g3", ["label_smoothing=0.1"], "label_smoothing"),
    ],
)
def test_what_the_mirror_has_not_is_refused_before_anything_is_written(
    what: str, changes: list[str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        neocog.train(what, changes=changes, out=tmp_path / "run", engine="numpy")
    assert not (tmp_path / "run").exists()


def test_a_network_that_is_no_layer_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="resnet20 is no layer list"):
        neocog.train("g1", model="resnet20", changes=["optim.kind=sgd"], out=tmp_path / "run", engine="numpy")
