"""A logistic layer on features: fitted to the optimum by L-BFGS, and how strongly it is best held back.

Few pictures do not say by themselves how far their weights may go. `cross_validated` finds it: the L2 penalty
of a grid under which pictures that were left out are answered with the lowest loss, and those answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neocog.data.batches import stream
from neocog.data.targets import form_of
from neocog.optim.uncompiled import compiler_left_out, moved
from neocog.tasks.task import Task

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""L2 penalties that are tried: the loss is the task's plus half of it times the sum of squared weights."""
FOLDS = 5
MOST = 2000
"""Pictures that cross-validation takes at most: more would not move the choice."""
STEPS = 60
"""Of L-BFGS, at most."""


@dataclass(frozen=True, slots=True)
class Logistic:
    """outputs = x weight^T + bias: weight (classes, width), bias (classes,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs (N, classes) for features (N, width)."""
        return x @ self.weight.T + self.bias


def fitted(task: Task, x: Tensor, y: Tensor, strength: float, begin: Logistic | None = None) -> Logistic:
    """The layer that minimises the task's loss on features `x` (N, width), float32, under the L2 penalty
    `strength`; the biases are free. `begin` is where the search begins (zeros).
    """
    classes = len(task.classes)
    zeros = Logistic(x.new_zeros(classes, x.shape[1]), x.new_zeros(classes))
    begun = begin or zeros
    weight, bias = (t.clone().requires_grad_() for t in (begun.weight, begun.bias))

    def closure() -> Tensor:
        weight.grad = bias.grad = None
        loss = task.loss(x @ weight.T + bias, y) + strength / 2 * weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    with compiler_left_out():
        search = torch.optim.LBFGS(
            [weight, bias], max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe"
        )
    moved(search, closure)
    return Logistic(weight.detach(), bias.detach())


def folds(y: Tensor, count: int, seed: int) -> Tensor:
    """Which of `count` folds each picture belongs to, int64 (N,): every class (every set of labels) is spread
    over them evenly, by a draw of `seed`.
    """
    label = form_of(y).strata(y)
    shuffled = torch.randperm(len(y), generator=stream(seed, *b"folds"))
    order = shuffled[torch.argsort(label[shuffled], stable=True)]
    fold = torch.empty(len(y), dtype=torch.int64)
    fold[order] = torch.arange(len(y)) % count
    return fold


def can_be_left_out(y: Tensor, classes: int, seed: int = 0) -> bool:
    """Whether without any of the folds that `seed` draws the other pictures still show every class, or every
    label both there and missing, that all of them show; and all `classes` have about two.
    """
    members, fold = form_of(y).members(y, classes), folds(y, min(FOLDS, len(y)), seed)
    others = [members[fold != number] for number in range(int(fold.max()) + 1)]
    speak = all(torch.equal(rest.any(0), members.any(0)) for rest in others)
    return (
        speak and all(torch.equal(rest.all(0), members.all(0)) for rest in others) and len(y) >= 2 * classes
    )


def left_out(task: Task, x: Tensor, y: Tensor, strengths: Sequence[float], seed: int = 0) -> Tensor:
    """Outputs (strengths, N, classes): for every picture those of the layer that was fitted without its
    fold.
    """
    fold = folds(y, min(FOLDS, len(y)), seed)
    outputs = x.new_zeros(len(strengths), len(y), len(task.classes))
    for number in range(int(fold.max()) + 1):
        out = fold == number
        layer = None
        for place, strength in sorted(enumerate(strengths), key=lambda pair: -pair[1]):
            layer = fitted(task, x[~out], y[~out], strength, layer)
            outputs[place, out] = layer(x[out])
    return outputs


@dataclass(frozen=True, slots=True)
class CrossValidated:
    """The L2 penalty `strength` that serves pictures left out best, and how: of `n` of them, `right` were
    answered right as a whole. The penalty was chosen on the same pictures, which flatters a little.
    """

    strength: float
    right: int
    n: int


def cross_validated(task: Task, x: Tensor, y: Tensor, seed: int = 0) -> CrossValidated | None:
    """The L2 penalty of `STRENGTHS` with the lowest loss on pictures left out, for standardised features `x`
    (N, width). None where pictures cannot be left out: a class has a single one.
    """
    if not can_be_left_out(y, len(task.classes), seed):
        return None
    if len(y) > MOST:
        chosen = torch.randperm(len(y), generator=stream(seed, *b"some"))[:MOST]
        x, y = x[chosen], y[chosen]
    outputs = left_out(task, x, y, STRENGTHS, seed)
    losses = [float(task.losses(each, y).mean()) for each in outputs]
    best = losses.index(min(losses))
    right = task.right(task.predicted(task.probabilities(outputs[best])), y)
    return CrossValidated(STRENGTHS[best], int(right.sum()), len(y))
