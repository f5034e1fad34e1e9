"""Every network of the zoo learns: 2,000 pictures of CIFAR's size, through the training that users run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.data import Data
from neocog.data.dataset import Dataset, Split
from neocog.data.digits import read
from neocog.events import Epoch
from neocog.recipe import Phase, Recipe
from neocog.recipes import for_model
from neocog.run import Run
from neocog.training import prepare
from neocog.world import find
from neocog.zoo import ZOO, Model

QUICK = {"lenet5-relu", "resnet20", "densenet40", "mobilenet_v2", "c2", "g3"}
"""Rows in the fast suite; the rest are slow."""
STEPS, BATCH = 300, 32
ENOUGH = 0.5
"""Of new pictures; chance is a tenth."""


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
        places = torch.randint(0, 9, (count, 2), generator=generator)
        for one, glyph, (top, left) in zip(x, glyphs, places.tolist(), strict=True):
            one[:, top : top + 24, left : left + 24] = glyph
        ink = 0.5 + 0.5 * torch.rand(count, 3, 1, 1, generator=generator)
        ground = 0.4 * torch.rand(count, 3, 1, 1, generator=generator)
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
    stem = "paper" if ZOO[name].smallest <= 32 else "small"
    recipe = Recipe(
        data=Data(name="digits"),
        model=Model(name="lenet"),
        batch=BATCH,
        phases=(Phase(epochs=STEPS * BATCH // 2000),),
        precision="float32",
    )
    recipe, _ = for_model(recipe, Model(name=name, stem=stem))
    job = prepare(recipe, dataset, find("cpu", "float32"), Run(tmp_path))
    assert job.plan.steps <= STEPS
    seen = []
    for event in job.events(resume=False, stop=lambda: False):
        if isinstance(event, Epoch):
            seen.append(event.val_accuracy or 0.0)
            if seen[-1] >= ENOUGH:
                return
    pytest.fail(f"{name} names {', '.join(f'{share:.0%}' for share in seen)} of new pictures of 10 classes")
