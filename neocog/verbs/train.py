"""train: a recipe goes in, a run comes out."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from neocog._version import __version__
from neocog.data import Data, load
from neocog.data.choice import GIVEN
from neocog.data.dataset import Dataset
from neocog.data.folders.picture_cache import Progress
from neocog.data.loading import identified
from neocog.errors import CheckFailed, UsageError, escaped
from neocog.events import Watcher
from neocog.recipes import chapters
from neocog.recipes.asked import asked, model_of
from neocog.recipes.recipe import Recipe, override
from neocog.runs.run import Run, create, open_run
from neocog.training.driving import drive
from neocog.training.loop import prepare
from neocog.training.own import NOTHING, Own
from neocog.world import facts as world_facts
from neocog.world import find
from neocog.zoo import resolved


def train(
    what: str | Path | Recipe,
    *,
    data: str | Path | None = None,
    model: str | Path | None = None,
    changes: Sequence[str] = (),
    out: Path | str | None = None,
    device: str = "auto",
    watchers: Sequence[Callable[[Run], Watcher]] = (),
    progress: Progress | None = None,
    dataset: Dataset | None = None,
    stop: Callable[[], bool] | None = None,
    own: Own = NOTHING,
) -> Run:
    """Train what `what` names: a recipe, its name, its JSON file, a data set, or a folder of pictures.

    `data` and `model` (a name of the zoo or a JSON layer list) replace the recipe's own; `changes` are
    "field=value" texts such as "optim.lr=0.05". The run's folder is `out`, or runs/NAME numbered. `progress`
    hears how many pictures of a folder are decoded. `dataset` takes the place of the recipe's pictures; `own`
    brings a loss or an augmentation. `stop` is asked after every step: when it says true, and after Ctrl-C or
    SIGTERM, the state is saved and `Interrupted` raised. `CheckFailed` when the loss stops being finite.
    """
    found = asked(what, data)
    recipe, reasons = found.recipe, found.reasons
    if model is not None:
        recipe, why = chapters.for_model(recipe, model_of(model))
        reasons = (*reasons, *why)
    recipe = override(recipe, changes)
    world = find(device, recipe.precision)
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
        dataset = identified(dataset)
        recipe = recipe.model_copy(update={"data": Data(name=GIVEN)})
    recipe = recipe.model_copy(update={"model": resolved(recipe.model, dataset.shape)})
    job = prepare(recipe, dataset, world, own)
    doubts = [line for phase in recipe.phases for line in phase.augment.remarks(dataset.classes)]
    remarks = tuple(dict.fromkeys((*reasons, *dataset.remarks, *doubts)))
    run = create(found.name, Path(out) if out is not None else None)
    run.write_recipe(recipe)
    run.write_facts(
        {
            "neocog": __version__,
            "command": _command(what, data, model, changes),
            "begun": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "where": str(found.where.resolve()) if found.where else None,
            "data_fingerprint": dataset.fingerprint,
            "classes": list(dataset.classes),
            "counts": {name: len(split) for name, split in dataset.splits.items()},
            "skipped": [{"path": escaped(s.path), "reason": escaped(s.reason)} for s in dataset.skipped],
            "remarks": list(remarks),
            "recipe_identity": recipe.identity,
            **({"own": own.names()} if own.names() else {}),
            **world_facts(world),
        }
    )
    return drive(job, run, resume=False, remarks=remarks, watchers=watchers, stop=stop)


def resume(
    path: str | Path,
    *,
    epochs: int | None = None,
    changes: Sequence[str] = (),
    device: str = "auto",
    data: str | Path | None = None,
    watchers: Sequence[Callable[[Run], Watcher]] = (),
    progress: Progress | None = None,
    dataset: Dataset | None = None,
    stop: Callable[[], bool] | None = None,
    own: Own = NOTHING,
) -> Run:
    """Go on with the run in `path`: after an interruption, a kill, an early stop, or with more `epochs` than
    before.

    More epochs stretch the schedule: the learning rate goes on from its place in the longer one. What `train`
    was given in Python (`dataset`, `own`) is given again.
    """
    run = open_run(Path(path))
    facts = run.facts()
    before = run.recipe()
    recipe = override(before, changes)
    remarks = []
    if epochs is not None and epochs != before.epochs:
        recipe = override(
            recipe,
            [f"phases.{len(recipe.phases) - 1}.epochs={recipe.phases[-1].epochs + epochs - before.epochs}"],
        )
        remarks.append(f"{epochs} epochs in place of {before.epochs}: the schedule is stretched from here")
    where = Path(data) if data is not None else Path(facts["where"]) if facts["where"] else None
    before_own = facts.get("own", {})
    if own.names() != before_own:
        raise UsageError(
            f"{run.path} was begun with {before_own or 'nothing'} of one's own, "
            f"now {own.names() or 'nothing'} is given; give the same: own=Own(...)"
        )
    if dataset is None:
        dataset = load(recipe.data, where=where, preprocess=recipe.preprocess, progress=progress)
    dataset = identified(dataset)
    world = find(device, facts["precision"] if recipe.precision == "auto" else recipe.precision)
    _same_data(run, facts, dataset)
    now = world_facts(world)
    changed = [f"{key} was {facts[key]}, is {now[key]}" for key in now if facts.get(key) != now[key]]
    if changed:
        remarks.append(
            f"not the machine of the start ({'; '.join(changed)}): the result may differ in its last bits"
        )
    job = prepare(recipe, dataset, world, own)
    concluded = facts.pop("result", None) is not None  # a kill may come between the last step and the report
    if concluded and run.saved()["step"] >= job.plan.steps:
        raise UsageError(
            f"{run.path} is finished ({recipe.epochs} epochs); "
            f"for more: neocog train --resume {run.path} --epochs N"
        )
    run.write_facts(facts)
    run.write_recipe(recipe)
    return drive(job, run, resume=True, remarks=tuple(remarks), watchers=watchers, stop=stop)


def _command(
    what: str | Path | Recipe, data: str | Path | None, model: str | Path | None, changes: Sequence[str]
) -> str:
    """The command line that trains the same; of an absolute path only its last part, which is the same
    elsewhere.
    """

    def named(given: str | Path) -> str:
        return Path(given).name if Path(given).is_absolute() else str(given)

    words = ["neocog", "train", "recipe.json" if isinstance(what, Recipe) else named(what)]
    words += ["--data", named(data)] if data is not None else []
    words += ["--model", named(model)] if model is not None else []
    return shlex.join([*words, *(word for change in changes for word in ("--set", change))])


def _same_data(run: Run, facts: dict[str, Any], dataset: Dataset) -> None:
    if list(dataset.classes) != facts["classes"]:
        raise CheckFailed(
            f"{run.path} was trained on the classes {facts['classes']}, "
            f"the data now have {list(dataset.classes)}; "
            "give the data of the start with --data, or start a new run"
        )
    if dataset.fingerprint != facts["data_fingerprint"]:
        counts = {name: len(split) for name, split in dataset.splits.items()}
        raise CheckFailed(
            f"the pictures changed since {run.path} was started "
            f"(counts then {facts['counts']}, now {counts}); "
            "put them back, or start a new run"
        )
