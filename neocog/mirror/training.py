"""Training in the mirror: scaled pictures, softmax and cross-entropy, descent with momentum.

It takes the pictures as they are stored, uint8, and a recipe as JSON; neither needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from neocog.errors import CheckFailed, UsageError
from neocog.mirror.layers import Array
from neocog.mirror.network import Network

Rule = Literal["sgd", "momentum", "nesterov"]
FIXED_SCALES: dict[str, tuple[tuple[float], tuple[float]]] = {
    "raw": ((0.0,), (1 / 255,)),
    "unit": ((0.0,), (1.0,)),
    "128": ((128 / 255,), (128 / 255,)),
}
"""Mean and standard deviation of `Preprocess`' scales that do not depend on the pictures."""
TINY = 1e-6
"""torch's, against a norm of 0."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a training. `mean` and `std` are `Preprocess`': shares of 0..255, one or one a channel."""

    epochs: int = 10
    batch: int = 128
    rule: Rule = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    clip: float = 0.0
    seed: int = 0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    select: Literal["best", "last"] = "best"

    def scaled(self, x: Array) -> Array:
        """uint8 (N, C, H, W) -> float32 (x - 255 mean) / (255 std)."""
        mean, std = (np.reshape(255 * np.asarray(v), (1, -1, 1, 1)) for v in (self.mean, self.std))
        return (x.astype(np.float32) - mean.astype(np.float32)) / std.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Epoch:
    """How an epoch (from 1) went: mean loss and accuracy (0..1) over its batches, while it learned, and the
    accuracy on the held-out pictures after it, None where there are none.
    """

    epoch: int
    loss: float
    accuracy: float
    held_out: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean loss, and the share (0..1) of the pictures whose class gets the largest logit."""

    loss: float
    accuracy: float


def softmax_cross_entropy(logits: Array, y: Array) -> tuple[float, Array]:
    """The loss L = mean over the batch of -log p[y], p = softmax(logits), and dL/dlogits = (p - [y]) / N.

    `logits` (N, classes), `y` (N,) class indices; [y] has a 1 at each row's class.
    """
    rows = np.arange(len(y))
    logits = logits - logits.max(axis=1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    gradient = np.exp(log_p)
    gradient[rows, y] -= 1
    return float(-log_p[rows, y].mean()), gradient / len(y)


class Descent:
    """torch's SGD, in place. g is the gradient, v (zero at first) the velocity of a parameter p:

    sgd: p -= lr g; momentum: v = momentum v + g, p -= lr v; nesterov: v likewise, p -= lr (g + momentum v).
    Where `clip` is not 0, all gradients are shrunk alike, so that the norm of all of their numbers is at most
    that.
    """

    def __init__(self, rule: Rule, *, lr: float, momentum: float = 0.9, clip: float = 0.0) -> None:
        self.rule, self.lr, self.momentum, self.clip = rule, lr, momentum, clip
        self.velocity: dict[str, Array] = {}

    def step(self, network: Network) -> None:
        """Move every parameter of `network` by the gradients of its latest `backward`."""
        gradients = network.gradients()
        shrink = self._shrink(gradients)
        for name, p in network.parameters().items():
            move = g = gradients[name] * shrink if shrink < 1 else gradients[name]
            if self.rule != "sgd":
                v = self.velocity[name] = self.momentum * self.velocity.get(name, 0.0) + g
                move = v if self.rule == "momentum" else g + self.momentum * v
            p -= self.lr * move

    def _shrink(self, gradients: Mapping[str, Array]) -> float:
        """What `clip` multiplies all of `gradients` by; 1 where they are small enough, or it is off."""
        if not self.clip:
            return 1.0
        norm = float(np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in gradients.values())))
        return min(1.0, self.clip / (norm + TINY))


def train(
    network: Network, x: Array, y: Array, settings: Settings, *, held_out: tuple[Array, Array] | None = None
) -> Iterator[Epoch]:
    """Train `network` in place on pictures x, uint8 (N, C, H, W), of the classes y (N,); yields each `Epoch`.

    `held_out`, pictures and classes too, is measured after every epoch. Under `select="best"` the network
    ends with the weights of the epoch with the highest accuracy there (the lower loss where equal).
    `CheckFailed` where the loss is no longer finite.
    """
    descent = Descent(settings.rule, lr=settings.lr, momentum=settings.momentum, clip=settings.clip)
    best, kept = (-1.0, 0.0), network.copied_weights()
    for epoch in range(1, settings.epochs + 1):
        begun = time.monotonic()
        loss, accuracy = _learn(network, descent, x, y, settings, epoch)
        if held_out is None:
            yield Epoch(epoch, loss, accuracy, None, time.monotonic() - begun)
            continue
        watched = measure(network, *held_out, settings)
        if (score := (watched.accuracy, -watched.loss)) > best:
            best, kept = score, network.copied_weights()
        yield Epoch(epoch, loss, accuracy, watched.accuracy, time.monotonic() - begun)
    if held_out is not None and settings.select == "best":
        network.load(kept)


def _learn(
    network: Network, descent: Descent, x: Array, y: Array, settings: Settings, epoch: int
) -> tuple[float, float]:
    """One epoch, in an order drawn from seed and epoch; mean loss and accuracy of its batches."""
    losses, right = 0.0, 0
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(y))
    for start, end in cuts(len(y), settings.batch):
        rows = order[start:end]
        logits = network.forward(settings.scaled(x[rows]), "training")
        loss, gradient = softmax_cross_entropy(logits, y[rows])
        if not np.isfinite(loss):
            raise CheckFailed(
                f"the loss is not finite ({loss}) in epoch {epoch}, learning rate {settings.lr:g}; "
                f"try a lower rate, for example {settings.lr / 10:g}"
            )
        network.backward(gradient)
        descent.step(network)
        losses += loss * len(rows)
        right += int((logits.argmax(axis=1) == y[rows]).sum())
    return losses / len(y), right / len(y)


def cuts(n: int, batch: int) -> list[tuple[int, int]]:
    """Where the batches of an epoch begin and end. A last batch of one joins its neighbour: batch norm needs
    two.
    """
    edges = [*range(0, n, batch), n]
    if len(edges) > 2 and edges[-1] - edges[-2] == 1:
        del edges[-2]
    return list(pairwise(edges))


def measure(network: Network, x: Array, y: Array, settings: Settings) -> Measured:
    """Loss and accuracy on pictures x, uint8 (N, C, H, W), of the classes y (N,), in inference mode."""
    losses, right = 0.0, 0
    for start in range(0, len(y), 64):
        labels = y[start : start + 64]
        logits = network.forward(settings.scaled(x[start : start + 64]))
        losses += softmax_cross_entropy(logits, labels)[0] * len(labels)
        right += int((logits.argmax(axis=1) == labels).sum())
    return Measured(losses / len(y), right / len(y))


def from_recipe(
    recipe: Mapping[str, Any], *, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> Settings:
    """The settings of a recipe's JSON document (`Recipe.json()`).

    `mean` and `std` are needed where the scale depends on the pictures. `UsageError` for what the mirror does
    not have: other optimizers, schedules, decay, augmentation, several phases, the loss's extras.
    """
    phases = recipe.get("phases", [{}])
    phase = phases[0]
    optim = phase.get("optim", {})
    _only(
        recipe,
        "recipe",
        {"data", "model", "preprocess", "phases", "batch", "seed", "stop", "precision", "probes", *TITLES},
    )
    _only(phase, "phase", {"epochs", "optim"})
    _only(optim, "optim", {"kind", "lr", "momentum", "clip"})
    stop = recipe.get("stop", {})
    _only(stop, "stop", {"select"})
    kind = optim.get("kind", "adam")
    if len(phases) > 1 or kind not in ("sgd", "momentum", "nesterov"):
        raise UsageError(
            f"the NumPy engine has one phase under sgd, momentum or nesterov; this recipe has {len(phases)} "
            f"under {kind}; use the torch engine"
        )
    preprocess = recipe.get("preprocess", {})
    _only(preprocess, "preprocess", {"size", "channels", "fit", "scale", "mean", "std"})
    scale = preprocess.get("scale", "unit")
    if mean is None or std is None:
        if scale not in FIXED_SCALES:
            raise UsageError(f"scale '{scale}' depends on the pictures; give their mean and std")
        mean, std = FIXED_SCALES[scale]
    return Settings(
        epochs=phase.get("epochs", 10),
        batch=recipe.get("batch", 128),
        rule=kind,
        lr=optim.get("lr", 0.01),
        momentum=optim.get("momentum", 0.9),
        clip=optim.get("clip", 0.0),
        seed=recipe.get("seed", 0),
        mean=tuple(mean),
        std=tuple(std),
        select=stop.get("select", "best"),
    )


TITLES = ("title", "source", "expect")


def _only(document: Mapping[str, Any], what: str, known: set[str]) -> None:
    for name in document:
        if name not in known:
            raise UsageError(
                f"the NumPy engine does not know the {what}'s '{name}'; leave it out, or use the torch engine"
            )
