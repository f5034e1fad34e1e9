"""Doubt: when not to believe an answer, fixed on pictures that were held out, kept in the model file.

A classifier names one of its classes for whatever it is shown. Two numbers tell more. The temperature (Guo et
al. 2017) divides the outputs so that 80 % sure means right in 80 % of cases. The distance says how far a
picture's features lie from those of every class, and the threshold is the distance that so many held-out
pictures, the `coverage`, do not exceed: beyond it a picture is unlike anything that was trained on. Where
none was held out, a last layer on features that did not learn can do without: each picture is left out in
turn.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neocog.data.targets import form_of
from neocog.errors import UnreadableError
from neocog.tasks.task import Task
from neocog.zoo.head import answering
from neocog.zoo.modes import evaluating

SHRINKAGE = 0.1
"""By how much the covariance of features is drawn to one that is alike in all directions."""
WIDEST = 2048
"""Features of which a covariance is worth its memory."""
WIDTH = 0.5
"""Standard deviation of log temperature before anything is seen: few pictures move it little."""
TEMPERATURES = torch.linspace(-1.5, 1.5, 301).exp()
TENSORS = ("centres", "whitening")


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """What a model file says of when to doubt its answers.

    temperature  by which outputs are divided, 0.22..4.5
    coverage     the share of pictures of its kind that shall be answered, 0..1
    threshold    the distance beyond which a picture is unlike; None where too few were held out to tell
    n            pictures that were held out, or left out in turn
    centres      (classes, width), float32: the mean features of each class's training pictures
    whitening    (width, width), float32: features times it vary alike in every direction within classes; or
                 (width,), a factor for each, where they are many
    """

    temperature: float
    coverage: float
    threshold: float | None
    n: int
    centres: Tensor
    whitening: Tensor

    def distances(self, features: Tensor) -> Tensor:
        """(N,): of features (N, width) the Mahalanobis distance to the nearest centre (Lee et al. 2018),
        divided by the root of the width: about 1 for a picture of its kind.
        """
        place, centres = self._whitened(features.float()), self._whitened(self.centres)
        return torch.cdist(place, centres).amin(1) / math.sqrt(len(self.whitening))

    def _whitened(self, x: Tensor) -> Tensor:
        return x @ self.whitening if self.whitening.ndim > 1 else x * self.whitening

    def unlike(self, distance: float) -> bool:
        """Whether a picture at this distance is unlike what was trained on."""
        return self.threshold is not None and distance > self.threshold

    def to(self, device: torch.device) -> Doubt:
        """The same with its tensors on `device`."""
        return Doubt(**self.json(), centres=self.centres.to(device), whitening=self.whitening.to(device))

    def json(self) -> dict[str, Any]:
        """Everything but the tensors."""
        return {name: getattr(self, name) for name in ("temperature", "coverage", "threshold", "n")}

    def tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in TENSORS}

    def packed(self) -> dict[str, Any]:
        """All of it as JSON, for files that have no place for tensors of ours: each as its shape and the
        base64 of its float32.
        """
        kept = {name: tensor.cpu().float().contiguous() for name, tensor in self.tensors().items()}
        return self.json() | {
            name: {
                "shape": list(t.shape),
                "float32": base64.b64encode(t.numpy().astype("<f4").tobytes()).decode(),
            }
            for name, t in kept.items()
        }


def from_file(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Doubt:
    """The inverse of `json` and `tensors`; raises KeyError or TypeError where something is missing."""
    return Doubt(**document, centres=tensors["centres"], whitening=tensors["whitening"])


def unpacked(document: Mapping[str, Any], file: str) -> Doubt:
    """The inverse of `packed`; `UnreadableError` names the `file` where that did not write the document."""
    try:
        tensors = {name: _tensor(document[name]) for name in TENSORS}
        centres, whitening = tensors["centres"], tensors["whitening"]
        said = {name: document[name] for name in ("temperature", "coverage", "threshold", "n")}
        limits = [said["temperature"], said["coverage"], said["threshold"] or 0.0]
        if centres.ndim != 2 or set(whitening.shape) != {centres.shape[1]}:
            raise ValueError("its tensors do not fit one another")
        if limits[0] <= 0 or not all(math.isfinite(n) for n in limits):
            raise ValueError("its limits are no numbers")
        return from_file(said, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(
            f"{file}: what neocog wrote into it was changed (doubt: {error}); write it again"
        ) from None


def _tensor(packed: Mapping[str, Any]) -> Tensor:
    values = np.frombuffer(base64.b64decode(packed["float32"], validate=True), "<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    return torch.from_numpy(values.reshape(packed["shape"]))


class Tempered(nn.Module):
    """A network whose outputs are divided by a temperature."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(x)
        return outputs / self.temperature


@dataclass(frozen=True, slots=True)
class Apart:
    """Pictures that a network did not learn from: how `far` (N,) each lies from the classes of those that it
    did, the `outputs` (N, classes) that it is given, and its target in `y`.
    """

    far: Tensor
    outputs: Tensor
    y: Tensor


@dataclass(frozen=True, slots=True)
class Limits:
    """What such pictures fix of a doubt; see `Doubt`."""

    temperature: float
    threshold: float | None
    n: int

    def json(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "threshold": self.threshold, "n": self.n}


