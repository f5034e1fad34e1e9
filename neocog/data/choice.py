"""Data, the recipe's part that says which pictures and how they are divided; needs pydantic only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neocog.data.sources.table import DATASETS
from neocog.errors import UsageError, unknown

Divide = Literal["as trained", "as given", "all as test"]
"""Of data that say no val or test: hold some out as a training does, train on all, or test all."""
OWN = ("folder", "photos")
"""A user's own pictures, whose path is no part of a recipe."""
GIVEN = "given"
"""The name that a Dataset given in Python has in place of a row's."""


class Data(BaseModel):
    """Which pictures, and how they are divided; the path of a folder is no part of it.

    `name` is a row of `DATASETS`, 'folder', 'photos' (pictures without classes, cut into pieces), or 'given'
    for a Dataset that was given in Python. `held_out` is the share of the training pictures held out where
    the set has no validation pictures of its own. `val` says what is watched each epoch: 'held-out' (those,
    or the set's own), 'test' (the test set, as some published recipes do; nothing is held out), or 'none'.
    `limit` trains on so many pictures only, drawn by class after holding out, so validation and test stay
    whole. `task` belongs to 'shapes'. `seed` decides the draws.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "mnist"
    held_out: float = Field(default=0.1, ge=0, lt=1)
    val: Literal["held-out", "test", "none"] = "held-out"
    limit: int | None = Field(default=None, ge=1)
    task: Literal["colour", "shape", "both"] | None = None
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _known(self) -> Data:
        if self.name not in (*DATASETS, *OWN, GIVEN):
            raise unknown("data set", self.name, [*DATASETS, *OWN])
        if self.task is not None and self.name != "shapes":
            raise UsageError(
                f"task '{self.task}' belongs to the data set shapes, not to {self.name}; leave it out"
            )
        return self
