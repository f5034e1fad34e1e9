"""Recipe: everything that decides a training and nothing else. Authored in Python, exchanged as JSON,
changed by `override`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neocog.assignments import value
from neocog.data import Data
from neocog.data.augment.augment import Augment
from neocog.data.damage import Damage
from neocog.errors import UsageError, first_complaint, unknown
from neocog.files import sha256
from neocog.optim.norms import Statistics
from neocog.optim.settings import Optim
from neocog.pictures.decode import MAX_PIXELS, Preprocess
from neocog.world import Precision
from neocog.zoo import Model


class Start(BaseModel):
    """Whose features the network begins with: `name` is a network of the zoo with public weights, a run or a
    file, `sha256` the digest that decides which (None: whatever is there under the name).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class Phase(BaseModel):
    """A stretch of epochs under one optimizer and one augmentation; most recipes have one.

    `freeze` is the last stage that does not learn ('features': none of them does, the head alone learns);
    None lets all learn. What is frozen is computed once and kept where the pictures do not vary: without
    augmentation, or with `copies`, so many augmented copies of each picture, of which every epoch takes the
    next. `statistics` 'kept' lets the batch normalisations of the features keep their mean and variance
    while their scale and shift learn; 'batch' takes those of each batch, and leaves their running mean;
    'retaken' trains as 'batch' does, and gives what is measured and kept after an epoch those of training
    pictures as they are, without augmentation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(default=10, ge=1)
    optim: Optim = Optim()
    augment: Augment = Augment()
    freeze: str | None = None
    copies: int = Field(default=0, ge=0, le=1000)
    statistics: Statistics = "batch"

    @model_validator(mode="after")
    def _copies_are_of_frozen_features(self) -> Phase:
        if self.copies and self.freeze is None:
            raise ValueError("copies are kept of frozen features; say what is frozen: freeze='features'")
        return self


class Stop(BaseModel):
    """When to stop early and which epoch to keep.

    `select` 'best' keeps the epoch with the highest watched accuracy (the lower loss where equal), 'last' the
    last one. With `patience` > 0 training stops after that many epochs without a better one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    select: Literal["best", "last"] = "best"
    patience: int = Field(default=0, ge=0)


class Recipe(BaseModel):
    """A training as data. `batch` is the global batch; `balance` makes rare classes count alike, by
    weighing the loss or by drawing them more often; `average` is the decay of the running mean of the weights
    (EMA), which is then measured and shipped; `source` says where the recipe is from and `expect` what it
    reached there. `task` is 'auto' (the one that the targets fit) or a task's name. `damage` makes the
    training one of restoring: pictures are shown damaged, and asked for as they were. `start` says whose
    features the network begins with; None: with weights that are drawn. `coverage` is the share of pictures
    that the model shall not call unlike what it was trained on; None: it calls none so. `probes` 'off' sends
    the training doctor away, who watches and changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: Data
    model: Model
    start: Start | None = None
    task: str = "auto"
    damage: Damage | None = None
    preprocess: Preprocess = Preprocess()
    phases: tuple[Phase, ...] = Field(default=(Phase(),), min_length=1)
    batch: int = Field(default=128, ge=1)
    order: Literal["shuffled", "as given"] = "shuffled"
    balance: Literal["none", "loss", "sampler"] = "none"
    average: float = Field(default=0.0, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    stop: Stop = Stop()
    coverage: float | None = Field(default=None, gt=0, lt=1)
    precision: Precision = "auto"
    probes: Literal["on", "off"] = "on"
    seed: int = Field(default=0, ge=0, lt=2**31)
    title: str = ""
    source: str = ""
    expect: float | None = Field(default=None, ge=0, le=1)

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases)

    def json(self) -> dict[str, Any]:  # type: ignore[override]
        """The recipe as a JSON document; fields that hold their default are left out."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude={"model"}) | {
            "model": self.model.json()
        }

    @property
    def identity(self) -> str:
        """SHA-256 of what decides the training; titles, expectations and probes are not part of it."""
        document = self.model_dump(mode="json", exclude={"title", "source", "expect", "probes"})
        if document["start"] is not None:
            del document["start"]["name"]  # the digest decides
        for place, added in (
            (document, ADDED),
            (document["model"], ADDED_TO_MODEL),
            (document["preprocess"], ADDED_TO_PREPROCESS),
        ):
            _without_defaults(place, added)
        for phase in document["phases"]:
            _without_defaults(phase, ADDED_TO_PHASE)
            _without_defaults(phase["optim"], ADDED_TO_OPTIM)
        return sha256(json.dumps(document, sort_keys=True).encode())


