"""Events: the only way a long verb speaks. Console, metrics.jsonl, TensorBoard, pages and tests are
watchers of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Started:
    """Training begins or goes on at `step`, of `steps` in all, in `epoch` (from 1); `remarks` are sentences
    for the reader.
    """

    step: int
    steps: int
    steps_per_epoch: int
    epochs: int
    remarks: tuple[str, ...] = ()
    epoch: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One step is done. `loss` is a tensor: reading it waits for the device, so only do so when it is
    shown.
    """

    step: int
    epoch: int
    loss: Tensor
    pictures: int


Watched = Literal["held out", "test"]
"""What is watched while training: pictures held out for it, or the test set."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training pictures is done; `epoch` counts from 1. Shares are fractions.

    `figures` are the task's ('loss', 'accuracy'): means over the epoch's training batches as they were seen
    (augmented, with dropout), as Keras prints them. `held_out` are those of the watched split, under the same
    names, None where nothing is watched; `watched` says what that split is. `best` tells whether this epoch
    is kept.
    """

    epoch: int
    step: int
    figures: Mapping[str, float]
    held_out: Mapping[str, float | None]
    lr: float
    seconds: float
    pictures_per_second: float
    best: bool
    watched: Watched = "held out"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong with the training, noticed at `step`: its `name`, one sentence that says what, one
    that says what mends it, and the numbers behind it. `changes` are what mends it as texts for `--set`,
    where fields of the recipe do.
    """

    step: int
    name: str
    sentence: str
    cure: str
    evidence: Mapping[str, float]
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saved:
    """The state of the run after `step` is on disk."""

    step: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """Training ended after `epoch` whole epochs: 'done', 'stopped early' or 'interrupted'.

    `best_epoch` counts from 1.
    """

    step: int
    epoch: int
    reason: str
    best_epoch: int | None


Event = Started | Step | Epoch | Finding | Saved | Finished
Watcher = Callable[[Event], None]


def document(event: Event) -> dict[str, Any]:
    """An event as JSON: its kind in small letters under 'event', then its fields. Reads a step's loss, which
    waits for the device.
    """
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    plain = {name: _plain(value) for name, value in values.items()}
    return {"event": type(event).__name__.lower(), **plain}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, str | int | None):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
