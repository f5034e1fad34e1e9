"""Recipes: JSON both ways, typed changes, and refusals that name the field and the nearest spelling."""

from __future__ import annotations

import json

import pytest

from neocog.data.folders.extent import Extent
from neocog.errors import UsageError
from neocog.recipes.chapters import FOR_DATA, RECIPES, for_folder, for_model
from neocog.recipes.recipe import Phase, from_json, override
from neocog.zoo import ZOO, Model


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    recipe = RECIPES[name]
    again = from_json(json.loads(json.dumps(recipe.json())))
    assert again == recipe
    assert again.identity == recipe.identity


def test_every_recipe_names_a_network_and_a_source() -> None:
    for name, recipe in RECIPES.items():
        assert recipe.model.name in ZOO or recipe.model.layers, name
        assert recipe.title
        assert recipe.source
    assert set(FOR_DATA.values()) <= set(RECIPES)


def test_identity_changes_with_what_decides_and_not_with_words() -> None:
    recipe = RECIPES["m0"]
    assert override(recipe, ["title=another"]).identity == recipe.identity
    for change in (
        "seed=1",
        "batch=11",
        "optim.lr=0.2",
        "data.held_out=0.2",
        "augment.flip=horizontal",
        "epochs=7",
    ):
        assert override(recipe, [change]).identity != recipe.identity, change


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ("optim.lr=0.05", lambda r: r.phases[0].optim.lr == 0.05),
        ("epochs=3", lambda r: r.epochs == 3),
        ("phases.0.optim.kind=adamw", lambda r: r.phases[0].optim.kind == "adamw"),
        ("augment.rotation=30", lambda r: r.phases[0].augment.rotation == 30),
        ("preprocess.size=[32,48]", lambda r: r.preprocess.size == (32, 48)),
        ("data.limit=500", lambda r: r.data.limit == 500),
        ("data.limit=null", lambda r: r.data.limit is None),
        ("stop.patience=4", lambda r: r.stop.patience == 4),
        ("model.name=m5", lambda r: r.model.name == "m5"),
        ("precision=float32", lambda r: r.precision == "float32"),
    ],
)
def test_override(change: str, read) -> None:  # type: ignore[no-untyped-def]
    changed = override(RECIPES["m0"], [change])
    assert read(changed)
    assert not read(RECIPES["m0"]) or change == "data.limit=null"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("optim.lrr=1", "unknown field of phases.0.optim 'lrr'; did you mean 'lr'"),
        ("epoch=1", "unknown field of recipe 'epoch'; did you mean 'epochs'"),
        ("optim.kind=adm", "optim.kind = 'adm'"),
        ("optim.lr=-1", "optim.lr = -1"),
        ("optim.lr=nan", "optim.lr"),
        ("batch=0", "batch = 0"),
        ("epochs=0", "epochs = 0"),
        ("batch", "is not FIELD=VALUE"),
        ("batch.size=3", "has no parts"),
        ("data.name=mnits", "unknown data set 'mnits'; did you mean 'mnist'"),
    ],
)
def test_a_wrong_change_is_refused_in_one_line(change: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        override(RECIPES["m0"], [change])
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_phases_must_be_named_where_there_are_two() -> None:
    recipe = RECIPES["m0"].model_copy(update={"phases": (Phase(epochs=1), Phase(epochs=2))})
    assert recipe.epochs == 3
    with pytest.raises(UsageError, match=r"2 phases; write phases\.0\.optim\.lr"):
        override(recipe, ["optim.lr=0.1"])
    assert override(recipe, ["phases.1.optim.lr=0.1"]).phases[1].optim.lr == 0.1


def test_a_foreign_document_is_refused() -> None:
    for document in ([], {"data": {"name": "mnist"}}, {"model": {"name": "m0"}, "data": {}, "extra": 1}):
        with pytest.raises(UsageError):
            from_json(document)


def test_another_network_brings_the_rate_that_it_needs() -> None:
    deep, reasons = for_model(RECIPES["c2"], Model(name="vgg16"))
    assert (deep.phases[0].optim.kind, deep.phases[0].optim.rate) == ("adam", 1e-4)
    assert deep.phases[0].epochs == RECIPES["c2"].phases[0].epochs
    assert "rmsprop at 0.001" in reasons[0]
    plain, none = for_model(RECIPES["c2"], Model(name="resnet20"))
    assert (plain.phases, plain.model.name, none) == (RECIPES["c2"].phases, "resnet20", ())


def test_folder_recipe_follows_the_folder() -> None:
    few, reasons = for_folder(Extent(100, 2, (480, 640)))
    many, _ = for_folder(Extent(20_000, 10, (480, 640)))
    assert few.epochs > many.epochs
    assert few.batch <= many.batch
    assert any("few" in reason for reason in reasons)
    assert few.preprocess.size == (96, 96)
    assert few.preprocess.channels == 3
    assert few.balance == "none"
    digits, words = for_folder(Extent(1000, 10, (28, 30), grey=True, imbalance=8.0))
    assert (digits.preprocess.size, digits.preprocess.channels) == ((28, 30), 1)
    assert digits.phases[0].augment.flip == "none"
    assert digits.balance == "loss"
    assert any("8 times" in word for word in words)
