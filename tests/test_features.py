"""Features of any layer: by name, number and Keras' name; hooks that come off; files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from neocog.cli import run as command
from neocog.errors import UsageError
from neocog.inside.capture import capture, layer_named
from neocog.model import Trained
from neocog.pictures.preprocess import Preprocess
from neocog.verbs.features import features
from neocog.zoo import ZOO, Model, build


@pytest.fixture(scope="module")
def trained() -> Trained:
    torch.manual_seed(0)
    shape = (3, 32, 32)
    model = Model(name="vgg11", stem="small")
    prep = Preprocess(size=(32, 32), channels=3, scale="unit", mean=(0.0,), std=(1.0,))
    network = build(model, shape=shape, classes=4).eval()
    return Trained(network=network, model=model, shape=shape, classes=tuple("abcd"), preprocess=prep)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    return paths


@pytest.mark.parametrize("layer", ["pool2", "features.pool2", "block2_pool", "5"])
def test_a_layer_by_any_of_its_names(layer: str, trained: Trained, photos: list[Path]) -> None:
    found = features(trained, photos, layer=layer)
    assert found.layer == "features.pool2"
    x = (
        torch.stack([torch.from_numpy(np.asarray(Image.open(p)).transpose(2, 0, 1).copy()) for p in photos])
        / 255
    )
    with torch.inference_mode():
        expected = trained.network.features[:4](x).numpy()
    assert expected.shape == (3, 128, 8, 8)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_block4_pool_of_vgg16_is_14_by_14_by_512() -> None:
    """P3's figure, without computing anything."""
    with torch.device("meta"):
        network = build(Model(name="vgg16"), shape=(3, 224, 224), classes=1000)
        name = layer_named(network, "block4_pool", shape=(3, 224, 224), aliases=ZOO["vgg16"].aliases)
        with capture(network, [name]) as found:
            network(torch.empty(1, 3, 224, 224))
    assert found[name].shape == (1, 512, 14, 14)


ALIASED = [name for name, row in ZOO.items() if row.aliases]
LARGE = [name for name in ALIASED if name not in ("vgg16", "resnet50-keras", "mobilenet_v2", "xception")]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in ALIASED]
)
def test_every_alias_of_the_zoo_is_a_layer(name: str) -> None:
    row = ZOO[name]
    with torch.device("meta"):
        network = build(Model(name=name, stem="paper"), shape=row.shape, classes=row.classes)
    for alias in row.aliases:
        assert layer_named(network, alias, shape=row.shape, aliases=row.aliases)


def test_an_unknown_layer_lists_the_right_ones(trained: Trained, photos: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"unknown layer 'pool9'; did you mean 'pool\d'.*pool1.*block5_pool"):
        features(trained, photos, layer="pool9")
    with pytest.raises(UsageError, match="there is no layer 99; neocog summary numbers them 0 to"):
        features(trained, photos, layer="99")
    with pytest.raises(UsageError, match="unknown layer 'nothing'"), capture(trained.network, ["nothing"]):
        pass


def hooks(network: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in network.modules())


def test_hooks_come_off_also_when_the_forward_raises(trained: Trained) -> None:
    with capture(trained.network, ["features.pool1", "head"]) as found:
        assert hooks(trained.network) == 2
        trained.network(torch.zeros(1, 3, 32, 32))
    assert set(found) == {"features.pool1", "head"}
    assert hooks(trained.network) == 0
    with pytest.raises(RuntimeError), capture(trained.network, ["features.pool1"]):
        trained.network(torch.zeros(1, 5, 32, 32))
    assert hooks(trained.network) == 0


def test_files_hold_the_numbers(trained: Trained, photos: list[Path], tmp_path: Path) -> None:
    found = features(trained, photos, layer="pool5")
    found.save(tmp_path / "f.npz")
    found.save(tmp_path / "f.csv")
    with np.load(tmp_path / "f.npz") as held:
        np.testing.assert_array_equal(held["features"], found.values)
        assert list(held["files"]) == [str(p) for p in photos]
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == 4
    assert rows[1][0] == str(photos[0])
    np.testing.assert_allclose(np.array(rows[1][1:], float), found.values[0].ravel(), rtol=1e-5)
    with pytest.raises(UsageError, match=r"\.npz or \.csv"):
        found.save(tmp_path / "f.txt")
    assert "pool5: 512x1x1 for each of 3 pictures" in found.text()


def test_the_command_line(photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["weights", "vgg16"]) == 0
    assert "397923af" in capsys.readouterr().out
    assert command(["weights", "vgg17"]) == 2
    assert command(["features", "vgg16", str(photos[0]), "--layer", "pool1", "--weights", "nothing.pth"]) == 3
    assert "there is no weights file at nothing.pth" in capsys.readouterr().err
