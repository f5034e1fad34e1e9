"""Order: a training as it was asked for, and how it is made ready: all is there, nothing is written."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from neocog._version import __version__
from neocog.data import Data, load
from neocog.data.choice import GIVEN
from neocog.data.dataset import Dataset
from neocog.data.folders.picture_cache import Progress
from neocog.data.loading import given
from neocog.errors import UsageError, escaped
from neocog.model import Trained
from neocog.recipes import chapters
from neocog.recipes.asked import asked, model_of
from neocog.recipes.recipe import Recipe, override, unpublished
from neocog.runs.beginning import Place
from neocog.runs.run import Run
from neocog.training.loop import Training, prepare
from neocog.training.own import NOTHING, Own
from neocog.training.ranks import ALONE, Ranks
from neocog.training.tuning import decided
from neocog.transfer.lending import lend
from neocog.world import facts as world_facts
from neocog.world import find
from neocog.world import remarks as world_remarks
from neocog.zoo import resolved


@dataclass(frozen=True, slots=True)
class Ready:
    """A training that only has to begin: where, what, and the facts and remarks of its run."""

    place: Place
    job: Training
    facts: dict[str, Any]
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `neocog.train` was given; see there."""

    what: str | Path | Recipe
    data: str | Path | None = None
    model: str | Path | None = None
    start: str | Path | Run | Trained | None = None
    tune: Sequence[str] = ()
    changes: Sequence[str] = ()
    out: Path | str | None = None
    device: str = "auto"
    dataset: Dataset | None = None
    own: Own = NOTHING
    engine: str = "torch"
    ranks: Ranks = ALONE

    def ready(self, progress: Progress | None = None) -> Ready:
        """The training with everything it names: pictures, network, device. `progress` hears how many
        pictures of a folder are decoded. Raises before anything is written.
        """
        found = asked(self.what, self.data)
        place = Place(found.name, _folder(self.out))
        place.require_free()
        place.require_apart(found.where)
        recipe, reasons = found.recipe, found.reasons
        if self.model is not None:
            chosen, why = chapters.for_model(recipe, model_of(self.model))
            recipe = unpublished(chosen, recipe)
            reasons = (*reasons, *why)
        lent = lend(recipe, self.start, tune=self.tune, found=found.extent, chosen=self.model is not None)
        reasons = lent.reasons if lent.eyes is not None else (*reasons, *lent.reasons)
        recipe = override(lent.recipe, self.changes)
        world = find(self.device, recipe.precision)
        dataset = self.dataset
        if dataset is None:
            dataset = load(
                recipe.data,
                where=found.where,
                opened=found.opened,
                preprocess=recipe.preprocess,
                progress=progress,
            )
            found = replace(found, opened=None)  # what was opened is large, and is not needed any more
        else:
            dataset = given(dataset, recipe.preprocess)
            recipe = recipe.model_copy(update={"data": Data(name=GIVEN)})
        recipe = recipe.model_copy(update={"model": resolved(recipe.model, dataset.shape)})
        recipe, why = lent.settled(recipe, dataset, world)
        recipe = override(recipe, self.changes)
        decision = decided(prepare(recipe, dataset, world, self.own, lent.eyes), self.changes)
        job, recipe = replace(decision.job, ranks=self.ranks), decision.job.recipe
        together = job.remarks_of_ranks()
        reasons = (*reasons, *why, *decision.said, *filter(None, map(job.why_not, recipe.phases)))
        if self.engine == "numpy":
            if self.ranks.number > 1:
                raise UsageError("--engine numpy trains in one process; leave it out, or torchrun")
            from neocog.training.numpy_engine import by_numpy  # no other training needs the mirror

            job = by_numpy(job)
        doubts = [line for phase in recipe.phases for line in phase.augment.remarks(dataset.classes)]
        said = (
            *reasons,
            *dataset.remarks,
            *doubts,
            *_of_watching(recipe, dataset),
            *world_remarks(world),
            *together,
        )
        remarks = tuple(dict.fromkeys(said))
        facts = {
            "neocog": __version__,
            "command": self._command(lent.words),
            "begun": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "where": str(found.where.resolve()) if found.where else None,
            "data_fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "counts": {name: len(split) for name, split in dataset.splits.items()},
            "skipped": [{"path": escaped(s.path), "reason": escaped(s.reason)} for s in dataset.skipped],
            "remarks": list(remarks),
            "recipe_identity": recipe.identity,
            **({"start": recipe.start.model_dump() | lent.where} if recipe.start is not None else {}),
            **({"own": self.own.names()} if self.own.names() else {}),
            **({"engine": self.engine} if self.engine != "torch" else {}),
            **decision.facts(),
            **world_facts(world),
            "processes": self.ranks.number,
        }
        return Ready(place, job, facts, remarks)

    def _command(self, start: Sequence[str]) -> str:
        """The command line that trains the same; of an absolute path only its last part, which is the same
        elsewhere.
        """
        named = "recipe.json" if isinstance(self.what, Recipe) else in_commands(self.what)
        words = ["neocog", "train", named]
        words += ["--data", in_commands(self.data)] if self.data is not None else []
        words += ["--model", in_commands(self.model)] if self.model is not None else []
        words += [*start, *(("--engine", self.engine) if self.engine != "torch" else ())]
        return shlex.join([*words, *(word for change in self.changes for word in ("--set", change))])


def _of_watching(recipe: Recipe, dataset: Dataset) -> tuple[str, ...]:
    """A remark where the test set is what is watched, or nothing by which to stop."""
    if dataset.val is None and recipe.stop.patience:
        return (
            "nothing is watched, so that training does not stop early "
            f"(stop.patience={recipe.stop.patience}) and the last epoch is kept: "
            "--set data.val=held-out watches some pictures",
        )
    if dataset.watched != "test":
        return ()
    chosen = recipe.stop.select == "best" or recipe.stop.patience
    by = "the epoch that is kept is chosen by them, so their accuracy flatters the network"
    said = (
        by if chosen else "nothing is chosen by them, but whoever changes the recipe by what they show does"
    )
    return (f"the test pictures are what is watched after every epoch: {said}",)


def _folder(out: Path | str | None) -> Path | None:
    if out == "":
        raise UsageError("out is empty; give the run's folder, or leave it out")
    return Path(out) if out is not None else None


def in_commands(given: str | Path) -> str:
    """A path as a recorded command names it."""
    return Path(given).name if Path(given).is_absolute() else str(given)
