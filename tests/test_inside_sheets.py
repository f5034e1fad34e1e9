"""Filters, maps, roles, gates, maximised pictures and weights: their numbers against closed forms, their
pictures where it is known what they must show.
"""

from __future__ import annotations

import dataclasses
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import neocog
from neocog.data import Data, load
from neocog.data.dataset import Split
from neocog.data.sources.drawn_shapes import COLOURS, describe
from neocog.errors import UsageError
from neocog.inside.canvas import NEAR, Facets
from neocog.inside.explain.filters import filters
from neocog.inside.explain.gates import gates
from neocog.inside.explain.maps import maps
from neocog.inside.explain.maximise import maximise, strongest_picture
from neocog.inside.explain.question import Picture, Question
from neocog.inside.explain.roles import responds, roles
from neocog.inside.explain.score import ClassScore
from neocog.inside.explain.weights import histogram, written
from neocog.inside.kernels import KERNELS, line
from neocog.inside.sight import Sight, sight
from neocog.inside.templates import NO_NAME, best
from neocog.model import Trained, dataset_of
from neocog.pictures.decode import decode
from neocog.pictures.preprocess import Preprocess
from neocog.runs.run import Run
from neocog.zoo import ZOO, Model, build

UNIT = Preprocess(size=(6, 6), channels=1, scale="unit", mean=(0.0,), std=(1.0,))


def ask(network: nn.Module, shape: tuple[int, int, int] = (1, 6, 6), **more: Any) -> Question:
    preprocess = UNIT.model_copy(update={"size": shape[1:], "channels": shape[0]})
    return Question(network=network, preprocess=preprocess, classes=("a", "b"), shape=shape, **more)


def kernels_of(*rows: Any) -> nn.Sequential:
    """A first layer with these kernels (3, 3), without bias."""
    network = nn.Sequential(nn.Conv2d(1, len(rows), 3, bias=False), nn.ReLU())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor(np.array(rows, dtype=np.float32))[:, None])
    return network.eval()


# --- names for kernels -------------------------------------------------------------------------------------


def test_classical_kernels_have_their_plain_names() -> None:
    assert best(np.array(KERNELS["sobel-x"])).name == "left edge"
    assert best(np.array(KERNELS["sobel-y"])).name == "top edge"
    assert best(-np.array(KERNELS["sobel-x"])).name == "right edge"
    assert best(np.rot90(np.array(KERNELS["sobel-x"]), 1)).name == "bottom edge"
    assert best(np.array(KERNELS["blur"])).name == "brightness"
    assert best(np.array(KERNELS["edges"])).name == "dark spot"
    assert best(-np.array(KERNELS["edges"])).name == "spot"
    named = {0: "horizontal line", 45: "rising line", 90: "vertical line", 135: "falling line"}
    for angle, name in named.items():
        detector = line(angle)
        assert best(detector - detector.mean()).name == name
        assert best(7 * (detector.mean() - detector)).name == f"dark {name}"


def test_a_name_does_not_depend_on_the_strength_and_chance_has_none() -> None:
    sobel = np.array(KERNELS["sobel-x"])
    assert best(1e-6 * sobel).cosine == pytest.approx(best(sobel).cosine)
    drawn = np.random.default_rng(0).normal(size=(200, 5, 5))
    assert sum(best(kernel).name == NO_NAME for kernel in drawn) > 180
    assert best(np.zeros((3, 3))).name == NO_NAME


