"""M12, M14 and M15: chapter D's autoencoders, and what the numbers in their middle are good for."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.answers import collect
from neocog.data import Data, load
from neocog.data.batches import stream
from neocog.data.dataset import Split
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.row import Row, Verdict, claim, missing, seen
from neocog.figures.training import run_facts, trained
from neocog.files import write_bytes
from neocog.model import Trained, dataset_of, open_trained
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import Recipe, override
from neocog.report.sections.restored import sheet
from neocog.runs.run import Run
from neocog.show import charts, false_colours, grids
from neocog.show.words import percent, plural
from neocog.world import find

PUBLISHED, NEAR = 0.0777, 0.01
"""M12's training loss after ten epochs; the share of it within which ours counts as the same."""
BY_LOSS = f"'same' is within {percent(NEAR)} of the published loss, one training each"
MIDDLE = "relu2"
"""The stage of M12's network that gives its 32 numbers."""
DRAWS = 5
"""Of labels, and of the beginnings of clusters."""
LABELS, STEPS, SOON = (100, 300, 1000), 300, 20
"""How many digits have labels; steps of training on all of them, and those after which 'sooner' is asked."""


def loss_verdict(ours: float, published: float) -> Verdict:
    """Of two losses: 'same' within `NEAR` of the published one."""
    if abs(ours - published) <= NEAR * published:
        return "same"
    return "better" if ours < published else "worse"