ADDED: Mapping[str, Any] = {"task": "auto", "damage": None, "start": None, "coverage": None}
ADDED_TO_MODEL: Mapping[str, Any] = {"head": None}
ADDED_TO_PREPROCESS: Mapping[str, Any] = {
    "reading": "whole",
    "max_pixels": MAX_PIXELS,
    "levels": None,
    "ground": 255,
}
ADDED_TO_PHASE: Mapping[str, Any] = {"freeze": None, "copies": 0, "statistics": "batch"}
ADDED_TO_OPTIM: Mapping[str, Any] = {"rates": None}
"""Fields that recipes did not always have, with what they meant before: such a recipe keeps its identity."""


def _without_defaults(document: dict[str, Any], added: Mapping[str, Any]) -> None:
    for name, default in added.items():
        if document[name] == default:
            del document[name]


PHASE_FIELDS = frozenset(Phase.model_fields)


def from_json(document: Any, *, within: str = "recipe") -> Recipe:
    """The recipe of a JSON document; `UsageError` names the field that is wrong."""
    if not isinstance(document, dict):
        raise UsageError(
            f'{within}: a recipe is a JSON object such as {{"data": {{"name": "mnist"}}, "model": ...}}'
        )
    return _validated(document, within)


def override(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """`recipe` with "field=value" changes, each typed by its field: `batch=64`, `optim.lr=0.05`,
    `data.held_out=0.2`.

    Fields of a phase (epochs, optim, augment) may be named without their phase where there is only one; else
    write `phases.0.optim.lr`. Raises `UsageError` with the nearest spelling.
    """
    document = recipe.model_dump(mode="json")
    for change in changes:
        path, mark, text = change.partition("=")
        if not mark or not path.strip():
            raise UsageError(f"'{change}' is not FIELD=VALUE; for example optim.lr=0.05")
        _assign(document, recipe, path.strip().split("."), value(text.strip()), change)
    return unpublished(_validated(document, "--set"), recipe)


def unpublished(changed: Recipe, before: Recipe) -> Recipe:
    """`changed` without the figure that was published for `before`, where more than the seed differs."""
    free = {"seed", "precision"}
    same = changed.model_dump(exclude=free) == before.model_dump(exclude=free)
    return changed if same else changed.model_copy(update={"expect": None})


def _validated(document: dict[str, Any], within: str) -> Recipe:
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise first_complaint(error, within=within) from None


def _assign(document: dict[str, Any], recipe: Recipe, path: list[str], value: Any, change: str) -> None:
    if path[0] in PHASE_FIELDS and path[0] not in Recipe.model_fields:
        if len(recipe.phases) > 1:
            raise UsageError(
                f"'{change}': this recipe has {len(recipe.phases)} phases; write phases.0.{'.'.join(path)}"
            )
        path = ["phases", "0", *path]
    place: Any = document
    for depth, part in enumerate(path):
        within = ".".join(path[:depth]) or "recipe"
        if isinstance(place, list) and part.isdecimal() and int(part) < len(place):
            key: Any = int(part)
        elif isinstance(place, dict) and part in place:
            key = part
        elif isinstance(place, dict):
            names = [*place, *(PHASE_FIELDS if depth == 0 else ())]
            raise unknown(f"field of {within}", part, names)
        else:
            raise UsageError(f"'{change}': {within} has no parts")
        if depth == len(path) - 1:
            place[key] = value
        else:
            place = place[key]