# --- what a place sees -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 2, 3)],
        [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 3, 3)],
        [nn.Conv2d(1, 2, 5, stride=3, padding=2), nn.ReLU(), nn.AvgPool2d(3, 2)],
        [nn.Conv2d(1, 2, 3, dilation=2), nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(2, 2, 2)],
    ],
)
def test_a_place_sees_the_pixels_that_change_it(layers: list[nn.Module]) -> None:
    """Against trying out every pixel: none outside the field, and the field's corners within."""
    network = nn.Sequential(*layers).eval()
    found = sight(network, str(len(layers) - 1), (1, 24, 24))
    assert found is not None
    x = torch.zeros(1, 1, 24, 24)
    size = network(x).shape[2:]
    places = product(range(size[0]), range(size[1]))
    sees: dict[tuple[int, int], list[tuple[int, int]]] = {place: [] for place in places}
    for pixel in product(range(24), range(24)):
        given = x.clone()
        given[0, 0, pixel[0], pixel[1]] = float("nan")
        for place in network(given)[0, 0].isnan().nonzero().tolist():
            sees[place[0], place[1]].append(pixel)
    for place, pixels in sees.items():
        (top, bottom), (left, right) = found.box(place)
        rows, columns = [p[0] for p in pixels], [p[1] for p in pixels]
        assert (min(rows), max(rows) + 1) == (max(top, 0), min(bottom, 24))
        assert (min(columns), max(columns) + 1) == (max(left, 0), min(right, 24))


def test_a_layer_that_sees_everything_has_no_field() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    assert sight(network, "3", (1, 6, 6)) is None
    assert sight(network, "0", (1, 6, 6)) == Sight((0, 0), (1, 1), (3, 3))


# --- roles -------------------------------------------------------------------------------------------------


def test_roles_of_planted_filters() -> None:
    """Class a: squares on the left half, dark right; class b: nothing at all."""
    x = torch.zeros(8, 1, 6, 6, dtype=torch.uint8)
    x[:4, :, :, 3:] = 255
    split = Split(x, torch.tensor([0] * 4 + [1] * 4))
    network = kernels_of(KERNELS["sobel-x"], np.array(KERNELS["sobel-x"]) * -1, KERNELS["blur"])
    found = roles(ask(network, data=lambda name: split))
    channels = found.facts["channels"]
    assert [c["name"] for c in channels] == ["left edge", "right edge", "brightness"]
    assert [c["responds"] for c in channels] == [[1, 0], [0, 0], [1, 0]]
    assert found.arrays["means"][0].tolist() == [4.0, 0.0]
    words = "\n".join(found.lines)
    assert "never responds" in words
    assert "at least 50 %" in words
    titles = [(panel.title, panel.colour) for panel in found.sheets[0].panels]
    assert titles[6] == ("1 never responds", "red")
    assert titles[12][0] == "2 brightness"
    patch = found.sheets[0].panels[0].pixels[0, 1:-1, 1:-1]
    assert patch.tolist() == [[0, 255, 255]] * 3 or patch.tolist() == [[0, 0, 255]] * 3


def test_a_class_counts_from_half_of_the_largest_on() -> None:
    means = np.array([[4.0, 2.0, 1.9], [0.0, 0.0, 0.0]])
    assert responds(means).tolist() == [[True, True, False], [False, False, False]]


# --- filters and maps --------------------------------------------------------------------------------------


def test_filters_are_drawn_as_their_weights() -> None:
    network = kernels_of(KERNELS["sobel-x"], KERNELS["blur"])
    layer = filters(ask(network))
    assert layer.sheets[0].panels[0].pixels.tolist() == [[64, 128, 191], [0, 128, 255], [64, 128, 191]]
    assert "for the whole layer" in layer.sheets[0].caption
    own = filters(ask(network, levels="filter"))
    assert "by itself" in own.sheets[0].caption
    assert not own.sheets[0].panels[1].pixels.any(), "a filter of one value has nothing to stretch"
    with pytest.raises(UsageError, match="no filters"):
        filters(ask(network, layer="1"))


def test_levels_of_a_layer_are_those_of_all_its_weights() -> None:
    """E5: black is the least weight of the layer, not of the filters that are shown."""
    network = nn.Sequential(nn.Conv2d(2, 2, 3, bias=False)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.arange(36.0).reshape(2, 2, 3, 3))
    found = filters(ask(network, (2, 6, 6), layer="0", first=1, channel=0))
    assert "black is 0, white 35" in found.sheets[0].caption
    assert found.sheets[0].panels[0].pixels.max() == round(255 * 8 / 35)


