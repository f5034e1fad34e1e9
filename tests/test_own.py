"""What a user brings from outside: a loss, a figure, an augmentation, a data set, a way to stop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import neocog
from neocog.data import Data, load
from neocog.data.dataset import Dataset, Split
from neocog.errors import Interrupted, UsageError
from neocog.sealed import read
from neocog.tasks.classify import Classify

RECIPE = ["epochs=2", "model.name=m1", "optim.lr=0.05", "precision=float32"]


class Focal:
    """The focal loss (Lin et al. 2017) around `Classify`, without a line of the package changed."""

    figure = "sureness"

    def __init__(self, classes: tuple[str, ...], gamma: float = 2.0) -> None:
        self.inner, self.gamma = Classify(classes), gamma

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        sure = torch.exp(-F.cross_entropy(outputs, y, reduction="none"))
        return (-((1 - sure) ** self.gamma) * sure.log()).mean()

    def count(self, outputs: Tensor, y: Tensor) -> Tensor:
        return outputs.softmax(1).gather(1, y[:, None]).sum()


def weights(run: neocog.Run) -> dict[str, Tensor]:
    return read(run.model_file)[0]


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_loss_and_a_figure_of_ones_own(tmp_path: Path) -> None:
    plain = neocog.train("digits", changes=RECIPE, out=tmp_path / "plain")
    still = neocog.train(
        "digits", changes=RECIPE, out=tmp_path / "g0", own=neocog.Own(task=lambda c: Focal(c, gamma=0.0))
    )
    focal = neocog.train("digits", changes=RECIPE, out=tmp_path / "g2", own=neocog.Own(task=Focal))
    assert {"sureness", "val_accuracy", "loss"} <= set(focal.metrics()[0])
    for name, tensor in weights(plain).items():  # without its exponent, focal loss is cross-entropy
        assert torch.allclose(tensor, weights(still)[name], atol=1e-5)
    assert not same(weights(plain), weights(focal))
    assert focal.facts()["own"] == {"task": "test_own.Focal"}
    assert neocog.evaluate(focal).json()["accuracy"] > 0.5, "anybody can read the model file"
    with pytest.raises(UsageError, match="give the same: own=Own"):
        neocog.resume(focal.path, epochs=3)
    assert len(neocog.resume(focal.path, epochs=3, own=neocog.Own(task=Focal)).metrics()) == 3


def negative(x: Tensor, y: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    return 255 - x, y


def test_an_augmentation_of_ones_own(tmp_path: Path) -> None:
    seen = []

    def look(x: Tensor, y: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        seen.append((x.clone(), draws.initial_seed()))
        return 255 - x, y

    run = neocog.train("digits", changes=RECIPE, out=tmp_path / "run", own=neocog.Own(augment=look))
    assert seen[0][0].amax() > 200
    assert len({seed for _, seed in seen}) >= 20, "draws differ from step to step"
    assert neocog.evaluate(run).json()["accuracy"] < 0.5, "it has learned dark digits on light paper"


@dataclass
class After:
    steps: int

    def __call__(self) -> bool:
        self.steps -= 1
        return self.steps < 0


def halves() -> Dataset:
    draws = torch.Generator().manual_seed(0)
    x = torch.randint(0, 100, (240, 1, 8, 8), generator=draws)
    y = torch.arange(240) % 2
    x[y == 1, :, :, 4:] += 120
    x = x.to(torch.uint8)
    return Dataset("halves", ("left", "right"), Split(x[:200], y[:200]), val=Split(x[200:], y[200:]))


def test_a_data_set_given_in_python_and_a_way_to_stop(tmp_path: Path) -> None:
    data = halves()
    whole = neocog.train("m1", changes=["epochs=3", "batch=20"], dataset=data, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        neocog.train(
            "m1", changes=["epochs=3", "batch=20"], dataset=data, out=tmp_path / "cut", stop=After(13)
        )
    with pytest.raises(UsageError, match="dataset="):
        neocog.resume(tmp_path / "cut")
    run = neocog.resume(tmp_path / "cut", dataset=data)
    assert same(weights(run), weights(whole))
    kept = max(line["val_accuracy"] for line in run.metrics())
    assert neocog.evaluate(run, dataset=data).json()["accuracy"] == kept
    assert len(data.train.x) == 200, "the user's pictures are his own"
    with pytest.raises(UsageError, match="dataset="):
        neocog.evaluate(run)


def test_a_task_that_does_not_suit_the_targets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="do not suit the task 'multilabel'; they suit: classify"):
        neocog.train("digits", changes=["task=multilabel"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="clasify"):
        neocog.train("digits", changes=["task=clasify"], out=tmp_path / "run")


def test_an_old_recipe_keeps_its_identity() -> None:
    from neocog.recipes.chapters import RECIPES

    recipe = RECIPES["lenet-mnist"]
    assert recipe.model_copy(update={"task": "auto"}).identity == recipe.identity
    assert recipe.model_copy(update={"task": "classify"}).identity != recipe.identity
    assert load(Data(name="digits")).fingerprint


def test_a_frozen_normalisation_keeps_its_statistics_over_epochs(tmp_path: Path) -> None:
    from neocog.recipes.chapters import RECIPES
    from neocog.recipes.recipe import override
    from neocog.runs.run import Run
    from neocog.training.loop import prepare
    from neocog.world import find
    from neocog.zoo.modes import freeze

    recipe = override(RECIPES["c2"], ["epochs=2", "batch=50", "precision=float32", "data.name=digits"])
    recipe = override(recipe, ["data.val=held-out", "preprocess.size=[16, 16]", "preprocess.channels=3"])
    job = prepare(recipe, load(recipe.data, preprocess=recipe.preprocess), find("cpu", "float32"))
    freeze(job.trained.network, until="pool1")
    before = {name: tensor.clone() for name, tensor in job.trained.network.state_dict().items()}
    run = Run(tmp_path / "run")
    run.path.mkdir()
    run.write_recipe(recipe)
    for _ in job.events(run, stop=lambda: False):
        pass
    after = job.trained.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    counted = {name for name in before if name.endswith("running_mean")}
    stages = [name for name, _ in job.trained.network.features.named_children()]
    frozen = set(stages[: stages.index("pool1") + 1])
    assert {name.split(".")[1] for name in moved if name.startswith("features.")}.isdisjoint(frozen)
    assert counted & moved, "the others still count"
    assert counted - moved, "there is a normalisation in the frozen part"
