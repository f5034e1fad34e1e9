"""Layers of the second half of autoencoders: sizes, values by hand, what the doctor says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import neocog
from neocog.cli import run as command
from neocog.errors import ShapeError, UsageError
from neocog.pretrained.keras import sequential
from neocog.zoo.layer_list import build, document, parse

Capture = pytest.CaptureFixture[str]


def through(layers: list[dict[str, Any]], x: torch.Tensor) -> torch.Tensor:
    """What the layers make of x (N, ...); weights all 1, biases 0."""
    network = build(parse(layers), shape=tuple(x.shape[1:]), classes=10)
    for name, parameter in network.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
    return network(x).detach()  # type: ignore[no-any-return]


def test_values_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    doubled = through([{"kind": "upsample"}], x)
    assert doubled[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    flat = torch.arange(12.0)[None]
    assert torch.equal(through([{"kind": "unflatten", "sizes": [2, 2, 3]}], flat), flat.view(1, 3, 2, 2))
    apart = through([{"kind": "transposed-conv", "filters": 1, "kernel": 2, "stride": 2}], x)
    assert torch.equal(apart, doubled), "kernels of ones that do not overlap repeat the pixels"
    over = through([{"kind": "transposed-conv", "filters": 1, "kernel": 2}], x)
    assert over[0, 0].tolist() == [[1, 3, 2], [4, 10, 6], [3, 7, 4]]
    line = through([{"kind": "upsample", "factor": 3}], torch.tensor([[[5.0, 7.0]]]))
    assert line[0, 0].tolist() == [5, 5, 5, 7, 7, 7]


@pytest.mark.parametrize(
    ("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (2, 2), (3, 2), (4, 2), (5, 2), (4, 3)]
)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_same_gives_the_stride_times_the_size(kernel: int, stride: int, axes: int) -> None:
    layer = {"kind": "transposed-conv", "filters": 2, "kernel": kernel, "stride": stride}
    x = torch.ones(1, 1, *([4] * axes))
    valid = through([layer], x)
    same = through([{**layer, "padding": "same"}], x)
    assert valid.shape[2:] == ((4 - 1) * stride + kernel,) * axes
    assert same.shape[2:] == (4 * stride,) * axes
    before = -(-(kernel - stride) // 2)  # what is cut off at the beginning
    middle = tuple(slice(before, before + 4 * stride) for _ in range(axes))
    assert torch.equal(same, valid[(slice(None), slice(None), *middle)])


AUTOENCODER: list[dict[str, Any]] = [
    {"kind": "conv", "filters": 4, "kernel": 3, "stride": 2, "padding": "same", "activation": "relu"},
    {"kind": "dense", "units": 8, "activation": "relu"},
    {"kind": "dense", "units": 196},
    {"kind": "unflatten", "sizes": [7, 7, 4]},
    {"kind": "upsample"},
    {
        "kind": "transposed-conv",
        "filters": 1,
        "kernel": 3,
        "stride": 2,
        "padding": "same",
        "activation": "tanh",
    },
]


def test_summary_of_a_convolutional_autoencoder(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "autoencoder.json"
    path.write_text(json.dumps({"layers": AUTOENCODER}))
    assert command(["summary", str(path), "--input", "28x28x1"]) == 0
    out = capsys.readouterr().out
    assert "28x28x1" in out
    assert "transposed conv" in out
    found = neocog.summary(path, input=(28, 28, 1)).walk
    assert found.output == (1, 28, 28)
    assert found.parameters == (9 * 4 + 4) + (784 * 8 + 8) + (8 * 196 + 196) + (4 * 9 + 1)
    assert parse(document(parse(AUTOENCODER))) == parse(AUTOENCODER)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for layers, shape, said in (
        ([{"kind": "unflatten", "sizes": [7, 7, 4]}], (100,), "unflatten"),
        ([{"kind": "upsample"}], (100,), "an unflatten before it"),
        (
            [{"kind": "transposed-conv", "filters": 1, "kernel": 2, "stride": 3, "padding": "same"}],
            (1, 5, 5),
            "3 or more",
        ),
    ):
        with pytest.raises(ShapeError, match=said):
            build(parse(layers), shape=shape, classes=10)
    for entry, said in (
        ({"kind": "unflatten", "sizes": [7]}, "sizes"),
        ({"kind": "upsample", "factor": 0}, "factor"),
        ({"kind": "transposed-conv", "filters": 1, "kernel": 3, "padding": 1}, "padding"),
    ):
        with pytest.raises(UsageError, match=said):
            parse([entry])


def test_they_learn(tmp_path: Path) -> None:
    """A network through a narrow place and back, with a classifier behind it, is trained like any other."""
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"layers": [*AUTOENCODER, {"kind": "dense", "units": "classes"}]}))
    run = neocog.train("shapes", model=path, changes=["epochs=1", "data.limit=64"], out=tmp_path / "run")
    assert neocog.evaluate(run).n == 900


def test_keras_is_told_plainly_that_it_does_not_get_them(tmp_path: Path) -> None:
    layers = parse([{"kind": "upsample"}, {"kind": "flatten"}, {"kind": "dense", "units": "classes"}])
    network = build(layers, shape=(1, 2, 2), classes=3)
    with pytest.raises(UsageError, match="'upsample1' makes maps larger"):
        sequential.save(tmp_path / "net.h5", sequential.Sequential(layers, (1, 2, 2), network))
    assert not list(tmp_path.iterdir())
