"""What may change in a run under way, and what is said of it; nothing is trained here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neocog.errors import CheckFailed, UsageError
from neocog.optim.settings import Optim
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import Recipe, Start, override
from neocog.runs.run import Run
from neocog.training import resuming

M1 = RECIPES["m1"]
TWO = M1.model_copy(update={"phases": M1.phases * 2})
RUN = Run(Path("runs/a"))


def test_changes_by_their_names_for_set() -> None:
    assert resuming.changed(M1, M1) == {}
    assert resuming.changed(M1, override(M1, ["title=another"])) == {}
    assert resuming.changed(M1, override(M1, ["batch=64", "optim.lr=0.5", "data.limit=9"])) == {
        "batch": (128, 64), "optim.lr": (0.01, 0.5), "data.limit": (None, 9),
    }  # fmt: skip
    assert resuming.changed(TWO, override(TWO, ["phases.1.epochs=3"])) == {"phases.1.epochs": (20, 3)}
    assert list(resuming.changed(M1, TWO)) == ["phases"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("data.limit=9", "decides which pictures are trained on"),
        ("model.init=he", "is the network itself"),
        ("preprocess.scale=raw", "decides what the network sees"),
        ("task=multilabel", "decides what is learnt"),
        ("seed=9", "decides every draw from the first on"),
    ],
)
def test_what_cannot_change_and_why(change: str, why: str) -> None:
    field = change.partition("=")[0]
    with pytest.raises(UsageError) as refused:
        resuming.require_carriable(RUN, M1, override(M1, [change]))
    assert str(refused.value) == (
        f"{field} cannot change in a run under way, as it {why}; "
        f"begin a new run: neocog train runs/a/recipe.json --set {field}=..."
    )
    resuming.require_carriable(RUN, M1, override(M1, ["batch=9", "optim.kind=adam", "epochs=30"]))


def test_changes_in_words() -> None:
    other = override(M1, ["batch=64", "optim.lr=0.5", "epochs=1"])
    assert list(resuming._in_words(M1, other, 7)) == [
        "from here on optim.lr is 0.5 in place of 0.01",
        "from here on batch is 64 in place of 128",
        "1 epoch in place of 20: the schedule is shortened from here",
        "an epoch now takes 7 steps; each of its pictures still counts once",
    ]
    longer = "30 epochs in place of 20: the schedule is stretched from here"
    assert list(resuming._in_words(M1, override(M1, ["epochs=30"]), 7)) == [longer]
    assert list(resuming._in_words(M1, M1, 7)) == []


def test_which_optimizers_remember_the_same() -> None:
    def alike(one: str, other: str) -> bool:
        kinds: list[Any] = [one, other]
        return resuming._alike(*(Optim(kind=kind) for kind in kinds))

    assert alike("sgd", "sgd")
    assert alike("momentum", "nesterov")
    assert alike("adamw", "adam")
    assert not alike("adam", "momentum")
    assert not alike("rmsprop", "adam")


def test_the_phase_of_the_last_step() -> None:
    numbers = [resuming._phase(TWO, epoch)[0] for epoch in (0, 19, 20, 39, 40)]
    assert numbers == [0, 0, 1, 1, 1]
    for epoch, rows, last in ((0, 0, 0), (3, 0, 2), (3, 5, 3)):
        state: Any = SimpleNamespace(epoch=epoch, rows=rows)
        assert resuming._last(state) == last


@pytest.mark.parametrize(
    ("epochs", "rows", "words"),
    [
        (3, 0, None),
        (2, 0, "runs/a has done 3 epochs; fewer cannot be asked of it: --epochs 3 or more, or a new run"),
        (
            3,
            5,
            "runs/a has done 3 epochs, and epoch 4 is under way; fewer cannot be asked of it: --epochs 4 or "
            "more, or a new run",
        ),
        (4, 5, None),
    ],
)
def test_no_fewer_epochs_than_are_done(epochs: int, rows: int, words: str | None) -> None:
    state: Any = SimpleNamespace(epoch=3, rows=rows)
    said = None
    try:
        resuming._require_ahead(RUN, state, override(M1, [f"epochs={epochs}"]))
    except UsageError as error:
        said = str(error)
    assert said == words


def test_the_order_changes_between_epochs_only() -> None:
    ordered = override(M1, ["order=as given"])
    for rows, other in ((0, ordered), (5, M1)):
        state: Any = SimpleNamespace(epoch=3, rows=rows)
        resuming._require_same_order(RUN, state, M1, other)
    for other in (ordered, override(M1, ["balance=sampler"])):
        with pytest.raises(UsageError, match=r"within epoch 4; .* --resume runs/a --epochs 4$"):
            resuming._require_same_order(RUN, state, M1, other)


class Written:
    """A run that notes what is written into it, in order."""

    def __init__(self) -> None:
        self.done: list[Any] = []

    def write_facts(self, facts: dict[str, Any]) -> None:
        self.done.append(dict(facts))

    def write_recipe(self, recipe: Recipe) -> None:
        self.done.append(recipe.identity)


def test_recipe_and_facts_belong_together_at_every_moment() -> None:
    other, run = override(M1, ["batch=64"]), Written()
    facts, new = (
        {"n": 1, "recipe_identity": M1.identity},
        {"n": 2, "recipe_identity_next": "of a kill before"},
    )
    resuming.change(run, M1, other, facts, new)  # type: ignore[arg-type]
    after = {"n": 2, "recipe_identity": other.identity}
    between = {**facts, resuming.COMING: {"recipe": other.json(), "facts": after}}
    assert run.done == [between, other.identity, after]
    same = Written()
    resuming.change(same, M1, M1, facts, new)  # type: ignore[arg-type]
    assert same.done == [{"n": 2, "recipe_identity": M1.identity}]
    older = {"recipe_identity": M1.identity, "recipe_identity_next": other.identity}
    for recipe in (M1, other):
        resuming.require_same_recipe(RUN, recipe, older)
    with pytest.raises(
        CheckFailed, match=r"^runs/a/recipe.json was changed since runs/a was begun; put it back"
    ):
        resuming.require_same_recipe(RUN, override(M1, ["batch=9"]), older)


def test_borrowed_eyes_of_another_name_are_another_recipe() -> None:
    lent = M1.model_copy(update={"start": Start(name="lenet")})
    facts = {"recipe_identity": lent.identity, "start": {"name": "vgg16"}}
    with pytest.raises(CheckFailed):
        resuming.require_same_recipe(RUN, lent, facts)
    resuming.require_same_recipe(RUN, lent, {**facts, "start": {"name": "lenet"}})
    resuming.require_same_recipe(RUN, lent, {"recipe_identity": lent.identity})
