"""Resuming: a training goes on from its saved state, under a recipe that may have changed since.

Each change is carried out right, and said, or refused before a byte is written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from neocog import sealed
from neocog.data.batches import cuts
from neocog.errors import CheckFailed, UnreadableError, UsageError
from neocog.optim.average import Average
from neocog.optim.groups import grouped
from neocog.optim.optimizers import Optimizer
from neocog.optim.settings import Optim
from neocog.recipes.recipe import Phase, Recipe
from neocog.runs.run import Run
from neocog.runs.state import Live, Saved, State, load_optimizer
from neocog.show.words import plural
from neocog.training.loop import Training
from neocog.zoo import Network

FIXED = {
    "data": "decides which pictures are trained on",
    "model": "is the network itself",
    "start": "lent the features that it began with",
    "preprocess": "decides what the network sees",
    "task": "decides what is learnt",
    "seed": "decides every draw from the first on",
}
"""Fields that cannot change in a run under way, and why."""

COMING = "coming"
"""In the facts while a changed recipe is written: it, and the facts that belong to it."""

ALIKE = (frozenset({"momentum", "nesterov"}), frozenset({"adam", "adamw"}))
"""Optimizers that remember the same of past gradients."""


@dataclass(frozen=True, slots=True)
class Going:
    """A training that goes on: `live` holds the saved state, `remarks` say what is not as it was."""

    live: Live
    remarks: tuple[str, ...]


def require_carriable(run: Run, before: Recipe, recipe: Recipe) -> None:
    """`UsageError` for a change that a training under way cannot take."""
    for field in changed(before, recipe):
        if why := FIXED.get(field.split(".")[0]):
            raise UsageError(
                f"{field} cannot change in a run under way, as it {why}; {run.anew} --set {field}=..."
            )


def require_unsaved(run: Run, facts: dict[str, Any]) -> None:
    """`UnreadableError` where a state was saved, and is gone: a training that begins anew would end with
    nothing of what was learnt.
    """
    metrics, events = (
        path.read_bytes() if path.exists() else b"" for path in (run.metrics_file, run.events_file)
    )
    if "result" in facts or metrics.count(b"\n") > 1 or b'"event": "saved"' in events:
        raise UnreadableError(
            f"{run.state_file} is missing, which held all that was learnt so far; restore it, or {run.anew}"
        )


def goes_on(job: Training, run: Run, saved: Saved | None, before: Recipe) -> Going:
    """The job from its saved state (from the start, where none was saved), under the job's recipe. `before`
    is the recipe of a state that says none. Nothing is written.

    `UsageError` for a change that the state does not allow.
    """
    said = tuple(_in_words(before, job.recipe, job.plan.per_epoch))
    if saved is None:
        return Going(job.begun(), said)
    old, recipe, network = saved.recipe or before, job.recipe, job.trained.network
    state = saved.state(per_epoch=len(cuts(job.plan.pictures, old.batch)), batch=old.batch)
    _require_best(run, state)
    _require_ahead(run, state, recipe)
    _require_same_order(run, state, old, recipe)
    try:
        network.load_state_dict(saved.part("network/"))
    except RuntimeError as error:
        raise UnreadableError(
            f"{saved.path} does not hold the network of {run.recipe_file}; restore both"
        ) from error
    job.free(_phase(recipe, _last(state))[1])
    optimizer, memory = _optimizer(network, state, old, recipe, saved)
    average, mean = _average(network, recipe, saved)
    scaler = job.world.scaler()
    if saved.document["scaler"]:
        scaler.load_state_dict(saved.document["scaler"])
    if state.finished == "stopped early":
        state.patience_from = state.epoch
    state.finished = ""
    state.to(job.world.device)
    return Going(Live(network, optimizer, scaler, average, state), (*said, *memory, *mean))


def changed(before: Recipe, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """The fields that decide the training and differ, by their names for --set, with both values."""
    found: dict[str, tuple[Any, Any]] = {}

    def compare(a: Any, b: Any, name: str) -> None:
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            for key in a:
                compare(a[key], b[key], f"{name}.{key}" if name else key)
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b) and name == "phases":
            for number, (one, other) in enumerate(zip(a, b)):
                compare(one, other, f"{name}.{number}" if len(a) > 1 else "")
        elif a != b:
            found[name] = (a, b)

    left_out = {"title", "source", "expect"}
    compare(
        before.model_dump(mode="json", exclude=left_out), recipe.model_dump(mode="json", exclude=left_out), ""
    )
    return found


def _in_words(before: Recipe, recipe: Recipe, per_epoch: int) -> Iterator[str]:
    for field, (old, new) in changed(before, recipe).items():
        if field.split(".")[-1] == "epochs":
            continue
        yield f"from here on {field} is {new} in place of {old}"
    if before.epochs != recipe.epochs:
        asked, done = (
            plural(recipe.epochs, "epoch"),
            "stretched" if recipe.epochs > before.epochs else "shortened",
        )
        yield f"{asked} in place of {before.epochs}: the schedule is {done} from here"
    if before.batch != recipe.batch:
        yield f"an epoch now takes {plural(per_epoch, 'step')}; each of its pictures still counts once"


def _require_best(run: Run, state: State) -> None:
    """`UnreadableError` where the best network so far is lost: no later epoch need be better."""
    if state.best_epoch is None:
        return
    try:
        sealed.read(run.model_file)
    except UnreadableError as error:
        raise UnreadableError(
            f"{error}; it is the network of epoch {state.best_epoch}, the best so far: restore it, "
            f"or {run.anew}"
        ) from error


def _require_ahead(run: Run, state: State, recipe: Recipe) -> None:
    done = state.epoch
    if recipe.epochs < done or (recipe.epochs == done and state.rows):
        under_way = f", and epoch {done + 1} is under way" if state.rows else ""
        raise UsageError(
            f"{run.path} has done {plural(done, 'epoch')}{under_way}; fewer cannot be asked of it: "
            f"--epochs {done + bool(state.rows)} or more, or a new run"
        )


def _require_same_order(run: Run, state: State, old: Recipe, recipe: Recipe) -> None:
    """Within an epoch the pictures keep their order, or some would be seen twice and others never."""
    ways = [(r.order, r.balance == "sampler") for r in (old, recipe)]
    if state.rows and ways[0] != ways[1]:
        raise UsageError(
            f"the order of the pictures cannot change within epoch {state.epoch + 1}; finish it first: "
            f"neocog train --resume {run.path} --epochs {state.epoch + 1}"
        )


def _optimizer(
    network: Network, state: State, old: Recipe, recipe: Recipe, saved: Saved
) -> tuple[Optimizer, tuple[str, ...]]:
    """The optimizer of the phase that the last done step belongs to, with the saved memory where it fits."""
    (was, before), (now, phase) = _phase(old, _last(state)), _phase(recipe, _last(state))
    optimizer = Optimizer(phase.optim, network)
    if not state.step:
        return optimizer, ()
    if was != now or not _alike(before.optim, phase.optim):
        return optimizer, ("the optimizer begins without memory of past gradients, as it is another one",)
    places = {name: place for place, name in enumerate(_names(network, phase.optim))}
    names = _names(network, before.optim)
    states = saved.optimizer()
    if (
        before.freeze != phase.freeze
        or set(names) != set(places)
        or any(place >= len(names) for place in states)
    ):
        return optimizer, ("the optimizer begins without memory of past gradients, as others learn now",)
    load_optimizer(optimizer, {places[names[place]]: memory for place, memory in states.items()})
    return optimizer, ()


def _last(state: State) -> int:
    """The epoch that the last done step belongs to."""
    return max(state.epoch - (state.rows == 0), 0)


def _phase(recipe: Recipe, epoch: int) -> tuple[int, Phase]:
    """Number and phase of `epoch`; of one after the end, the last."""
    first = 0
    for number, phase in enumerate(recipe.phases):
        first += phase.epochs
        if epoch < first:
            return number, phase
    return len(recipe.phases) - 1, recipe.phases[-1]


def _alike(one: Optim, other: Optim) -> bool:
    """Whether what the one remembers is what the other needs."""
    return one.kind == other.kind or any({one.kind, other.kind} <= kinds for kinds in ALIKE)


def _names(network: Network, optim: Optim) -> list[str]:
    """The parameters that learn, in the order in which an optimizer counts them."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    return [names[id(parameter)] for group in grouped(network, optim) for parameter in group.parameters]


