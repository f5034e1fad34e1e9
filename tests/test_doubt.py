"""When not to believe an answer: temperature, distance, threshold; in the model file, said by predict."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import neocog
from neocog import data
from neocog.cli import run as command
from neocog.model import load
from neocog.sealed import document, read
from neocog.tasks import doubt, logistic
from neocog.tasks.classify import Classify
from neocog.tasks.doubt import Doubt, quantile, temperature

QUICK = ["epochs=4", "data.limit=600", "precision=float32", "optim.schedule=constant", "optim.lr=0.003"]


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> neocog.Run:
    out = tmp_path_factory.mktemp("doubt") / "run"
    return neocog.train("digits", changes=[*QUICK, "coverage=0.9"], out=out)


def test_the_temperature_is_the_one_by_which_outputs_were_multiplied() -> None:
    torch.manual_seed(0)
    task = Classify(tuple("abcd"))
    honest = torch.randn(20_000, 4) * 2
    y = torch.distributions.Categorical(logits=honest).sample()
    for times in (0.5, 1.0, 3.0):
        assert temperature(task, honest * times, y) == pytest.approx(times, rel=0.05)
    right = torch.eye(4) * 5
    assert 0.5 < temperature(task, right, torch.arange(4)) < 1, "four right answers are no licence to be sure"


def test_the_threshold_covers_further_pictures() -> None:
    torch.manual_seed(0)
    covered = []
    for _ in range(300):
        held, further = torch.rand(29), torch.rand(200)
        threshold = quantile(held, 0.9)
        assert threshold is not None
        covered.append(float((further <= threshold).double().mean()))
    assert sum(covered) / len(covered) == pytest.approx(0.9, abs=0.015)  # 27 / 30 exactly
    assert quantile(torch.rand(18), 0.95) is None
    assert quantile(torch.rand(19), 0.95) is not None


def test_distances_are_to_the_nearest_centre_in_units_of_deviation() -> None:
    doubt = Doubt(1.0, 0.9, 1.5, 30, torch.tensor([[0.0, 0], [10, 0]]), torch.tensor([[1.0, 0], [0, 0.5]]))
    far = doubt.distances(torch.tensor([[0.0, 4], [9, 0], [0, 0]]))
    torch.testing.assert_close(far, torch.tensor([2 / math.sqrt(2), 1 / math.sqrt(2), 0]))
    assert doubt.unlike(1.6)
    assert not doubt.unlike(1.5)


def test_the_model_file_keeps_it_and_measuring_uses_it(doubtful: neocog.Run, run: neocog.Run) -> None:
    trained = load(doubtful.model_file)
    kept = trained.doubt
    assert kept is not None
    assert kept.threshold is not None
    assert document(doubtful.model_file)["doubt"] == kept.json()
    assert kept.centres.shape[0] == 10
    tensors = {*trained.network.state_dict(), "doubt/centres", "doubt/whitening"}
    assert set(read(doubtful.model_file)[0]) == tensors
    split = data.load(doubtful.recipe().data).split("test")
    x = trained.preprocess.normalise(split.x)
    with torch.inference_mode():
        loss = F.cross_entropy(trained.network(x) / kept.temperature, split.y)
    assert neocog.evaluate(doubtful).json()["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert "doubt" not in document(run.model_file), "recipes without a coverage write what they wrote"
    assert "When to doubt an answer" in doubtful.report_file.read_text()
    assert "When to doubt an answer" not in run.report_file.read_text()


def test_predict_says_what_is_unlike(
    doubtful: neocog.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = load(doubtful.model_file)
    split = data.load(doubtful.recipe().data).split("test")
    for n in range(40):
        Image.fromarray(split.x[n, 0].numpy()).save(tmp_path / f"{n}.png")
    draws = torch.Generator().manual_seed(0)
    for n in range(20):
        noise = torch.randint(0, 256, (8, 8), generator=draws, dtype=torch.uint8)
        Image.fromarray(noise.numpy()).save(tmp_path / f"noise{n}.png")
    digits = neocog.predict(doubtful, [tmp_path / f"{n}.png" for n in range(40)]).items
    noises = neocog.predict(doubtful, [tmp_path / f"noise{n}.png" for n in range(20)]).items
    assert sum(item.unlike for item in digits) <= 12
    assert sum(item.unlike for item in noises) >= 18
    assert trained.doubt is not None
    assert all(item.unlike == trained.doubt.unlike(item.distance or 0.0) for item in (*digits, *noises))
    assert command(["predict", str(doubtful.path), str(tmp_path / "noise0.png"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)[0]
    assert said["distance"] == pytest.approx(noises[0].distance)
    odd = next(n for n, item in enumerate(noises) if item.unlike)
    assert command(["predict", str(doubtful.path), str(tmp_path / f"noise{odd}.png")]) == 0
    assert "unlike anything" in capsys.readouterr().out


def test_whitened_pictures_of_a_class_lie_about_one_away(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    turn = torch.linalg.qr(torch.randn(6, 6)).Q @ torch.diag(torch.tensor([9.0, 1, 1, 0.5, 2, 3]))
    y = torch.arange(3000) % 3
    x = torch.randn(3000, 6) @ turn + 50 * torch.nn.functional.one_hot(y, 6).float()
    members = torch.nn.functional.one_hot(y, 3).bool()
    monkeypatch.setattr(doubt, "SHRINKAGE", 1e-6)
    centres, whitening = doubt._centres(x, members)
    far = Doubt(1.0, 0.9, None, 0, centres, whitening).distances(x)
    assert float(far.square().mean()) == pytest.approx(1, rel=0.02)
    theirs = torch.stack([x[y == k].mean(0) for k in range(3)])
    torch.testing.assert_close(centres, theirs)
    monkeypatch.setattr(doubt, "WIDEST", 5)
    _, factors = doubt._centres(x, members)
    deviation = torch.cat([x[y == k] - theirs[k] for k in range(3)]).double().square().sum(0) / 2997
    torch.testing.assert_close(factors, deviation.rsqrt().float(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("widest", [6, 5])
def test_a_tenth_of_the_covariance_is_a_sphere(widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pictures as wanted: of twelve, the variances are over the ten beyond the centres; pictures
    without any label are a kind of their own; features that are all alike make no infinite distance.
    """
    monkeypatch.setattr(doubt, "WIDEST", widest)
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(2))
    x[6:] += 100
    members = torch.zeros(12, 1, dtype=torch.bool)
    members[:6] = True
    centres, found = doubt._centres(x, members)
    torch.testing.assert_close(centres, torch.stack([x[:6].mean(0), x[6:].mean(0)]))
    apart = torch.cat([x[:6] - centres[0], x[6:] - centres[1]]).double()
    covariance = apart.T @ apart / 10
    sphere = covariance.diagonal().mean() * torch.eye(6)
    drawn = 0.9 * covariance + 0.1 * sphere
    if widest < 6:
        torch.testing.assert_close(found.double(), drawn.diagonal().rsqrt(), rtol=1e-5, atol=1e-6)
    else:
        torch.testing.assert_close((found @ found.T).double(), torch.linalg.inv(drawn), rtol=1e-4, atol=1e-5)
    alike = doubt._centres(torch.ones(3, 6), torch.ones(3, 1, dtype=torch.bool))[1]
    assert torch.allclose(alike if widest < 6 else alike.diagonal(), torch.tensor(0.1).rsqrt())


