"""Borrowed eyes: starts, frozen stages, features that are kept, the strength of the head."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import neocog
from neocog.data import Data
from neocog.data.augment.augment import Augment
from neocog.data.dataset import Dataset, Split
from neocog.data.folders.extent import Extent
from neocog.errors import CheckFailed, ExtraMissing, Interrupted, UnreadableError, UsageError
from neocog.model import load, open_trained
from neocog.optim.settings import Optim
from neocog.pictures.decode import decode
from neocog.pictures.preprocess import Preprocess
from neocog.pretrained.keras.names import keras
from neocog.recipes.borrowing import TUNE_EPOCHS, borrowing, suits
from neocog.recipes.recipe import Phase, Recipe, Start, Stop, from_json
from neocog.runs.run import Run, open_run
from neocog.sealed import read
from neocog.studies.comparison import Comparison, embedding
from neocog.tasks.classify import Classify
from neocog.tasks.logistic import can_be_left_out, cross_validated, fitted, folds, left_out
from neocog.tasks.multilabel import MultiLabel
from neocog.training import sight
from neocog.training.loop import prepare
from neocog.transfer import features as kept
from neocog.transfer import lending
from neocog.transfer.start import asked, borrowed
from neocog.world import find
from neocog.zoo import ZOO, Head, Model, Network, build
from neocog.zoo.head import PRIOR, Standardise
from neocog.zoo.layer_list import parse
from neocog.zoo.modes import learning

NET = parse(
    [
        {"kind": "conv", "filters": 6, "kernel": 3, "stride": 2, "bias": False},
        {"kind": "batchnorm"},
        {"kind": "relu"},
        {"kind": "conv", "filters": 8, "kernel": 3, "bias": False},
        {"kind": "batchnorm"},
        {"kind": "relu"},
        {"kind": "globalpool"},
        {"kind": "dense", "units": "classes", "activation": "softmax"},
    ]
)
FLOAT32 = ("precision=float32",)


def pictures(n: int, classes: int, seed: int, *, several: bool = False) -> Split:
    """Squares of another brightness and place for each class, on noise."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 60, (n, 3, 16, 16), generator=draws)
    y = torch.arange(n) % classes
    for picture, k in zip(x, y.tolist(), strict=True):
        picture[k % 3, 2 * k : 2 * k + 5, 3:12] += 120
    labels = torch.nn.functional.one_hot(y, classes).float() if several else y
    if several:
        labels[::3, 0] = 1
    return Split(x.to(torch.uint8), labels)


def made(classes: int = 3, *, several: bool = False) -> Dataset:
    names = tuple("abcdefgh"[:classes])
    splits = [pictures(n, classes, seed, several=several) for seed, n in enumerate((48, 15, 30))]
    return Dataset("squares", names, *splits)


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> neocog.Run:
    """A run on five classes, whose features are borrowed."""
    recipe = Recipe(
        data=Data(name="digits"),
        model=Model(layers=NET),
        preprocess=Preprocess(scale="channels"),
        phases=(Phase(epochs=2, optim=Optim(kind="adam", lr=0.01)),),
        batch=16,
        precision="float32",
    )
    return neocog.train(recipe, dataset=made(5), out=tmp_path_factory.mktemp("lender") / "run")


def recipe(*phases: Phase, head: Head | None = None, **rest: object) -> Recipe:
    return Recipe.model_validate(
        {
            "data": Data(name="digits"),
            "model": Model(layers=NET, head=head or Head(norm="standard")),
            "preprocess": Preprocess(scale="channels"),
            "phases": phases or (FROZEN,),
            "batch": 16,
            "precision": "float32",
            **rest,
        }
    )


FROZEN = Phase(epochs=3, optim=Optim(kind="nesterov", lr=0.01, weight_decay=0.1), freeze="features")


def weights(run: neocog.Run) -> dict[str, Tensor]:
    return read(run.model_file)[0]


def train(path: Path, start: neocog.Run, asked: Recipe, data: Dataset | None = None) -> neocog.Run:
    """As the verb, but with the recipe exactly as `asked`."""
    begun = asked.model_copy(
        update={"start": borrowed(start).start.model_copy(update={"name": str(start.path)})}
    )
    return neocog.train(begun, dataset=data or made(), out=path)


def stop(after: int) -> Callable[[], bool]:
    """Of a training that ends when it has asked so often."""
    counted = iter(range(100))
    return lambda: next(counted) >= after


# --- the recipe ------------------------------------------------------------------------------------


