"""Schedules at known points, and optimizers against the formulas they are named after."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import subprocess
import sys
from collections import OrderedDict
from typing import Any, get_args

import pytest
import torch
from torch import nn

from neocog.errors import UsageError
from neocog.optim.optimizers import Optimizer
from neocog.optim.schedules import scheduled
from neocog.optim.settings import Optim
from neocog.optim.uncompiled import compiler_left_out
from neocog.optim.uncompiled import moved as stepped
from neocog.recipes.recipe import from_json, override
from neocog.zoo.blocks import Network, conv, pooled
from neocog.zoo.modes import freeze


def rate(step: int, **fields: object) -> float:
    return scheduled(Optim(lr=1.0, **fields), step, steps=1000, per_epoch=100)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "step", "expected"),
    [
        ({}, 0, 1.0),
        ({}, 999, 1.0),
        ({"schedule": "step", "drops": (3, 6)}, 299, 1.0),
        ({"schedule": "step", "drops": (3, 6)}, 300, 0.1),
        ({"schedule": "step", "drops": (3, 6)}, 600, 0.01),
        ({"schedule": "exponential", "factor": 0.5}, 200, 0.25),
        ({"schedule": "inverse-time", "decay": 0.01}, 100, 0.5),
        ({"schedule": "cosine"}, 0, 1.0),
        ({"schedule": "cosine"}, 500, 0.5),
        ({"schedule": "cosine", "warmup": 1}, 550, 0.5),
        ({"schedule": "cosine", "warmup": 1}, 49, 0.5),
        ({"warmup": 2}, 199, 1.0),
        ({"warmup": 2}, 0, 1 / 200),
        ({"schedule": "one-cycle"}, 0, 1 / 25),
        ({"schedule": "one-cycle"}, 300, 1.0),
        ({"schedule": "one-cycle"}, 650, 0.5),
    ],
)
def test_schedule(fields: dict[str, object], step: int, expected: float) -> None:
    assert rate(step, **fields) == pytest.approx(expected)


def test_schedules_end_near_zero() -> None:
    assert rate(999, schedule="cosine") < 1e-5
    assert rate(999, schedule="one-cycle") < 1e-4


@pytest.mark.parametrize("kind", get_args(Optim.model_fields["kind"].annotation))
def test_every_optimizer_steps_over_all_weights_at_once(kind: Any) -> None:
    """A loop over the weights in Python would take longer than the steps themselves."""
    defaults = Optimizer(Optim(kind=kind), nn.Linear(1, 1)).inner.defaults
    assert defaults.get("foreach") or defaults.get("fused")


def one_weight(optim: Optim, gradients: list[float]) -> list[float]:
    """Where a single weight at 1.0 goes under these gradients."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer, scaler, path = Optimizer(optim, layer), torch.amp.GradScaler("cpu", enabled=False), []
    for gradient in gradients:
        layer.weight.grad = torch.tensor([[gradient]])
        optimizer.step(optim.rate, scaler)
        path.append(layer.weight.item())
        assert layer.weight.grad is None
    return path


GRADIENTS = [0.5, -0.2, 0.8]


def by_formula(kind: str, lr: float) -> list[float]:
    """The textbook formulas, written out."""
    w, m, v, d, path = 1.0, 0.0, 0.0, 0.0, []
    for t, g in enumerate(GRADIENTS, start=1):
        if kind == "sgd":
            w -= lr * g
        elif kind == "momentum":
            m = 0.9 * m + g
            w -= lr * m
        elif kind == "nesterov":
            m = 0.9 * m + g
            w -= lr * (g + 0.9 * m)
        elif kind == "rmsprop":
            v = 0.9 * v + 0.1 * g * g
            w -= lr * g / (math.sqrt(v) + 1e-7)
        elif kind == "adadelta":
            v = 0.95 * v + 0.05 * g * g
            delta = math.sqrt(d + 1e-7) / math.sqrt(v + 1e-7) * g
            d = 0.95 * d + 0.05 * delta * delta
            w -= lr * delta
        else:  # adam, adamw
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g * g
            w -= lr * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-7)
        path.append(w)
    return path


@pytest.mark.parametrize("kind", ["sgd", "momentum", "nesterov", "rmsprop", "adadelta", "adam", "adamw"])
def test_optimizer_follows_its_formula(kind: str) -> None:
    optim = Optim(kind=kind)  # type: ignore[arg-type]
    assert one_weight(optim, GRADIENTS) == pytest.approx(by_formula(kind, optim.rate), abs=1e-6)


