"""The training doctor: he changes nothing, finds what is planted and says it once, and is silent else."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import neocog
from neocog import sealed
from neocog.data import Data, load
from neocog.data.dataset import Dataset, Split
from neocog.errors import CheckFailed, UnreadableError, UsageError
from neocog.events import Epoch, Event, Finding
from neocog.optim.settings import Optim
from neocog.recipes.recipe import Phase, Recipe, override
from neocog.runs.run import Run
from neocog.tasks.classify import Classify
from neocog.tasks.task import Objective
from neocog.training.diagnosis import held_out, probe
from neocog.training.diagnosis.attend import LOOKS, Doctor, due
from neocog.training.diagnosis.by_heart import learned_by_heart
from neocog.training.diagnosis.causes import Case
from neocog.training.diagnosis.evidence import Evidence
from neocog.training.loop import prepare
from neocog.world import find
from neocog.zoo import Model, Network, resolved

MOMENTUM = Optim(kind="momentum", lr=0.02)


def layers(act: str = "relu") -> list[dict[str, Any]]:
    return [
        {"kind": "conv", "filters": 8, "kernel": 3}, {"kind": act}, {"kind": "maxpool", "size": 2},
        {"kind": "conv", "filters": 16, "kernel": 3, "padding": "same"}, {"kind": act},
        {"kind": "flatten"}, {"kind": "dense", "units": 48}, {"kind": act},
        {"kind": "dense", "units": "classes"},
    ]  # fmt: skip


def recipe(*changes: str, act: str = "relu", epochs: int = 6, data: Data | None = None) -> Recipe:
    made = Recipe(
        data=data or Data(name="digits", held_out=0.15),
        model=Model(layers=layers(act), init="he"),  # type: ignore[arg-type]
        phases=(Phase(epochs=epochs, optim=MOMENTUM),),
        batch=32,
        precision="float32",
    )
    return override(made, changes)


def course(
    asked: Recipe,
    folder: Path,
    dataset: Dataset | None = None,
    tweak: Callable[[Network], None] | None = None,
) -> list[Event]:
    """What happens in a training with the doctor beside it, up to its end or its error."""
    dataset = dataset or load(asked.data)
    asked = asked.model_copy(update={"model": resolved(asked.model, dataset.shape)})
    job = prepare(asked, dataset, find("cpu", "float32"))
    if tweak:
        with torch.no_grad():
            tweak(job.trained.network)
    folder.mkdir(exist_ok=True)
    run = Run(folder)
    run.write_recipe(asked)
    events: list[Event] = []
    with contextlib.suppress(CheckFailed):
        events.extend(Doctor(job).attend(job.events(run, stop=lambda: False)))
    return events


def found(events: list[Event]) -> list[Finding]:
    return [event for event in events if isinstance(event, Finding)]


def digits() -> Dataset:
    return load(Data(name="digits", held_out=0.15))


def shuffled(data: Dataset) -> Dataset:
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    return replace(data, train=Split(data.train.x, data.train.y[order]))


def inverted(data: Dataset) -> Dataset:
    assert data.val is not None
    return replace(data, val=Split(255 - data.val.x, data.val.y))


def without_eights(data: Dataset) -> Dataset:
    return replace(data, train=data.train.subset((data.train.y != 8).nonzero().flatten()))


def times(factor: float) -> Callable[[Network], None]:
    def tweak(network: Network) -> None:
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.mul_(factor)

    return tweak


def drown(network: Network) -> None:
    for name, parameter in list(network.named_parameters())[:-1]:
        if name.endswith("bias"):
            parameter.fill_(-20.0)


def freeze(network: Network) -> None:
    next(network.parameters()).requires_grad_(False)


PLANTED: dict[str, dict[str, Any]] = {
    "learning rate too high": {"asked": recipe("optim.lr=5")},
    "learning rate too low": {"asked": recipe("optim.lr=2e-7")},
    "dead ReLUs": {"tweak": drown},
    "vanishing gradients": {"tweak": times(0.02)},
    "exploding gradients": {"tweak": times(12)},
    "saturated units": {"asked": recipe(act="tanh"), "tweak": times(200)},
    "inputs not scaled": {"asked": recipe("preprocess.scale=raw")},
    "inputs scaled twice": {
        "asked": recipe("preprocess.scale=given", "preprocess.mean=[0]", "preprocess.std=[255]")
    },
    "labels that do not belong to their pictures": {"data": shuffled},
    "held-out pictures unlike those of the training": {"data": inverted},
    "a frozen part that was never trained": {"tweak": freeze},
    "a class that is never answered": {"data": without_eights},
    "over-fitting": {"asked": recipe(epochs=60, data=Data(name="digits", held_out=0.15, limit=100))},
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_and_named_first(name: str, tmp_path: Path) -> None:
    plant = PLANTED[name]
    dataset = plant["data"](digits()) if "data" in plant else None
    events = course(plant.get("asked", recipe()), tmp_path, dataset, plant.get("tweak"))
    findings = found(events)
    assert findings, "nothing was found"
    assert findings[0].name == name
    assert findings[0].step <= 300
    assert findings[0].sentence.endswith((".", ")"))
    assert findings[0].evidence
    assert len({f.name for f in findings}) == len(findings), "each is said once"


@pytest.mark.parametrize(
    "name", ["learning rate too high", "inputs not scaled", "inputs scaled twice", "learning rate too low"]
)
def test_the_proposed_change_mends_it(name: str, tmp_path: Path) -> None:
    asked = PLANTED[name]["asked"]
    sick = course(asked, tmp_path / "sick")
    changes = found(sick)[0].changes
    assert changes
    assert all(f"--set {change}" in found(sick)[0].cure for change in changes[:1])
    well = course(override(asked, changes), tmp_path / "well")
    assert not found(well)
    assert accuracy(well) > 0.9 > accuracy(sick)


def accuracy(events: list[Event]) -> float:
    seen = [e.held_out["accuracy"] for e in events if isinstance(e, Epoch)]
    return seen[-1] or 0.0 if seen else 0.0


@pytest.mark.parametrize("act", ["relu", "tanh", "sigmoid"])
def test_nothing_is_said_of_a_healthy_training(act: str, tmp_path: Path) -> None:
    asked = recipe("optim.lr=0.1", act=act) if act == "sigmoid" else recipe(act=act)
    assert not found(course(asked, tmp_path))


def test_he_changes_no_bit(tmp_path: Path) -> None:
    normed: list[dict[str, Any]] = [*layers()]
    normed[1:1] = [{"kind": "batchnorm"}]
    normed[-1:-1] = [{"kind": "dropout", "rate": 0.3}]
    weights, states = [], []
    for probes in ("on", "off"):
        asked = recipe("epochs=3", f"probes={probes}", "augment.shift_width=1", "optim.kind=adam")
        asked = asked.model_copy(update={"model": Model(layers=normed)})  # type: ignore[arg-type]
        run = neocog.train(asked, out=tmp_path / probes)
        weights.append(run.model_file.read_bytes())
        states.append(sealed.read(run.state_file)[0])
    assert weights[0] == weights[1]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_look_leaves_no_trace() -> None:
    torch.manual_seed(0)
    stages = {"conv": nn.Conv2d(1, 4, 3), "norm": nn.BatchNorm2d(4), "relu": nn.ReLU(), "drop": nn.Dropout()}
    network = Network(stages, nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 3)))
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x, y = torch.rand(8, 1, 8, 8), torch.arange(8) % 3
    drawn = torch.get_rng_state()
    seen = probe.look(Objective(network, Classify(("a", "b", "c"))), x, y, find("cpu", "float32").autocast)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(drawn, torch.get_rng_state())
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert set(seen.gradients) == {"features.conv.weight", "head.1.weight"}


def test_the_numbers_of_a_look_are_those_of_the_network() -> None:
    """Against a network whose activations are known: two of four channels never positive."""
    conv = nn.Conv2d(1, 4, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -1.0, 2.0, -2.0]).view(4, 1, 1, 1))
        conv.bias.zero_()
    network = Network(
        {"conv": conv, "relu": nn.ReLU(), "flat": nn.Sigmoid()}, nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    )
    x, y = torch.ones(4, 1, 2, 2), torch.tensor([0, 1, 0, 1])
    seen = probe.look(Objective(network, Classify(("a", "b"))), x, y, find("cpu", "float32").autocast)
    assert seen.layers.dead == {"features.relu": 0.5}
    assert seen.layers.saturated == {"features.flat": 0.0}
    assert seen.spread == pytest.approx(0.0, abs=1e-6)  # equal pictures
    network.zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    for name, size in seen.gradients.items():
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        assert size == pytest.approx(float(gradient.square().mean().sqrt()), rel=1e-4)


def test_how_far_weights_moved() -> None:
    before = {"w": torch.full((10,), 2.0)}
    assert probe.moved(before, {"w": torch.full((10,), 2.5)}) == {"w": pytest.approx(0.25)}


def test_looks_become_rarer() -> None:
    looks = [step for step in range(1, 20_001) if due(step)]
    assert looks[: len(LOOKS)] == list(LOOKS)
    assert all(b >= 1.4 * a for a, b in zip(looks[len(LOOKS) :], looks[len(LOOKS) + 1 :], strict=False))
    assert len(looks) < 20


def test_what_is_known_without_pictures() -> None:
    """The loss of a guess is the entropy of the labels."""
    data = without_eights(digits())
    asked = recipe()
    asked = asked.model_copy(update={"model": resolved(asked.model, data.shape)})
    doctor = Doctor(prepare(asked, data, find("cpu", "float32")))
    shares = torch.bincount(data.train.y, minlength=10).double() / len(data.train.y)
    entropy = -torch.special.xlogy(shares, shares).sum()
    assert doctor._known == pytest.approx(float(entropy), abs=2e-3)


def test_pictures_of_two_kinds_are_told_apart_and_of_one_kind_not() -> None:
    data = digits()
    assert data.val is not None
    assert held_out.told_apart(data.train, data.val) < 0.65
    assert held_out.told_apart(data.train, Split(255 - data.val.x, data.val.y)) > 0.95
    darker = Split((data.val.x.float() * 0.7).to(torch.uint8), data.val.y)
    assert held_out.told_apart(data.train, darker) > 0.85


def test_a_few_pictures_are_learned_by_heart_unless_the_network_cannot() -> None:
    data = digits()
    x, y = data.train.x[:32].float() / 255, data.train.y[:32][torch.randperm(32)]
    able = prepare(recipe(), data, find("cpu", "float32")).trained.network
    able.requires_grad_(False)  # the copy learns all the same
    weights = {name: w.clone() for name, w in able.state_dict().items()}
    task = Classify(data.classes)
    assert learned_by_heart(able, recipe().model, task, x, y) >= 0.9
    assert all(torch.equal(w, weights[name]) for name, w in able.state_dict().items())
    narrow = Model(
        layers=[{"kind": "flatten"}, {"kind": "dense", "units": 1}, {"kind": "relu"}, *layers()[-1:]]
    )  # type: ignore[arg-type]
    unable = prepare(
        recipe().model_copy(update={"model": narrow}), data, find("cpu", "float32")
    ).trained.network
    assert learned_by_heart(unable, narrow, task, x, y) < 0.9


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = ["preprocess.scale=given", "preprocess.mean=[0]", "preprocess.std=[255]", "epochs=1"]
    return neocog.train("digits", changes=changes, out=tmp_path_factory.mktemp("runs") / "sick")


def test_findings_stand_wherever_people_look(sick: Run) -> None:
    status = json.loads((sick.path / "status.json").read_text())
    assert [f["name"] for f in status["findings"]] == ["inputs scaled twice"]
    facts = sick.facts()["findings"]
    assert facts[0]["sentence"] in sick.report_file.read_text()
    result = neocog.doctor(sick.path)
    assert "inputs scaled twice (step 1)" in result.text()
    assert "highest input" in result.text()
    assert "--set preprocess.scale=unit" in result.text()
    assert result.json()["findings"][0]["changes"][0] == "preprocess.scale=unit"


def test_they_stay_when_a_run_goes_on(sick: Run, tmp_path: Path) -> None:
    import shutil

    copy = Run(Path(shutil.copytree(sick.path, tmp_path / "copy")))
    neocog.resume(copy.path, epochs=2)
    assert [f["name"] for f in copy.facts()["findings"]] == ["inputs scaled twice"]
    assert len(json.loads((copy.path / "status.json").read_text())["findings"]) == 1


def test_a_healthy_run_and_one_that_nobody_watched(run: Run, tmp_path: Path) -> None:
    assert "nothing found in" in neocog.doctor(run).text()
    alone = neocog.train("digits", changes=["epochs=1", "probes=off"], out=tmp_path / "alone")
    assert "nobody watched" in neocog.doctor(alone.path).text()
    assert not neocog.doctor(alone.path).json()["watched"]


def test_what_is_no_run_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the folder of a training"):
        neocog.doctor(run.model_file)
    with pytest.raises(UnreadableError, match="is no run"):
        neocog.doctor(tmp_path)


def test_a_loss_that_is_no_number_is_explained_before_the_error(tmp_path: Path) -> None:
    events = course(recipe("optim.kind=sgd", "optim.lr=1e6"), tmp_path)
    assert [f.name for f in found(events)] == ["learning rate too high"]
    assert math.isfinite(found(events)[0].evidence["learning rate"])


def test_bad_epochs_between_good_ones_are_no_over_fitting() -> None:
    """Held-out accuracy that drops now and then, as it does under a high rate, and a real gap."""

    def epochs(*held_out: float) -> list[Epoch]:
        return [
            Epoch(n, n, {"loss": 0.1, "accuracy": 0.995}, {"loss": 0.2, "accuracy": there}, 0.1, 1, 1, True)
            for n, there in enumerate(held_out, start=1)
        ]

    assert held_out.over_fitting(epochs(0.99, 0.4, 0.98)) is None
    assert held_out.over_fitting(epochs(0.91, 0.9, 0.89)) is not None
    assert held_out.over_fitting(epochs(0.91, 0.9)) is None
    thrown_about = (1.0, 1.0, 1.0, 0.24, 0.82)  # epochs 26 to 30 of a training of g2 that ended at 99.9 %
    assert held_out.over_fitting(epochs(*thrown_about)) is None
    assert held_out.over_fitting(epochs(0.99, *(0.9 for _ in range(held_out.BEST_OF)))) is not None


def test_a_common_class_has_to_be_missing_three_times() -> None:
    look = Evidence(step=200, loss=0.1, known=2.3, right=0.9, low=0, high=1, spread=1, others=0.95, fair=0.1)
    missing = replace(look, never={"b": 0.1})
    assert held_out.never_answered(Case(recipe(), [look, missing, missing], 0.1)) is None
    assert held_out.never_answered(Case(recipe(), [missing, look, missing], 0.1)) is None
    assert held_out.never_answered(Case(recipe(), [missing, missing, missing], 0.1)) is not None
    rare = replace(look, never={"b": 0.01})
    assert held_out.never_answered(Case(recipe(), [look, rare], 0.1)) is not None


def test_they_stand_in_the_facts_of_a_training_that_broke_off(tmp_path: Path) -> None:
    changes = ["preprocess.scale=raw", "optim.kind=momentum", "optim.lr=1", "optim.schedule=constant"]
    with pytest.raises(CheckFailed):
        neocog.train("digits", changes=changes, out=tmp_path / "run")
    facts = Run(tmp_path / "run").facts()
    assert [f["name"] for f in facts["findings"]] == ["inputs not scaled"]
    assert facts["seconds"] > 0
