"""Arithmetic on demand equals torch, to a millionth of the sum of absolute products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import neocog
from neocog.cli import run as command
from neocog.errors import UsageError
from neocog.inside import by_hand
from neocog.runs.run import Run
from neocog.verbs.explain import Explanation

LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv2d(3, 4, 3), (3, 7, 6)),
    (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), (4, 7, 6)),
    (nn.Conv2d(2, 3, 3, dilation=2, padding="same"), (2, 7, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", bias=False), (2, 7, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"), (2, 7, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 7, 6)),
    (nn.Conv1d(2, 3, 4, stride=2, padding=1), (2, 9)),
    (nn.Conv3d(2, 3, 2, padding=1), (2, 3, 4, 3)),
    (nn.Linear(5, 3), (5,)),
    (nn.MaxPool2d(3, 2, padding=1), (2, 7, 6)),
    (nn.AvgPool2d(2), (2, 7, 6)),
    (nn.AvgPool2d(3, 2, padding=1), (2, 7, 6)),
    (nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (2, 7, 6)),
    (nn.LPPool2d(2, 2), (2, 6, 6)),
    (nn.BatchNorm2d(2), (2, 3, 3)),
    *[(one, (2, 3, 3)) for one in (nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.Dropout())],
]  # fmt: skip


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_every_number_of_every_kind_of_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer.eval()
    if isinstance(layer, nn.BatchNorm2d):
        for tensor in (layer.running_mean, layer.running_var, layer.weight, layer.bias):
            assert tensor is not None
            tensor.data.uniform_(0.5, 2)
    x = 3 * torch.randn(1, *shape)
    made = layer(x)[0].detach()
    for channel, *at in np.ndindex(*made.shape):
        found = by_hand.work(layer, x[0].double().numpy(), channel, tuple(at))
        theirs = float(made[(channel, *at)])
        assert abs(found.result - theirs) <= 1e-6 * max(found.scale, 1)


@pytest.mark.parametrize(("layer", "shape"), LAYERS[:8])
def test_a_convolution_is_a_sparse_matrix(layer: Any, shape: tuple[int, ...]) -> None:
    x = torch.randn(1, *shape)
    found = by_hand.matrix(layer, shape)
    made = layer(x)[0].detach().double()
    bias = layer.bias.detach().double() if layer.bias is not None else torch.zeros(len(made)).double()
    theirs = (made - bias.reshape(-1, *(1,) * (made.ndim - 1))).flatten().numpy()
    np.testing.assert_allclose(found @ x[0].double().numpy().ravel(), theirs, atol=1e-5)


def test_the_worked_example_as_a_matrix() -> None:
    """F3: 25 numbers go in, 9 come out; 9 x 25 with five ones a row."""
    layer = nn.Conv2d(1, 1, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]]))
    found = by_hand.matrix(layer, (1, 5, 5))
    assert found.shape == (9, 25)
    assert (found.sum(1) == 5).all()
    assert found[0].nonzero()[0].tolist() == [0, 2, 6, 10, 12]
    given = [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert (found @ np.array(given)).tolist() == [4, 3, 4, 2, 4, 3, 2, 3, 4]


def test_linear_layers_in_a_row_are_one() -> None:
    torch.manual_seed(1)
    layers = [nn.Linear(6, 5), nn.Linear(5, 4, bias=False), nn.Linear(4, 3)]
    weights, bias = by_hand.as_one(layers)
    x = torch.randn(7, 6)
    theirs = nn.Sequential(*layers)(x).detach()
    np.testing.assert_allclose(x.double().numpy() @ weights.T + bias, theirs, atol=1e-6)


def first(run: Run, **more: Any) -> Explanation:
    return neocog.explain(run, how="arithmetic", split="test", **{"index": [0], **more})


def test_on_demand(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["explain", str(run.path), "--how", "arithmetic", "--split", "test", "--index", "0"]
    assert command([*argv, "--layer", "conv2", "--channel", "3", "--at", "1,2"]) == 0
    words = capsys.readouterr().out
    assert "features.conv2, channel 3 at 1,2, for test[0]:" in words
    assert "sum of products" in words
    for layer in ("conv1", "relu1", "pool1", "conv2", "dense1"):
        facts = first(run, layer=layer, channel=1).json()["found"]
        assert abs(facts["result"] - facts["network"]) <= 1e-6 * max(facts["scale"], 1), layer
    assert "as a matrix: " in first(run, layer="conv1").text()
    with pytest.raises(UsageError, match="no channel 999"):
        first(run, layer="conv1", channel=999)
    with pytest.raises(UsageError, match="no arithmetic of its own"):
        first(run, layer="flatten1")


def test_one_step_of_learning(run: Run) -> None:
    for layer, channel in (("conv1", 0), ("conv2", 5)):
        found = first(run, index=[3], layer=layer, channel=channel, at=(0, 2), step="backward", of=1)
        facts = found.json()["found"]
        assert abs(facts["gradient"] - facts["network"]) <= 1e-6 * max(facts["scale"], 1)
        assert facts["gradient"] != 0 or facts["scale"] == 0
        assert facts["new"] == pytest.approx(facts["weight"] - 0.1 * facts["gradient"])
