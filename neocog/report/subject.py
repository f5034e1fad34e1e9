"""Subject: what a page is about, from which every section is made."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neocog.answers import Answers
from neocog.data.dataset import Dataset
from neocog.model import Trained
from neocog.recipes.recipe import Recipe
from neocog.runs.run import Run
from neocog.show import markup
from neocog.tasks.task import Result


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a page is about. `answers` is None where no pictures were held out, `run` where a model file came
    alone; `grouped` is the same measurement by groups of classes, where asked for.
    """

    trained: Trained
    dataset: Dataset
    answers: Answers | None = None
    run: Run | None = None
    grouped: Result | None = None

    @functools.cached_property
    def facts(self) -> Mapping[str, Any]:
        """The run's `facts.json`, read once; empty without a run."""
        return self.run.facts() if self.run is not None else {}

    @functools.cached_property
    def recipe(self) -> Recipe | None:
        """The run's recipe, read once; None without a run."""
        return self.run.recipe() if self.run is not None else None

    @property
    def report(self) -> Result | None:
        """The measurement; None where nothing was measured."""
        return self.answers.report if self.answers is not None else None

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.answers.task.name if self.answers is not None else self.trained.task

    @property
    def pixelated(self) -> bool:
        """Whether the pictures are so small that their pixels are best shown as squares."""
        return max(self.dataset.shape[1:]) <= markup.SMALL

    def file(self, name: str) -> bytes | None:
        """The bytes of a file of the run's folder; None where there is none."""
        path = self.run.path / name if self.run is not None else None
        return path.read_bytes() if path is not None and path.is_file() else None
