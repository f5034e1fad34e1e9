"""Every network of the zoo learns: 2,000 pictures of CIFAR's size, through the training that users run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import mean

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.data import Data
from neocog.data.dataset import Dataset, Split
from neocog.data.digits import read
from neocog.events import Step
from neocog.recipe import Phase, Recipe
from neocog.recipes import for_model
from neocog.run import Run
from neocog.training import prepare
from neocog.world import find
from neocog.zoo import ZOO, Model, Stem, resolved

QUICK = {"lenet5-relu", "resnet20", "densenet40", "mobilenet_v2", "c2", "g3"}
"""Rows in the fast suite; the rest are slow."""
STEPS, BATCH = 300, 16
ENOUGH = 0.3
"""Of 200 new pictures; chance is a tenth."""
LOOK = 1.9
"""Mean loss of ten steps from which it is worth measuring; chance is 2.3."""


@cache
def pictures() -> Dataset:
    """2,000 handwritten digits for training and 200 others: enlarged to 32x32, moved about, in a colour on a
    dim ground of another.
    """
    generator = torch.Generator().manual_seed(0)
    digits = read()

    def drawn(split: Split, count: int) -> Split:
        rows = torch.arange(count) % len(split)
        glyphs = F.interpolate(split.x[rows].float() / 255, size=24, mode="bilinear")
        x = torch.zeros(count, 1, 32, 32)
        places = torch.randint(2, 7, (count, 2), generator=generator)
        for one, glyph, (top, left) in zip(x, glyphs, places.tolist(), strict=True):
            one[:, top : top + 24, left : left + 24] = glyph
        ink = 0.5 + 0.5 * torch.rand(count, 3, 1, 1, generator=generator)
        ground = 0.2 * torch.rand(count, 3, 1, 1, generator=generator)
        return Split(bytes_of(x * ink + (1 - x) * ground), split.y[rows])

    return Dataset(
        "coloured digits",
        tuple("0123456789"),
        train=drawn(digits["train"], 2000),
        val=drawn(digits["test"], 200),
    )


def bytes_of(x: Tensor) -> Tensor:
    return (x * 255).round().to(torch.uint8)


def of_channels(dataset: Dataset, channels: int) -> Dataset:
    if channels == 3:
        return dataset
    assert dataset.val is not None
    grey = [
        Split(s.x.float().mean(1, keepdim=True).to(torch.uint8), s.y) for s in (dataset.train, dataset.val)
    ]
    return Dataset(dataset.name, dataset.classes, train=grey[0], val=grey[1])


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in ZOO])
def test_it_learns_from_scratch(name: str, tmp_path: Path) -> None:
    dataset = of_channels(pictures(), ZOO[name].shape[0])
    stem: Stem | None = (
        "paper" if name.startswith(("resnet", "densenet")) else None
    )  # small is ten times the work
    recipe = Recipe(
        data=Data(name="digits"),
        model=Model(name="lenet"),
        batch=BATCH,
        phases=(Phase(epochs=STEPS * BATCH // 2000),),
        precision="float32",
    )
    recipe, _ = for_model(recipe, resolved(Model(name=name, stem=stem), dataset.shape))
    job = prepare(recipe, dataset, find("cpu", "float32"), Run(tmp_path))
    assert job.plan.steps <= STEPS
    losses: list[float] = []
    named = 0.0
    for event in job.events(resume=False, stop=lambda: False):
        if not isinstance(event, Step):
            continue
        losses.append(float(event.loss))
        if len(losses) % 10 == 0 and (mean(losses[-10:]) < LOOK or len(losses) == job.plan.steps):
            network = job.trained.network
            report = job.watched(network)
            network.train()
            assert report is not None
            named = report.accuracy
            if named >= ENOUGH:
                print(f"{name}: {named:.0%} after {len(losses)} steps")
                return
    pytest.fail(
        f"{name} names {named:.0%} of new pictures after {len(losses)} steps; loss {mean(losses[-10:]):.3f}"
    )
