"""Measures against published intervals, hand computations and scikit-learn."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from neocog.errors import CheckFailed, UsageError
from neocog.tasks.intervals import mcnemar, wilson
from neocog.tasks.metrics import Report, from_confusion
from neocog.tasks.multilabel import LabelTally, average_precision
from neocog.tasks.tally import BINS, Tally

CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def guesses(n: int = 500, classes: int = 10, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that are right more often than chance, and the truth."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=generator)
    logits = torch.randn(n, classes, generator=generator)
    logits[torch.arange(n), y] += 1.5
    return logits, y


def measured(logits: Tensor, y: Tensor, names: tuple[str, ...] = CIFAR, batch: int = 64) -> Report:
    tally = Tally(len(names))
    for start in range(0, len(y), batch):
        tally.add(logits[start : start + batch], y[start : start + batch])
    return tally.report(names, split="test")


def small(rows: list[list[int]], names: tuple[str, ...] = ("cat", "dog", "car")) -> Report:
    return from_confusion(torch.tensor(rows), names, split="test")


@pytest.mark.parametrize(
    ("percent", "low", "high"),
    [
        (99.1, 98.90, 99.27),
        (91.0, 90.42, 91.55),
        (66.8, 65.87, 67.72),
        (82.0, 81.23, 82.74),
        (85.9, 85.20, 86.57),
    ],
)
def test_wilson_intervals_of_the_textbook_accuracies(percent: float, low: float, high: float) -> None:
    bounds = wilson(round(percent * 100), 10_000)
    assert bounds == pytest.approx((low / 100, high / 100), abs=6e-5)


def test_wilson_bounds_solve_the_score_equation() -> None:
    for successes, n, z in ((0, 7, 1.959964), (3, 10, 1.959964), (10, 10, 1.959964), (999, 1000, 1.959964)):
        for bound in wilson(successes, n):
            if 0 < bound < 1:
                assert abs(successes / n - bound) == pytest.approx(
                    z * math.sqrt(bound * (1 - bound) / n), rel=1e-5
                )
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    assert wilson(0, 0) == (0, 1)
    assert wilson(5, 10, 0.99)[0] < wilson(5, 10, 0.95)[0]


def test_mcnemar_is_the_binomial_test() -> None:
    stats = pytest.importorskip("scipy.stats")
    for only_a, only_b in ((0, 0), (1, 0), (5, 5), (3, 11), (40, 12), (600, 700)):
        both = torch.ones(17, dtype=torch.bool)
        a = torch.cat([both, torch.ones(only_a).bool(), torch.zeros(only_b).bool(), ~both])
        b = torch.cat([both, torch.zeros(only_a).bool(), torch.ones(only_b).bool(), ~both])
        found = mcnemar(a, b)
        n = only_a + only_b
        expected = stats.binomtest(only_a, n).pvalue if n else 1.0
        assert (found.only_a, found.only_b) == (only_a, only_b)
        assert found.p == pytest.approx(expected, rel=1e-9)


def test_report_is_scikit_learns() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    logits, y = guesses()
    report = measured(logits, y)
    truth, called = y.numpy(), logits.argmax(1).numpy()
    assert report.n == 500
    assert np.array_equal(report.confusion, sk.confusion_matrix(truth, called))
    assert report.accuracy == pytest.approx(sk.accuracy_score(truth, called))
    assert report.loss == pytest.approx(sk.log_loss(truth, logits.double().softmax(1).numpy()), rel=1e-5)
    assert report.top5 == pytest.approx(sk.top_k_accuracy_score(truth, logits.numpy(), k=5))
    ours = [(s.precision, s.recall, s.f1, s.n) for s in report.per_class]
    np.testing.assert_allclose(ours, np.transpose(sk.precision_recall_fscore_support(truth, called)))
    macro = sk.precision_recall_fscore_support(truth, called, average="macro")[:3]
    assert (report.macro.precision, report.macro.recall, report.macro.f1) == pytest.approx(macro)


def test_the_size_of_batches_does_not_matter() -> None:
    logits, y = guesses()
    apart, whole = measured(logits, y, batch=7), measured(logits, y, batch=500)
    assert apart.confusion == whole.confusion
    assert (apart.top5, apart.n, apart.accuracy) == (whole.top5, whole.n, whole.accuracy)
    assert apart.loss == pytest.approx(whole.loss)
    assert apart.calibration is not None
    assert whole.calibration is not None
    assert apart.calibration.error == pytest.approx(whole.calibration.error)


def test_sums_of_two_tallies_add_up() -> None:
    logits, y = guesses()
    halves = [Tally(10), Tally(10)]
    halves[0].add(logits[:200], y[:200])
    halves[1].add(logits[200:], y[200:])
    for name, total in halves[0].sums.items():
        total += halves[1].sums[name]
    ours, whole = halves[0].report(CIFAR, split="test"), measured(logits, y)
    assert ours.confusion == whole.confusion
    assert ours.loss == pytest.approx(whole.loss)
    assert ours.top5 == whole.top5


def test_a_given_loss_is_taken() -> None:
    tally = Tally(2)
    tally.add(torch.eye(2), torch.tensor([0, 1]), 3.0)
    tally.add(torch.eye(2), torch.tensor([0, 1]), torch.tensor(5.0))
    assert tally.report(("a", "b"), split="val").loss == 2.0


def test_scores_by_hand_and_none_for_zero_by_zero() -> None:
    """8 cats of 10 right, dogs never predicted, no car among the pictures though two were called car."""
    report = small([[8, 0, 2], [5, 0, 0], [0, 0, 0]])
    cat, dog, car = report.per_class
    assert (cat.precision, cat.recall, cat.n) == (8 / 13, 0.8, 10)
    assert cat.f1 == pytest.approx(2 * (8 / 13) * 0.8 / (8 / 13 + 0.8))
    assert (dog.precision, dog.recall, dog.f1, dog.n) == (None, 0, 0, 5)
    assert (car.precision, car.recall, car.f1, car.n) == (0, None, 0, 0)
    assert report.macro.precision == pytest.approx((8 / 13 + 0) / 2)
    assert report.macro.recall == pytest.approx(0.4)
    assert report.accuracy == 8 / 15
    assert report.interval == wilson(8, 15)
    said = " ".join(report.remarks)
    assert "no pictures of: car" in said
    assert "never predicted: dog" in said
    assert "always answering cat" in said
    assert not any("always" in r for r in small([[8, 0, 2], [0, 5, 0], [0, 0, 9]]).remarks)


def test_none_means_where_sklearn_divides_by_zero() -> None:
    sk = pytest.importorskip("sklearn.metrics")
    truth, called = [0] * 10 + [1] * 5, [0] * 8 + [2] * 2 + [0] * 5
    scores = sk.precision_recall_fscore_support(truth, called, labels=[0, 1, 2, 3], zero_division=np.nan)
    confusion = torch.zeros(4, 4, dtype=torch.int64)
    for t, c in zip(truth, called, strict=True):
        confusion[t, c] += 1
    report = from_confusion(confusion, ("a", "b", "c", "d"), split="test")
    ours = [(s.precision, s.recall, s.f1) for s in report.per_class]
    np.testing.assert_allclose(np.array(ours, dtype=float), np.transpose(scores[:3]).astype(float))


def test_nothing_measured_is_said_so() -> None:
    report = Tally(10).report(CIFAR, split="val")
    assert (report.n, report.accuracy, report.loss, report.top5, report.calibration) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert report.interval == (0, 1)
    assert any("no pictures" in r for r in report.remarks)
    assert "accuracy -" in report.text()
    assert report.most_confused == ()
    json.dumps(report.json(), allow_nan=False)


def test_top5_only_from_six_classes_on() -> None:
    logits, y = guesses(classes=5)
    assert measured(logits, y, CIFAR[:5]).top5 is None
    logits, y = guesses(classes=6)
    six = measured(logits, y, CIFAR[:6])
    assert six.top5 == pytest.approx(1 - float((logits.argmin(1) == y).float().mean()))
    assert six.top5_interval == wilson(round(six.top5 * 500), 500)


def test_calibration_by_hand() -> None:
    """Four pictures 90 % sure of which two are right, one 60 % sure and right: (4 * 0.4 + 1 * 0.4) / 5."""

    def sure(p: float) -> list[float]:
        return [math.log(p), math.log(1 - p)]

    tally = Tally(2)
    tally.add(torch.tensor([sure(0.9)] * 4 + [sure(0.61)]), torch.tensor([0, 0, 1, 1, 0]))
    calibration = tally.report(("a", "b"), split="test").calibration
    assert calibration is not None
    assert calibration.error == pytest.approx((4 * 0.4 + 0.39) / 5)
    full = {i: b for i, b in enumerate(calibration.bins) if b.n}
    assert len(calibration.bins) == BINS
    assert [(i, b.n, b.accuracy) for i, b in full.items()] == [(9, 1, 1.0), (13, 4, 0.5)]
    assert all(b.low < b.confidence <= b.high for b in full.values())
    assert calibration.bins[0].accuracy is None


def test_the_ends_of_confidence_have_a_bin() -> None:
    tally = Tally(2)
    tally.add(torch.tensor([[1000.0, 0]]), torch.tensor([0]))
    calibration = tally.report(("a", "b"), split="test").calibration
    assert calibration is not None
    assert calibration.bins[-1].n == 1
    assert calibration.error == 0


def test_most_confused_in_words() -> None:
    names = ("T-shirt", "shirt", "bag")
    report = small([[10, 1, 0], [31, 10, 0], [0, 0, 10]], names)
    assert [pair.text() for pair in report.most_confused] == [
        "31 pictures of shirt were called T-shirt",
        "1 picture of T-shirt was called shirt",
    ]
    assert "31 pictures of shirt were called T-shirt" in report.text()


def test_text_shows_accuracy_with_interval_in_aligned_columns() -> None:
    rows = [[9894, 106], [0, 0]]
    text = small(rows, ("yes", "no")).text()
    low, high = wilson(9894, 10_000)
    assert f"accuracy 98.94 % [{100 * low:.2f}, {100 * high:.2f}], 10,000 pictures" in text
    table = [line for line in text.splitlines() if line.startswith(("class", "yes", "no  ", "mean"))]
    assert len(table) == 4
    assert len({len(line) for line in table}) == 1


def test_text_of_many_classes_shows_the_worst() -> None:
    n = 60
    confusion = torch.diag(torch.full((n,), 10))
    confusion[55, 3] = 90
    text = from_confusion(confusion, tuple(f"class{i}" for i in range(n)), split="test").text()
    lines = text.splitlines()
    assert "the 40 of 60 classes with the lowest F1:" in lines
    first = next(i for i, line in enumerate(lines) if line.startswith("class "))
    assert lines[first + 1].startswith(("class55", "class3 "))
    assert sum(line.startswith("class") for line in lines) == 41


def test_names_cannot_drive_the_terminal() -> None:
    report = small([[1, 2], [0, 3]], ("\x1b[31mred", "<b>"))
    assert "\x1b" not in report.text()
    assert "<b>" not in report._repr_html_()


def test_json_has_its_keys_and_survives_json() -> None:
    logits, y = guesses()
    document = measured(logits, y).json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert {
        "accuracy",
        "interval",
        "n",
        "loss",
        "classes",
        "confusion",
        "per_class",
        "split",
        "top5",
        "top5_interval",
    } < set(document)
    assert set(document["per_class"][0]) == {"class", "precision", "recall", "f1", "n"}
    assert isinstance(document["interval"], list)
    assert document["macro"].keys() == {"precision", "recall", "f1"}


def test_groups_join_rows_and_columns() -> None:
    report = small([[5, 3, 1], [2, 6, 0], [1, 0, 9]]).grouped({"animal": ["cat", "dog"]})
    assert report.classes == ("animal", "other")
    assert report.confusion == ((16, 1), (1, 9))
    assert report.accuracy == 25 / 27
    assert report.interval == wilson(25, 27)
    assert (report.loss, report.top5, report.calibration) == (None, None, None)
    assert report.remarks == ("grouped: animal = cat, dog; other = car",)
    assert report.split == "test"


def test_groups_agree_with_labels_grouped_beforehand() -> None:
    logits, y = guesses()
    groups = {"vehicle": ["airplane", "automobile", "ship", "truck"], "pet": ["cat", "dog"]}
    report = measured(logits, y).grouped(groups)
    number = torch.tensor([next((i for i, g in enumerate(groups.values()) if c in g), 2) for c in CIFAR])
    right = int((number[logits.argmax(1)] == number[y]).sum())
    assert report.accuracy == right / 500
    assert report.classes == ("vehicle", "pet", "other")


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"animal": ["cta"]}, "did you mean 'cat'"),
        ({"a": ["cat"], "b": ["cat"]}, "in the groups"),
        ({"a": []}, "no classes"),
    ],
)
def test_groups_that_cannot_be(groups: dict[str, list[str]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        small([[1, 0, 0], [0, 1, 0], [0, 0, 1]]).grouped(groups)


def test_a_group_called_other_takes_in_the_rest() -> None:
    report = small([[5, 3, 1], [2, 6, 0], [1, 0, 9]]).grouped({"a": ["cat"], "other": ["car"]})
    assert report.classes == ("a", "other")
    assert report.confusion == ((5, 4), (3, 15))


def test_grouping_keeps_remarks_about_the_data_and_renews_those_about_classes() -> None:
    fine = small([[8, 2, 0], [5, 0, 0], [0, 0, 0]]).with_remarks("labels drawn by hand")
    assert "no pictures of: car" in fine.remarks
    coarse = fine.grouped({"animal": ["cat", "dog"], "vehicle": ["car"]})
    assert coarse.remarks[0] == "labels drawn by hand"
    assert "no pictures of: vehicle" in coarse.remarks
    assert "no pictures of: car" not in coarse.remarks


def test_remarks_can_be_added_and_score_orders_reports() -> None:
    report = small([[8, 0, 2], [0, 5, 0], [0, 0, 9]])
    assert report.with_remarks("held out by hand").remarks[-1] == "held out by hand"
    logits, y = guesses()
    better = logits.clone()
    better[torch.arange(500), y] += 3
    assert measured(better, y).score > measured(logits, y).score


def test_outputs_that_are_not_finite_fail_the_check() -> None:
    logits, y = guesses(8)
    logits[3, 2] = math.nan
    logits[5, 1] = math.inf
    with pytest.raises(CheckFailed, match="2 pictures of 8"):
        measured(logits, y)


def test_save_writes_a_picture(tmp_path: Path) -> None:
    from PIL import Image

    logits, y = guesses()
    path = tmp_path / "confusion.png"
    measured(logits, y).save(path)
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 100


def tags(n: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(n, 4, generator=generator) < torch.tensor([0.5, 0.2, 0.05, 0.8])).float()
    logits = (torch.randn(n, 4, generator=generator) + 2 * y - 1).mul(4).round().div(4)  # ties occur
    return logits, y


def tagged(logits: Tensor, y: Tensor, **options: Any) -> Any:
    tally = LabelTally(4)
    for start in range(0, len(y), 64):
        tally.add(logits[start : start + 64], y[start : start + 64], float(len(y[start : start + 64])))
    return tally.report(("sky", "sea", "sun", "sand"), split="test", **options)


@pytest.mark.parametrize("thresholds", [0.5, [0.5, 0.3, 0.2, 0.7]])
def test_label_report_is_scikit_learns(thresholds: float | list[float]) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    logits, y = tags()
    report = tagged(logits, y, thresholds=thresholds)
    scores, truth = logits.sigmoid(), y.bool().numpy()
    called = (scores >= torch.tensor(thresholds)).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.transpose(sk.precision_recall_fscore_support(truth, called, zero_division=np.nan))
    ours = [(s.precision, s.recall, s.f1, s.n) for s in report.per_class]
    np.testing.assert_allclose(np.array(ours, dtype=float), expected.astype(float))
    averages = sk.average_precision_score(truth, scores.numpy(), average=None)
    np.testing.assert_allclose([s.average_precision for s in report.per_class], averages)
    assert report.mean_average_precision == pytest.approx(averages.mean())
    assert report.accuracy == pytest.approx(sk.accuracy_score(truth, called))
    assert report.interval == wilson(round(report.accuracy * 200), 200)
    assert report.micro_f1 == pytest.approx(sk.f1_score(truth, called, average="micro"))
    assert report.loss == 1.0


def test_average_precision_by_hand() -> None:
    truth = torch.tensor([True, False, True, False])
    assert average_precision(torch.tensor([0.9, 0.8, 0.7, 0.1]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(torch.full((4,), 0.5), truth) == pytest.approx(0.5)
    assert average_precision(torch.rand(4), torch.zeros(4).bool()) is None


def test_label_report_without_pictures_or_without_a_label() -> None:
    nothing = LabelTally(2).report(("sky", "sea"), split="val")
    assert (nothing.n, nothing.accuracy, nothing.mean_average_precision, nothing.loss) == (
        0,
        None,
        None,
        None,
    )
    logits, y = tags()
    y[:, 1] = 0
    report = tagged(logits, y)
    assert report.per_class[1].average_precision is None
    assert report.per_class[1].recall is None
    assert "no pictures with: sea" in report.remarks
    assert json.loads(json.dumps(report.json(), allow_nan=False)) == report.json()
    assert "sea" in report.text()
    assert report.json()["per_class"][0]["class"] == "sky"


def test_labels_refuse_wrong_thresholds_and_nan() -> None:
    logits, y = tags()
    with pytest.raises(UsageError, match="2 thresholds"):
        tagged(logits, y, thresholds=[0.5, 0.5])
    logits[0, 0] = math.nan
    with pytest.raises(CheckFailed, match="1 picture of 200"):
        tagged(logits, y)
