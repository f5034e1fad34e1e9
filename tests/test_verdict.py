"""The verdict on class maps: its figures on networks and maps of which the truth is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import neocog
from neocog.inside.explain.verdict import Verdict, correlation, curves, focus, judge, shuffled
from neocog.runs.run import Run


def corner(network: nn.Module, x: Tensor) -> Tensor:
    """How bright the upper left 4x4 corner is: what the map must be about."""
    return x[:, :, :4, :4].mean((1, 2, 3))


def picture() -> Tensor:
    x = torch.zeros(1, 1, 16, 16)
    x[:, :, :4, :4] = 1
    return x


def on_the_corner(network: nn.Module) -> Tensor:
    weight = torch.zeros(16, 16)
    weight[:4, :4] = 1 + next(network.parameters()).detach().reshape(4, 4).abs()
    return weight


def test_curves_of_a_map_on_what_decides() -> None:
    """16 of 256 pixels decide: with a sixteenth of them covered all but the grey is gone."""
    covered, shown = curves(nn.Identity(), picture(), on_the_corner(nn.Linear(4, 4, bias=False)), corner)
    grey = 16 / 256
    assert covered[0] == 1
    assert shown[-1] == 1
    assert covered[-1] == pytest.approx(grey)
    assert shown[0] == pytest.approx(grey)
    assert covered[5] == pytest.approx(grey), "9 % of the pixels are more than the corner"
    assert shown[5] == pytest.approx(1)


def test_a_map_on_what_decides_is_used_and_one_elsewhere_is_not() -> None:
    torch.manual_seed(0)
    network = nn.Linear(4, 4, bias=False)
    good = judge(network, picture(), on_the_corner, corner)
    assert good.gain > 0.2
    assert good.focus == pytest.approx(1)
    bad = judge(network, picture(), lambda net: on_the_corner(net).flip((0, 1)), corner)
    assert bad.gain < 0.1
    assert bad.focus == 0
    assert bad.word != "use"
    blank = judge(network, picture(), lambda net: torch.zeros(16, 16), corner)
    assert blank.word == "ignore"


def test_a_map_that_does_not_depend_on_the_weights_is_ignored() -> None:
    constant = torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
    found = judge(nn.Linear(4, 4), picture(), lambda net: constant, corner)
    assert found.alike == pytest.approx(1)
    assert found.word == "ignore"


def test_words() -> None:
    assert Verdict(0.1, 0.9, 0.5, 0.95, 0.1).word == "use"
    assert Verdict(0.1, 0.9, 0.5, 0.95, 0.1, most="careful").word == "careful"
    assert Verdict(0.1, 0.9, 0.5, 0.2, 0.1).word == "careful"
    assert Verdict(0.1, 0.9, -0.1, 0.95, 0.1).word == "ignore"
    assert Verdict(0.1, 0.9, 0.5, 0.95, 0.95).word == "ignore"


def test_ranks_focus_and_shuffling() -> None:
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert correlation(a, a.exp()) == pytest.approx(1)
    assert correlation(a, -a) == pytest.approx(-1)
    assert correlation(a, torch.ones(2, 2)) == 0
    assert correlation(torch.tensor([1.0, 1, 2, 3]), torch.tensor([1.0, 2, 3, 4])) == pytest.approx(0.9486833)
    assert focus(a, torch.tensor([[0.0, 0.1], [0.6, 1.0]])) == pytest.approx(0.7)
    assert focus(a, torch.full((2, 2), 0.01)) == 0
    layer = nn.Linear(3, 3)
    other = shuffled(layer, torch.Generator().manual_seed(0))
    assert isinstance(other, nn.Linear)
    assert not torch.equal(layer.weight, other.weight)
    assert torch.equal(layer.weight.flatten().sort().values, other.weight.flatten().sort().values)


def test_on_demand(run: Run) -> None:
    for how in ("gradcam", "guided"):
        found = neocog.explain(run, how=how, split="test", index=[0], check="verdict")
        verdict = found.json()["found"]["pictures"][0]["verdict"]
        assert verdict["word"] in ("use", "careful", "ignore")
        assert how == "gradcam" or verdict["word"] != "use"
        assert f"  {verdict['word']}: deletion" in found.text()
