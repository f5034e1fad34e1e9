"""The summary's figures against published ones, its forms, and the drawing of every kind of network."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from neocog.arithmetic import walk
from neocog.errors import ShapeError, UnreadableError, UsageError
from neocog.inside import walk_table
from neocog.inside.drawing import Fork, _part, draw
from neocog.verbs.summary import summary
from neocog.zoo import ZOO

KEYS = ["input", "output", "parameters", "trainable", "non_trainable", "macs", "layers"]


def test_vgg16_as_published() -> None:
    found = summary("vgg16")
    document = found.json()
    assert list(document) == KEYS
    assert document["parameters"] == document["trainable"] == 138_357_544
    assert document["non_trainable"] == 0
    assert document["input"] == [224, 224, 3]
    assert document["output"] == [1000]
    assert 15.46e9 < document["macs"] < 15.48e9
    assert "138,357,544" in found.text()
    json.dumps(document, allow_nan=False)


def test_the_layers_of_lenet() -> None:
    """Chapter A: valid convolutions and pools of 2 give 24, 12, 8, 4; 431,080 parameters."""
    document = summary("lenet").json()
    assert document["parameters"] == 431_080
    sides = [layer["output"][0] for layer in document["layers"] if layer["kind"] in {"conv", "maxpool"}]
    assert sides == [24, 12, 8, 4]
    for number, layer in enumerate(document["layers"]):
        assert {"index", "name", "kind", "output", "parameters"} <= set(layer)
        assert layer["index"] == number
    assert sum(layer["parameters"] for layer in document["layers"]) == 431_080


@pytest.mark.parametrize("name", sorted(ZOO))
def test_every_network_of_the_zoo_has_its_golden_figures(name: str) -> None:
    row, found = ZOO[name], summary(name)
    assert found.walk.parameters == row.parameters
    assert row.macs is None or abs(found.walk.macs - row.macs) <= 0.005 * row.macs
    assert found.walk.output == (row.classes,)
    assert found.walk.input == row.shape
    assert not {layer.kind for layer in found.walk.layers} & {"sequential", "network"}
    lines = found.text().splitlines()
    assert max(map(len, lines)) <= 100
    assert _names(lines[4 : lines.index("", 4)]) == [layer.name for layer in found.walk.layers]


def _names(lines: list[str]) -> list[str]:
    """The names of the layers in a table, those parts that stand above them before them."""
    names, above = [], ""
    for line in lines:
        words = line.split()
        if len(words) == 1:
            above = f"{words[0]}."
        elif words[0].isdigit() and line.index(words[0]) < 4 and not line.startswith("      "):
            names.append(f"{above}{words[1]}")
    return names


@pytest.mark.parametrize(
    ("name", "window", "remark", "expected"),
    [
        ("a.conv", "3x3", "r" * 70, ["1 a.conv conv 3x3", "r" * 70]),
        ("aaaa.b." + "x" * 27, "3x3", "", ["aaaa", "1 b." + "x" * 27]),
        ("a.b." + "x" * 29, "3x3", "", ["a.b", "1 " + "x" * 29]),
        ("a." + "x" * 28, "3x3 pad 1 depthwise", "", ["1 a." + "x" * 28, "3x3 pad 1 depthwise"]),
        ("a." + "x" * 50, "3x3", "", ["a." + "x" * 50, "1 conv 3x3"]),
        ("x" * 120, "3x3", "", ["x" * 97, "x" * 23, "1 conv 3x3"]),
    ],
)
def test_wide_tables(name: str, window: str, remark: str, expected: list[str]) -> None:
    """First remarks go below, then beginnings of names above, long windows below, whole names above; then all
    is wrapped.
    """
    layer = summary("resnet18").walk.layers[0]
    odd = replace(layer, index=1, name=name, window=window, remark=remark)
    lines = walk_table.lines([odd])
    assert max(map(len, lines)) <= 100
    found = [" ".join(line.split()) for line in lines[2:]]
    assert [line[: len(words)] for line, words in zip(found, expected, strict=True)] == expected


def test_a_stem_for_small_pictures_is_said() -> None:
    assert "stem for small pictures" in summary("resnet18", input=(32, 32, 3)).text()
    assert "stem" not in summary("resnet18").text()


def test_input_and_classes_can_be_given() -> None:
    document = summary("resnet18", input=(160, 192, 1), classes=5).json()
    assert document["input"] == [160, 192, 1]
    assert document["output"] == [5]
    assert document["layers"][0]["input"] == [160, 192, 1]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    layers = [
        {"kind": "conv", "filters": 16, "kernel": 9, "stride": 2, "padding": "valid", "activation": "relu"},
        {"kind": "conv", "filters": 32, "kernel": 7},
        {"kind": "conv", "filters": 64, "kernel": 7},
        {"kind": "dense", "units": "classes"},
    ]
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"layers": layers}))
    return path


def test_a_layer_list_that_cannot_be_is_mended(net: Path) -> None:
    with pytest.raises(ShapeError) as caught:
        summary(net, input=(32, 32, 3))
    text = str(caught.value)
    assert text.startswith("conv3 ")
    assert "negative dimension size" in text
    assert "12x12x16" in text
    assert "any one of these works" in text
    assert summary(str(net), input=(33, 33, 3), classes=4).json()["output"] == [4]
    assert "10 classes assumed" in summary(net, input=(40, 40, 3)).text()


def test_the_exercise_of_chapter_b(tmp_path: Path) -> None:
    same = {"padding": "same"}
    layers = [
        {"kind": "conv", "filters": 16, "kernel": 5},
        {"kind": "maxpool", "size": 3, "stride": 2, **same},
        {"kind": "conv", "filters": 32, "kernel": 3, **same},
        {"kind": "maxpool", "size": 2, "stride": 2, **same},
        {"kind": "conv", "filters": 32, "kernel": 3, "stride": 2, **same},
    ]
    path = tmp_path / "exercise.json"
    path.write_text(json.dumps(layers))
    document = summary(path, input=(64, 64, 3)).json()
    sides = [layer["output"][0] for layer in document["layers"] if layer["kind"] in {"conv", "maxpool"}]
    assert sides == [60, 30, 30, 15, 8]
    assert document["output"] == [8, 8, 32]


def test_a_network_of_the_zoo_says_its_smallest_input() -> None:
    with pytest.raises(ShapeError, match=r"an input of 16x16 or more"):
        summary("lenet", input=(8, 8, 1))
    assert summary("lenet", input=(16, 16, 1)).walk.output == (10,)
    with pytest.raises(ShapeError):
        summary("lenet", input=(15, 15, 1))


def test_a_module_says_what_it_takes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 5), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    assert summary(network, input=(10, 10, 3)).json()["output"] == [2]
    with pytest.raises(ShapeError, match=r"its side 10 pixels"):
        summary(network, input=(12, 12, 3))
    with pytest.raises(UsageError, match="input="):
        summary(network)


def test_names_and_paths_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'vgg16'"):
        summary("vgg6")
    with pytest.raises(UnreadableError):
        summary(tmp_path / "missing.json", input=(8, 8, 3))


def test_frozen_layers_and_their_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    network[:2].requires_grad_(False)
    found = summary(network, input=(4, 4, 1))
    assert "frozen(eval)" in found.text()
    assert found.json()["non_trainable"] == 20 + 4 + 4
    assert found.json()["parameters"] == 27


def test_a_one_by_one_convolution_and_a_volume() -> None:
    found = summary(nn.Conv2d(3, 1, 1), input=(3, 3, 3))
    assert found.json()["output"] == [3, 3, 1]
    assert walk(nn.Conv3d(1, 2, 3), (1, 5, 6, 7)).output == (2, 3, 4, 5)
    assert walk(nn.Conv1d(1, 1, 3), (1, 5)).output == (1, 3)


def test_the_table_is_aligned_and_escaped() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("<b>", nn.Conv2d(1, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.get_submodule("<b>")(x)  # type: ignore[no-any-return]

    found = summary(Odd(), input=(2, 2, 1))
    assert "<b>" not in found._repr_html_()
    assert "&lt;b&gt;" in found._repr_html_()
    lines = summary("lenet").text().splitlines()
    column = lines[2].index("output")
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines[4:14])


@pytest.mark.parametrize(
    "name", ["lenet", "resnet18", "googlenet", "highway", "densenet40", "xception", "m2"]
)
def test_the_drawing_is_a_picture(name: str, tmp_path: Path) -> None:
    summary(name).save(tmp_path / "net.png")
    with Image.open(tmp_path / "net.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 100
        assert len(picture.getcolors(1 << 20) or []) > 3


@pytest.mark.parametrize(("name", "sign", "forks"), [("googlenet", "concat", 9), ("resnet18", "+ · ReLU", 8)])
def test_branches_and_shortcuts_are_drawn(name: str, sign: str, forks: int) -> None:
    """GoogLeNet has nine Inception modules (table 1), ResNet-18 eight blocks (table 1)."""
    found = summary(name)
    rows = {row.name: [row] for row in found.walk.layers}
    drawn = [part for part in _part(found.network, "", rows).parts if isinstance(part, Fork)]
    assert [part.sign for part in drawn] == [sign] * forks


def test_a_module_of_any_form_is_drawn() -> None:
    class Free(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.max_pool2d(self.conv(x), 2)

    network = Free()
    picture = Image.open(io.BytesIO(draw(network, walk(network, (3, 8, 8)), title="free")))
    assert picture.height > 100