def test_clip_bounds_the_norm_of_the_whole_gradient() -> None:
    assert one_weight(Optim(kind="sgd", lr=1.0, clip=0.25), [2.0]) == pytest.approx([0.75], abs=1e-5)
    assert one_weight(Optim(kind="sgd", lr=1.0, clip=4.0), [2.0]) == pytest.approx([-1.0])


def test_weight_decay_is_in_the_gradient_or_apart_and_spares_vectors() -> None:
    assert one_weight(Optim(kind="sgd", lr=0.1, weight_decay=0.5), [0.0]) == pytest.approx([0.95])
    assert one_weight(Optim(kind="adamw", lr=0.1, weight_decay=0.5), [0.0]) == pytest.approx([0.95])
    groups = Optimizer(
        Optim(weight_decay=0.5), nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    ).inner.param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.5), (3, 0.0)]


# --- groups of parameters --------------------------------------------------------------------------


def three_stages() -> Network:
    features = {"conv1": conv(1, 2, 1), "pool1": nn.MaxPool2d(1), "conv2": conv(2, 2, 1, norm=False)}
    return Network(features, pooled(2, 2), aux={"conv1": pooled(2, 2)})


def moved(network: Network, optim: Optim, lr: float) -> dict[str, float]:
    """By how much SGD at `lr` moves each parameter when every gradient is -1."""
    optimizer = Optimizer(optim, network)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = -torch.ones_like(parameter)
    optimizer.step(lr, torch.amp.GradScaler("cpu", enabled=False))
    return {name: float((p.detach() - before[name]).mean()) for name, p in network.named_parameters()}


@pytest.mark.parametrize("weight_decay", [0.0, 1e-12])
@pytest.mark.parametrize(
    ("rates", "conv1", "conv2", "head", "aux"),
    [
        (None, 1.0, 1.0, 1.0, 1.0),
        ({"features": 0.1}, 0.1, 0.1, 1.0, 1.0),
        ({"features": 0.1, "conv1": 0.01, "head.linear": 2}, 0.01, 0.1, 2.0, 1.0),
        ({"aux": 0.5, "features.conv2": 0.25}, 1.0, 0.25, 1.0, 0.5),
        (0.5, 0.25, 0.5, 1.0, 1.0),
    ],
)
def test_each_stage_moves_at_its_rate(
    rates: object, conv1: float, conv2: float, head: float, aux: float, weight_decay: float
) -> None:
    optim = Optim(kind="sgd", rates=rates, weight_decay=weight_decay)  # type: ignore[arg-type]
    expected = {"features.conv1": conv1, "features.conv2": conv2, "head": head, "aux": aux}
    for name, by in moved(three_stages().double(), optim, 0.125).items():
        factor = next(f for stage, f in expected.items() if name.startswith(stage + "."))
        assert by == pytest.approx(0.125 * factor, rel=1e-5), name