def together(parts: Sequence[Apart]) -> Apart:
    """The pictures of all, each set apart from another training of the same kind."""
    return Apart(*(torch.cat([getattr(p, name) for p in parts]) for name in ("far", "outputs", "y")))


def limits(task: Task, found: Apart, coverage: float) -> Limits:
    """What pictures set apart say of the training that they were set apart from, or of one with all."""
    return Limits(temperature(task, found.outputs, found.y), quantile(found.far, coverage), len(found.y))


def apart(
    network: nn.Module,
    task: Task,
    training: Iterable[tuple[Tensor, Tensor]],
    held_out: Iterable[tuple[Tensor, Tensor]],
) -> Apart:
    """How the pictures `held_out`, one at least, lie to those of `training` in the features of `network`."""
    with evaluating(network), torch.inference_mode():
        place = _placed(network, task, training)
        features, y, outputs = _seen(network, held_out)
    return Apart(place.distances(features), outputs, y)


def doubtful(
    network: nn.Module,
    task: Task,
    training: Iterable[tuple[Tensor, Tensor]],
    found: Limits,
    coverage: float,
) -> Doubt:
    """The doubt of `network`: centres by batches of training pictures, all else as it was `found`."""
    with evaluating(network), torch.inference_mode():
        place = _placed(network, task, training)
    return replace(place, coverage=coverage, **found.json())


def cross_fitted(
    network: nn.Module,
    task: Task,
    training: Iterable[tuple[Tensor, Tensor]],
    strength: float,
    coverage: float,
) -> Limits | None:
    """The limits of `network` where nothing but its last layer learned, from its training pictures alone.

    In each of `logistic.FOLDS` rounds some pictures are left out: their distances are those to the centres of
    the others, their outputs those of a layer that was fitted to the others under the L2 penalty `strength`.
    Centres of fewer pictures are a little further away, so the threshold errs towards calling too few
    pictures unlike. None where pictures cannot be left out: a class has a single one.
    """
    with evaluating(network), torch.no_grad():
        features, y, _ = _seen(network, training)
    from neocog.tasks import logistic  # the learner of last layers, which no prediction waits for

    if not logistic.can_be_left_out(y, len(task.classes)):
        return None
    members = form_of(y).members(y, len(task.classes))
    fold = logistic.folds(y, min(logistic.FOLDS, len(y)), seed=0)
    far = features.new_empty(len(y))
    for number in range(int(fold.max()) + 1):
        out = fold == number
        far[out] = _without_limits(*_centres(features[~out], members[~out])).distances(features[out])
    outputs = logistic.left_out(task, features, y, (strength,))[0]
    return limits(task, Apart(far, outputs, y), coverage)


def _placed(network: nn.Module, task: Task, training: Iterable[tuple[Tensor, Tensor]]) -> Doubt:
    """Where the classes of the `training` pictures lie, without limits."""
    features, y, _ = _seen(network, training)
    return _without_limits(*_centres(features, form_of(y).members(y, len(task.classes))))


def _without_limits(centres: Tensor, whitening: Tensor) -> Doubt:
    return Doubt(1.0, 0.0, None, 0, centres, whitening)


def _seen(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Features, targets and outputs of all pictures, on the CPU."""
    features: list[Tensor] = []
    rows = []
    with answering(network, lambda seen: features.append(seen.float().cpu())):
        for x, y in batches:
            rows.append((y.cpu(), network(x).float().cpu()))
    targets, outputs = (torch.cat(each) for each in zip(*rows, strict=True))
    return torch.cat(features), targets, outputs


def _centres(features: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each class that has pictures, and what whitens the differences from the nearest of them:
    the inverse root of their covariance, drawn to a sphere by `SHRINKAGE`. Of more than `WIDEST` features
    each is taken for itself.
    """
    kinds = [features[of] for of in members.T if of.any()]
    if not members.any(1).all():
        kinds.append(features[~members.any(1)])  # pictures without any label
    centres = torch.stack([kind.mean(0) for kind in kinds])
    nearest = torch.cdist(features, centres).argmin(1)
    apart = (features - centres[nearest]).double()
    freedom = max(len(features) - len(centres), 1)
    variance = apart.square().sum(0) / freedom
    sphere = SHRINKAGE * (float(variance.mean()) or 1.0)
    if len(variance) > WIDEST:
        return centres, ((1 - SHRINKAGE) * variance + sphere).rsqrt().float()
    drawn = (1 - SHRINKAGE) / freedom * (apart.T @ apart)
    drawn.diagonal().add_(sphere)
    return centres, torch.linalg.cholesky(torch.linalg.inv(drawn)).float()


def quantile(distances: Tensor, coverage: float) -> float | None:
    """The distance that another picture of the same kind stays within with a chance of at least `coverage`
    (split conformal prediction, Vovk et al. 2005); None where there are too few to say.
    """
    place = math.ceil((len(distances) + 1) * coverage)
    return float(distances.sort().values[place - 1]) if place <= len(distances) else None


def temperature(task: Task, outputs: Tensor, y: Tensor) -> float:
    """The temperature with the lowest loss on pictures held out, drawn to 1 where they are few."""
    costs = [
        float(task.losses(outputs / t, y).double().sum()) + math.log(float(t)) ** 2 / (2 * WIDTH**2)
        for t in TEMPERATURES
    ]
    return round(float(TEMPERATURES[costs.index(min(costs))]), 6)
