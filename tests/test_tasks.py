"""Tasks, balance and averaged weights: losses by closed form, and trainings on small planted data."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from neocog.data.augment.augment import Augment
from neocog.data.batches import Feed
from neocog.data.dataset import Dataset, Split
from neocog.errors import UsageError
from neocog.optim.average import Average
from neocog.pictures.decode import Preprocess
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.run import Run
from neocog.tasks.classify import Classify
from neocog.tasks.metrics import Report
from neocog.tasks.multilabel import MultiLabel, MultiLabelReport
from neocog.tasks.table import task_name
from neocog.tasks.task import Objective, measure
from neocog.training.loop import Training, prepare
from neocog.training.resuming import goes_on
from neocog.world import find
from neocog.zoo.blocks import Network

CPU = torch.device("cpu")


class Fixed(Network):
    """A network whose logits are given."""

    def __init__(self, *logits: torch.Tensor, aux_weight: float = 0.0) -> None:
        super().__init__({}, torch.nn.Identity(), aux_weight=aux_weight)
        self.logits = logits

    def all_logits(self, x: torch.Tensor) -> list[torch.Tensor]:
        return list(self.logits)


def test_cross_entropy_of_even_logits_is_ln_c() -> None:
    y = torch.tensor([0, 1, 2])
    outcome = Objective(Fixed(torch.zeros(3, 4)), Classify(tuple("abcd")))(torch.zeros(3), y)
    assert float(outcome.loss) == pytest.approx(math.log(4))
    assert int(outcome.right) == 1, "the first of equal logits is the guess"


def test_auxiliary_losses_count_by_their_weight() -> None:
    logits, y = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
    alone = Objective(Fixed(logits), Classify(("a", "b")))(torch.zeros(1), y)
    helped = Objective(Fixed(logits, logits, logits, aux_weight=0.3), Classify(("a", "b")))(torch.zeros(1), y)
    assert float(helped.loss) == pytest.approx(1.6 * float(alone.loss))
    assert float(helped.answer_loss) == pytest.approx(float(alone.loss))


def test_label_smoothing_by_hand() -> None:
    logits, y = torch.tensor([[1.0, 0.0, -1.0]]), torch.tensor([0])
    logs = logits.log_softmax(1)[0]
    expected = -(0.9 * logs[0] + 0.1 / 3 * logs.sum())
    outcome = Objective(Fixed(logits), Classify(("a", "b", "c"), label_smoothing=0.1))(torch.zeros(1), y)
    assert float(outcome.loss) == pytest.approx(float(expected))


def test_logistic_losses_by_hand() -> None:
    logits, y = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    outcome = Objective(Fixed(logits), MultiLabel(("a", "b")))(torch.zeros(1), y)
    assert float(outcome.loss) == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)
    assert float(outcome.right) == 0.0


def test_training_and_held_out_accuracy_of_label_sets_are_one_measure() -> None:
    """The figure of a training batch, added up, is what the account of the same pictures says."""
    draws = torch.Generator().manual_seed(3)
    logits, y = torch.randn(50, 3, generator=draws), (torch.rand(50, 3, generator=draws) > 0.5).float()
    task = MultiLabel(("a", "b", "c"))
    tally = task.tally()
    tally.add(logits, y)
    accuracy = tally.report(task.classes, split="val").accuracy
    assert accuracy is not None
    assert 0 < accuracy < 0.5
    assert float(task.count(logits, y)) == pytest.approx(50 * accuracy)


def test_balanced_weights() -> None:
    assert Classify.balanced(torch.tensor([0, 0, 0, 1]), 3).tolist() == pytest.approx([4 / 9, 4 / 3, 1.0])
    sets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    assert MultiLabel.balanced(sets, 2).tolist() == pytest.approx([1 / 3, 3.0])
    assert task_name(sets) == "multilabel"
    assert task_name(torch.tensor([1])) == "classify"


def lopsided(n: int = 400) -> Dataset:
    """Two classes 19:1 that only a noisy brightness tells apart."""
    draws = torch.Generator().manual_seed(3)
    y = (torch.arange(n) % 20 == 0).long()
    light = 110 + 30 * y + 25 * torch.randn(n, generator=draws)
    x = (
        (light.view(-1, 1, 1, 1) + 10 * torch.randn(n, 1, 8, 8, generator=draws))
        .clamp(0, 255)
        .to(torch.uint8)
    )
    return Dataset("lopsided", ("often", "seldom"), Split(x, y), val=Split(x, y))


def tagged(n: int = 300) -> Dataset:
    """Three labels a picture, each of them a bright quarter."""
    draws = torch.Generator().manual_seed(4)
    y = (torch.rand(n, 3, generator=draws) < 0.4).float()
    x = torch.randint(0, 80, (n, 1, 8, 8), generator=draws)
    for label, (row, column) in enumerate(((0, 0), (0, 4), (4, 0))):
        x[:, 0, row : row + 4, column : column + 4] += (150 * y[:, label]).long().view(-1, 1, 1)
    return Dataset(
        "tagged", ("left", "right", "below"), Split(x.to(torch.uint8), y), val=Split(x.to(torch.uint8), y)
    )


def trained(dataset: Dataset, folder: Path, *changes: str) -> tuple[Training, Run]:
    recipe = override(RECIPES["m1"], ["batch=20", "epochs=6", "optim.lr=0.3", "precision=float32", *changes])
    run = Run(folder)
    folder.mkdir()
    run.write_recipe(recipe)
    job = prepare(recipe, dataset, find("cpu", "float32"))
    for _ in job.events(run, stop=lambda: False):
        pass
    return job, run


QUICK = ("preprocess.scale=one", "optim.lr=0.02")


def recalls(job: Training) -> list[float]:
    report = job.watched(job.trained.network)
    assert isinstance(report, Report)
    return [score.recall or 0.0 for score in report.per_class]


@pytest.mark.parametrize("balance", ["loss", "sampler"])
def test_balance_lets_the_rare_class_be_found(tmp_path: Path, balance: str) -> None:
    plain, _ = trained(lopsided(), tmp_path / "plain", *QUICK)
    even, _ = trained(lopsided(), tmp_path / "even", *QUICK, f"balance={balance}")
    assert recalls(even)[1] > recalls(plain)[1] + 0.2


def feed(dataset: Dataset, order: str) -> Feed:
    return Feed(
        split=dataset.train,
        preprocess=Preprocess(scale="raw"),
        augment=Augment(),
        batch=50,
        classes=2,
        seed=1,
        order=order,  # type: ignore[arg-type]
        device=CPU,
    )


def test_orders() -> None:
    dataset = lopsided()
    assert feed(dataset, "as given").rows(3).tolist() == list(range(400))
    shuffled = feed(dataset, "shuffled")
    assert sorted(shuffled.rows(0).tolist()) == list(range(400))
    assert shuffled.rows(0).tolist() == shuffled.rows(0).tolist() != shuffled.rows(1).tolist()
    drawn = dataset.train.y[feed(dataset, "balanced").rows(0)].float().mean()
    assert 0.4 < float(drawn) < 0.6
    with pytest.raises(UsageError, match="balance=loss"):
        feed(tagged(), "balanced").rows(0)


def test_an_epoch_begun_late_goes_on_with_the_same_batches() -> None:
    source = feed(lopsided(), "shuffled")
    whole, late = list(source.batches(2)), list(source.batches(2, taken=5 * 50))
    assert len(whole) == 8
    assert all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(whole[5:], late, strict=True)
    )


def test_label_sets_are_learned_measured_and_loaded(tmp_path: Path) -> None:
    from neocog.model import load

    job, run = trained(tagged(), tmp_path / "tags")
    assert job.trained.task == "multilabel"
    model = load(run.model_file)
    assert model.task == "multilabel"
    assert job.dataset.val is not None
    report = model.measure(job.dataset.val, "val", CPU)
    assert isinstance(report, MultiLabelReport)
    assert report.mean_average_precision is not None
    assert report.mean_average_precision > 0.98
    assert report.accuracy is not None
    assert report.accuracy > 0.8


def test_average_follows_by_formula_and_is_off_at_zero() -> None:
    network = Network({"a": torch.nn.Linear(1, 1, bias=False)}, torch.nn.BatchNorm1d(1))
    weight = network.features[0].weight
    assert Average(network, 0.0).network is network
    assert Average(network, 0.0).state() == {}
    with torch.no_grad():
        weight.fill_(0.0)
        average = Average(network, 0.5)
        weight.fill_(1.0)
    expected = 0.0
    for step in (1, 2, 3, 30):
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay)
    assert float(average.network.features[0].weight) == pytest.approx(expected)  # type: ignore[arg-type]
    assert network.features[0].weight.requires_grad
    assert not average.network.features[0].weight.requires_grad


def test_averaged_weights_are_what_is_shipped_and_survive_a_resume(tmp_path: Path) -> None:
    changes = ("average=0.9", "data.held_out=0.1")
    whole, run = trained(lopsided(), tmp_path / "whole", *changes)
    recipe = override(whole.recipe, [])
    cut = Run(tmp_path / "cut")
    cut.path.mkdir()
    cut.write_recipe(recipe)
    steps = 0

    def after_some() -> bool:
        nonlocal steps
        steps += 1
        return steps == 47

    for _ in prepare(recipe, lopsided(), find("cpu", "float32")).events(cut, stop=after_some):
        pass
    assert cut.saved()["step"] == 47
    job = prepare(recipe, lopsided(), find("cpu", "float32"))
    going = goes_on(job, cut, cut.saved_state(), recipe)
    for _ in job.events(cut, live=going.live, stop=lambda: False):
        pass
    assert cut.model_file.read_bytes() == run.model_file.read_bytes()
    from neocog import sealed

    shipped, state = sealed.read(run.model_file)[0], sealed.read(run.state_file)[0]
    name = "head.dense1.weight"
    assert not torch.equal(shipped[name], state[f"network/{name}"])


def test_measuring_restores_the_mode() -> None:
    network = Network({}, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)))
    network.train()
    x = lopsided().train.x[:10].float()
    measure(Classify(("a", "b")), network, [(x, torch.zeros(10, dtype=torch.int64))], "val")
    assert network.training
