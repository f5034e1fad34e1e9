"""train: a recipe goes in, a run comes out."""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from neocog._version import __version__
from neocog.answers import ANSWERS_FILE, collect
from neocog.answers import keep as keep_answers
from neocog.data import DATASETS, Data, load, targets
from neocog.data.choice import GIVEN
from neocog.data.dataset import Dataset
from neocog.data.folders.opened_archive import brings_pictures
from neocog.data.folders.picture_cache import Progress
from neocog.data.folders.read import extent
from neocog.data.loading import identified
from neocog.errors import (
    CheckFailed,
    Interrupted,
    OutOfMemory,
    UsageError,
    escaped,
    unknown,
)
from neocog.events import Event, Finished, Started, Watcher
from neocog.files import read_json, write_bytes
from neocog.model import load as load_model
from neocog.pretrained.network_files import layers_of
from neocog.recipes import chapters
from neocog.recipes.recipe import Recipe, from_json, override
from neocog.report.page import write as write_report
from neocog.report.subject import Subject
from neocog.run import Run, create, open_run
from neocog.show import charts, grids
from neocog.training.loop import Training, prepare
from neocog.training.own import NOTHING, Own
from neocog.training.watchers import Record
from neocog.world import deterministic, find, give_back_memory
from neocog.world import facts as world_facts
from neocog.zoo import Model, architecture, resolved


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
    asked = _asked(what, data)
    recipe, reasons = asked.recipe, asked.reasons
    if model is not None:
        recipe, why = chapters.for_model(recipe, _model(model))
        reasons = (*reasons, *why)
    recipe = override(recipe, changes)
    world = find(device, recipe.precision)
    if dataset is None:
        dataset = load(recipe.data, where=asked.where, preprocess=recipe.preprocess, progress=progress)
    else:
        dataset = identified(dataset)
        recipe = recipe.model_copy(update={"data": Data(name=GIVEN)})
    recipe = recipe.model_copy(update={"model": resolved(recipe.model, dataset.shape)})
    job = prepare(recipe, dataset, world, own)
    doubts = [line for phase in recipe.phases for line in phase.augment.remarks(dataset.classes)]
    remarks = tuple(dict.fromkeys((*reasons, *dataset.remarks, *doubts)))
    run = create(asked.name, Path(out) if out is not None else None)
    run.write_recipe(recipe)
    run.write_facts(
        {
            "neocog": __version__,
            "command": _command(what, data, model, changes),
            "begun": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "where": str(asked.where.resolve()) if asked.where else None,
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
    return _drive(job, run, resume=False, remarks=remarks, watchers=watchers, stop=stop)


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
    return _drive(job, run, resume=True, remarks=tuple(remarks), watchers=watchers, stop=stop)


@dataclass(frozen=True, slots=True)
class Asked:
    """What WHAT turned out to mean."""

    recipe: Recipe
    name: str
    where: Path | None = None
    reasons: tuple[str, ...] = ()


def _asked(what: str | Path | Recipe, data: str | Path | None) -> Asked:
    asked = Asked(what, "run") if isinstance(what, Recipe) else _named(str(what), Path(what), data)
    if data is None or asked.where is not None:
        if asked.recipe.data.name == "folder" and asked.where is None:
            raise UsageError(f"'{asked.name}' was trained on a folder of pictures; say which: --data FOLDER")
        return asked
    place = Path(data)
    if str(data) in DATASETS and not place.exists():
        other = asked.recipe.data.model_copy(update={"name": str(data), "task": None})
        return Asked(asked.recipe.model_copy(update={"data": other}), f"{asked.name}-{data}")
    if not place.exists():
        raise unknown("data set or folder", str(data), DATASETS)
    built_in = (
        asked.recipe.data
        if asked.recipe.data.name == "folder"
        else Data(name="folder", held_out=asked.recipe.data.held_out)
    )
    return Asked(asked.recipe.model_copy(update={"data": built_in}), asked.name, place)


def _named(what: str, path: Path, data: str | Path | None) -> Asked:
    if (path / "recipe.json").exists():
        raise UsageError(f"{path} is a run; to go on with it: neocog train --resume {path}")
    if brings_pictures(path):
        found = extent(path)
        recipe, reasons = chapters.for_folder(found)
        name = path.name.split(".")[0] if path.is_file() else path.resolve().name
        return Asked(recipe, name or "photos", path, reasons)
    if path.is_file():
        return Asked(from_json(read_json(path), within=str(path)), path.stem)
    if what in chapters.RECIPES:
        return Asked(chapters.RECIPES[what], what)
    if what in chapters.FOR_DATA:
        name = chapters.FOR_DATA[what]
        return Asked(
            chapters.RECIPES[name],
            what,
            reasons=(f"{what}: recipe '{name}', {chapters.RECIPES[name].title}",),
        )
    if path.suffix or len(path.parts) > 1:
        raise UsageError(
            f"there is no file or folder at {what}; "
            "give a recipe, a recipe.json, a data set or a folder of pictures"
        )
    raise unknown("recipe, data set or folder", what, [*chapters.RECIPES, *chapters.FOR_DATA])


def _model(model: str | Path) -> Model:
    if Path(model).suffix == ".json":
        return Model(layers=layers_of(read_json(Path(model))))
    return Model(name=architecture(str(model)).name)


def _drive(
    job: Training,
    run: Run,
    *,
    resume: bool,
    remarks: Sequence[str],
    watchers: Sequence[Callable[[Run], Watcher]],
    stop: Callable[[], bool] | None,
) -> Run:
    """Run the job to its end, hand every event to every watcher, and leave the run's pictures and figures."""
    begun = time.monotonic()
    reason = "done"
    with contextlib.ExitStack() as stack:
        stack.enter_context(run.alone())
        stack.enter_context(deterministic())
        stack.enter_context(torch.random.fork_rng(devices=[]))
        signals = stack.enter_context(_signals())
        listening: list[Watcher] = [Record(run), *(_entered(stack, make(run)) for make in watchers)]
        _first_batch(job, run)

        def stopping() -> bool:
            return signals.received is not None or (stop is not None and stop())

        try:
            for event in job.events(run, resume=resume, stop=stopping):
                if isinstance(event, Finished):
                    reason = event.reason
                for watcher in listening:
                    watcher(_with_remarks(event, remarks))
        except (RuntimeError, MemoryError) as error:
            raise _explained(error, job.recipe) from error
    seconds = time.monotonic() - begun
    if reason == "interrupted":
        _note(run, seconds)
        raise Interrupted(
            f"interrupted; the state is saved. To go on: neocog train --resume {run.path}",
            exit_code=128 + (signals.received or signal.SIGINT),
        )
    _conclude(job, run, seconds, reason)
    return run


def _with_remarks(event: Event, remarks: Sequence[str]) -> Event:
    if isinstance(event, Started) and remarks:
        return Started(event.step, event.steps, event.steps_per_epoch, event.epochs, tuple(remarks))
    return event


def _entered(stack: contextlib.ExitStack, watcher: Watcher) -> Watcher:
    """A watcher that holds something open (a live line) is closed with the training."""
    if isinstance(watcher, contextlib.AbstractContextManager):
        stack.enter_context(watcher)
    return watcher


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


def _conclude(job: Training, run: Run, seconds: float, reason: str) -> None:
    """Curves, the test accuracy (evaluate's own measurement, on the saved model file, in float32), and its
    answers, which the report shares. The training pictures are not needed any more.
    """
    if job.recipe.data.name != GIVEN:
        job.dataset.free_train()
    give_back_memory()
    write_bytes(run.path / "curves.png", charts.training_curves(run.metrics()))
    result: dict[str, Any] = {"reason": reason, "epochs": len(run.metrics()), "test_accuracy": None}
    trained, dataset = load_model(run.model_file), job.dataset
    measured = next((name for name in ("test", "val") if name in dataset.splits), None)
    answers = collect(trained, dataset.split(measured), measured, job.world.device) if measured else None
    remarks: tuple[str, ...] = ()
    if answers is not None:
        remarks = keep_answers(run.path / ANSWERS_FILE, answers, dataset, run.model_file)
    if answers is not None and measured == "test":
        result |= {f"test_{name}": value for name, value in answers.report.result().items()}
    _note(run, seconds, result, remarks)
    write_report(run.report_file, Subject(trained=trained, dataset=dataset, answers=answers, run=run))


def _note(
    run: Run, seconds: float, result: dict[str, Any] | None = None, remarks: Sequence[str] = ()
) -> None:
    facts = run.facts()
    facts["seconds"] = round(facts.get("seconds", 0.0) + seconds, 3)
    facts["remarks"] = list(dict.fromkeys((*facts.get("remarks", ()), *remarks)))
    run.write_facts({**facts, **({"result": result} if result is not None else {})})


def _first_batch(job: Training, run: Run) -> None:
    """The first pictures as the network sees them: augmented, placed and scaled, then scaled back to be
    looked at.
    """
    x, y = next(job.batches(0))
    x, y = x[:32].float().cpu(), y[:32].cpu()
    low, high = x.amin(), x.amax()
    shown = ((x - low) / (high - low).clamp(min=1e-6) * 255).round().to(torch.uint8)
    png = grids.grid(
        list(shown.numpy()),
        titles=targets.named(y, job.dataset.classes),
        caption="the first batch as the network sees it; "
        f"values from {float(low):.3g} (black) to {float(high):.3g} (white)",
    )
    write_bytes(run.path / "first_batch.png", png)


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


def _explained(error: RuntimeError | MemoryError, recipe: Recipe) -> BaseException:
    """Out of memory in words; anything else is a bug and stays what it is."""
    text = str(error)
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        half = max(recipe.batch // 2, 1)
        return OutOfMemory(
            f"a batch of {recipe.batch} pictures does not fit into memory; try --batch-size {half}"
        )
    return error


@dataclass(slots=True)
class _Signals:
    received: int | None = None


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    """While training, Ctrl-C and SIGTERM set a flag that the loop reads after each step; a second Ctrl-C
    ends at once.
    """
    seen = _Signals()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return

    def handler(number: int, frame: FrameType | None) -> None:
        if seen.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.received = number

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, old in before.items():
            signal.signal(number, old)
