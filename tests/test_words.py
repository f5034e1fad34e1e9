"""Words that are true: names in any letters, words of Keras, paths that are not there, odd numbers."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from torch import nn

import neocog
from neocog.arithmetic import walk
from neocog.data import load
from neocog.errors import ShapeError, UnreadableError, UsageError, unknown
from neocog.files import read_json, write_json
from neocog.model import open_trained, write_model
from neocog.recipes import chapters
from neocog.recipes.asked import asked, model_of
from neocog.recipes.recipe import override
from neocog.runs.run import Run
from neocog.show.words import WIDTH, duration, fitted
from neocog.training.watchers import Console
from neocog.zoo.layer_list import KINDS, parse


@pytest.mark.parametrize("path", ["./nowhere", "nowhere/", "nowhere/in", "x.safetensors"])
def test_a_path_that_is_not_there_is_no_unknown_name(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for ask in (
        neocog.train, neocog.evaluate, lambda p: neocog.predict(p, ["x.png"]), neocog.summary, neocog.look,
        neocog.weights, lambda p: neocog.train("digits", model=p),
    ):  # fmt: skip
        with pytest.raises(UnreadableError, match="there is no") as refusal:
            ask(path)  # type: ignore[operator]
        assert refusal.value.exit_code == 3


def test_names_are_understood_in_any_letters() -> None:
    assert asked("M9", None).recipe == asked("m9", None).recipe
    assert asked("MNIST", None).name == "mnist"
    assert model_of("VGG16").name == "vgg16"
    with pytest.raises(UsageError, match="--model vgg16"):
        asked("vgg16", None)


@pytest.mark.parametrize(
    ("theirs", "ours"), [("Conv2D", "conv"), ("MaxPool2d", "maxpool"), ("BatchNormalization", "batchnorm")]
)
def test_other_libraries_words_are_hinted_at(theirs: str, ours: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{ours}'"):
        parse([{"kind": theirs}])
    with pytest.raises(UsageError, match="did you mean 'flip'"):
        override(chapters.RECIPES["m9"], ["augment.horizontal_flip=true"])
    with pytest.raises(UsageError, match="did you mean 'shift_width'"):
        override(chapters.RECIPES["m9"], ["augment.width_shift_range=0.1"])


def test_no_message_lists_forty_names() -> None:
    many = [f"name{n}" for n in range(90)] + list(KINDS)
    text = str(unknown("thing", "nam3", many))
    assert len(text.split(",")) <= 12
    assert f"of {len(many)}" in text
    assert "name3" in text


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        "[" * 100000,
        '{"a": {"b": 1, "b": 1}}',
        "1" * 5000,
        r'{"title": "\ud83d"}',
        r'["\uDC00 first"]',
    ],
)
def test_documents_that_say_two_things_or_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UnreadableError, match="is not a JSON document") as refusal:
        read_json(path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    "layer",
    [
        {"kind": "dense", "units": 10**12},
        {"kind": "dense", "units": -1},
        {"kind": "conv", "filters": 2**62, "kernel": 3},
        {"kind": "conv", "filters": 2, "kernel": 10**9},
        {"kind": "pad", "amount": 10**9},
        {"kind": "pad", "amount": 1, "value": float("inf")},
        {"kind": "pad", "amount": 1, "border": "constant", "value": 1e308},
        {"kind": "dropout", "rate": float("nan")},
        {"kind": "flatten", "name": "forward"},
        {"kind": "flatten", "name": "training"},
        {"kind": "flatten", "name": "a.b"},
        {"kind": "flatten", "name": ""},
        {"kind": "conv", "filters": [[2]], "kernel": {"a": 3}},
    ],
)
def test_odd_numbers_and_names_in_layers_are_one_line(layer: object) -> None:
    with pytest.raises(UsageError, match="layer 1") as refusal:
        parse([layer])
    assert "\n" not in str(refusal.value)


def test_whole_characters_and_bytes_of_file_names_are_read(tmp_path: Path) -> None:
    said = {"face": "\N{GRINNING FACE}", "folder": os.fsdecode(b"f\xf6to")}
    (tmp_path / "ascii.json").write_text(json.dumps(said))
    write_json(tmp_path / "ours.json", said)
    (tmp_path / "ours.json").read_bytes().decode("utf-8")  # valid, whatever the names are
    assert read_json(tmp_path / "ascii.json") == read_json(tmp_path / "ours.json") == said


@pytest.mark.parametrize("shape", [(3, 10**9, 10**9), (3, 1, 10**22), (10**400, 1, 1)])
def test_an_input_that_no_machine_holds_is_one_line(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ShapeError, match="no machine holds so many numbers"):
        walk(nn.Flatten(), shape)
    with pytest.raises(ShapeError, match="no machine holds so many numbers"):
        neocog.summary("lenet", input=(*shape[1:], shape[0]))


def test_a_size_beyond_the_largest_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"--size: size\.0 = 100000: .* less than or equal to 16384"):
        neocog.look("digits", size=(100000, 100000))
    with pytest.raises(UsageError, match=r"cutout.* less than or equal to 16384"):
        override(chapters.RECIPES["m1"], ["phases.0.augment.cutout=1" + "0" * 30])


def test_a_network_for_label_sets_is_not_measured_on_classes(copied_run: Run) -> None:
    trained = open_trained(copied_run.path)
    model = copied_run.path.with_name("labels.safetensors")
    write_model(model, trained.network.state_dict(), {**trained.document(), "task": "multilabel"})
    with pytest.raises(UsageError, match="do not suit the task 'multilabel'; they suit: classify"):
        neocog.evaluate(model, data="digits")
    with pytest.raises(UnreadableError, match=r"labels\.safetensors contradicts the data set that it names"):
        neocog.evaluate(model)


QUICK = ["epochs=1", "data.limit=64", "optim.schedule=constant", "precision=float32"]


CHOSEN = "the epoch that is kept is chosen by them, so their accuracy flatters the network"
UNCHOSEN = "nothing is chosen by them, but whoever changes the recipe by what they show does"


@pytest.mark.parametrize(("kept", "says"), [("best", CHOSEN), ("last", UNCHOSEN)])
def test_what_is_watched_is_called_test_where_it_is(
    kept: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = [*QUICK, "data.val=test", f"stop.select={kept}"]
    run = neocog.train("digits", changes=changes, out=tmp_path / "a", watchers=[lambda run: Console()])
    said = capsys.readouterr().err
    assert "  test: loss " in said
    assert "held out" not in said
    [epoch] = run.metrics()
    assert epoch["watched"] == "test"
    remark = next(line for line in run.facts()["remarks"] if "the test pictures are what is watched" in line)
    assert remark == f"the test pictures are what is watched after every epoch: {says}"
    assert remark in run.report_file.read_text()
    assert "over the epochs, training and test" in run.report_file.read_text()
    assert neocog.model.dataset_of(neocog.model.load(run.model_file)).watched == "test"


def test_what_is_held_out_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = neocog.train("digits", changes=QUICK, out=tmp_path / "a", watchers=[lambda run: Console()])
    assert "  held out: loss " in capsys.readouterr().err
    assert run.metrics()[0]["watched"] == "held out"
    assert not [line for line in run.facts()["remarks"] if "watched" in line]


def test_the_dense_rival_sees_grey() -> None:
    """Experiment G1: on grey pixels a dense network cannot tell yellow from white; 109,386 parameters."""
    recipe, reasons = chapters.for_model(chapters.RECIPES["g1"], model_of("g-dense"))
    assert recipe.preprocess.channels == 1
    assert "grey" in reasons[0]
    dataset = load(recipe.data.model_copy(update={"limit": 20}), preprocess=recipe.preprocess)
    assert dataset.shape == (1, 28, 28)
    chosen = override(chapters.RECIPES["g1"], ["preprocess.channels=3"])
    assert chapters.for_model(chosen, model_of("g-dense"))[0].preprocess.channels == 3
    for other in ("g1", "c0", "e7-dense"):
        assert chapters.for_model(chapters.RECIPES["g1"], model_of(other))[0].preprocess.channels is None


def test_a_changed_recipe_has_no_published_figure() -> None:
    m9 = chapters.RECIPES["m9"]
    assert m9.expect is not None
    assert override(m9, ["seed=7"]).expect == m9.expect
    assert override(m9, ["epochs=1"]).expect is None
    assert override(m9, ["optim.lr=0.5"]).expect is None
    assert asked("m9", "digits").recipe.expect is None
    assert asked("m9", None).recipe.expect == m9.expect
    assert json.dumps(m9.json()), "a recipe stays JSON"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0312, "0.031 s"),
        (4.24, "4.2 s"),
        (5, "5 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
    ],
)
def test_a_time_has_one_spelling(seconds: float, words: str) -> None:
    assert duration(seconds) == words
    assert duration(7620) == "2 h 07 min"


def test_nothing_spells_a_share_or_a_time_its_own_way() -> None:
    """A share is `percent`'s, a time `duration`'s: no file of the package formats one itself."""
    own = re.compile(r":\.\d%\}|:\.\df\} ?%|[sS]econds(\(\))?:\.\df\} s\b")
    package = Path(neocog.__file__).parent
    words = {path for path in package.rglob("*.py") if path.name != "words.py"}
    said = {str(p.relative_to(package)): own.findall(p.read_text()) for p in words}
    assert {name: found for name, found in said.items() if found} == {}


def test_lists_are_a_hundred_columns_wide_at_most_and_lose_nothing() -> None:
    from neocog.verbs.list import list_

    for what in ("models", "data", "recipes"):
        text = list_(what).text()  # type: ignore[arg-type]
        assert max(map(len, text.splitlines())) <= WIDTH, what
        together = " ".join(text.split())
        for row in list_(what).rows:  # type: ignore[arg-type]
            assert str(row["name"]) in text
            assert " ".join(str(row["title"]).split()) in together
    assert fitted([["a", "b"], ["1", "x" * 120]])[-1] == "    " + "x" * 120
