"""Answers: one row per picture, and the report of the very same pass."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import neocog
from neocog.answers import Answers, collect
from neocog.data import Data, load
from neocog.data.dataset import Split
from neocog.errors import CheckFailed
from neocog.model import Trained, open_trained
from neocog.run import Run

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(run: Run) -> Trained:
    return open_trained(run.path)


@pytest.fixture(scope="module")
def test_split(trained: Trained) -> Split:
    return load(Data(name="digits"), preprocess=trained.preprocess).split("test")


@pytest.fixture(scope="module")
def answers(trained: Trained, test_split: Split) -> Answers:
    return collect(trained, test_split, "test", CPU)


def test_they_are_the_networks_own(trained: Trained, test_split: Split, answers: Answers) -> None:
    """Against the network called by hand on the whole split at once."""
    with torch.inference_mode():
        logits = trained.network(trained.preprocess.normalise(test_split.x)).double()
    assert len(answers) == len(test_split) == 359
    torch.testing.assert_close(
        answers.probabilities.double(), logits.exp() / logits.exp().sum(1, keepdim=True), atol=1e-5, rtol=1e-4
    )
    own = -F.log_softmax(logits, 1)[torch.arange(len(logits)), test_split.y]
    torch.testing.assert_close(answers.losses.double(), own, atol=1e-5, rtol=1e-4)
    assert torch.equal(answers.truth, test_split.y)
    assert answers.probabilities.dtype == answers.losses.dtype == torch.float32


def test_the_report_is_evaluates_and_counts_the_same_pictures(run: Run, answers: Answers) -> None:
    report = neocog.evaluate(run)
    assert answers.report.json() | {"remarks": []} == report.json() | {"remarks": []}
    matrix = torch.zeros(10, 10, dtype=torch.int64)
    for t, p in zip(answers.truth.tolist(), answers.predicted.tolist(), strict=True):
        matrix[t, p] += 1
    assert tuple(map(tuple, matrix.tolist())) == report.confusion
    assert int(answers.right.sum()) / len(answers) == report.accuracy
    assert float(answers.losses.double().mean()) == pytest.approx(report.loss, rel=1e-5)


def made(probabilities: list[list[float]], truth: list[int], like: Answers) -> Answers:
    shares, y = torch.tensor(probabilities), torch.tensor(truth)
    return replace(like, probabilities=shares, truth=y, losses=-shares[torch.arange(len(y)), y].log())


def test_first_and_worst(answers: Answers) -> None:
    known = made([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.2, 0.8], [0.95, 0.05]], [0, 0, 1, 0, 1], answers)
    assert known.right.tolist() == [True, False, False, False, False]
    assert (known.first("right"), known.first("wrong")) == (0, 1)
    assert known.worst(10) == (4, 2, 3, 1)  # 0.05, then 0.2 twice in their order, then 0.3
    assert known.worst(2) == (4, 2)
    assert known.worst(0) == ()


def test_all_right_all_wrong_and_none(trained: Trained, test_split: Split, answers: Answers) -> None:
    perfect = made([[1.0, 0.0]], [0], answers)
    assert perfect.first("wrong") is None
    assert perfect.worst(3) == ()
    hopeless = made([[1.0, 0.0]], [1], answers)
    assert hopeless.first("right") is None
    assert hopeless.worst(3) == (0,)
    empty = collect(trained, test_split.subset(torch.arange(0)), "none", CPU)
    assert (len(empty), empty.first("right"), empty.worst(3)) == (0, None, ())


def test_measuring_and_collecting_leave_the_mode_alone(trained: Trained, test_split: Split) -> None:
    trained.network.train()
    try:
        collect(trained, test_split.subset(torch.arange(10)), "test", CPU)
        assert trained.network.training
    finally:
        trained.network.eval()


def test_an_output_that_is_not_finite_is_refused(trained: Trained, test_split: Split) -> None:
    weight = next(trained.network.parameters())
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("nan"))
        with pytest.raises(CheckFailed, match="not finite"):
            collect(trained, test_split.subset(torch.arange(4)), "test", CPU)
    finally:
        with torch.no_grad():
            weight.copy_(before)
