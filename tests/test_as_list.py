"""Networks of the zoo as layer lists: the same function, in other words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import neocog
from neocog import cli
from neocog.errors import UsageError
from neocog.inside.as_list import as_list
from neocog.zoo import ZOO, Model, build
from neocog.zoo.blocks import Network
from neocog.zoo.layer_list import document, parse

CHAINS = ("lenet5-relu", "alexnet-owt", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11-bn", "vgg16-bn")
CHAPTERS = ("m0", "m8", "lenet", "m10", "e1", "e2", "c2", "c5", "c7", "c9", "g-dense", "g1")


@pytest.mark.parametrize("name", CHAINS)
def test_chains_keep_their_published_count(name: str) -> None:
    row = ZOO[name]
    with torch.device("meta"):
        network = build(Model(name=name, stem=row.stems[0]), shape=row.shape, classes=row.classes)
        layers = as_list(network, name)
        again = build(Model(layers=layers), shape=row.shape, classes=row.classes)
    assert sum(p.numel() for p in again.parameters()) == row.parameters
    mine, theirs = network.state_dict().values(), again.state_dict().values()
    assert [t.shape for t in mine] == [t.shape for t in theirs]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_same_weights_give_the_same_answers(name: str) -> None:
    row = ZOO[name]
    network = build(Model(name=name), shape=row.shape, classes=row.classes).eval()
    layers = parse(json.loads(json.dumps(document(as_list(network, name)))))
    again = build(Model(layers=layers), shape=row.shape, classes=row.classes).eval()
    again.load_state_dict(dict(zip(again.state_dict(), network.state_dict().values(), strict=True)))
    x = torch.rand(2, *row.shape)
    assert torch.allclose(network(x), again(x), atol=1e-6)
    other = build(Model(layers=layers), shape=row.shape, classes=7)
    assert other.eval()(x).shape == (2, 7), "the last layer follows the classes of the data"


EVERYTHING = [
    {"kind": "conv", "filters": 4, "kernel": [3, 5], "stride": 2, "padding": "same", "border": "reflect"},
    {"kind": "relu"},
    {"kind": "pad", "amount": [1, 2], "border": "constant", "value": 0.5},
    {"kind": "conv", "filters": 8, "kernel": 3, "padding": 1, "groups": 2, "bias": False, "dilation": 2},
    {"kind": "batchnorm", "momentum": 0.9, "eps": 1e-4},
    {"kind": "tanh"},
    {"kind": "avgpool", "size": 2, "padding": "same"},
    {"kind": "l2pool", "size": 2, "stride": 1},
    {"kind": "maxpool", "size": 3, "stride": 2, "padding": "same"},
    {"kind": "dropout", "rate": 0.4},
    {"kind": "upsample", "factor": 3, "how": "linear"},
    {"kind": "upsample"},
    {
        "kind": "transposed-conv",
        "filters": 3,
        "kernel": 3,
        "stride": 2,
        "padding": "same",
        "activation": "relu",
    },
    {"kind": "transposed-conv", "filters": 2, "kernel": 2, "bias": False},
    {"kind": "dense", "units": 48},
    {"kind": "unflatten", "sizes": [4, 4, 3]},
    {"kind": "globalpool", "how": "max"},
    {"kind": "dense", "units": 6, "activation": "sigmoid"},
    {"kind": "dense", "units": "classes", "activation": "softmax"},
]


def test_every_kind_of_layer_comes_back() -> None:
    network = build(Model(layers=parse(EVERYTHING)), shape=(4, 24, 24), classes=3).eval()
    layers = as_list(network, "everything")
    again = build(Model(layers=layers), shape=(4, 24, 24), classes=3).eval()
    again.load_state_dict(dict(zip(again.state_dict(), network.state_dict().values(), strict=True)))
    x = torch.rand(2, 4, 24, 24)
    assert torch.equal(network(x), again(x))
    rates = [layer.rate for layer in layers if layer.kind == "dropout"]  # type: ignore[attr-defined]
    assert rates == [0.4]


@pytest.mark.parametrize(
    ("name", "says"),
    [("resnet18", "is a Residual"), ("googlenet", "MaxPool2d"), ("alexnet", "LocalResponseNorm")],
)
def test_what_is_no_chain_is_named(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says) as refusal:
        neocog.summary(name).save_list(tmp_path / "x.json")
    assert name in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_a_module_that_computes_something_else_is_named() -> None:
    class Odd(nn.ReLU):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x

    for odd in (Odd(), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(3, 3, 3, padding_mode="reflect")):
        with pytest.raises(UsageError, match=f"'features.odd' is a {type(odd).__name__}"):
            as_list(Network({"odd": odd}, nn.Sequential()), "net")


def test_the_command_line_writes_a_list_that_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = tmp_path / "net.json"
    assert cli.run(["summary", "m6", "--as-list", str(net), "-q"]) == 0
    quick = ["--epochs", "1", "--set", "data.limit=64", "-q", "-o", str(tmp_path / "run")]
    assert cli.run(["train", "digits", "--model", str(net), *quick]) == 0
    assert "test accuracy" in capsys.readouterr().out
