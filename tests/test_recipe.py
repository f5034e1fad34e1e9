"""Recipes: JSON both ways, typed changes, and refusals that name the field and the nearest spelling."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from neocog.data.folders.extent import Extent
from neocog.errors import UnreadableError, UsageError
from neocog.recipes.asked import asked
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
        ("preprocess.scale=128", lambda r: r.preprocess.scale == "128"),
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


MODEST = "are few for a network that starts from nothing: expect modest accuracy"
VARIED = {"rotation": 10.0, "shift_height": 0.1, "shift_width": 0.1, "zoom": 0.1}


@pytest.mark.parametrize(
    ("found", "changes", "filters", "reasons"),
    [
        (
            Extent(100, 2, (480, 640)),
            {
                "preprocess": {"size": [96, 96], "channels": 3, "scale": "channels"},
                "augment": {"flip": "horizontal", **VARIED},
                "epochs": 60,
                "batch": 16,
                "title": "100 pictures of one's own in 2 classes",
            },
            [32, 64, 128, 256],
            (
                "size 96x96, padded so that nothing is cut off: a CPU trains that in minutes",
                "colour, as the pictures are",
                "60 epochs in batches of 16, about 420 steps: few pictures need as many as many do",
                "flips, shifts, small rotations and zooms make up for few pictures; label smoothing against "
                "overconfidence",
                f"about 50 pictures a class {MODEST}",
            ),
        ),
        (
            Extent(1000, 10, (28, 30), grey=True, imbalance=8.0),
            {
                "preprocess": {"size": [28, 30], "channels": 1, "scale": "channels"},
                "augment": VARIED,
                "epochs": 26,
                "batch": 32,
                "balance": "loss",
                "title": "1000 pictures of one's own in 10 classes",
            },
            [32, 64, 128],
            (
                "size 28x30, as the pictures are",
                "grey, as the pictures are",
                "26 epochs in batches of 32, about 832 steps: few pictures need as many as many do",
                "shifts, small rotations and zooms, but no flips: small grey pictures may be signs, which "
                "mirroring changes",
                "the largest class has 8 times the smallest: the loss lets each class count alike",
                f"about 100 pictures a class {MODEST}",
            ),
        ),
    ],
)
def test_a_folders_recipe_in_full(
    found: Extent, changes: dict[str, object], filters: list[int], reasons: tuple[str, ...]
) -> None:
    recipe, said = for_folder(found)
    document = recipe.json()
    layers = document.pop("model")["layers"]
    changes = dict(changes)
    optim = {"kind": "adamw", "lr": 0.003, "weight_decay": 0.05, "clip": 1.0, "schedule": "one-cycle"}
    phase = {"epochs": changes.pop("epochs"), "optim": optim, "augment": changes.pop("augment")}
    assert document == {
        "data": {"name": "folder", "held_out": 0.15}, "phases": [phase], "label_smoothing": 0.1,
        "coverage": 0.95, "source": "ours", **changes,
    }  # fmt: skip
    body = [
        layer
        for n in filters
        for layer in (
            {"kind": "conv", "filters": n, "kernel": 3, "padding": "same", "bias": False},
            {"kind": "batchnorm", "momentum": 0.9},
            {"kind": "relu"},
            {"kind": "maxpool", "padding": "same"},
        )
    ]
    head = {"kind": "dense", "units": "classes", "activation": "softmax"}
    assert layers == [*body, {"kind": "globalpool"}, {"kind": "dropout", "rate": 0.3}, head]
    assert recipe.model.init == "he"
    assert said == reasons


def test_where_a_folders_recipe_changes() -> None:
    def made(pictures: int = 4000, size: tuple[int, int] | None = (64, 64), **more: Any) -> Any:
        recipe, reasons = for_folder(Extent(pictures, 2, size, **more))
        return recipe, " ".join(reasons)

    assert [made(n)[0].batch for n in (319, 320)] == [16, 32]
    assert [made(n)[0].epochs for n in (10**9, 1, 640)] == [15, 60, 40]
    assert [made(size=(9, n))[0].preprocess.size for n in (64, 65)] == [(9, 64), (96, 96)]
    assert made(size=None)[0].preprocess.size == (96, 96)
    assert [made(imbalance=n)[0].balance for n in (5.0, 5.01)] == ["none", "loss"]
    assert [made(size=(n, n), grey=True)[0].phases[0].augment.flip for n in (64, 65)] == [
        "none",
        "horizontal",
    ]
    assert [MODEST in made(n)[1] for n in (3999, 4000)] == [True, False]
    other = made(levels=(0.0, 4095.0), ground=0)[0].preprocess
    assert (other.levels, other.ground) == ((0.0, 4095.0), 0)


WORDS = {
    "lenet-mnist": ("LeNet on MNIST (M9, 10 epochs)", "A, M9: 99.15 % after 20 epochs, 99.1 % after 10"),
    "digits": ("M7's network on the embedded 8x8 digits", "ours"),
    "m0": ("dense 100 sigmoid", "B, M0: 94 %"),
    "m1": ("softmax regression", "A, M1: 90.71 %"),
    "m2": ("dense 400 sigmoid, pixels 0..255", "B, M2: 96.5 %"),
    "m3": ("M2 with pixels 0..1", "B, M3: a little over 92 %"),
    "m4": ("M3 with Adadelta", "B, M4: 98.25 %"),
    "m5": ("M4 with ReLU", "B, M5: 98.4 %"),
    "m6": ("one convolution", "B, M6: 98.55 %"),
    "m7": ("two convolutions", "B, M7: 98.9 %"),
    "m8": ("two convolutions and dropout", "B, M8: over 99 %"),
    "m9": ("LeNet, 20 epochs", "A, M9: 99.15 %"),
    "m10": ("conv 8, conv 16, dense 32 with batch norm", "C, M10: 98.44 %"),
    "e1": ("three convolutions on Fashion-MNIST", "E, E1: 91.00 %"),
    "e2": ("500 pictures only", "E, E2: 79.24 %"),
    "e3": ("E2 with augmentation", "E, E3: 81.09 %"),
    "e7-dense": ("C's dense network on Fashion-MNIST", "C, E7"),
    "e7": ("C's convolutional network on Fashion-MNIST", "C, E7: 91.12 %"),
    "c0": ("dense network", "B, C0: about 50 %"),
    "c1": ("one convolution, dense 512", "A, C1: 66.86 %"),
    "c2": ("three blocks of two convolutions", "A, C2: 82 %"),
    "c3": ("C2 with augmentation", "A, C3: 85.91 %"),
    "c4": ("M8's network, pixels 0..255", "B, C4: 66 % after 10 epochs"),
    "c5": ("C4 with two more convolutions", "B, C5: 75 % after 20 epochs"),
    "c6": ("two pairs of convolutions, dense 512", "C, C6: about 74 %"),
    "c7": ("D's network, pixels 0..255, no shuffling", "D, C7: training accuracy 72.27 %"),
    "c9": ("C2 with strides in place of pooling", "B, C9: similar or better"),
    "g1": ("name the colour", "C, G1: 96.3 %"),
    "g2": ("name the shape", "C, G2: 96 %"),
    "g3": ("name colour and shape", "C, G3: 97 %"),
    "m12": (
        "restoring digits of which half is lost, dense 64-32-64",
        "D, M12: training loss 0.0777 after 10 epochs",
    ),
    "m12-fresh": ("M12 with damage drawn anew in every epoch", "ours"),
    "m12-conv": ("M12 with a convolutional network", "ours"),
    "m12-one-layer": ("M12 with one layer", "D: the 784 weights of a pixel as a picture"),
    "m14": ("restoring digits of 32x16 pixels, logistic 32-16-512", "D, M14: an exercise without a figure"),
    "restore": ("restoring photos of one's own", "ours"),
}
"""What a recipe is, and which book's experiment with which figure; A to E are the chapters' sources."""


def test_titles_and_sources() -> None:
    assert {name: (recipe.title, recipe.source) for name, recipe in RECIPES.items()} == WORDS


@pytest.mark.parametrize("data", ["./nowhere", "photos/", "../data.csv"])
def test_data_that_is_nowhere_is_a_path_that_is_not_there(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnreadableError, match=f"there is no file or folder at {re.escape(data)}; give a"):
        asked("m1", data)
    with pytest.raises(UsageError, match=r"unknown data set or folder 'mnits'.*did you mean 'mnist'"):
        asked("m1", "mnits")
