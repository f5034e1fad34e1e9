"""The battery: every network of the zoo runs at its own size and at its smallest, is refused below it, has a
gradient everywhere, travels as a state dict, and learns 2,000 pictures of CIFAR's size through the training
that users run.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from statistics import mean

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.data import Data
from neocog.data.dataset import Dataset, Split
from neocog.data.sources.digits import read
from neocog.errors import ShapeError
from neocog.events import Step
from neocog.inside.shape_doctor import built
from neocog.recipes.chapters import for_model
from neocog.recipes.recipe import Phase, Recipe
from neocog.runs.run import Run
from neocog.training.loop import prepare
from neocog.world import find
from neocog.zoo import ZOO, Architecture, Model, Network, Shape, Stem, begin, resolved

QUICK = {"lenet5-relu", "resnet20", "g3"}
"""Rows in the fast suite; the rest are slow."""
STEPS, BATCH = 300, 16
ENOUGH = 0.25
"""Of 200 new pictures; chance is a tenth."""
LOOK = 2.1
"""Mean loss of ten steps from which it is worth measuring; chance is 2.3."""

SEEDS = {"g1": 1}
"""G1's network sees through two filters; with seed 0 a ReLU shuts one of them for good."""


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


every = pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in ZOO]
)


def begun(row: Architecture, shape: Shape, seed: int = 0) -> Network:
    """The network of `row` as a training begins with it."""
    model = Model(name=row.name, stem="paper")
    network = built(model, shape=shape, classes=row.classes)
    begin(model, network, torch.Generator().manual_seed(seed))
    return network


@pytest.mark.timeout(600)
@every
def test_it_runs_at_its_size_and_at_its_smallest_and_not_below(name: str) -> None:
    row = ZOO[name]
    smallest = (row.shape[0], row.smallest, row.smallest)
    for shape in {row.shape, smallest}:
        network = begun(row, shape).eval()
        with torch.no_grad():
            answer = network(torch.rand(2, *shape))
        assert answer.shape == (2, row.classes)
        assert answer.isfinite().all()
    if row.smallest > 1:
        with pytest.raises(ShapeError, match=f"an input of {row.smallest}x{row.smallest} or more"):
            begun(row, (row.shape[0], row.smallest - 1, row.smallest - 1))


@pytest.mark.timeout(600)
@every
def test_gradients_weights_and_activations(name: str) -> None:
    row = ZOO[name]
    side = max(row.smallest, 32)
    shape = (row.shape[0], side, side)
    network = begun(row, shape).train()
    relus = [path for path, module in network.named_modules(remove_duplicate=False) if is_relu(module)]
    assert len(relus) == len({id(network.get_submodule(path)) for path in relus})
    assert not any(getattr(network.get_submodule(path), "inplace", False) for path in relus)
    losses = [logits.square().mean() for logits in network.all_logits(torch.rand(4, *shape))]
    torch.stack(losses).sum().backward()
    missed = [path for path, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert missed == []
    other = begun(row, shape, seed=1)
    other.load_state_dict(network.state_dict(), strict=True)
    x = torch.rand(2, *shape)
    with torch.no_grad():
        assert torch.equal(network.eval()(x), other.eval()(x))


def is_relu(module: nn.Module) -> bool:
    return isinstance(module, nn.ReLU | nn.ReLU6)


@pytest.mark.timeout(1800)
@every
def test_it_learns_from_scratch(name: str, tmp_path: Path) -> None:
    dataset = of_channels(pictures(), ZOO[name].shape[0])
    heavy = name.startswith(("resnet", "densenet"))  # with the small stem, ten times the work
    stem: Stem | None = "paper" if heavy else None
    recipe = Recipe(
        data=Data(name="digits"),
        model=Model(name="lenet"),
        batch=BATCH,
        phases=(Phase(epochs=STEPS * BATCH // 2000),),
        precision="float32",
        seed=SEEDS.get(name, 0),
    )
    recipe, _ = for_model(recipe, resolved(Model(name=name, stem=stem), dataset.shape))
    job = prepare(recipe, dataset, find("cpu", "float32"))
    assert job.plan.steps <= STEPS
    run = Run(tmp_path)
    run.write_recipe(recipe)
    losses: list[float] = []
    named = 0.0
    for event in job.events(run, stop=lambda: False):
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
