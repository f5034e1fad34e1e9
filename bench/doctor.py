"""The training doctor tried: faults planted in trainings, found, named, and mended by what he proposes.

    python bench/doctor.py [--half tuning|figures] [--only FAULT ...] [--networks NAME ...] [--out FILE]

Every fault is planted, one at a time, in each network of the half with three seeds, on the embedded digits,
for about 300 steps. A fault counts as found where a finding of its name comes, as named right where that
finding is the first, and as mended where a training with the proposed change (or, for faults of the data and
of frozen weights, with what the sentence says) reaches the accuracy of the healthy trainings: no lower than
the least of theirs, less twice its standard error. The healthy trainings are also the ones that must bring no
finding. The limits in `neocog.training.diagnosis` were chosen on the networks and seeds of 'tuning'; the
figures that count are those of 'figures'. `results/doctor.json` holds every row.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from neocog.data import Data, load
from neocog.data.dataset import Dataset, Split
from neocog.errors import CheckFailed
from neocog.events import Epoch, Finding
from neocog.optim.settings import Optim
from neocog.recipes.recipe import Phase, Recipe, override
from neocog.runs.run import Run
from neocog.training.diagnosis.attend import Doctor
from neocog.training.loop import Training, prepare
from neocog.world import find
from neocog.zoo import Model, resolved

RESULTS = Path(__file__).parent.parent / "results" / "doctor.json"
STEPS, BATCH = 300, 32
SGD = Optim(kind="momentum", lr=0.02)
Layers = list[dict[str, Any]]


def conv(filters: int, act: str, norm: bool = False) -> Layers:
    middle: Layers = [{"kind": "batchnorm", "momentum": 0.9}] if norm else []
    return [{"kind": "conv", "filters": filters, "kernel": 3, "padding": "same"}, *middle, {"kind": act}]


def dense(units: int, act: str) -> Layers:
    return [{"kind": "dense", "units": units}, {"kind": act}]


POOL: Layers = [{"kind": "maxpool", "size": 2}]
FLAT: Layers = [{"kind": "flatten"}]
HEAD: Layers = [{"kind": "dense", "units": "classes"}]


def several(n: int, make: Callable[[int, str], Layers], width: int, act: str) -> Layers:
    return [layer for _ in range(n) for layer in make(width, act)]


Build = Callable[[str], Layers]
"""An activation -> the layers of a network with it."""
NETWORKS: dict[str, dict[str, Build]] = {
    "tuning": {
        "three dense layers": lambda a: [*FLAT, *several(3, dense, 64, a), *HEAD],
        "eight convolutions": lambda a: [*several(8, conv, 12, a), *POOL, *FLAT, *HEAD],
        "LeNet": lambda a: [
            *conv(6, a), *POOL, *conv(16, a), *POOL, *FLAT, *dense(60, a), *dense(42, a), *HEAD,
        ],
        "two convolutions": lambda a: [*conv(16, a), *conv(32, a), *POOL, *FLAT, *dense(64, a), *HEAD],
        "one convolution": lambda a: [*conv(8, a), *POOL, *FLAT, *dense(32, a), *HEAD],
    },
    "figures": {
        "VGG": lambda a: [
            *several(2, conv, 16, a), *POOL, *several(2, conv, 32, a), *POOL, *FLAT, *dense(64, a), *HEAD,
        ],
        "convolution and two dense": lambda a: [
            *conv(16, a), *POOL, *FLAT, *dense(128, a), *dense(64, a), *HEAD,
        ],
        "five dense layers": lambda a: [*FLAT, *several(5, dense, 48, a), *HEAD],
        "six convolutions": lambda a: [
            *several(3, conv, 16, a), *POOL, *several(3, conv, 24, a), *FLAT, *HEAD,
        ],
        "wide": lambda a: [*conv(32, a), *POOL, *conv(64, a), *FLAT, *dense(128, a), *HEAD],
    },
}  # fmt: skip
SEEDS = {"tuning": (0, 1, 2), "figures": (3, 4, 5)}


@dataclass(frozen=True, slots=True)
class Planted:
    """A training with its fault: the recipe, the pictures, what is done to the network before it begins."""

    recipe: Recipe
    dataset: Dataset | None = None
    tweak: Callable[[Training], None] | None = None


def recipe(layers: Layers, seed: int, optim: Optim, **more: Any) -> Recipe:
    return Recipe(
        data=more.pop("data", Data(name="digits", held_out=0.15)),
        model=Model(layers=layers, init="he"),  # type: ignore[arg-type]  # parsed by the model
        phases=(Phase(epochs=more.pop("epochs", 6), optim=optim, **more.pop("phase", {})),),
        batch=BATCH, precision="float32", seed=seed, **more,
    )  # fmt: skip


def scaled_weights(factor: float) -> Callable[[Training], None]:
    def tweak(job: Training) -> None:
        with torch.no_grad():
            for weight in job.trained.network.parameters():
                if weight.ndim > 1:
                    weight.mul_(factor)

    return tweak


def dead_biases(job: Training) -> None:
    with torch.no_grad():
        for name, bias in list(job.trained.network.named_parameters())[:-1]:
            if name.endswith("bias"):
                bias.fill_(-20.0)


def freeze(job: Training) -> None:
    weights = [w for w in job.trained.network.parameters() if w.ndim > 1]
    for weight in weights[: max(len(weights) // 2, 1)]:
        weight.requires_grad_(False)


def shuffled_labels(data: Dataset) -> Dataset:
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    return replace(data, train=Split(data.train.x, data.train.y[order], data.train.names))


def inverted_held_out(data: Dataset) -> Dataset:
    assert data.val is not None
    return replace(data, val=Split(255 - data.val.x, data.val.y, data.val.names))


def missing_class(data: Dataset) -> Dataset:
    return replace(data, train=data.train.subset((data.train.y != 8).nonzero().flatten()))


DIGITS = load(Data(name="digits", held_out=0.15))
FEW = Data(name="digits", held_out=0.15, limit=120)
VARIED = {"augment": {"shift_width": 0.1, "shift_height": 0.1, "rotation": 10}}


def sick(*changes: str, act: str = "relu", **planted: Any) -> Callable[[Build, int], Planted]:
    """A healthy recipe with `changes`, and a fault of the pictures or the network."""
    return lambda build, seed: Planted(override(recipe(build(act), seed, SGD), changes), **planted)


def overfitted(build: Build, seed: int) -> Planted:
    return Planted(recipe(build("relu"), seed, SGD, data=FEW, epochs=75))


FAULTS: dict[str, tuple[str, Callable[[Build, int], Planted]]] = {
    "learning rate too high": ("relu", sick("optim.lr=5")),
    "learning rate too low": ("relu", sick("optim.lr=2e-7")),
    "dead ReLUs": ("relu", sick(tweak=dead_biases)),
    "vanishing gradients": ("relu", sick(tweak=scaled_weights(0.02))),
    "exploding gradients": ("relu", sick(tweak=scaled_weights(12))),
    "saturated units": ("tanh", sick(act="tanh", tweak=scaled_weights(200))),
    "inputs not scaled": ("relu", sick("preprocess.scale=raw")),
    "inputs scaled twice": (
        "relu",
        sick("preprocess.scale=given", "preprocess.mean=[0]", "preprocess.std=[255]"),
    ),
    "labels that do not belong to their pictures": ("relu", sick(dataset=shuffled_labels(DIGITS))),
    "held-out pictures unlike those of the training": ("relu", sick(dataset=inverted_held_out(DIGITS))),
    "over-fitting": ("few", overfitted),
    "a frozen part that was never trained": ("relu", sick(tweak=freeze)),
    "a class that is never answered": ("relu", sick(dataset=missing_class(DIGITS))),
}
"""Fault -> the healthy trainings to compare with, and how it is planted."""


def healthy(kind: str, build: Build, seed: int) -> Planted:
    if kind == "few":
        return Planted(recipe(build("relu"), seed, SGD, data=FEW, epochs=75, phase=VARIED))
    return Planted(recipe(build(kind), seed, SGD))


@dataclass(frozen=True, slots=True)
class Course:
    """How a training went: what the doctor said, in order, and the accuracy on held-out pictures of its last
    epoch (0 where it broke off).
    """

    findings: tuple[Finding, ...]
    accuracy: float
    n: int


def train(planted: Planted, folder: Path) -> Course:
    dataset = planted.dataset or load(planted.recipe.data)
    asked = planted.recipe
    asked = asked.model_copy(update={"model": resolved(asked.model, dataset.shape)})
    job = prepare(asked, dataset, find("cpu", "float32"))
    if planted.tweak is not None:
        planted.tweak(job)
    run = Run(folder)
    run.write_recipe(asked)
    findings, accuracy, n = [], 0.0, len(dataset.val or ())
    try:
        for event in Doctor(job).attend(job.events(run, stop=lambda: False)):
            if isinstance(event, Finding):
                findings.append(event)
            if isinstance(event, Epoch):
                accuracy = event.held_out.get("accuracy") or 0.0
    except CheckFailed:
        accuracy = 0.0
    return Course(tuple(findings), accuracy, n)


def cured(planted: Planted, finding: Finding) -> Planted:
    """The training with what the finding proposes; what is no field of the recipe is put right by hand."""
    return Planted(override(planted.recipe, finding.changes), planted.dataset if finding.changes else None)


def row(name: str, half: str, network: str, seed: int, least: dict[tuple[str, str], float]) -> dict[str, Any]:
    kind, plant = FAULTS[name]
    build = NETWORKS[half][network]
    planted = plant(build, seed)
    with tempfile.TemporaryDirectory() as folder:
        course = train(planted, Path(folder))
    said = [finding.name for finding in course.findings]
    found = next((f for f in course.findings if f.name == name), None)
    first = course.findings[0] if course.findings else None
    mended = None
    if first is not None:
        with tempfile.TemporaryDirectory() as folder:
            again = train(cured(planted, first), Path(folder))
        floor = least[kind, network]
        error = 2 * math.sqrt(max(floor * (1 - floor), 1e-9) / max(again.n, 1))
        mended = {
            "accuracy": again.accuracy,
            "needed": floor - error,
            "reached": again.accuracy >= floor - error,
        }
    return {
        "fault": name, "network": network, "seed": seed, "sick accuracy": course.accuracy,
        "healthy accuracy, least": least[kind, network], "said": said,
        "found": found is not None, "step": found.step if found else None,
        "named right": first is not None and first.name == name, "mended": mended,
    }  # fmt: skip


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--half", choices=sorted(NETWORKS), default="figures")
    asked.add_argument("--only", nargs="*", choices=sorted(FAULTS), default=list(FAULTS))
    asked.add_argument("--networks", nargs="*")
    asked.add_argument("--out", type=Path, default=RESULTS)
    given = asked.parse_args()
    torch.set_num_threads(1)
    networks = given.networks or list(NETWORKS[given.half])
    kinds = {FAULTS[name][0] for name in given.only}
    least: dict[tuple[str, str], float] = {}
    alarms, trained = [], 0
    for network in networks:
        for kind in sorted(kinds):
            courses = []
            for seed in SEEDS[given.half]:
                with tempfile.TemporaryDirectory() as folder:
                    courses.append(train(healthy(kind, NETWORKS[given.half][network], seed), Path(folder)))
            least[kind, network] = min(course.accuracy for course in courses)
            trained += len(courses)
            said = [finding for course in courses for finding in course.findings]
            alarms += [{"network": network, "kind": kind, "said": f.name, "why": f.sentence} for f in said]
            shown = " ".join(f"{course.accuracy:.3f}" for course in courses)
            print(f"healthy  {network:28} {kind:5} {shown}", flush=True)
    rows: list[dict[str, Any]] = []
    for name in given.only:
        mine = [row(name, given.half, n, seed, least) for n in networks for seed in SEEDS[given.half]]
        rows += mine
        print(f"{name:48} {_shares(mine)}", flush=True)
        for r in mine:
            if not (r["named right"] and r["mended"] and r["mended"]["reached"]):
                print("   ", r["network"], r["seed"], r["sick accuracy"], r["said"], r["mended"], flush=True)
    print(f"all  {_shares(rows)}; {len(alarms)} false alarms in {trained} healthy trainings")
    for alarm in alarms:
        print("   ", alarm)
    document = {"half": given.half, "false alarms": alarms, "healthy": trained, "rows": rows}
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(document, indent=1))
    return 0


def _shares(rows: Sequence[dict[str, Any]]) -> str:
    found, named = sum(r["found"] for r in rows), sum(r["named right"] for r in rows)
    mended = sum(bool(r["mended"] and r["mended"]["reached"]) for r in rows)
    return f"{len(rows)} planted, {found} found, {named} named right, {mended} mended"


if __name__ == "__main__":
    sys.exit(main())