def _run(name: str, asked: Asked) -> Run:
    return trained(RECIPES[name], asked, name=name, seed=RECIPES[name].seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """A `recipe` that restores digits, with `changes`, called `name` in its rows: its training loss after the
    last epoch, and how near it comes to the test digits. `files` begins the names of its pictures.
    """

    recipe: str
    files: str
    name: str = ""
    changes: tuple[str, ...] = ()
    published: float | None = None

    @property
    def quick(self) -> bool:
        return False

    @property
    def asked(self) -> Recipe:
        """The recipe that is trained."""
        return override(RECIPES[self.recipe], self.changes)

    @property
    def identity(self) -> str:
        """What decides the training but its seed."""
        return self.asked.identity

    @property
    def _lost(self) -> str:
        return self._titled(f"training loss after {plural(self.asked.epochs, 'epoch')}")

    @property
    def _near(self) -> str:
        return self._titled("test digits, PSNR and SSIM")

    def is_of(self, row: Row) -> bool:
        """Whether `row` is one of this training."""
        return row.detail.get("recipe") == self.recipe and row.what in (self._lost, self._near)

    def waiting(self, why: str) -> Iterator[Row]:
        published = f"{self.published:.4f}" if self.published is not None else ""
        yield missing(self._lost, why or NEEDS, published=published)

    def rows(self, asked: Asked) -> Iterator[Row]:
        """Trains; draws digits damaged and restored, and the curves."""
        run = trained(self.asked, asked, name=self.recipe, seed=self.asked.seed)
        network = open_trained(run)
        test = dataset_of(network).split("test")
        answers = collect(network, test, "test", find(asked.device, "float32").device)
        write_bytes(asked.file(f"{self.files}-restored.png"), sheet(test, answers, range(10)))
        write_bytes(asked.file(f"{self.files}-curves.png"), charts.training_curves(run.metrics()))
        yield self._loss(run)
        yield self._nearness(run)

    def again(self, row: Row, runs: Sequence[Run], asked: Asked) -> Row:
        """`row` made anew of its run."""
        made = self._loss if row.what == self._lost else self._nearness
        return made(runs[0])

    def _titled(self, what: str) -> str:
        return f"{self.name}: {what}" if self.name else what

    def _loss(self, run: Run) -> Row:
        loss = run.metrics()[-1]["loss"]
        return Row(
            what=self._lost,
            published=f"{self.published:.4f}" if self.published is not None else "",
            ours=f"{loss:.4f}",
            verdict=loss_verdict(loss, self.published) if self.published is not None else "seen",
            remark=BY_LOSS if self.published is not None else "",
            detail=self._detail(run, loss=loss),
        )

    def _nearness(self, run: Run) -> Row:
        result = run.facts()["result"]
        said = ", ".join(
            f"{word} {result[f'test_{key}psnr']:.2f} dB and {result[f'test_{key}ssim']:.3f}"
            for word, key in (("restored", ""), ("damaged", "damaged_"), ("median filter", "median_"))
        )
        figures = {key: result[f"test_{key}"] for key in ("psnr", "ssim")}
        return Row(what=self._near, ours=said, verdict="seen", detail=self._detail(run, **figures))

    def _detail(self, run: Run, **figures: float) -> dict[str, Any]:
        runs = [run_facts(run)]
        asked = {"recipe": self.recipe, "changes": list(self.changes)}
        return {**asked, "recipe_identity": self.identity, **figures, "runs": runs}


def _one_layer(asked: Asked) -> Iterator[Row]:
    """The 784 weights by which some pixels of the answer are made, each as a picture."""
    run = _run("m12-one-layer", asked)
    weight = open_trained(run).network.state_dict()["head.dense1.weight"].view(28, 28, 28, 28)
    places = [(row, column) for row in (7, 14, 20) for column in (7, 14, 20)]
    maps = [false_colours.signed(weight[row, column].numpy()) for row, column in places]
    titles = [f"row {row}, column {column}" for row, column in places]
    caption = "784 weights for one pixel of the answer each: red adds, blue takes away"
    write_bytes(asked.file("M12-one-layer-weights.png"), grids.grid(maps, titles=titles, caption=caption))
    near = [float(abs(weight[r, c, r, c]) / weight[r, c].abs().max()) for r, c in places]
    yield seen(
        "its 784 weights for one pixel",
        f"that pixel's own has {percent(statistics.mean(near))} of the largest, in the mean over nine pixels",
    )


# --- M15 ---------------------------------------------------------------------------------------------------


def _digits(network: Trained) -> tuple[Split, Split]:
    """MNIST's training and test digits, undamaged."""
    dataset = load(Data(name="mnist", held_out=0.0), preprocess=network.preprocess)
    return dataset.train, dataset.split("test")


def _whole(network: Trained, x: Tensor) -> Tensor:
    """Whole digits for an encoder that learned from digits of which half was 0: halved, so that its sums are
    as large as they were, as dropout does.
    """
    return network.preprocess.normalise(x) / 2


@torch.inference_mode()
def _codes(network: Trained, x: Tensor) -> Tensor:
    """The numbers in the middle, (N, 32), of digits `x`."""
    middle = network.network.until(MIDDLE).eval()
    found: Tensor = middle(_whole(network, x)).float()
    return found


def _clusters(asked: Asked) -> Iterator[Row]:
    """k-means with ten clusters of the test digits, by their 784 pixels and by their 32 numbers."""
    network = open_trained(_run("m12", asked))
    test = _digits(network)[1]
    shown = {
        "784 pixels": network.preprocess.normalise(test.x).flatten(1),
        "32 numbers": _codes(network, test.x),
    }
    found = {
        name: [purity(k_means(x, 10, seed), test.y) for seed in range(DRAWS)] for name, x in shown.items()
    }
    for name, shares in found.items():
        yield seen(f"digits like most of their cluster, by {name}", _spread(shares))
    pixels, numbers = found.values()
    holds = True if min(numbers) >= min(pixels) else False if max(numbers) < min(pixels) else None
    said = f"{percent(statistics.mean(numbers))} against {percent(statistics.mean(pixels))}"
    yield claim("32 numbers stand in for 784 pixels: clusters of them are as pure", said, holds)


def k_means(x: Tensor, clusters: int, seed: int, steps: int = 50) -> Tensor:
    """(N,), int64: the cluster of each row of `x` (N, width) after Lloyd's steps from random rows."""
    centres = x[torch.randperm(len(x), generator=stream(seed, clusters))[:clusters]].clone()
    for _ in range(steps):
        of = torch.cdist(x, centres).argmin(1)
        members = F.one_hot(of, clusters).to(x.dtype)
        counts = members.sum(0)[:, None]
        centres = torch.where(counts > 0, members.T @ x / counts.clamp(min=1), centres)
    return torch.cdist(x, centres).argmin(1)


def purity(of: Tensor, y: Tensor) -> float:
    """The share 0..1 that is of its cluster's commonest class."""
    counts = torch.zeros(int(of.max()) + 1, int(y.max()) + 1)
    counts.index_put_((of, y), torch.ones(len(y)), accumulate=True)
    return float(counts.amax(1).sum()) / len(y)


def _pretraining(asked: Asked) -> Iterator[Row]:
    """The encoder with a softmax layer, learned from few labels: begun with M12's weights, and anew."""
    network = open_trained(_run("m12", asked))
    train, test = _digits(network)
    lines: dict[str, list[tuple[float, float]]] = {"pretrained": [], "from nothing": []}
    for count in LABELS:
        soon: dict[str, list[float]] = {name: [] for name in lines}
        late: dict[str, list[float]] = {name: [] for name in lines}
        for draw in range(DRAWS):
            rows = torch.randperm(len(train), generator=stream(draw, count))[:count]
            for name in lines:
                a, b = _learned(network, train.subset(rows), test, anew=name != "pretrained", seed=draw)
                soon[name].append(a)
                late[name].append(b)
        for name, points in lines.items():
            points.append((count, statistics.mean(late[name])))
        for when, shares in ((f"after {SOON} steps", soon), (f"after {STEPS} steps", late)):
            ours, theirs = shares["pretrained"], shares["from nothing"]
            said = f"{_spread(ours)} against {_spread(theirs)}"
            wins = sum(a > b for a, b in zip(ours, theirs, strict=True))
            holds = True if wins == DRAWS else False if wins == 0 else None
            yield claim(f"{count} labels, {when}: pretrained is better", said, holds)
    png = charts.curves(lines, title="M15: few labels", x_label="labels", y_label="test accuracy")
    write_bytes(asked.file("M15-labels.png"), png)


def _learned(network: Trained, labelled: Split, test: Split, *, anew: bool, seed: int) -> tuple[float, float]:
    """The test accuracy after `SOON` and after all `STEPS` of Adam on all labelled digits at once."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = copy.deepcopy(network.network.until(MIDDLE))
        layers = [m for m in encoder.modules() if isinstance(m, nn.Linear)]
        answer = nn.Linear(layers[-1].out_features, 10)
        for layer in [*layers, answer] if anew else [answer]:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    model = nn.Sequential(encoder, answer)
    for p in model.parameters():
        p.requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, wanted = _whole(network, labelled.x), _whole(network, test.x)
    found = []
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(x), labelled.y))
        optimizer.step()
        if step in (SOON, STEPS):
            with torch.no_grad():
                found.append(float((model(wanted).argmax(1) == test.y).float().mean()))
    return found[0], found[1]


def _spread(shares: Sequence[float]) -> str:
    return f"{percent(statistics.mean(shares))} ({percent(min(shares))} to {percent(max(shares))})"


NEEDS = "trains on MNIST, about a minute"
M12 = Entry(
    "M12",
    "denoising autoencoder",
    "D",
    (
        Restoring(recipe="m12", files="M12", published=PUBLISHED),
        Restoring(recipe="m12-one-layer", files="M12-one-layer", name="D's one layer"),
        Check("the 784 numbers of D's one layer", _one_layer, NEEDS),
        Restoring(recipe="m12-fresh", files="M12-fresh", name="damage drawn anew in every epoch"),
        Restoring(recipe="m12-conv", files="M12-conv", name="a convolutional network", changes=("epochs=3",)),
    ),
)
M14 = Entry(
    "M14",
    "exercise: logistic autoencoder 512-32-16-512",
    "D",
    (Restoring(recipe="m14", files="M14"),),
)
M15 = Entry(
    "M15",
    "what the code is good for",
    "D",
    (Check("clustering", _clusters, NEEDS), Check("pretraining", _pretraining, NEEDS)),
)
