"""Answers: one row per picture, and the report of the very same pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import neocog
from neocog import sealed
from neocog.answers import ANSWERS_FILE, Answers, PictureAnswers, collect, keep, read, write
from neocog.data import Data, load
from neocog.data.dataset import Split
from neocog.errors import CheckFailed, UnreadableError
from neocog.model import Trained, open_trained
from neocog.runs.run import Run
from neocog.tasks.intervals import mcnemar

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


def same_rows(a: PictureAnswers, b: PictureAnswers) -> bool:
    """Whether two hold the same bits."""
    pairs = ((a.probabilities, b.probabilities), (a.truth, b.truth), (a.losses, b.losses))
    return all(x.dtype == y.dtype and torch.equal(x, y) for x, y in pairs)


def test_a_run_keeps_the_answers_of_its_end(run: Run, answers: Answers, trained: Trained) -> None:
    saved = read(run.path / ANSWERS_FILE)
    assert same_rows(saved, answers)
    assert (saved.split, saved.names) == ("test", ())
    assert saved.task.classes == trained.classes
    assert saved.data_fingerprint == run.facts()["data_fingerprint"]
    assert int(saved.right.sum()) / len(saved) == run.json()["test_accuracy"]
    assert saved.worst(5) == answers.worst(5)
    assert saved.are_of(run.model_file)


def test_two_runs_are_compared_without_their_networks(run: Run, tmp_path: Path) -> None:
    other = neocog.train("digits", changes=["epochs=1", "optim.lr=0.0001"], out=tmp_path / "other")
    a, b = read(run.path / ANSWERS_FILE), read(other.path / ANSWERS_FILE)
    assert (a.data_fingerprint, a.split) == (b.data_fingerprint, b.split)
    assert torch.equal(a.truth, b.truth)
    assert not b.are_of(run.model_file)
    found = mcnemar(a.right, b.right)
    gap = run.json()["test_accuracy"] - other.json()["test_accuracy"]
    assert (found.only_a - found.only_b) / len(a) == pytest.approx(gap)
    assert found.p < 1e-6  # one epoch at a hundredth of the rate learns next to nothing


def test_names_and_label_sets_come_back(run: Run, trained: Trained, answers: Answers, tmp_path: Path) -> None:
    """Names as a disk may have them: beyond ASCII, with a newline, with bytes that are no UTF-8."""
    data = load(Data(name="digits"), preprocess=trained.preprocess)
    test = data.split("test").subset(torch.arange(3))
    sets = F.one_hot(test.y, 10).float()
    names = ("a/ü.png", "b\n\0.png", b"\xff.png".decode("utf-8", "surrogateescape"))
    tagged = replace(data, test=Split(test.x, sets, names))
    found = collect(replace(trained, task="multilabel"), tagged.split("test"), "test", CPU)
    assert keep(tmp_path / "a", found, tagged, run.model_file) == ()
    saved = read(tmp_path / "a")
    assert same_rows(saved, found)
    assert saved.names == names
    assert saved.task.name == "multilabel"
    assert torch.equal(saved.right, found.right)
    nothing = replace(data, test=test.subset(torch.arange(0)))
    empty = collect(trained, nothing.split("test"), "test", CPU)
    write(tmp_path / "empty", empty, nothing, run.model_file)
    assert tuple(read(tmp_path / "empty").probabilities.shape) == (0, 10)


def test_answers_above_the_bound_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neocog.answers.MOST_KEPT", 0.01)
    small = neocog.train("digits", changes=["epochs=1"], out=tmp_path / "small")
    assert not (small.path / ANSWERS_FILE).exists()
    said = "the answers to the 359 test pictures take 0.0 MiB, more than 0.01"
    assert sum(said in remark for remark in small.facts()["remarks"]) == 1
    assert said in (small.path / "report.html").read_text()
    assert neocog.evaluate(small).score[0] == small.json()["test_accuracy"]
    with pytest.raises(UnreadableError, match=r"cannot read .*answers\.safetensors"):
        read(small.path / ANSWERS_FILE)


def test_a_file_that_holds_no_answers_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"holds no answers .*give a run's answers\.safetensors"):
        read(run.model_file)
    tensors, document = sealed.read(run.path / ANSWERS_FILE)
    path = tmp_path / "changed"
    for changed in ({"format": 2}, {"task": "paint"}):
        sealed.write(path, tensors, {**document, **changed})
        with pytest.raises(UnreadableError, match="newer neocog"):
            read(path)
    for part in (
        {"losses": tensors["losses"][1:]},
        {"probabilities": tensors["probabilities"][:, 1:]},
        {"names": torch.tensor(list(b'["one.png"]'), dtype=torch.uint8)},
        {"names": torch.tensor(list(b"[half"), dtype=torch.uint8)},
    ):
        sealed.write(path, {**tensors, **part}, document)
        with pytest.raises(UnreadableError, match="holds no answers"):
            read(path)
    path.write_bytes((run.path / ANSWERS_FILE).read_bytes()[:-1])
    with pytest.raises(UnreadableError):
        read(path)


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
