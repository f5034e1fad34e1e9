"""What measurements come to, in words and figures: a few answers of every task, counted by hand."""

from __future__ import annotations

import html

import pytest
import torch

from neocog.errors import UsageError
from neocog.tasks.classify import Classify
from neocog.tasks.metrics import Report, from_confusion
from neocog.tasks.multilabel import LabelTally, MultiLabel
from neocog.tasks.restore import Nearness, Restore, RestoreReport
from neocog.tasks.tally import Tally
from neocog.verbs.predict import Guess, Prediction, Predictions

TRUTH, SAID = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6]), [0, 1, 1, 2, 2, 4, 5, 0]
LOGITS = torch.zeros(8, 7).index_put_((torch.arange(8), torch.tensor(SAID)), torch.tensor(2.0))
LOGITS[7, :6] += 1


SHOWN = torch.full((1, 1, 2, 2), 7, dtype=torch.uint8)


def classified() -> Report:
    """One of seven classes for eight pictures, five of them right."""
    tally = Tally(7)
    tally.add(LOGITS, TRUTH)
    return tally.report(tuple("abcdefg"), split="val").with_remarks("a remark", "another")


def test_classes_in_words() -> None:
    text = """\
val: accuracy 62.50 % [30.57, 86.32], 8 pictures
top-5 accuracy 87.50 % [52.91, 97.76]
loss 1.4634
calibration error 6.97 %

class            precision    recall        F1  pictures
a                  50.00 %   50.00 %   50.00 %         2
b                  50.00 %  100.00 %   66.67 %         1
c                  50.00 %  100.00 %   66.67 %         1
d                        -    0.00 %    0.00 %         1
e                 100.00 %  100.00 %  100.00 %         1
f                 100.00 %  100.00 %  100.00 %         1
g                        -    0.00 %    0.00 %         1
mean of classes    70.00 %   64.29 %   54.76 %         8

1 picture of a was called b
1 picture of d was called c
1 picture of g was called a

never predicted: d, g
a remark
another"""
    found = classified()
    assert found.text() == text
    assert found._repr_html_() == f"<pre>{html.escape(text)}</pre>"
    assert found.headline() == (
        ("62.50 %", "accuracy on val, 95 % interval 30.57 % to 86.32 %"),
        ("8", "val pictures"),
        ("87.50 %", "with the true class among the five likeliest"),
        ("1.4634", "loss (cross-entropy)"),
    )
    assert found.columns().names == ("precision", "recall", "F1")
    assert found.columns().of_class[0] == ("50.00 %", "50.00 %", "50.00 %")
    assert found.columns().means == ("70.00 %", "64.29 %", "54.76 %")
    loss = pytest.approx(1.46339, abs=1e-5)
    assert found.figures() == {"loss": loss, "accuracy": 0.625}
    assert found.score == (0.625, -found.loss)  # type: ignore[operator]
    result = found.result()
    assert (result["accuracy"], result["n"], result["loss"]) == (0.625, 8, loss)
    assert result["interval"] == pytest.approx([0.30574, 0.86316], abs=1e-5)
    assert found.beside(None) is found  # type: ignore[arg-type]


def test_how_sure_an_answer_was() -> None:
    """e^2 / (e^2 + 6) = 55.2 %, and 1 / (e^2 + 6) = 7.5 % for the truth where that is another class."""
    task = Classify(tuple("abcdefg"))
    shares = task.probabilities(LOGITS)
    said = task.predicted(shares)
    assert task.sureness(shares[0], said[0], TRUTH[0], 0.0) == ["55.2 % sure"]
    assert task.sureness(shares[1], said[1], TRUTH[1], 0.0) == ["55.2 % sure", "truth 7.5 %"]
    labels = MultiLabel(("sky", "sea"))
    assert labels.sureness(shares[0], said[0], TRUTH[0], 0.12345) == ["loss 0.123"]
    assert labels.named(torch.tensor([1.0, 1.0])) == "sky + sea"
    assert labels.named(torch.tensor([0.0, 0.5])) == "none"


@pytest.mark.parametrize(
    ("confusion", "words"),
    [
        ([[3, 1], [0, 0]], "always answering a would be right more often: 100.00 %"),
        ([[2, 1], [1, 0]], "always answering a would be right more often: 75.00 %"),
        ([[2, 1], [0, 1]], "always answering a would be right as often: 75.00 %"),
        ([[3, 0], [0, 1]], None),
    ],
)
def test_a_network_that_does_no_better_than_one_answer(confusion: list[list[int]], words: str | None) -> None:
    remarks = from_confusion(torch.tensor(confusion), ("a", "b"), split="test").remarks
    assert [remark for remark in remarks if remark.startswith("always")] == [words] * (words is not None)


def test_many_missing_classes_are_named_by_ten() -> None:
    confusion = torch.zeros(13, 13, dtype=torch.int64)
    confusion[0, 0] = 5
    found = from_confusion(confusion, tuple("abcdefghijklm"), split="test")
    assert "no pictures of: b, c, d, e, f, g, h, i, j, k and 2 more" in found.remarks
    assert "never predicted: b, c, d, e, f, g, h, i, j, k and 2 more" in found.remarks
    nothing = from_confusion(torch.zeros(2, 2, dtype=torch.int64), ("a", "b"), split="test")
    assert (nothing.remarks, nothing.headline()) == (("no pictures: nothing was measured",), ())