def test_leaving_out_in_turn_covers_further_pictures() -> None:
    torch.manual_seed(0)
    last, task = torch.nn.Linear(6, 2), Classify(("a", "b"))
    centres = torch.tensor([[3.0] * 6, [-3.0] * 6])
    kept = []
    for _ in range(30):
        y = torch.arange(60) % 2
        pictures = [(torch.randn(60, 6) + centres[y], y)]
        fixed = doubt.cross_fitted(last, task, pictures, 0.1, 0.9)
        assert fixed is not None
        found = doubt.doubtful(last, task, pictures, fixed, 0.9)
        assert found.n == 60
        assert found.threshold is not None
        further = found.distances(torch.randn(300, 6) + centres[torch.arange(300) % 2])
        kept.append(float((further <= found.threshold).double().mean()))
        assert found.distances(torch.zeros(1, 6)) > found.threshold, "between the classes"
    assert 0.88 < sum(kept) / len(kept) < 0.95
    one_each = [(torch.randn(2, 6), torch.arange(2))]
    assert doubt.cross_fitted(last, task, one_each, 0.1, 0.9) is None


def test_answers_left_out_in_turn_fix_the_temperature() -> None:
    torch.manual_seed(0)
    x, y, task = torch.randn(80, 60), torch.arange(80) % 2, Classify(("a", "b"))  # nothing can be learned
    found = doubt.cross_fitted(torch.nn.Linear(60, 2), task, [(x, y)], 0.001, 0.9)
    assert found is not None
    assert found.temperature > 2, "a layer that knows its pictures by heart is far too sure of others"


def test_every_fold_is_answered_by_what_was_learned_from_all_others() -> None:
    """Each strength fitted anew to four fifths, without the fold: the outputs are those of that layer."""
    drawn = torch.Generator().manual_seed(3)
    x, y, task = torch.randn(20, 3, generator=drawn), torch.arange(20) % 2, Classify(("a", "b"))
    found = logistic.left_out(task, x, y, (0.1, 1.0))
    fold = logistic.folds(y, logistic.FOLDS, 0)
    for number in range(logistic.FOLDS):
        out = fold == number
        for place, strength in enumerate((0.1, 1.0)):
            layer = logistic.fitted(task, x[~out], y[~out], strength, None)
            torch.testing.assert_close(found[place, out], layer(x[out]).detach(), rtol=1e-2, atol=1e-3)
