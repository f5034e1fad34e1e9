"""Schedules at known points, and optimizers against the formulas they are named after."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from neocog.optim.optimizers import Optim, Optimizer, scheduled


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
