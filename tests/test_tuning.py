"""How long borrowed features are tuned, by pictures left out; accuracy in folds."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from test_transfer import FROZEN, made, recipe
from torch import Tensor, nn

import neocog
from neocog.data.augment.augment import Augment
from neocog.data.dataset import Dataset
from neocog.errors import Interrupted, UsageError
from neocog.model import load
from neocog.optim.norms import keep
from neocog.optim.settings import Optim
from neocog.pictures.preprocess import Preprocess
from neocog.recipes.recipe import Phase, Recipe, Stop, override
from neocog.runs.run import Run
from neocog.sealed import read
from neocog.show.words import duration
from neocog.studies.folds import Folds, together
from neocog.tasks import logistic
from neocog.tasks.doubt import quantile
from neocog.training import tuning
from neocog.training.loop import prepare
from neocog.transfer.start import borrowed
from neocog.world import find
from neocog.zoo.head import answering
from neocog.zoo.modes import learning

TUNE = Phase(epochs=2, optim=Optim(kind="momentum", lr=0.02, rates=0.5), freeze="relu1", statistics="kept")
ALL_LEARNED = replace(made(), val=None)


@pytest.fixture(scope="module")
def lender(tmp_path_factory: pytest.TempPathFactory) -> neocog.Run:
    """A run on five classes, whose features are borrowed."""
    asked = recipe(Phase(epochs=2, optim=Optim(kind="adam", lr=0.01)))
    asked = asked.model_copy(update={"model": asked.model.model_copy(update={"head": None})})
    return neocog.train(asked, dataset=made(5), out=tmp_path_factory.mktemp("lender") / "run")


def begun(lender: neocog.Run, *phases: Phase, **rest: object) -> Recipe:
    start = borrowed(lender).start.model_copy(update={"name": str(lender.path)})
    return recipe(*phases, **rest).model_copy(update={"start": start})


def weights(run: neocog.Run) -> dict[str, Tensor]:
    return read(run.model_file)[0]


def test_the_course_is_that_of_trainings_without_each_fold(lender: neocog.Run, tmp_path: Path) -> None:
    """Against five plain trainings, each on pictures of its own; the job itself is not trained by it. What is
    unlike is fixed by the same trainings.
    """
    plain = {"stop": Stop(select="last"), "preprocess": Preprocess(scale="128"), "coverage": 0.9}
    asked, train = begun(lender, FROZEN, TUNE, **plain), ALL_LEARNED.train
    job = prepare(asked, ALL_LEARNED, find("cpu", "float32"), start=borrowed(lender))
    before = {name: t.clone() for name, t in job.trained.network.state_dict().items()}
    course = tuning.crossed(job)
    assert all(torch.equal(t, before[n]) for n, t in job.trained.network.state_dict().items())
    fold = logistic.folds(train.y, 5, asked.seed)
    losses, right, far = [0.0] * 3, [0.0] * 3, []
    for number in range(5):
        rows, left = (fold != number).nonzero()[:, 0], (fold == number).nonzero()[:, 0]
        part = Dataset("part", ALL_LEARNED.classes, train.subset(rows), val=train.subset(left))
        run = neocog.train(asked, dataset=part, out=tmp_path / f"fold{number}")
        for place, epoch in enumerate(run.metrics()[FROZEN.epochs - 1 :]):
            losses[place] += float(epoch["val_loss"]) * len(left) / len(train)
            right[place] += float(epoch["val_accuracy"]) * len(left)
        kept = load(run.model_file)
        assert kept.doubt is not None
        seen: list[Tensor] = []
        with answering(kept.network, seen.append), torch.inference_mode():
            kept.network(kept.preprocess.normalise(train.x[left]))
        far.append(kept.doubt.distances(seen[0]))
    assert course.losses.mean(1).tolist() == pytest.approx(losses, rel=1e-4)
    assert course.right == tuple(map(round, right))
    assert len(course.limits) == 3
    assert course.limits[-1].n == len(train)
    assert course.limits[-1].threshold == pytest.approx(quantile(torch.cat(far), 0.9), rel=1e-4)
    assert course.limits[0] != course.limits[-1]


def test_what_tuned_features_never_saw_is_unlike(lender: neocog.Run, tmp_path: Path) -> None:
    """The user says for how long; what is unlike comes of pictures left out, also after an interruption. A
    run that goes on otherwise has none any more, and says so.
    """
    given = {"dataset": ALL_LEARNED, "changes": ["phases.1.epochs=2", "coverage=0.9"]}
    asked = begun(lender, FROZEN, TUNE)
    course = tuning.crossed(
        prepare(
            override(asked, given["changes"]), ALL_LEARNED, find("cpu", "float32"), start=borrowed(lender)
        )
    )
    run = neocog.train(asked, out=tmp_path / "run", **given)
    kept = load(run.model_file).doubt
    assert kept is not None
    assert kept.n == len(ALL_LEARNED.train)
    assert (kept.threshold, kept.temperature) == (course.limits[-1].threshold, course.limits[-1].temperature)
    steps = iter(range(1000))
    with pytest.raises(Interrupted):
        neocog.train(asked, out=tmp_path / "cut", stop=lambda: next(steps) == 10, **given)
    again = neocog.resume(tmp_path / "cut", dataset=ALL_LEARNED)
    assert again.model_file.read_bytes() == run.model_file.read_bytes()
    more = neocog.resume(tmp_path / "cut", dataset=ALL_LEARNED, epochs=6)
    assert load(more.model_file).doubt is None
    assert any("none was held out" in line for line in more.facts()["remarks"])


def test_a_gain_that_may_be_chance_is_none() -> None:
    """Of 100 pictures half lose 1 and half gain a little more: one standard error is 0.1."""
    spread = torch.ones(100)
    spread[::2] = -1
    for gain, best in ((0.05, 0), (0.09, 0), (0.11, 1), (0.3, 1)):
        course = tuning.Course(torch.stack([torch.full((100,), 2.0), 2 - gain - spread]), (90, 90))
        assert course.best == best


@pytest.mark.parametrize("best", [0, 1, 3])
def test_tuning_ends_where_the_loss_of_those_left_out_is_lowest(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    later = TUNE.model_copy(update={"epochs": 2, "freeze": "conv1"})
    losses = torch.ones(5, 48)
    losses[best] -= 0.1
    course = tuning.Course(losses, tuple(range(40, 45)))
    monkeypatch.setattr(tuning, "crossed", lambda job: course)
    run = neocog.train(begun(lender, FROZEN, TUNE, later), dataset=ALL_LEARNED, out=tmp_path / "run")
    phases = run.recipe().phases
    assert [phase.freeze for phase in phases] == ["features", "relu1", "conv1"][: 1 + (best > 0) + (best > 2)]
    assert sum(phase.epochs for phase in phases[1:]) == best
    assert run.facts()["recipe_identity"] == run.recipe().identity
    said = " ".join(run.facts()["remarks"])
    assert ("nothing is tuned" in said) == (best == 0)
    assert "83.33 %" in said
    if best == 0:
        alone = neocog.train(begun(lender, FROZEN), dataset=ALL_LEARNED, out=tmp_path / "alone")
        assert all(torch.equal(t, weights(alone)[n]) for n, t in weights(run).items()), "the head alone"


KILLED = """
import importlib, json, os, signal, sys
sys.path.insert(0, sys.argv[1])
import test_tuning as here
place, name = sys.argv[3].rpartition(".")[::2]
calls = iter(range(1, 10_000))
def counted(call=bool):
    if next(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return call
stop = lambda: counted()() if name == "stop" else False
if name != "stop":
    module = importlib.import_module(place)
    before = getattr(module, name)
    setattr(module, name, lambda *given, **named: counted(before)(*given, **named))
asked = here.Recipe.model_validate(json.loads(sys.argv[5]))
here.learned(asked, sys.argv[2], watched=sys.argv[6] == "True", stop=stop)
"""
CHANGES = ("phases.1.epochs=2", "coverage=0.9")


def learned(
    asked: Recipe, out: Path | str, *, watched: bool, stop: Callable[[], bool] | None = None
) -> neocog.Run:
    """Tuned for two epochs of two kept copies, what is unlike fixed by pictures held out or left out."""
    data = made() if watched else ALL_LEARNED
    return neocog.train(asked, dataset=data, out=out, changes=CHANGES, stop=stop)


@pytest.fixture(scope="module")
def tuned(lender: neocog.Run, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, neocog.Run]:
    """What `learned` comes to when nobody kills it."""
    folder, asked = tmp_path_factory.mktemp("tuned"), copied_twice(lender)
    return {watched: learned(asked, folder / str(watched), watched=watched) for watched in (True, False)}


def copied_twice(lender: neocog.Run) -> Recipe:
    varied = {"copies": 2, "augment": Augment(flip="horizontal")}
    return begun(lender, FROZEN, TUNE.model_copy(update=varied), stop=Stop(select="last"))


@pytest.mark.slow
@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize(
    ("call", "number", "there"),
    [
        ("neocog.transfer.features.channels_last", 2, False),  # the features of the pictures as they are
        ("neocog.transfer.features.channels_last", 7, None),  # those of their copies
        ("neocog.training.tuning._apart", 2, False),  # pictures are left out; not where some are watched
        ("stop", 2, True),  # the head: its first epoch, its second, and where it ends
        ("stop", 5, True),
        ("stop", 9, True),
        ("stop", 11, True),  # the stages behind it
        ("stop", 13, True),
        ("neocog.training.loop.Snapshot", 5, None),  # an epoch is closed; maybe of one that leaves some out
        ("neocog.training.conclusion.doubtful", 1, True),
        ("neocog.report.page.html", 1, True),
    ],
)
def test_killed_in_any_phase_it_goes_on_to_the_same_bits(
    lender: neocog.Run,
    tuned: dict[bool, neocog.Run],
    tmp_path: Path,
    watched: bool,
    call: str,
    number: int,
    there: bool | None,
) -> None:
    asked, cut = copied_twice(lender), Run(tmp_path / "cut")
    argv = [
        str(Path(__file__).parent),
        str(cut.path),
        call,
        str(number),
        json.dumps(asked.json()),
        str(watched),
    ]
    home = {**os.environ, "NEOCOG_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *argv], capture_output=True, text=True, timeout=300, env=home
    )
    if watched and call.endswith("_apart"):
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert there in (None, cut.recipe_file.exists())
    if cut.recipe_file.exists():
        again = neocog.resume(cut.path, dataset=made() if watched else ALL_LEARNED)
    else:
        again = learned(asked, cut.path, watched=watched)
    whole = tuned[watched]
    assert again.model_file.read_bytes() == whole.model_file.read_bytes()
    for name, tensor in read(whole.state_file)[0].items():
        assert torch.equal(tensor, read(again.state_file)[0][name]), name
    assert again.facts()["result"] == whole.facts()["result"]


def test_who_decides_how_long_it_is_tuned(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures that are watched, the user, or nobody: nothing is left out."""

    def never(job: object) -> None:
        raise AssertionError("pictures were left out")

    monkeypatch.setattr(tuning, "crossed", never)
    asked = begun(lender, FROZEN, TUNE)
    watched = neocog.train(asked, dataset=made(), out=tmp_path / "watched")
    assert watched.facts()["result"]["epochs"] == 5
    chosen = neocog.train(asked, dataset=ALL_LEARNED, changes=["phases.1.epochs=3"], out=tmp_path / "chosen")
    assert [phase.epochs for phase in chosen.recipe().phases] == [3, 3]
    single = replace(ALL_LEARNED, train=ALL_LEARNED.train.subset(torch.arange(3)))
    one = neocog.train(asked.model_copy(update={"batch": 3}), dataset=single, out=tmp_path / "one")
    assert any("a class has a single picture" in line for line in one.facts()["remarks"])


def test_kept_statistics_stand_still_while_scales_learn(lender: neocog.Run, tmp_path: Path) -> None:
    for statistics, stand in (("kept", True), ("batch", False)):
        tune = TUNE.model_copy(update={"statistics": statistics})
        run = neocog.train(
            begun(lender, FROZEN, tune), dataset=ALL_LEARNED, changes=["phases.1.epochs=2"],
            out=tmp_path / statistics,
        )  # fmt: skip
        first, now = weights(lender), weights(run)
        norm = next(n.removesuffix(".running_mean") for n in reversed(now) if n.endswith(".running_mean"))
        for name in ("running_mean", "running_var"):
            assert torch.equal(first[f"{norm}.{name}"], now[f"{norm}.{name}"]) == stand
        assert not torch.equal(first[f"{norm}.weight"], now[f"{norm}.weight"])
    network = borrowed(lender).trained.network
    learning(network, after=None)
    keep(network)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 2
    assert not any(norm.training for norm in norms)
    assert network.features.training


def test_every_picture_is_answered_once_by_a_training_without_it(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Dataset] = []
    trained = neocog.studies.folds.train
    monkeypatch.setattr(
        "neocog.studies.folds.train",
        lambda what, **given: (heard.append(given["dataset"]), trained(what, **given))[1],
    )
    short = ["precision=float32", "epochs=5"]
    found = neocog.study("folds", "digits", start=lender, dataset=made(), changes=short, folds=3)
    assert isinstance(found, Folds)
    everything = together(list(made().splits.values()))
    assert len(found.answers) == len(everything) == 93
    assert len(heard) == 3
    for part in heard:
        assert part.test is not None
        assert len(part.train) + len(part.test) == 93
        theirs = {x.numpy().tobytes() for x in part.test.x}
        assert not theirs & {x.numpy().tobytes() for x in part.train.x}
    assert found.right == sum(each.truth == each.answer for each in found.answers) > 80
    assert [each.truth for each in found.answers] == ["abc"[k] for k in everything.y.tolist()]
    assert sum(found.of(fold)[1] for fold in (1, 2, 3)) == 93
    found.save(tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert sum(int(row["right"]) for row in rows) == found.right
    assert json.loads(json.dumps(found.json()))["n"] == 93
    assert f"{found.right} right" in found.text()
    assert duration(found.seconds[0]) in found.text().splitlines()[2]
    for refused, words in (
        ({"folds": 60}, "93 pictures are too few for 60 folds"),
        ({"folds": 3, "sizes": (10,)}, "belong to study data-size"),
        ({"tune": "mixed8"}, "unknown stage"),
    ):
        with pytest.raises(UsageError, match=words):
            neocog.study("folds", "digits", start=lender, dataset=made(), **refused)
    with pytest.raises(UsageError, match="--folds belongs to study folds"):
        neocog.study("labels", "digits", start=lender, dataset=made(), folds=3)


@pytest.mark.parametrize(("best", "word"), [(2, "2 epochs"), (0, "not at all")])
def test_folds_say_for_how_long_each_was_tuned(
    best: int, word: str, lender: neocog.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the network that was kept, not by what was asked for."""
    monkeypatch.setattr(tuning.Course, "best", property(lambda self: best))
    short = ["precision=float32", "phases.0.epochs=3"]
    data = replace(made(), val=None)
    found = neocog.study("folds", "digits", start=lender, dataset=data, changes=short, folds=2, tune="relu1")
    assert isinstance(found, Folds)
    assert found.tuned == (best, best)
    assert [line.endswith(word) for line in found.text().splitlines()[2:]] == [True, True]
    assert [each["tuned"] for each in found.json()["folds"]] == [best, best]
    plain = neocog.study("folds", "digits", start=lender, dataset=data, changes=short, folds=2)
    assert "tuned" not in plain.text()
    assert all("tuned" not in each for each in plain.json()["folds"])


def test_folds_of_many_pictures_hold_out_what_decides_tuning(
    lender: neocog.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neocog.recipes.borrowing.FEW", 20)
    split = made().train
    for number, (x, k) in enumerate(zip(split.x, split.y.tolist(), strict=True)):
        place = tmp_path / "photos" / "abcde"[k] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x.permute(1, 2, 0).numpy()).save(place)
    heard: list[Dataset] = []
    trained = neocog.studies.folds.train
    monkeypatch.setattr(
        "neocog.studies.folds.train",
        lambda what, **given: (heard.append(given["dataset"]), trained(what, **given))[1],
    )
    short = ["precision=float32", "phases.0.epochs=2", "phases.1.epochs=1", "phases.1.copies=0"]
    neocog.study("folds", tmp_path / "photos", start=lender, changes=short, folds=2, tune="relu1")
    assert [part.val is not None for part in heard] == [True, True]


def test_folds_of_several_labels(lender: neocog.Run) -> None:
    """A picture counts as right where all of its labels are."""
    data = made(several=True)
    data.train.y[::4, 0] = 1
    short = ["precision=float32", "epochs=20"]
    found = neocog.study("folds", "digits", start=lender, dataset=data, changes=short, folds=2)
    assert any("+" in each.truth for each in found.answers)
    assert found.right == sum(each.truth == each.answer for each in found.answers)


def test_why_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pictures(SimpleNamespace):
        def __len__(self) -> int:
            return len(self.y)

    def why(y: Any = (0, 0, 0, 1, 1, 1), phases: Any = ("all", "conv2"), kept: Any = None) -> str | None:
        data = SimpleNamespace(train=Pictures(y=torch.tensor(y)), classes=("a", "b"))
        job: Any = SimpleNamespace(dataset=data, recipe=SimpleNamespace(seed=0, phases=phases))
        job.trained, job.why_not = SimpleNamespace(network=None), kept or (lambda phase: None)
        return tuning._why_not(job)

    places = {"all": 9, "conv2": 2, "conv1": 1}
    monkeypatch.setattr(tuning, "_place", lambda network, phase: places[phase])
    assert why() is None
    assert why(y=(0, 0, 0, 1)) == "a class has a single picture, or a label too few"
    assert why(kept=lambda phase: "one" if phase == "conv2" else None) == "features are not kept"
    assert why(phases=("all", "conv1", "conv2")) == "a phase freezes what one before it freed"
    assert why(phases=("all", "conv2", "conv1")) is None
    many = [0, 1] * (tuning.FEW // 2)
    assert why(y=many) is None
    assert why(y=[*many, 0]) == f"there are more than {tuning.FEW}; data.held_out=0.1 holds some out"


def test_what_was_decided_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_is_tuned", lambda job: True)
    monkeypatch.setattr(tuning, "_why_not", lambda job: None)
    said = []
    for best in (0, 1, 2):
        losses = torch.ones(3, 48)
        losses[best] -= 0.25
        course = tuning.Course(losses, (40, 42, 44))
        monkeypatch.setattr(tuning, "crossed", lambda job, course=course: course)
        data = SimpleNamespace(val=None, watched="held out")
        job: Any = SimpleNamespace(recipe=recipe(FROZEN, TUNE), dataset=data)
        job.with_recipe = lambda made: made
        found = tuning.decided(job, ())
        assert found.job.epochs == FROZEN.epochs + best  # type: ignore[attr-defined]
        said += found.said
    before = "left out in turn, 83.33 % [70.42, 91.30] of 48 are answered right before tuning"
    assert said == [
        f"nothing is tuned: {before}, and no epoch of it lowers their loss by more than chance does (0.7500, "
        "at best 0.7500)",
        f"{before} and 87.50 % [75.30, 94.14] after 1 epoch, where their loss is lowest: 0.7500 in place of "
        "1.0000",
        f"{before} and 91.67 % [80.45, 96.71] after 2 epochs, where their loss is lowest: 0.7500 in place of "
        "1.0000",
    ]
