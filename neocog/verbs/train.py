"""train: a recipe goes in, a run comes out."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from neocog import cores
from neocog.data import load
from neocog.data.dataset import Dataset
from neocog.data.folders.picture_cache import Progress
from neocog.data.loading import given
from neocog.errors import CheckFailed, UnreadableError, UsageError
from neocog.events import Watcher
from neocog.files import require_named
from neocog.model import Trained, require_there
from neocog.recipes.recipe import Recipe, from_json, override
from neocog.runs.beginning import write as begin
from neocog.runs.metrics import brought_back, put
from neocog.runs.run import UNREPORTED, Run, open_run
from neocog.show.words import plural
from neocog.training.driving import drive
from neocog.training.forecast import Forecast
from neocog.training.forecast import forecast as foreseen
from neocog.training.loop import prepare
from neocog.training.order import Order, in_commands
from neocog.training.own import NOTHING, Own
from neocog.training.ranks import Ranks, joined, require_alone
from neocog.training.resuming import (
    change,
    goes_on,
    require_carriable,
    require_same_recipe,
    require_unsaved,
    settled,
)
from neocog.transfer.start import asked as borrowed_again
from neocog.world import as_many_threads, find
from neocog.world import facts as world_facts

Engine = Literal["torch", "numpy"]


def train(
    what: str | Path | Recipe,
    *,
    data: str | Path | None = None,
    model: str | Path | None = None,
    start: str | Path | Run | Trained | None = None,
    tune: Sequence[str] = (),
    changes: Sequence[str] = (),
    out: Path | str | None = None,
    device: str = "auto",
    watchers: Sequence[Callable[[Run], Watcher]] = (),
    progress: Progress | None = None,
    dataset: Dataset | None = None,
    stop: Callable[[], bool] | None = None,
    own: Own = NOTHING,
    engine: Engine = "torch",
) -> Run:
    """Train what `what` names: a recipe, its name, its JSON file, a data set, or a folder of pictures.

    `data` and `model` (a name of the zoo or a JSON layer list) replace the recipe's own; `changes` are
    "field=value" texts such as "optim.lr=0.05". `start` lends its features (a network of the zoo with public
    weights, a run, a file; "nothing" for none); `tune` names stages: in the end what comes after each is
    freed, one after the other. The run's folder is `out`, or runs/NAME numbered. `progress` hears how many
    pictures of a folder are decoded. `dataset` takes the place of the recipe's pictures, placed as its
    preprocessing says where they have another size; `own` brings a loss or an augmentation. `stop` is asked
    after every step: when it says true, and after Ctrl-C or SIGTERM, the state is saved and `Interrupted`
    raised. `CheckFailed` when the loss stops being finite.
    Begun by torchrun, several processes train together, see docs/speed.md: all but the first end with the
    training (`SystemExit`). `engine` "numpy" has every sum done by the NumPy mirror: for layer lists, plain
    descent, small pictures.
    """
    with joined() as ranks, as_many_threads(cores.free()):
        order = Order(
            what=what,
            data=data,
            model=model,
            start=start,
            tune=tune,
            changes=changes,
            out=out,
            device=device,
            dataset=dataset,
            own=own,
            engine=engine,
            ranks=ranks,
        )
        ready = ranks.in_turn(lambda: order.ready(progress if ranks.first else None))
        live = ready.job.begun()
        with _opened(ranks, ready.place.taken) as (run, of_lock):
            remarks = (*ready.remarks, *of_lock)
            if ranks.first:
                begin(run, ready.job.recipe, {**ready.facts, "remarks": list(remarks)})
            return drive(ready.job, run, live, remarks=remarks, watchers=watchers, stop=stop)


@contextlib.contextmanager
def _opened(
    ranks: Ranks, taken: Callable[[], contextlib.AbstractContextManager[tuple[Run, tuple[str, ...]]]]
) -> Iterator[tuple[Run, tuple[str, ...]]]:
    """The run that the first rank has `taken`, with its lock's remarks; for the others only where it is."""
    if not ranks.first:
        yield Run(Path(ranks.text(""))), ()
        return
    with taken() as (run, remarks):
        ranks.text(str(run.path))
        yield run, remarks


