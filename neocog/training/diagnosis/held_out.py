"""What the held-out pictures say beside the training pictures: over-fitting, pictures of another kind, and a
class that is never answered.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

from neocog.data.dataset import Split
from neocog.events import Epoch
from neocog.show.words import percent
from neocog.training.diagnosis.causes import Case, Diagnosis, set_words

GAP, BY_HEART, LASTING, BEST_OF = 0.06, 0.99, 3, 10
"""Of the accuracy: how much better on training pictures counts as over-fitting where these are known by
heart, which means at least the second; over how many epochs; and of how many epochs the best on held-out
pictures must still be so much worse: a large rate throws that figure about without any over-fitting.
"""
MISSED = 3
"""Looks in a row at which nothing is taken for a common class before it is said."""
WELL, VERY_WELL = 0.6, 0.9
"""How many of the other pictures must be right before a rare class, and a common one, should be among the
answers.
"""
FAR = 0.2
"""Of the accuracy: how much better on training pictures is far."""
UNLIKE = 0.85
"""The share of pictures that can be told apart by where they are from; 0.5 is chance."""
SHOWN = 256


def over_fitting(epochs: Sequence[Epoch]) -> Diagnosis | None:
    """The training pictures known by heart for a few epochs now, and others at their best much less well."""
    if len(epochs) < LASTING:
        return None
    figure = next((name for name in epochs[-1].figures if name != "loss"), "")
    last = epochs[-LASTING:]
    here = statistics.median(epoch.figures.get(figure, 0.0) for epoch in last)
    there = statistics.median(epoch.held_out.get(figure) or 0.0 for epoch in last)
    best = max(epoch.held_out.get(figure) or 0.0 for epoch in epochs[-BEST_OF:])
    if here < BY_HEART or here - best < GAP:
        return None
    changes = ("augment.shift_width=0.1", "augment.shift_height=0.1", "augment.rotation=10")
    return Diagnosis(
        "over-fitting",
        f"{figure.capitalize()} is {percent(here, digits=1)} on training pictures and "
        f"{percent(there, digits=1)} on "
        f"{_watched(epochs)} ones: the network learns the training pictures by heart.",
        f"Vary the training pictures ({set_words(*changes)}) or bring more of them.",
        changes,
        {
            "training": here,
            "held out": there,
            "held out, best": best,
            "held-out loss": epochs[-1].held_out.get("loss") or 0.0,
        },
    )


def unlike(epochs: Sequence[Epoch], train: Split, held_out: Split) -> Diagnosis | None:
    """Held-out pictures of another kind than those trained on, where the network does badly on them."""
    if not epochs:
        return None
    figure = next((name for name in epochs[-1].figures if name != "loss"), "")
    here, there = epochs[-1].figures.get(figure), epochs[-1].held_out.get(figure)
    if here is None or there is None or here - there < FAR:
        return None
    share = told_apart(train, held_out)
    if share < UNLIKE:
        return None
    return Diagnosis(
        "held-out pictures unlike those of the training",
        f"{figure.capitalize()} is {percent(here, digits=1)} on training pictures and "
        f"{percent(there, digits=1)} on "
        f"{_watched(epochs)} ones, and {percent(share, digits=0)} of pictures can be told apart, by "
        "brightness and colour "
        "alone, by which of the two they are from.",
        "Divide all pictures anew, at random (--set data.held_out=0.2), or train on pictures like those "
        "held out.",
        (),
        {"training": here, "held out": there, "told apart": share},
    )


def _watched(epochs: Sequence[Epoch]) -> str:
    return epochs[-1].watched.replace(" ", "-")


def told_apart(one: Split, other: Split) -> float:
    """How well a simple rule tells pictures of two splits apart, as a share of pictures it has not seen
    (0.5: not at all): logistic regression on brightness, contrast, colour and a coarse copy of each picture
    (a classifier two-sample test; Lopez-Paz & Oquab 2017).
    """
    n = min(len(one), len(other), SHOWN)
    if n < 16:
        return 0.5
    x = torch.cat([_features(_spread(split, n)) for split in (one, other)])
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-6)
    y = torch.cat([torch.zeros(n), torch.ones(n)])
    fold = torch.arange(2 * n) % 2
    right = 0.0
    for tested in (0, 1):
        weights = _regression(x[fold != tested], y[fold != tested])
        said = _with_one(x[fold == tested]) @ weights > 0
        right += float((said == (y[fold == tested] > 0.5)).float().mean()) / 2
    return right


def _spread(split: Split, n: int) -> Tensor:
    return split.take(torch.linspace(0, len(split) - 1, n).long())[0].float() / 255


def _features(x: Tensor) -> Tensor:
    """(N, F) of pictures (N, C, H, W) in 0..1."""
    coarse = torch.nn.functional.adaptive_avg_pool2d(x.mean(1, keepdim=True), 3).flatten(1)
    edges = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
    return torch.cat([x.mean((2, 3)), x.flatten(2).std(2), edges[:, None], coarse], 1)


def _with_one(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1)], 1)


def _regression(x: Tensor, y: Tensor) -> Tensor:
    """(F + 1,): logistic regression with a small L2 penalty, by Newton's method."""
    x, weights = _with_one(x).double(), torch.zeros(x.shape[1] + 1, dtype=torch.double)
    penalty = torch.eye(len(weights), dtype=torch.double)
    for _ in range(8):
        p = (x @ weights).sigmoid()
        slope = x.T @ (p - y) + penalty @ weights
        curve = x.T @ (x * (p * (1 - p))[:, None]) + penalty
        weights = weights - torch.linalg.solve(curve, slope)
    return weights.float()


def never_answered(case: Case) -> Diagnosis | None:
    """A class that no picture is taken for, while the others are told apart."""
    now = case.now
    if not now.never:
        return None
    rarest = min(now.never, key=now.never.__getitem__)
    share = now.never[rarest]
    rare = share < now.fair / 2
    lasting = len(case.looks) >= MISSED and all(rarest in look.never for look in case.looks[-MISSED:])
    if now.others < (WELL if rare else VERY_WELL) or not (rare or lasting):
        return None
    changes = ("balance=sampler",) if share and case.recipe.balance == "none" else ()
    return Diagnosis(
        "a class that is never answered",
        f"Nothing is ever taken for '{rarest}', which {percent(share, digits=1)} of the training "
        "pictures show, while "
        f"{percent(now.others, digits=0)} of the others are right.",
        f"Let rare classes count as much as common ones: {set_words(*changes)}; better, bring more pictures "
        "of them."
        if changes
        else "Bring training pictures of it, or divide all pictures anew (--set data.held_out=0.2).",
        changes,
        {"right, of the others": now.others, **{f"share of {name}": n for name, n in now.never.items()}},
    )