def test_recipes_say_start_head_freeze_and_copies_in_json() -> None:
    asked = recipe(
        FROZEN.model_copy(update={"copies": 4, "augment": Augment(flip="horizontal")}),
        Phase(freeze="relu1"),
        start=Start(name="efficientnet_lite1", sha256="a" * 64),
    )
    again = from_json(json.loads(json.dumps(asked.json())))
    assert again == asked
    assert again.identity == asked.identity
    renamed = asked.model_copy(update={"start": Start(name="runs/x", sha256="a" * 64)})
    other = asked.model_copy(update={"start": Start(name="efficientnet_lite1", sha256="b" * 64)})
    bare = asked.model_copy(update={"model": Model(layers=NET)})
    assert renamed.identity == asked.identity, "the digest decides, not the name"
    assert len({asked.identity, other.identity, bare.identity}) == 3
    with pytest.raises(UsageError, match="copies are kept of frozen features"):
        from_json({"data": {"name": "digits"}, "model": {"name": "m7"}, "phases": [{"copies": 3}]})


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "vgg11", "densenet40", "m7"])
def test_before_and_after_a_stage_are_the_network(name: str) -> None:
    shape = (1, 28, 28) if name == "m7" else (3, 32, 32)
    torch.manual_seed(0)
    network = build(
        Model(name=name, stem="small" if "small" in ZOO[name].stems else None), shape=shape, classes=4
    )
    network.eval()
    x = torch.rand(2, *shape)
    stages = [n for n, _ in network.features.named_children()]
    inner = ["conv4_x.conv4_1", "head.pool"] if name == "resnet18" else []
    with torch.inference_mode():
        whole = network(x)
        for stage in [stages[0], stages[len(stages) // 2], stages[-1], *inner]:
            rest = network.after(stage)
            torch.testing.assert_close(rest(network.until(stage)(x)), whole, rtol=1e-6, atol=1e-6)
            held = {id(p) for p in network.parameters()}
            assert {id(p) for p in rest.parameters()} <= held, "the network's own modules"
    with pytest.raises(UsageError, match="unknown stage"):
        network.after("nothing")


def test_standardise_is_the_mean_and_a_variance_drawn_to_the_common_one() -> None:
    x = torch.randn(40, 5) * torch.tensor([1.0, 2, 3, 4, 0]) + 7
    module = Standardise(5)
    torch.testing.assert_close(module(x), x)
    module.fit(x)
    variance = x.double().var(0, unbiased=False)
    drawn = (40 * variance + PRIOR * variance.mean()) / (40 + PRIOR)
    torch.testing.assert_close(module(x), ((x - x.mean(0)) / drawn.sqrt()).float(), rtol=1e-4, atol=1e-4)
    one = Standardise(5)
    one.fit(x[:1])
    assert one(x).isfinite().all()


# --- the training ----------------------------------------------------------------------------------


def test_only_the_head_learns_and_frozen_normalisations_stand_still(
    lender: neocog.Run, tmp_path: Path
) -> None:
    run = train(tmp_path / "run", lender, recipe())
    before, after = weights(lender), weights(run)
    for name, tensor in after.items():
        if name.startswith("features."):
            assert torch.equal(tensor, before[name]), name
    assert after["head.linear.weight"].abs().sum() > 0
    assert neocog.evaluate(run, dataset=made()).json()["accuracy"] > 0.8
    facts, document = run.facts(), json.loads((run.path / "model.json").read_text())
    assert facts["start"].pop("where") == str(lender.path)
    assert facts["start"] == document["provenance"]["start"] == run.recipe().start.model_dump()  # type: ignore[union-attr]
    assert load(run.model_file).preprocess.mean is not None


def test_freed_stages_learn_and_the_ones_before_do_not(lender: neocog.Run, tmp_path: Path) -> None:
    tune = Phase(epochs=1, optim=Optim(kind="momentum", lr=0.01), freeze="relu1")
    run = train(tmp_path / "run", lender, recipe(FROZEN, tune, stop=Stop(select="last")))
    before, after = weights(lender), weights(run)
    changed = {n for n in before if n.startswith("features.") and not torch.equal(before[n], after[n])}
    moved = {".".join(name.split(".")[:2]) for name in changed}
    assert moved == {"features.conv2", "features.norm2"}, "the convolution after it and its normalisation"


def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neocog.training.loop.why_not", lambda *given: "for comparison")


@pytest.mark.parametrize("freeze", ["features", "relu1"])
def test_kept_features_and_pictures_train_the_same(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, freeze: str
) -> None:
    asked = recipe(FROZEN.model_copy(update={"freeze": freeze}), average=0.9, balance="loss")
    kept_run = train(tmp_path / "kept", lender, asked)
    uncached(monkeypatch)
    plain = train(tmp_path / "plain", lender, asked)
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(kept_run)[name], tensor, rtol=1e-5, atol=1e-5)
    assert "for comparison" in plain.facts()["remarks"]


def test_an_epoch_computes_no_frozen_feature_twice(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kept, "_computed", _counting(kept._computed, seen))
    train(tmp_path / "a", lender, recipe())
    assert seen == [48, 15], "training pictures and watched ones, once"
    train(tmp_path / "b", lender, recipe())
    assert seen == [48, 15], "the second training reads them"


def _counting(whole, seen):  # type: ignore[no-untyped-def]
    def count(beginning, split, *rest):  # type: ignore[no-untyped-def]
        seen.append(len(split))
        return whole(beginning, split, *rest)

    return count


def test_the_key_changes_with_pictures_weights_and_preprocessing() -> None:
    torch.manual_seed(0)
    network = build(Model(layers=NET), shape=(3, 16, 16), classes=3).eval()
    split, preprocess, world = (
        pictures(6, 3, 0),
        Preprocess(scale="unit", size=(16, 16)),
        find("cpu", "float32"),
    )

    def key(network: Network = network, split: Split = split, **other: object) -> str:
        given = {"preprocess": preprocess, "world": world, "copies": None, **other}
        return kept.key(network.until("relu2"), split, *given.values())  # type: ignore[arg-type]

    changed = split.x.clone()
    changed[3, 0, 0, 0] += 1
    copies = kept.Copies(2, Augment(flip="horizontal"), 0, 3)
    keys = [
        key(),
        key(split=Split(changed, split.y)),
        key(preprocess=Preprocess(scale="128", size=(16, 16))),
        key(world=replace(world, precision="bfloat16")),
        key(copies=copies),
        key(copies=replace(copies, augment=Augment(rotation=3))),
        key(copies=replace(copies, seed=1)),
        kept.key(network.until("conv2"), split, preprocess, world),
    ]
    with torch.no_grad():
        network.features[0].weight[0, 0, 0, 0] += 1e-6
    keys.append(key())
    assert len(set(keys)) == len(keys)
    with torch.no_grad():
        network.features[4].running_mean += 1e-6  # type: ignore[operator]
    assert key() not in keys


def test_features_are_kept_in_memory_where_the_disk_takes_none(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, world = made(), find("cpu", "float32")
    job = prepare(recipe(), data, world, start=borrowed(lender))
    network, preprocess = job.trained.network, job.trained.preprocess
    right = kept.features(network, "head.pool", data.train, preprocess, world=world)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path))
    monkeypatch.setattr(os, "fsync", full)
    found = kept.features(network, "head.pool", data.train, preprocess, world=world)
    assert torch.equal(found.x, right.x)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_copies_are_fixed_and_the_first_is_the_picture(lender: neocog.Run, tmp_path: Path) -> None:
    data, world = made(), find("cpu", "float32")
    job = prepare(recipe(), data, world, start=borrowed(lender))
    network, preprocess = job.trained.network, job.trained.preprocess
    copies = kept.Copies(3, Augment(flip="horizontal"), 7, 3)
    many = kept.features(network, "head.pool", data.train, preprocess, world=world, copies=copies)
    plain = kept.features(network, "head.pool", data.train, preprocess, world=world)
    turned = kept.features(
        network, "head.pool", replace(data.train, x=data.train.x.flip(3)), preprocess, world=world
    )
    assert many.x.shape == (3, 48, 8)
    assert torch.equal(many.x[0], plain.x[0])
    for copy in many.x[1:]:
        as_it_is = torch.isclose(copy, plain.x[0], atol=1e-5).all(1)
        mirrored = torch.isclose(copy, turned.x[0], atol=1e-5).all(1)
        assert (as_it_is | mirrored).all()
        assert 10 < int(mirrored.sum()) < 40
    mixed = kept.Copies(2, Augment(mixup=0.4), 7, 3)
    assert kept.features(network, "head.pool", data.train, preprocess, world=world, copies=mixed).y.shape == (
        2,
        48,
        3,
    )
    varied = FROZEN.model_copy(update={"augment": Augment(flip="horizontal"), "copies": 3})
    run = train(tmp_path / "run", lender, recipe(varied))
    assert neocog.evaluate(run, dataset=made()).json()["accuracy"] > 0.8


