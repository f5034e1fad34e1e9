"""Q1 to Q7: what the chapters claim, each as a small study with a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from neocog.answers import collect
from neocog.figures.claimed.beside import Q7
from neocog.figures.claimed.depth import Q2
from neocog.figures.claimed.distortions import DISTORTIONS, distorted
from neocog.figures.claimed.four_pairs import Q3
from neocog.figures.claimed.overfitting import Q6
from neocog.figures.clothing import UNWATCHED
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.rivals import Rivals, Way
from neocog.figures.row import Row, claim, seen
from neocog.figures.sizes import counted
from neocog.figures.training import trained
from neocog.files import write_bytes
from neocog.inside.by_hand.matrices import as_one
from neocog.model import Trained, dataset_of, open_trained
from neocog.recipes.chapters import RECIPES
from neocog.show import charts
from neocog.show.words import percent, plural
from neocog.tasks.intervals import wilson
from neocog.tasks.spread import loses_less
from neocog.verbs.evaluate import evaluate
from neocog.world import find

DIGITS = ("data.limit=3000", "epochs=10")
EXACT = 1e-12
"""Of values around 1 in float64, after a few hundred sums."""


def _robust(asked: Asked) -> Iterator[Row]:
    """How the accuracy of M9 and of M1 falls when the test digits are distorted. The claim is taken as: LeNet
    loses less than the dense layer.
    """
    device = find(asked.device, "float32").device
    networks = {
        name: open_trained(trained(RECIPES[recipe], asked, name=recipe, seed=0))
        for name, recipe in (("LeNet", "lenet-mnist"), ("M1", "m1"))
    }
    test = dataset_of(networks["LeNet"]).split("test")

    def right(network: Trained, kind: str, amount: float) -> Tensor:
        x = distorted(test.x, kind, amount) if kind else test.x
        return collect(network, replace(test, x=x), "test", device).right

    plain = {name: right(network, "", 0) for name, network in networks.items()}
    yield seen("as they are", _shares(plain))
    for kind, amounts in DISTORTIONS.items():
        lines = {name: [(0.0, float(answers.float().mean()))] for name, answers in plain.items()}
        for amount in amounts:
            found = {name: right(network, kind, amount) for name, network in networks.items()}
            for name, answers in found.items():
                lines[name].append((amount, float(answers.float().mean())))
            ours, theirs = (plain[name].double() - found[name].double() for name in networks)
            yield claim(f"{kind} {amount:g}: LeNet loses less", _shares(found), loses_less(ours, theirs))
        if kind != "zoom":  # whose amounts begin at 1, not at 0
            png = charts.curves(lines, title=f"accuracy under {kind}", x_label=kind, y_label="test accuracy")
            write_bytes(asked.file(f"Q1-{kind}.png"), png)


def _shares(right: Mapping[str, Tensor]) -> str:
    """The accuracies in words, each with its interval."""
    counts = {name: (int(answers.sum()), len(answers)) for name, answers in right.items()}
    return ", ".join(f"{name} {percent(k / n, wilson(k, n))}" for name, (k, n) in counts.items())


def _mistakes(asked: Asked) -> Iterator[Row]:
    """Of g3's mistakes on the test pictures, how many are of colour."""
    report: Any = evaluate(
        trained(RECIPES["g3"], asked, name="g3", seed=RECIPES["g3"].seed), device=asked.device
    )
    colours = [name.split()[0] for name in report.classes]
    wrong = of_colour = 0
    for i, row in enumerate(report.confusion):
        for j, n in enumerate(row):
            wrong += int(n) * (i != j)
            of_colour += int(n) * (colours[i] != colours[j])
    low, high = wilson(of_colour, wrong)
    verdict = True if high < 0.5 else False if low > 0.5 else None
    yield claim(
        "G3's mistakes are of shape, hardly ever of colour",
        f"{of_colour} of {plural(wrong, 'mistake')} of colour",
        verdict,
    )


def _costs(asked: Asked) -> Iterator[Row]:
    """Counted, not timed."""
    google, vgg = counted("googlenet"), counted("vgg16")
    said = f"{google.macs / 1e9:.2f} against {vgg.macs / 1e9:.2f} thousand million operations"
    yield claim("GoogLeNet needs fewer operations than VGG16", said, google.macs < vgg.macs)
    dense, residual = counted("densenet121").parameters, counted("resnet50").parameters
    said = f"{dense:,} against {residual:,}"
    yield claim("DenseNet-121 needs fewer parameters than ResNet-50", said, dense < residual)
    straight = sum(p.numel() for p in nn.Conv2d(192, 32, 5).parameters())
    narrowed = sum(p.numel() for p in nn.Sequential(nn.Conv2d(192, 16, 1), nn.Conv2d(16, 32, 5)).parameters())
    said = f"{narrowed:,} against {straight:,} in GoogLeNet's first 5x5 branch"
    yield claim("a 1x1 layer before a 5x5 saves parameters", said, narrowed < straight)


def _linear(asked: Asked) -> Iterator[Row]:
    layers = [nn.Linear(20, 30).double(), nn.Linear(30, 10).double(), nn.Linear(10, 5).double()]
    weights, bias = as_one(layers)
    x = torch.randn(50, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stacked = nn.Sequential(*layers)(x).numpy()
    apart = float(abs(x.numpy() @ weights.T + bias - stacked).max())
    yield claim("three stacked linear layers equal one", "to the rounding of float64", apart < EXACT)


ENTRIES = (
    Entry(
        "Q1",
        "LeNet is robust to shifts, turns, zooms and noise",
        "A, D",
        (Check("accuracy of M9 and M1 against distortion", _robust, "trains LeNet and M1 on MNIST"),),
    ),
    Q2,
    Q3,
    Entry(
        "Q4",
        "G3's mistakes are of shape; costs of networks",
        "C",
        (
            Check("mistakes by colour and by shape", _mistakes, "trains g3, some minutes"),
            Check("costs", _costs, light=False),
        ),
    ),
    Entry(
        "Q5",
        "stacked linear layers, harmful flips",
        "E",
        (
            Check("stacked linear layers", _linear),
            Rivals(
                what="flips help E3's clothing",
                ours=Way(name="with flips", recipe="e3", changes=UNWATCHED),
                theirs=Way(name="without", recipe="e3", changes=(*UNWATCHED, "augment.flip=none")),
                picture="Q5-clothing",
            ),
            Rivals(
                what="flips harm digits",
                ours=Way(name="without flips", recipe="m10", changes=DIGITS),
                theirs=Way(name="with flips", recipe="m10", changes=(*DIGITS, "augment.flip=both")),
                picture="Q5-digits",
            ),
        ),
    ),
    Q6,
    Q7,
)