def test_filters_over_colours_are_in_colour_and_e5_is_its_grid() -> None:
    network = build(Model(name="g1"), shape=ZOO["g1"].shape, classes=6)
    found = filters(ask(network, (3, 28, 28)))
    assert found.sheets[0].panels[0].pixels.shape == (3, 1, 1)
    e1 = build(Model(name="e1"), shape=(1, 28, 28), classes=10)
    second = filters(ask(e1, (1, 28, 28), layer="features.conv2", first=16))
    assert len(second.sheets[0].panels) == 16
    assert "input channel 0" in second.sheets[0].caption


def test_a_filter_on_a_photo_is_the_convolution_of_it(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    from neocog.show import grids

    (tmp_path / "photo.png").write_bytes(grids.alone(pixels))
    picture = Picture("photo.png", pixels[None, :6, :6], 0, 1.0, tmp_path / "photo.png")
    found = filters(ask(kernels_of(KERNELS["sobel-x"]), pictures=(picture,)))
    shown = found.sheets[1].panels[1].pixels
    slope = np.zeros((7, 5))
    for i, j in np.ndindex(7, 5):
        slope[i, j] = (pixels[i : i + 3, j : j + 3] * np.array(KERNELS["sobel-x"])).sum()
    wanted = 255 * (slope - slope.min()) / (slope.max() - slope.min())
    assert np.abs(shown - wanted).max() <= 0.51


def test_maps_are_what_the_layers_put_out_and_silent_ones_are_marked() -> None:
    network = kernels_of(KERNELS["sobel-x"], -np.array(KERNELS["blur"]))
    pixels = np.random.default_rng(1).integers(1, 256, (1, 6, 6), dtype=np.uint8)
    found = maps(ask(network, pictures=(Picture("p", pixels, 0, 1.0),)))
    with torch.no_grad():
        wanted = network(torch.from_numpy(pixels)[None] / 255)
    np.testing.assert_allclose(found.arrays["1"], wanted, atol=1e-6)
    assert found.facts["layers"][1]["silent"] == [1]
    assert [panel.colour for panel in found.sheets[1].panels] == ["black", "black", "red"]


def test_kernels_stand_below_the_maps_that_they_make() -> None:
    network = kernels_of(KERNELS["sobel-x"], KERNELS["blur"])
    pixels = np.random.default_rng(1).integers(1, 256, (1, 6, 6), dtype=np.uint8)
    sheet = maps(ask(network, pictures=(Picture("p", pixels, 0, 1.0), Picture("q", pixels, 0, 1.0)))).sheets[
        0
    ]
    assert sheet.columns == 3
    assert [panel.title for panel in sheet.panels] == [
        "p",
        "0",
        "1",
        "q",
        "0",
        "1",
        "",
        "kernel 0",
        "kernel 1",
    ]
    assert sheet.panels[7].pixels[0, ::2, ::2].tolist() == [[64, 128, 191], [0, 128, 255], [64, 128, 191]]
    assert "last row: the kernels, from" in sheet.caption
    network = build(Model(name="g1"), shape=ZOO["g1"].shape, classes=6)
    pixels = np.zeros((3, 28, 28), dtype=np.uint8)
    sheets = maps(ask(network, (3, 28, 28), pictures=(Picture("p", pixels, 0, 1.0),))).sheets
    assert [sheet.begins for sheet in sheets] == [True, False, False] * 2, "a row of sheets for each stage"
    assert sheets[0].panels[-1].pixels.shape[0] == 3, "over red, green and blue in colour"
    assert "kernels of input channel 0" in sheets[3].caption


def test_six_rectangles_one_of_each_colour() -> None:
    """G4 on G1's network: of the data set only the rectangles."""
    given = Data(name="shapes", task="colour", val="none")
    trained = Trained(
        network=build(Model(name="g1"), shape=ZOO["g1"].shape, classes=6).eval(), model=Model(name="g1"),
        shape=ZOO["g1"].shape, classes=tuple(COLOURS), provenance={"data": given.model_dump()},
        preprocess=UNIT.model_copy(update={"size": (28, 28), "channels": 3}),
    )  # fmt: skip
    found = neocog.explain(trained, how="maps", only="rectangle").answer
    pictures = [p for p in found.sheets[0].panels if p.title in COLOURS]
    assert [p.title for p in pictures] == list(COLOURS)
    data = load(given).split("test")
    shapes = describe("colour", 0).shapes
    for label, panel in enumerate(pictures):
        n = next(n for n, y in enumerate(data.y.tolist()) if y == label and shapes[n] == "rectangle")
        assert (panel.pixels == data.x[n].numpy()).all()
    with pytest.raises(UsageError, match="unknown kind of picture 'rectangel'; did you mean 'rectangle'"):
        neocog.explain(trained, how="maps", only="rectangel")
    with pytest.raises(UsageError, match="look for pictures themselves"):
        neocog.explain(trained, how="maps", only="line", split="test", index=[0])


def test_without_pictures_there_is_one_of_each_class(run: Run, tmp_path: Path) -> None:
    found = neocog.explain(run, how="maps")
    assert len(next(iter(found.answer.arrays.values()))) == 10
    assert [p.title for p in found.answer.sheets[0].panels if p.title.isdecimal()]
    found.save(tmp_path / "maps.png")
    assert decode(tmp_path / "maps.png").std() > 10


# --- gates, weights, maximised pictures --------------------------------------------------------------------


def test_gates_begin_nearly_closed() -> None:
    """The transform's bias begins at -2: sigmoid(-2) = 0.119."""
    network = build(Model(name="highway"), shape=(3, 16, 16), classes=2).eval()
    for module in network.modules():
        if type(module).__name__ == "Transform":
            nn.init.zeros_(module.conv.weight)
    pixels = np.zeros((3, 16, 16), dtype=np.uint8)
    found = gates(ask(network, (3, 16, 16), pictures=(Picture("p", pixels, 0, 1.0),)))
    shares = [share for gate in found.facts["gates"] for share in gate["open"]]
    assert len(shares) == 15
    np.testing.assert_allclose(shares, 1 / (1 + np.exp(2)), rtol=1e-5)
    with torch.no_grad():
        network.features.highway1_1.transform.conv.bias.fill_(0.0)  # half open
    asked = ask(network, (3, 16, 16), pictures=(Picture("p", pixels, 0, 1.0),))
    sheet = gates(asked).sheets[0]
    assert "black is 12 % open, white 50 %" in sheet.caption
    assert [p.title for p in sheet.panels[1:3]] == ["highway1_1 50 %", "highway1_2 12 %"]
    assert [int(p.pixels.min()) for p in sheet.panels[1:]] == [255, *14 * [0]]
    assert {p.pixels.shape[-2:] for p in sheet.panels} == {(16, 16)}, "those of later stages are enlarged"
    assert "of each gate" in gates(dataclasses.replace(asked, levels="filter")).sheets[0].caption
    with pytest.raises(UsageError, match="no gates"):
        gates(ask(kernels_of(KERNELS["blur"]), pictures=(Picture("p", pixels[:1], 0, 1.0),)))


def test_weights_as_text_are_read_back_exactly(run: Run, tmp_path: Path) -> None:
    found = neocog.explain(run, how="weights")
    found.save(tmp_path / "weights.txt")
    tensors = neocog.open_trained(run).network.state_dict()
    parts = (tmp_path / "weights.txt").read_text().strip().split("\n\n")
    assert len(parts) == len(tensors)
    for part, (name, tensor) in zip(parts, tensors.items(), strict=True):
        head, *rows = part.splitlines()
        assert head.split()[0] == name
        read = np.array([[float(v) for v in row.split()] for row in rows], dtype=np.float32)
        assert (read.ravel() == tensor.float().numpy().ravel()).all()
    assert written("n", np.float32(2)).startswith("n one number")


def test_a_histogram_counts() -> None:
    picture = histogram(np.array([0.0] * 10 + [1.0] * 5 + [-1.0]))
    dark = (picture == 40).all(-1).sum(0)
    assert dark.max() == 64
    assert dark[-1] == 32
    assert dark[0] == 7


def test_the_strongest_picture_of_a_template_is_the_template() -> None:
    """A linear network answers most to its own weights."""
    wanted = torch.zeros(12, 12)
    wanted[:, 6:] = 1
    network = nn.Sequential(nn.Flatten(), nn.Linear(144, 2, bias=False))
    with torch.no_grad():
        network[1].weight[0] = (wanted - 0.5).flatten()
        network[1].weight[1] = 0
    unit = UNIT.model_copy(update={"size": (12, 12)})
    found, again = (
        strongest_picture(network, ClassScore(0), shape=(1, 12, 12), preprocess=unit, steps=100)
        for _ in range(2)
    )
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.8
    assert (found == again).all()


def blobs() -> Tensor:
    """20 pictures of 12x12 that are bright at the left, more and more, and 20 at the right."""
    pictures = torch.zeros(40, 1, 12, 12, dtype=torch.uint8)
    for n in range(20):
        pictures[n, 0, :, :6] = 150 + 5 * n
        pictures[20 + n, 0, :, 6:] = 150 + 5 * n
    return pictures


def test_a_facet_is_the_mean_and_the_spread_of_pictures_that_are_alike() -> None:
    facets = Facets.of(blobs())
    assert facets.near.shape == (40, NEAR)
    right = facets.strongest(lambda x: x[:, 0, :, 6:].mean((1, 2)))
    some = blobs()[-NEAR:].float() / 255  # the brightest
    torch.testing.assert_close(right.mean, some.mean(0))
    assert right.directions.shape == (1, 1, 12, 12), "they differ in one way"
    torch.testing.assert_close(right.directions[0].square(), some.var(0, correction=0), atol=1e-6, rtol=1e-4)
    assert Facets.of(blobs()[:1]).strongest(lambda x: x.mean((1, 2, 3))).directions.shape == (0, 1, 12, 12)
    held = right.begin(torch.Generator())
    assert float(right.cost(held)) == 0
    torch.testing.assert_close(right.picture(held), right.mean)
    assert float(right.cost(held + 2)) > float(right.cost(held + 1)) > 0
    moved = right.moved(right.mean, torch.Generator().manual_seed(0))
    assert moved.shape[1:] == (1, 12, 12)
    assert float((moved.mean(0) - right.mean).abs().mean()) < 0.1
    assert float(moved.std(0).mean()) > 0.02


def test_classes_of_small_networks_are_climbed_near_training_pictures(run: Run) -> None:
    """Such a network calls shreds a class without doubt; near training pictures each is most like the mean
    of its own class's.
    """
    found = neocog.explain(run, how="maximise")
    assert found.text().startswith(f"begun with the mean of {NEAR} training pictures that are alike")
    trained = neocog.open_trained(run)
    split = dataset_of(trained).split("train")
    means = [split.x[split.y == label].float().mean(0).ravel().numpy() for label in range(10)]
    likest = [
        int(np.argmax([np.corrcoef(found.answer.arrays[name].ravel(), mean)[0, 1] for mean in means]))
        for name in trained.classes
    ]
    assert sum(n == like for n, like in enumerate(likest)) >= 9, likest
    noise = neocog.explain(run, how="maximise", layer="conv1", first=1)
    assert noise.text().startswith("begun with noise")


def test_without_training_pictures_it_begins_with_noise() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    asked = ask(network, (1, 8, 8))
    asked = dataclasses.replace(asked, data=None, classes=("a", "b"))
    found = maximise(asked)
    assert "there are no training pictures (this method looks at the data set" in found.lines[0]
    assert found.facts["pictures"][0].keys() == {"of", "reached", "grey"}
    with torch.no_grad():
        network[1].weight.fill_(float("nan"))
    assert maximise(asked).arrays["a"].max() == 0, "no numbers are black, not a warning"


def test_every_sheet_is_written_by_its_command(run: Run, tmp_path: Path) -> None:
    for how in ("filters", "roles", "weights", "maps"):
        found = neocog.explain(run, how=how, first=4)
        found.save(tmp_path / f"{how}.png")
        found.save(tmp_path / f"{how}.npz")
        assert decode(tmp_path / f"{how}.png").std() > 5
    assert found.json()["how"] == "maps"