def test_what_forbids_keeping_is_named(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    varied = FROZEN.model_copy(update={"augment": Augment(rotation=10), "epochs": 1})
    run = train(tmp_path / "varied", lender, recipe(varied))
    said = [line for line in run.facts()["remarks"] if line.startswith("features are not kept")]
    assert said
    assert "rotation" in said[0]
    assert "copies=8" in said[0]
    monkeypatch.setattr(sight, "MOST", 1000)
    large = train(tmp_path / "large", lender, recipe(FROZEN.model_copy(update={"epochs": 1})))
    assert any("GiB" in line for line in large.facts()["remarks"])


def test_interrupted_anywhere_it_goes_on_to_the_same_bits(lender: neocog.Run, tmp_path: Path) -> None:
    tune = Phase(epochs=2, optim=Optim(kind="momentum", lr=0.01), freeze="relu1")
    asked = recipe(FROZEN, tune, average=0.8, stop=Stop(select="last"))
    whole = train(tmp_path / "whole", lender, asked)
    begun = asked.model_copy(update={"start": Start(name=str(lender.path))})
    for after in (2, 9, 11):  # within the frozen phase, at its end, within the freed one
        path = tmp_path / f"cut{after}"
        with pytest.raises(Interrupted):
            neocog.train(begun, dataset=made(), out=path, stop=stop(after))
        again = neocog.resume(path, dataset=made())
        assert all(torch.equal(t, weights(again)[n]) for n, t in weights(whole).items())


class Killed(BaseException):
    """What nothing catches."""


@contextlib.contextmanager
def killed_before_a_state() -> Iterator[None]:
    def killed(run: Run, *given: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", killed)
        with pytest.raises(Killed):
            yield


def test_without_a_state_it_begins_again_with_the_borrowed_features(
    lender: neocog.Run, tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", lender, recipe())
    begun = recipe().model_copy(update={"start": Start(name=str(lender.path))})
    with killed_before_a_state():
        neocog.train(begun, dataset=made(), out=tmp_path / "cut")
    again = neocog.resume(tmp_path / "cut", dataset=made())
    assert all(torch.equal(t, weights(again)[n]) for n, t in weights(whole).items())


def test_a_start_is_found_again_from_anywhere(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run as start, given by its absolute path and by a relative one; a resume in another folder."""
    shutil.copytree(lender.path, tmp_path / "lent")
    monkeypatch.chdir(tmp_path)
    short = [*FLOAT32, "phases.0.epochs=2"]
    for number, given in enumerate(("lent", tmp_path / "lent", tmp_path / "lent" / "model.safetensors")):
        out = tmp_path / f"run{number}"
        monkeypatch.chdir(tmp_path)
        with killed_before_a_state():
            neocog.train("digits", start=given, dataset=made(), changes=short, out=out)
        where = open_run(out).facts()["start"]["where"]
        assert where == str((tmp_path / given).resolve())
        assert str(tmp_path) not in (out / "recipe.json").read_text(), "a recipe is given away"
        monkeypatch.chdir("/")
        neocog.resume(out, dataset=made())
    asked = from_json(json.loads((tmp_path / "run1" / "recipe.json").read_text()))
    with pytest.raises(UnreadableError, match=r"begins with lent \(SHA-256 .*--from FILE"):
        neocog.train(asked, dataset=made(), out=tmp_path / "again")
    again = neocog.train(asked, start=tmp_path / "lent", dataset=made(), out=tmp_path / "again")
    assert again.recipe().phases == asked.phases, "the recipe's own start, wherever it lies"
    assert all(torch.equal(t, weights(again)[n]) for n, t in weights(open_run(tmp_path / "run1")).items())


def test_the_freed_blocks_of_inception_v3_are_those_of_keras() -> None:
    """Keras' documentation frees its layers from index 249 on: 11,114,880 numbers that learn, 18 convolutions
    with their normalisations, which have no scale there. bench/keras_transfer.py lets Keras train them.
    """
    with torch.device("meta"):
        network = build(Model(name="inception_v3", head=Head()), shape=(3, 299, 299), classes=200)
    learning(network, after="mixed8")
    free = {name: p for name, p in network.features.named_parameters() if p.requires_grad}
    scales = {f"{n}.weight" for n, m in network.features.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert sum(p.numel() for name, p in free.items() if name not in scales) == 11_114_880
    assert len([p for p in free.values() if p.ndim == 4]) == 18
    theirs = {ours: layer for layer, ours in keras("inception_v3", network).items()}
    numbers = sorted(
        int(theirs[f"features.{n.rpartition('.')[0]}"].split("_")[-1]) for n, p in free.items() if p.ndim == 4
    )
    assert numbers == list(range(77, 95)), "the last of Keras' 94"
    assert {name.split(".")[0] for name in free} == {"mixed9", "mixed10"}


def test_what_is_unlike_is_fixed_without_holding_any_out(lender: neocog.Run, tmp_path: Path) -> None:
    data = replace(made(), val=None)
    run = train(tmp_path / "run", lender, recipe(coverage=0.9), data)
    kept = load(run.model_file).doubt
    assert kept is not None
    assert kept.n == 48, "every training picture was left out once"
    assert kept.threshold is not None
    hidden = recipe(head=Head(hidden=12, norm="standard"), coverage=0.9)
    learned = train(tmp_path / "hidden", lender, hidden, data)
    assert load(learned.model_file).doubt is None, "more than the last layer has seen every picture"
    assert any("none was held out" in line for line in learned.facts()["remarks"])


def test_few_pictures_are_all_learned_from_and_many_are_not() -> None:
    asked, start = Recipe(data=Data(name="folder", held_out=0.15), model=Model(name="m7")), Start(name="x")

    def held_out(pictures: int, tune: tuple[str, ...] = ()) -> float:
        given = {"start": start, "model": asked.model, "preprocess": Preprocess(), "tune": tune}
        return borrowing(asked, pictures=pictures, **given)[0].data.held_out  # type: ignore[arg-type]

    assert held_out(245) == 0
    assert held_out(20_000) == 0.1
    assert held_out(245, ("stage6",)) == 0, "they are left out in turn"
    assert held_out(1_000, ("stage6",)) == 0.1


def test_several_labels(lender: neocog.Run, tmp_path: Path) -> None:
    data = made(several=True)
    run = train(tmp_path / "run", lender, recipe(FROZEN.model_copy(update={"epochs": 20})), data)
    assert load(run.model_file).task == "multilabel"
    assert neocog.evaluate(run, dataset=data).json()["mean_average_precision"] > 0.8


# --- the verb --------------------------------------------------------------------------------------


def test_from_a_run_a_file_and_a_name(lender: neocog.Run, tmp_path: Path) -> None:
    run = neocog.train(
        "digits", start=lender, dataset=made(), changes=[*FLOAT32, "epochs=5"], out=tmp_path / "run"
    )
    asked = run.recipe()
    assert asked.start is not None
    assert asked.start.sha256 == borrowed(lender.model_file).start.sha256
    assert asked.model.head == Head(norm="standard")
    assert any("cross-validation" in line for line in run.facts()["remarks"])
    assert "--from run" in run.facts()["command"]
    assert neocog.evaluate(run, dataset=made()).json()["accuracy"] > 0.8
    told = neocog.train(
        "digits", start="Nothing", changes=["epochs=1", "data.limit=200"], out=tmp_path / "nothing"
    )
    assert told.recipe().start is None
    with pytest.raises(UsageError, match="'lenet' has no public weights, so there is nothing to borrow"):
        neocog.train("digits", start="lenet", out=tmp_path / "x")
    with pytest.raises(UsageError, match="leave out --model"):
        neocog.train("digits", start=lender, model="m7", out=tmp_path / "x")
    with pytest.raises(UsageError, match="say whose: --from"):
        neocog.train("digits", tune=["relu1"], out=tmp_path / "x")
    with pytest.raises(UsageError, match="unknown stage"):
        neocog.train("digits", start=lender, tune=["mixed8"], dataset=made(), out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_folder_of_a_networks_name_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as pictures in efficientnet_lite1/: the same eyes are borrowed. A run goes first."""
    monkeypatch.chdir(tmp_path)
    try:
        plain = borrowed("efficientnet_lite1")
    except ExtraMissing as error:
        pytest.skip(str(error))
    (tmp_path / "efficientnet_lite1" / "ants").mkdir(parents=True)
    found = borrowed("efficientnet_lite1")
    assert found.start == plain.start
    assert found.where is None, "a resume looks for the network, not for the folder"
    assert asked(found.start).start == plain.start
    (tmp_path / "efficientnet_lite1" / "recipe.json").write_text("{}")
    with pytest.raises(UnreadableError, match="no finished run"):
        borrowed("efficientnet_lite1")


def test_the_command_says_what_is_freed(lender: neocog.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether eyes are named or are the usual ones."""
    monkeypatch.setattr(lending, "EYES", str(lender.path))
    found = Extent(48, 3, (200, 200))
    assert lending.lend(recipe(), None, tune=("relu1",), found=found).words == ("--tune", "relu1")
    assert lending.lend(recipe(), None, found=found).words == ()
    assert lending.lend(recipe(), lender, tune=("relu1", "conv1")).words[2:] == ("--tune", "relu1,conv1")


@pytest.mark.parametrize("tune", ["features", "relu2", "globalpool1", "conv1,relu1", "relu1,relu1"])
def test_what_frees_nothing_is_refused(lender: neocog.Run, tune: str) -> None:
    with pytest.raises(UsageError, match=f"--tune {tune}: all that comes after .* learns already"):
        lending.lend(recipe(), lender, tune=tune.split(","))


def test_another_file_under_the_recipes_name_is_refused(lender: neocog.Run, tmp_path: Path) -> None:
    asked = recipe(start=Start(name=str(lender.path), sha256="0" * 64))
    with pytest.raises(CheckFailed, match="SHA-256"):
        neocog.train(asked, dataset=made(), out=tmp_path / "run")
    other = Model(
        layers=parse(
            [
                {"kind": "conv", "filters": 5, "kernel": 3},
                {"kind": "globalpool"},
                {"kind": "dense", "units": "classes"},
            ]
        ),
        head=Head(),
    )
    with pytest.raises(UsageError, match="has other features"):
        neocog.train(
            recipe(start=Start(name=str(lender.path))).model_copy(update={"model": other}),
            dataset=made(),
            out=tmp_path / "run",
        )


def test_a_model_file_with_a_new_head_is_opened_like_any(lender: neocog.Run, tmp_path: Path) -> None:
    run = train(tmp_path / "run", lender, recipe(head=Head(hidden=12)))
    trained = open_trained(run)
    assert [n for n, _ in trained.network.head.named_children()] == ["pool", "dense", "relu", "linear"]
    text = neocog.summary(run).text()
    assert "head.dense" in text
    assert "head" in json.loads((run.path / "recipe.json").read_text())["model"]


def test_which_folders_borrow() -> None:
    photos = Extent(pictures=200, classes=2, size=(400, 500))
    assert suits(photos)[0]
    assert suits(replace(photos, pictures=10**6))[0]
    few_signs = Extent(pictures=20, classes=10, size=(28, 28), grey=True)
    assert suits(few_signs)[0]
    assert suits(replace(few_signs, pictures=99))[0]
    assert not suits(replace(few_signs, pictures=100))[0]
    assert suits(replace(few_signs, pictures=5000, grey=False))[0]
    assert not suits(replace(few_signs, pictures=20_000, grey=False))[0]
    helps, why = suits(replace(few_signs, pictures=5000))
    assert not helps
    assert "--from" in why[0]


KINDS = {
    "ants and bees": Extent(pictures=2, classes=2, size=(400, 500)),
    "CIFAR-10, JPEG files": Extent(pictures=10, classes=10, size=(32, 32)),
    "MNIST, PNG files": Extent(pictures=10, classes=10, size=(28, 28), grey=True),
    "colours and shapes, PNG files": Extent(pictures=9, classes=9, size=(28, 28)),
}


def test_what_the_rule_chooses_is_what_did_better_in_the_study() -> None:
    study = Path(__file__).parent.parent / "results" / "borrowing.json"
    shares: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in json.loads(study.read_text())["rows"]:
        shares.setdefault((row["set"], row["size"]), {}).setdefault(row["start"], []).append(row["accuracy"])
    both = {case: of for case, of in shares.items() if case[0] in KINDS and len(of) == 2}
    assert len(both) >= 10
    for (name, each), of in both.items():
        kind = KINDS[name]
        mean = {start: sum(found) / len(found) for start, found in of.items()}
        nothing = mean.pop("nothing")
        (borrowed,) = mean.values()
        helps, _ = suits(replace(kind, pictures=each * kind.classes))
        assert helps == (borrowed > nothing), (name, each, borrowed, nothing)


def test_how_files_are_decoded_is_not_the_borrowed_weights_matter(lender: Run) -> None:
    own = Preprocess(size=(64, 64), levels=(0, 4095), ground=0, reading="reduced", max_pixels=10**6)
    eyes = Preprocess(size=(24, 24), scale="128", channels=3)
    start = borrowed(lender).start
    before = recipe().model_copy(update={"preprocess": own})
    made, _ = borrowing(before, start=start, model=before.model, preprocess=eyes, pictures=40)
    assert made.preprocess == eyes.model_copy(
        update={"levels": (0, 4095), "ground": 0, "reading": "reduced", "max_pixels": 10**6}
    )


# --- the strength of the head ----------------------------------------------------------------------


def test_the_layer_is_the_optimum_of_its_loss() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(60, 7), torch.arange(60) % 3
    task = Classify(("a", "b", "c"))
    layer = fitted(task, x, y, 0.1)
    weight, bias = layer.weight.clone().requires_grad_(), layer.bias.clone().requires_grad_()
    loss = task.loss(x @ weight.T + bias, y) + 0.05 * weight.square().sum()
    gradients = torch.autograd.grad(loss, [weight, bias])
    assert max(float(g.abs().max()) for g in gradients) < 2e-3
    several = torch.nn.functional.one_hot(y, 3).float()
    assert fitted(MultiLabel(("a", "b", "c")), x, several, 0.1)(x).shape == (60, 3)


def test_a_new_head_begins_at_its_optimum(lender: neocog.Run) -> None:
    """The gradient of loss and penalty is zero there; without a penalty, for a sampler: at zero."""
    eyes, data, world = borrowed(lender), made(), find("cpu", "float32")
    job = prepare(recipe(FROZEN), data, world, start=eyes)
    head, task = job.trained.network.head, Classify(data.classes)
    x = job.sight(FROZEN).train.x[0]  # type: ignore[attr-defined]
    linear = next(m for m in head.modules() if isinstance(m, nn.Linear))
    loss = task.loss(job.trained.network.after("head.pool")(x), data.train.y)
    (loss + 0.1 / 2 * linear.weight.square().sum()).backward()
    assert linear.weight.abs().max() > 0.1
    assert linear.weight.grad is not None
    assert linear.weight.grad.abs().max() < 1e-3
    plain = FROZEN.model_copy(update={"optim": Optim(kind="nesterov", lr=0.01)})
    for other in (
        recipe(plain),
        recipe(FROZEN, balance="sampler"),
        recipe(FROZEN, head=Head(norm="standard", hidden=4)),
    ):
        undecided = prepare(other, data, world, start=eyes).trained.network.head
        assert [m for m in undecided.modules() if isinstance(m, nn.Linear)][-1].weight.abs().max() == 0


def test_folds_spread_every_class_and_nobody_answers_for_himself() -> None:
    y = torch.tensor([0] * 11 + [1] * 23 + [2] * 5)
    fold = folds(y, 5, seed=3)
    for k in range(3):
        counts = torch.bincount(fold[y == k], minlength=5)
        assert int(counts.max() - counts.min()) <= 1
    torch.manual_seed(0)
    noise, labels = torch.randn(60, 200), torch.randint(0, 2, (60,))  # nothing can be learned
    outputs = left_out(Classify(("a", "b")), noise, labels, (0.01,))[0]
    assert float((outputs.argmax(1) == labels).double().mean()) < 0.75


def test_what_can_be_left_out() -> None:
    """A class needs a second picture; of several labels a set of its own does not, but each label does."""
    assert can_be_left_out(torch.tensor([0, 0, 1, 1]), 2)
    assert not can_be_left_out(torch.tensor([0, 0, 0, 1]), 2)
    assert can_be_left_out(torch.tensor([0, 0, 0, 2, 2, 2]), 3), "a class without pictures asks for none"
    assert not can_be_left_out(torch.tensor([0, 1, 2]), 3)
    sets = torch.zeros(21, 3)
    sets[:10, 0] = sets[10:20, 1] = sets[5:15, 2] = 1
    assert can_be_left_out(sets, 3)
    sets[20, :2] = 1
    assert can_be_left_out(sets, 3), "one picture alone has both, but both are known without it"
    sets[:20, 1] = 0
    assert not can_be_left_out(sets, 3), "no other picture has the second label"
    everywhere = torch.ones(21, 1)
    assert can_be_left_out(everywhere, 1)
    everywhere[3] = 0
    assert not can_be_left_out(everywhere, 1), "no other picture lacks it"


def test_noise_is_held_back_more_than_what_is_clear() -> None:
    torch.manual_seed(0)
    y = torch.arange(80) % 2
    clear = torch.randn(80, 5)
    clear[:, 0] += 6 * y
    noise = torch.randn(80, 5)
    task = Classify(("a", "b"))
    free, held = cross_validated(task, clear, y), cross_validated(task, noise, y)
    assert free is not None
    assert held is not None
    assert held.strength > free.strength
    assert free.right > 70 > held.right, "of 80, by answers that had not seen them"
    assert cross_validated(task, clear[:2], y[:2]) is None, "one picture a class"


def test_heads_are_of_every_kind_of_network() -> None:
    for name in ("vgg11", "mobilenet_v2", "efficientnet_lite0"):
        model = Model(name=name, stem="small", head=Head(hidden=5, norm="standard"))
        with torch.device("meta"):
            network = build(model, shape=(3, 32, 32), classes=7)
        assert isinstance(network.head[-1], nn.Linear)  # type: ignore[index]
        assert network.head[-1].out_features == 7  # type: ignore[index]


# --- three ways compared ---------------------------------------------------------------------------


def test_three_ways_on_the_same_pictures(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEOCOG_RUNS_DIR", str(tmp_path))
    short = [*FLOAT32, "phases.0.epochs=3"]
    found = neocog.study("transfer", "digits", start=lender, dataset=made(), changes=short)
    assert isinstance(found, Comparison)
    assert [way.name for way in found.ways] == ["from nothing", "frozen", "fine-tuned"]
    runs = [open_run(Path(way.run)) for way in found.ways]
    starts = [run.recipe().start for run in runs]
    assert starts[0] is None
    assert starts[1] == starts[2] == borrowed(lender).start
    assert [phase.freeze for phase in runs[2].recipe().phases] == ["features", "relu1"]
    assert runs[2].recipe().phases[1].epochs == TUNE_EPOCHS, "whether or not it helps"
    for way, run in zip(found.ways, runs, strict=True):
        assert way.accuracy == neocog.evaluate(run, dataset=made()).json()["accuracy"]
        assert way.course[-1] == pytest.approx(way.accuracy), "the last epoch is the one that is kept"
        assert len(way.course) == run.recipe().epochs
        assert run.facts()["counts"]["train"] == 48, "all are learned from"
    _, lent, tuned = found.embeddings
    assert not torch.equal(torch.from_numpy(lent.places), torch.from_numpy(tuned.places))
    assert lent.places.shape == (30, 2)
    found.save(tmp_path / "out.csv")
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 31
    found.save(tmp_path / "out.png")
    assert decode(tmp_path / "out.png").std() > 10
    assert json.loads(json.dumps(found.json()))["tune"] == "relu1"
    begun = len(list(tmp_path.iterdir()))
    for refused, words in (
        ({"dataset": made(several=True)}, "one class"),
        ({"dataset": replace(made(), test=None)}, "no picture is a test picture"),
        ({"dataset": made(), "tune": "mixed8"}, "unknown stage"),
        ({"dataset": made(), "tune": "relu1,conv1"}, "after one stage; name one"),
        ({"dataset": made(), "changes": ["optim.lr=fast"]}, "optim.lr"),
    ):
        with pytest.raises(UsageError, match=words):
            neocog.study("transfer", "digits", start=lender, **refused)
    assert len(list(tmp_path.iterdir())) == begun, "before anything is trained"
    for which in ("transfer", "labels"):
        with pytest.raises(UsageError, match="'Nothing' lends no eyes"):
            neocog.study(which, "digits", start="Nothing", dataset=made())
    with pytest.raises(UsageError, match="nothing is trained"):
        neocog.study("labels", "digits", start=lender, dataset=made(), changes=short)


def test_an_embedding_is_the_directions_of_most_variance() -> None:
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(5, 5)).Q
    y = torch.arange(40) % 2
    plane = torch.randn(40, 2) * torch.tensor([1.0, 0.3]) + 9.0 * y[:, None] * torch.tensor([1.0, 0.0])
    found = embedding("plane", plane @ turn[:2], y)
    assert found.variance == pytest.approx(1, abs=1e-6)
    assert found.neighbours == 1, "two clouds far apart"
    places = torch.from_numpy(found.places)
    torch.testing.assert_close(torch.cdist(places, places), torch.cdist(plane, plane), rtol=1e-3, atol=1e-3)
    mixed = embedding("mixed", torch.randn(400, 5), torch.arange(400) % 2)
    assert 0.4 < mixed.neighbours < 0.6


# --- likely wrong labels ---------------------------------------------------------------------------


def test_exchanged_labels_come_first_and_the_test_split_is_not_touched(
    lender: neocog.Run, tmp_path: Path
) -> None:
    data = made()
    wrong = [4, 19, 33]
    y = data.train.y.clone()
    y[wrong] = (y[wrong] + 1) % 3
    names = tuple(f"{'=' if i == 4 else ''}{i}.png" for i in range(48))
    mislabelled = replace(data, train=Split(data.train.x, y, names), test=None)
    found = neocog.study("labels", "unused", start=lender, dataset=mislabelled)
    first = {item.file for item in found.items[:4]}
    assert len(first & {names[i] for i in wrong}) >= 2
    assert found.n == 48
    assert all(item.given != item.likely for item in found.items)
    gaps = [item.likely_probability - item.given_probability for item in found.items]
    assert gaps == sorted(gaps, reverse=True)
    found.save(tmp_path / "suspects.csv")
    lines = (tmp_path / "suspects.csv").read_text().splitlines()
    assert lines[0] == "file,given,likely,given_probability,likely_probability"
    assert len(lines) == len(found.items) + 1
    assert not any(line.startswith("=") for line in lines), "no formula for a spreadsheet"
    found.save(tmp_path / "suspects.png")
    assert (tmp_path / "suspects.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(json.dumps(found.json()))["start"]
    with pytest.raises(UsageError, match="one class"):
        neocog.study("labels", "unused", start=lender, dataset=made(several=True))
    with pytest.raises(UsageError, match="at least two"):
        neocog.study(
            "labels", "unused", start=lender, dataset=replace(data, train=Split(data.train.x[:3], y[:3]))
        )


# --- pictures given in Python ----------------------------------------------------------------------


def test_given_pictures_of_another_size_are_placed_as_the_borrowed_eyes_ask(
    lender: Run, tmp_path: Path
) -> None:
    """A Dataset of 6x7 grey pictures under eyes for 8x8 ones; what comes of it can be read, and is measured,
    gone on with and judged on the same pictures.
    """
    shape = open_trained(lender).shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (40, 1, 6, 7), generator=generator, dtype=torch.uint8)
    part = Split(x, torch.arange(40) % 2)
    dataset = Dataset("mine", ("a", "b"), part, test=part)
    assert dataset.shape != shape
    changes = ["phases.0.epochs=2", f"preprocess.size=[{shape[1]},{shape[2]}]", "coverage=null"]
    run = neocog.train(
        "digits", start=lender.path, dataset=dataset, changes=changes, out=tmp_path / "run", device="cpu"
    )
    trained = open_trained(run)
    assert trained.shape == shape
    stated = run.facts()["result"]["test_accuracy"]
    assert neocog.evaluate(run, dataset=dataset).accuracy == stated
    placed = torch.stack([torch.from_numpy(trained.preprocess.place(picture[0].numpy())) for picture in x])
    there = replace(dataset, train=Split(placed, part.y), test=Split(placed, part.y))
    assert neocog.evaluate(run, dataset=there).accuracy == stated
    again = neocog.resume(run.path, epochs=3, dataset=dataset, device="cpu")
    assert again.facts()["result"]["test_accuracy"] == neocog.evaluate(again, dataset=dataset).accuracy
    assert neocog.study("labels", "mine", start=lender.path, dataset=dataset).n == 40