def forecast(
    what: str | Path | Recipe,
    *,
    data: str | Path | None = None,
    model: str | Path | None = None,
    start: str | Path | Run | Trained | None = None,
    tune: Sequence[str] = (),
    changes: Sequence[str] = (),
    out: Path | str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    dataset: Dataset | None = None,
    own: Own = NOTHING,
    engine: Engine = "torch",
) -> Forecast:
    """What `train`, given the same, will cost in time, memory and disk, from a piece of it that is done in a
    folder that is thrown away. Nothing is written but the caches that the training then finds. `UsageError`
    where several processes are to train together: it would say what one alone costs.
    """
    require_alone("--dry-run")
    order = Order(
        what=what,
        data=data,
        model=model,
        start=start,
        tune=tune,
        changes=changes,
        out=out,
        device=device,
        dataset=dataset,
        own=own,
        engine=engine,
    )
    with as_many_threads(cores.free()):
        begun = time.monotonic()
        ready = order.ready(progress)
        reading = time.monotonic() - begun
        return foreseen(ready.job, ready.facts, reading_seconds=reading, remarks=ready.remarks)


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
    was given in Python (`dataset`, `own`) is given again. As many threads do the sums as before, unless
    OMP_NUM_THREADS says otherwise.
    """
    require_named(path, data)
    run = open_run(Path(path))
    with (
        joined() as ranks,
        run.alone() if ranks.first else contextlib.nullcontext(()) as of_lock,
        as_many_threads(run.facts().get("threads")),
    ):
        before = run.recipe()
        facts = settled(run.facts(), before)
        require_same_recipe(run, before, facts)
        recipe = _longer(override(before, changes), epochs)
        require_carriable(run, before, recipe)
        _require_unfinished(run, facts, recipe)
        _same_own(run, facts, own)
        _require_torch(run, facts)
        where = Path(data) if data is not None else Path(facts["where"]) if facts["where"] else None
        if dataset is None:
            if data is None and where is not None:
                require_there(where)
            heard = progress if ranks.first else None
            dataset = ranks.in_turn(
                lambda: load(recipe.data, where=where, preprocess=recipe.preprocess, progress=heard)
            )
        else:
            dataset = given(dataset, recipe.preprocess)
        _same_data(run, facts, dataset)
        precision = facts["precision"] if recipe.precision == "auto" else recipe.precision
        world = find(device, precision, facts.get("masks", BEFORE["masks"]))
        saved = run.saved_state()
        if saved is None:
            require_unsaved(run, facts)
        lost = recipe.start if saved is None else None  # killed before a state held the borrowed features
        there = facts.get("start", {}).get("where")
        eyes = borrowed_again(lost, there) if lost is not None else None
        job = replace(prepare(recipe, dataset, world, own, eyes), ranks=ranks)
        if saved is not None and saved.recipe is None and "state_recipe" in facts:
            then = from_json(facts["state_recipe"], within=str(run.facts_file))
        else:
            then = before
        going = goes_on(job, run, saved, then)
        wanted, damaged = brought_back(run.metrics_file, saved)
        now = {**world_facts(world), "processes": ranks.number}
        elsewhere = _not_the_machine(facts, now, asked=recipe.precision != before.precision)
        said = (*going.remarks, *elsewhere, *job.remarks_of_ranks(), *damaged, *of_lock)
        new = {
            **{name: value for name, value in facts.items() if name not in OF_THE_END},
            **now,
            "where": str(where.resolve()) if where is not None else None,
            "command": _and_resumed(facts.get("command", ""), run, epochs, changes, data),
            "remarks": list(dict.fromkeys((*facts.get("remarks", ()), *said))),
        }
        if saved is not None and saved.recipe is None:
            new["state_recipe"] = then.json()
        ranks.wait()  # all have read what the first now writes
        if ranks.first:
            change(run, before, recipe, facts, new)
            put(run.metrics_file, wanted)
        return drive(job, run, going.live, remarks=said, watchers=watchers, stop=stop)


def _require_unfinished(run: Run, facts: dict[str, Any], recipe: Recipe) -> None:
    """`UsageError` where everything that is asked is done, with all that a training leaves behind. Where
    something of that is missing or its metrics are damaged, the ending is taken up again, which mends them.
    """
    done = facts.get("result", {}).get("epochs", 0)
    if "result" not in facts or facts.get(UNREPORTED) or recipe.epochs > done or not run.concluded():
        return
    with contextlib.suppress(UnreadableError):
        run.metrics()
        raise UsageError(
            f"{run.path} is finished ({plural(done, 'epoch')}); "
            f"for more: neocog train --resume {run.path} --epochs N"
        )


BEFORE = {"masks": "torch", "processes": 1}
"""What held before runs had a fact of that name."""

OF_THE_END = ("result", UNREPORTED)
"""Facts of a training that has come to its end."""


def _longer(recipe: Recipe, epochs: int | None) -> Recipe:
    """The recipe with so many epochs in all: the last phase is stretched, or cut."""
    if epochs is None or epochs == recipe.epochs:
        return recipe
    before = recipe.epochs - recipe.phases[-1].epochs
    if epochs <= before or epochs < 1:
        raise UsageError(
            f"--epochs {epochs}: the last of the run's {len(recipe.phases)} phases begins after "
            f"{plural(before, 'epoch')}; ask for more than that"
            if before
            else f"--epochs {epochs}: a run has at least 1 epoch"
        )
    return override(recipe, [f"phases.{len(recipe.phases) - 1}.epochs={epochs - before}"])


def _same_own(run: Run, facts: dict[str, Any], own: Own) -> None:
    before = facts.get("own", {})
    if own.names() != before:
        raise UsageError(
            f"{run.path} was begun with {before or 'nothing'} of one's own, "
            f"now {own.names() or 'nothing'} is given; give the same: own=Own(...)"
        )


def _require_torch(run: Run, facts: dict[str, Any]) -> None:
    """`UsageError` for a training of the NumPy engine: it keeps no state to go on from."""
    if facts.get("engine", "torch") != "torch":
        raise UsageError(
            f"{run.path} was trained by the NumPy engine, which cannot go on with a run; "
            f"begin again: {facts.get('command', 'neocog train ... --engine numpy')}"
        )


def _not_the_machine(facts: dict[str, Any], now: dict[str, Any], *, asked: bool) -> tuple[str, ...]:
    """A remark where the world is not the one of before; a precision that was asked for is no surprise, and
    how threads wait is no part of the result.
    """
    facts = {**BEFORE, **facts}
    unsurprising = ("precision",) if asked else ()
    changed = [
        f"{key} was {facts.get(key)}, is {now[key]}"
        for key in now
        if facts.get(key) != now[key] and key not in (*unsurprising, "waiting")
    ]
    if not changed:
        return ()
    return (f"not the machine of before ({'; '.join(changed)}): the result may differ in its last bits",)


def _and_resumed(
    command: str, run: Run, epochs: int | None, changes: Sequence[str], data: str | Path | None
) -> str:
    """The command that began the run, and then this one, where it changes anything."""
    words = ["--epochs", str(epochs)] if epochs is not None else []
    words += [word for change in changes for word in ("--set", change)]
    words += ["--data", in_commands(data)] if data is not None else []
    if not words:
        return command
    return f"{command} && {shlex.join(['neocog', 'train', '--resume', run.path.resolve().name, *words])}"


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
            "put them back, say with --data where those of the start are, or start a new run"
        )