def _average(network: Network, recipe: Recipe, saved: Saved) -> tuple[Average, tuple[str, ...]]:
    """The running mean: as saved, or beginning with the weights of now."""
    average, kept = Average(network, recipe.average), saved.part("average/")
    if kept and recipe.average:
        average.load(kept)
        return average, ()
    if recipe.average:
        return average, ("the running mean of the weights begins here",)
    given_up = "the running mean of the weights is given up: the network itself is measured"
    return average, (given_up,) if kept else ()


def settled(facts: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """The facts that belong to `recipe`, which recipe.json holds: a resume that was stopped while it wrote a
    changed one leaves both those of before and those that were to come.
    """
    coming = facts.get(COMING)
    if coming is not None and coming["recipe"] == recipe.json():
        return dict(coming["facts"])
    return {name: value for name, value in facts.items() if name != COMING}


def require_same_recipe(run: Run, recipe: Recipe, facts: dict[str, Any]) -> None:
    """`CheckFailed` where recipe.json is not the recipe that the facts know. Of a version that did not keep
    the facts to come they know both while a changed recipe is written.
    """
    known = recipe.identity in (facts["recipe_identity"], facts.get("recipe_identity_next"))
    if recipe.start is not None:  # the identity leaves its name out, which the model file tells on
        known &= facts.get("start", {}).get("name", recipe.start.name) == recipe.start.name
    if not known:
        raise CheckFailed(
            f"{run.recipe_file} was changed since {run.path} was begun; put it back, "
            "and give changes with --set FIELD=VALUE"
        )


def change(run: Run, before: Recipe, recipe: Recipe, facts: dict[str, Any], new: dict[str, Any]) -> None:
    """Write the `recipe` in force, which was `before`, and the `new` facts in place of `facts`. A kill or a
    full disk at any moment leaves a pair that belongs together, see `settled`.
    """
    new = {name: value for name, value in new.items() if name != "recipe_identity_next"}
    new["recipe_identity"] = recipe.identity
    if recipe.json() != before.json():
        run.write_facts({**facts, COMING: {"recipe": recipe.json(), "facts": new}})
        run.write_recipe(recipe)
    run.write_facts(new)