def test_labels_in_words() -> None:
    tally = LabelTally(3)
    outputs = [[2.0, -1, 0], [2, 1, -1], [-2, 1, -3], [1, 1, 1]]
    tally.add(torch.tensor(outputs), torch.tensor([[1.0, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]]), 3.0)
    limits = [0.5, 0.25, 0.5]
    found = tally.report(("sky", "sea", "sun"), split="test", thresholds=limits, remarks=["said"])
    found = found.with_remarks("more")
    text = """\
test: 4 pictures, mean average precision 83.33 %
all labels of a picture right 25.00 % [4.56, 69.94]
F1 over all labels 61.54 %
loss 0.7500

label           from  precision    recall       F1  average precision  pictures
sky              0.5    66.67 %  100.00 %  80.00 %           100.00 %         2
sea             0.25    50.00 %  100.00 %  66.67 %            66.67 %         2
sun              0.5     0.00 %         -   0.00 %                  -         0
mean of labels          38.89 %  100.00 %  48.89 %            83.33 %         4

said
no pictures with: sun
more"""
    assert found.text() == text
    assert found._repr_html_() == f"<pre>{html.escape(text)}</pre>"
    assert found.headline() == (
        ("25.00 %", "all labels of a picture right, on test, 95 % interval 4.56 % to 69.94 %"),
        ("4", "test pictures"),
        ("83.33 %", "mean average precision"),
        ("61.54 %", "F1 over all labels"),
        ("0.7500", "loss (cross-entropy)"),
    )
    assert found.columns().names == ("precision", "recall", "F1", "average precision")
    assert found.columns().of_class[1] == ("50.00 %", "100.00 %", "66.67 %", "66.67 %")
    assert found.columns().means == ("38.89 %", "100.00 %", "48.89 %", "83.33 %")
    assert found.figures() == {"loss": 0.75, "accuracy": 0.25}
    assert found.score == (pytest.approx(5 / 6), -0.75)
    assert (found.result()["accuracy"], found.result()["n"], found.result()["loss"]) == (0.25, 4, 0.75)
    assert found.beside(None) is found  # type: ignore[arg-type]
    mixed = LabelTally(1)
    mixed.add(torch.tensor([[1.0], [1.0]]), torch.tensor([[0.5], [0.51]]))
    assert mixed.report(("sky",), split="test").per_class[0].n == 1, "half a label is none"
    nothing = LabelTally(2).report(("sky", "sea"), split="test")
    assert (nothing.headline(), nothing.score[0]) == ((), 0.0)


def test_restored_pictures_in_words() -> None:
    near = Nearness(20.125, 0.87654), Nearness(10.0, 0.5), Nearness(15.5, 0.25)
    found = RestoreReport("test", 1200, 0.01234, *near).with_remarks("said")
    text = """\
test: 1,200 pictures, loss 0.0123

pictures      PSNR    SSIM
restored  20.12 dB  0.8765
damaged   10.00 dB  0.5000
median    15.50 dB  0.2500

said"""
    assert found.text() == text
    assert found._repr_html_() == f"<pre>{html.escape(text)}</pre>"
    assert found.headline() == (
        ("20.12 dB, 0.877", "restored test pictures"),
        ("10.00 dB, 0.500", "the damaged pictures"),
        ("15.50 dB, 0.250", "a median filter"),
        ("1,200", "test pictures"),
        ("0.0123", "loss (mean squared error)"),
    )
    assert found.result() == {
        "n": 1200, "loss": 0.01234, "psnr": 20.125, "ssim": 0.87654, "damaged_psnr": 10.0,
        "damaged_ssim": 0.5, "median_psnr": 15.5, "median_ssim": 0.25,
    }  # fmt: skip
    assert found.figures() == {"loss": 0.01234, "psnr": 20.125}
    assert (found.score, found.columns().names) == ((-0.01234, 0.0), ())
    alone = RestoreReport("val", 1, None, None)
    assert alone.text() == "val: 1 picture\n\npictures  PSNR  SSIM"
    assert (alone.figures(), alone.score) == ({"loss": None, "psnr": None}, (0.0, 0.0))
    task = Restore(())
    assert task.sureness(SHOWN, SHOWN, SHOWN, 0.12345) == ["loss 0.1235"]
    assert (task.named(SHOWN), task.right(SHOWN, SHOWN).tolist()) == ("", [True])
    assert task.right(SHOWN, SHOWN + 1).tolist() == [False]
    with pytest.raises(UsageError, match="no classes to group"):
        found.grouped({"a": ["b"]})


def test_no_class_name_breaks_a_line() -> None:
    """Names come from folders and tables of strangers: each stays in its line."""
    odd = ("a/b, c", "new\nline", "turn\u202eed", "\x1b[2J", "e", "f", "g")
    tally = Tally(7)
    tally.add(LOGITS, TRUTH)
    found = tally.report(odd, split="val")
    assert len(found.text().splitlines()) == len(classified().text().splitlines()) - 2  # its two remarks
    assert r"new\nline " in found.text()
    assert found.most_confused[0].text() == r"1 picture of a/b, c was called new\nline"
    labels = LabelTally(2)
    labels.add(torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, 0.0]]))
    assert r"new\nline " in labels.report(odd[:2], split="val").text()
    answer = Prediction("a\nb.png", (Guess("new\nline", 1, 0.5),))
    assert Predictions((answer,)).text() == r"a\nb.png: new\nline 50.0 %"