def test_a_rate_for_a_stage_that_is_not_there() -> None:
    with pytest.raises(UsageError, match=r"unknown stage in optim\.rates 'conv3'; did you mean 'conv\d'"):
        Optimizer(Optim(rates={"conv3": 0.1}), three_stages())
    with pytest.raises(UsageError, match="'pool1'"):  # it has nothing that learns
        Optimizer(Optim(rates={"pool1": 0.1}), three_stages())
    inside = Network({"block": nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 1, 1)))}, nn.Linear(1, 1))
    with pytest.raises(UsageError, match="block") as refusal:
        Optimizer(Optim(rates={"conv": 0.1}), inside)
    assert "block.conv" not in str(refusal.value), "stages are listed, not what is inside them"
    with pytest.raises(UsageError, match="factors by name"):
        Optimizer(Optim(rates=0.5), nn.Linear(1, 1))
    for wrong in ({"conv1": 0}, {"conv1": -1.0}, 1.5, 0):
        with pytest.raises(ValueError, match="rates"):
            Optim(rates=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("rates", [None, {"head": 2.0}])
def test_frozen_parameters_never_reach_the_optimizer(rates: dict[str, float] | None) -> None:
    network = three_stages()
    freeze(network, until="conv1")
    optim = Optim(kind="adamw", weight_decay=0.5, rates=rates)
    optimizer = Optimizer(optim, network)
    held = {id(p) for group in optimizer.inner.param_groups for p in group["params"]}
    assert held == {id(p) for p in network.parameters() if p.requires_grad}
    by = moved(network, optim, 0.1)
    assert all(value == 0 for name, value in by.items() if name.startswith("features.conv1"))
    assert all(value != 0 for name, value in by.items() if not name.startswith("features.conv1"))
    network.requires_grad_(False)
    with pytest.raises(UsageError, match="every parameter is frozen"):
        Optimizer(optim, network)


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_without_rates_the_groups_and_the_state_are_what_they_were(weight_decay: float) -> None:
    network = three_stages()
    optimizer = Optimizer(Optim(weight_decay=weight_decay), network)
    groups = optimizer.inner.param_groups
    if weight_decay:
        every = list(network.parameters())
        expected = [[p for p in every if p.ndim > 1], [p for p in every if p.ndim <= 1]]
    else:
        expected = [list(network.parameters())]
    assert [[id(p) for p in g["params"]] for g in groups] == [[id(p) for p in e] for e in expected]
    by_torch = torch.optim.Adam([{"params": e} for e in expected], 1e-3, fused=True)
    assert [g.keys() for g in optimizer.state_dict()["param_groups"]] == [
        g.keys() for g in by_torch.state_dict()["param_groups"]
    ]


def test_the_state_of_groups_goes_on_where_it_was() -> None:
    optim, torn = Optim(kind="adam", rates={"features": 0.1}), three_stages()
    optimizer = Optimizer(optim, torn)
    scaler = torch.amp.GradScaler("cpu", enabled=False)

    def step(optimizer: Optimizer, network: Network, number: int) -> None:
        draw = torch.Generator().manual_seed(number)
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step(0.01, scaler)

    step(optimizer, torn, 1)
    resumed = copy.deepcopy(torn)
    again = Optimizer(optim, resumed)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(optimizer, torn, 2)
    step(again, resumed, 2)
    assert all(a.equal(b) for a, b in zip(torn.parameters(), resumed.parameters(), strict=True))


IDENTITY_BEFORE_RATES = "8d415270b7d3d3152d1e80dd57c0c1c41462c526b5dfca206a3913199b62c619"
"""Of the recipe below, computed by the version that had no rates and no task."""


def test_a_recipe_without_rates_is_the_one_that_it_was() -> None:
    document = {
        "data": {"name": "digits"},
        "model": {"name": "lenet5-relu"},
        "phases": [
            {"epochs": 2, "optim": {"kind": "momentum", "lr": 0.05, "schedule": "cosine"}},
            {"epochs": 1},
        ],
    }
    recipe = from_json(document)
    assert recipe.identity == IDENTITY_BEFORE_RATES
    assert "rates" not in json.dumps(recipe.json())
    other = override(recipe, ['phases.0.optim.rates={"features": 0.1}'])
    assert other.phases[0].optim.rates == {"features": 0.1}
    assert other.identity != recipe.identity
    assert from_json(other.json()).identity == other.identity
    assert override(recipe, ["phases.1.optim.rates=0.8"]).phases[1].optim.rates == 0.8


@pytest.mark.parametrize("kind", ["Adam", "LBFGS"])
def test_a_step_without_torchs_compiler_is_torchs_step(kind: str) -> None:
    def descended(plain: bool) -> torch.Tensor:
        x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
        with contextlib.nullcontext() if plain else compiler_left_out():
            optimizer = getattr(torch.optim, kind)([x], lr=0.1)

        def closure() -> torch.Tensor:
            x.grad = None
            loss = (x**4).sum()
            loss.backward()
            return loss

        for _ in range(5):
            optimizer.step(closure) if plain else stepped(optimizer, closure)
        return x.detach()

    assert torch.equal(descended(plain=True), descended(plain=False))


ELSEWHERE = """
import sys, tempfile, torch
def none(): raise FileNotFoundError("no folder for temporary files")
tempfile._get_default_tempdir = none
from neocog.inside.explain.maximise import strongest_picture
from neocog.pictures.preprocess import Preprocess
from neocog.style.descent import Descent
from neocog.style.settings import Settings
from neocog.tasks.classify import Classify
from neocog.tasks.logistic import fitted
fitted(Classify(("a", "b")), torch.eye(4), torch.tensor([0, 1, 0, 1]), 0.1)
for kind in ("adam", "lbfgs"):
    Descent(torch.ones(1, 3, 2, 2), Settings(optimizer=kind)).step(lambda x: (x.mean((0, 2, 3)), 2 * x), 0.1)
network = torch.nn.Conv2d(1, 1, 3)
strongest_picture(network, lambda n, x: n(x).mean()[None], shape=(1, 8, 8), preprocess=Preprocess(), steps=2)
assert "torch._dynamo" not in sys.modules
"""


def test_descents_elsewhere_leave_the_compiler_out_too() -> None:
    """It costs two seconds, and wants a folder for temporary files."""
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
