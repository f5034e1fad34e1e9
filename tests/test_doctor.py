"""The shape doctor: every remedy that it names is tried here again, by building and running the network for
real.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from neocog.errors import NeocogError, ShapeError
from neocog.inside.shape_doctor import (
    Edit,
    can_be,
    culprit,
    edits,
    fitting_sizes,
    mended,
    smallest_input,
    smallest_square,
    square,
)
from neocog.zoo import ZOO
from neocog.zoo.layer_list import Layer, build, parse

ONE_OUTPUT = 7


def runs(layers: tuple[Layer, ...], shape: tuple[int, ...]) -> bool:
    """Whether the network is built, and takes a real picture."""
    try:
        network = build(layers, shape=shape, classes=ONE_OUTPUT).eval()
    except (NeocogError, ValueError):
        return False
    with torch.no_grad():
        return network(torch.zeros(2, *shape)).shape[0] == 2


def conv(filters: int, kernel: int, stride: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "kind": "conv",
        "filters": filters,
        "kernel": kernel,
        "stride": stride,
        "activation": "relu",
        **more,
    }


POOL = {"kind": "maxpool", "size": 2}
ENDING = [{"kind": "flatten"}, {"kind": "dense", "units": "classes"}]
THREE_CONVOLUTIONS = [conv(16, 9, 2), conv(32, 7), conv(64, 7)]
IMPOSSIBLE: list[tuple[list[dict[str, Any]], tuple[int, ...]]] = [
    ([*THREE_CONVOLUTIONS, *ENDING], (3, 32, 32)),
    ([conv(4, 3), POOL, conv(4, 3), POOL, conv(4, 3), POOL, POOL, *ENDING], (1, 28, 28)),
    ([conv(4, 3), POOL] * 4 + ENDING, (1, 28, 28)),
    ([conv(4, 9, 2), POOL, conv(4, 5), *ENDING], (1, 24)),
    ([conv(4, 5), POOL, conv(4, 5), *ENDING], (1, 9, 9, 9)),
    ([{"kind": "avgpool", "size": 12}, *ENDING], (3, 8, 40)),
    ([{"kind": "flatten"}, conv(4, 3), *ENDING[1:]], (1, 8, 8)),
]


@pytest.mark.parametrize(("document", "shape"), IMPOSSIBLE)
def test_every_remedy_works(document: list[dict[str, Any]], shape: tuple[int, ...]) -> None:
    layers = parse(document)
    assert not runs(layers, shape)
    found = edits(layers, shape=shape, classes=ONE_OUTPUT)
    assert found
    for edit in found:
        assert runs(edit.layers, edit.shape), edit.words
        assert (edit.layers, edit.shape) != (layers, shape)


@pytest.mark.parametrize(("document", "shape"), IMPOSSIBLE[:6])
def test_the_smallest_input_is_the_smallest(document: list[dict[str, Any]], shape: tuple[int, ...]) -> None:
    layers = parse(document)
    (edit,) = [e for e in edits(layers, shape=shape, classes=ONE_OUTPUT) if e.words.startswith("an input of")]
    side = edit.shape[1]
    assert "x".join([str(side)] * (len(shape) - 1)) in edit.words
    assert runs(layers, square(shape, side))
    assert not any(runs(layers, square(shape, smaller)) for smaller in range(1, side))
    assert all(runs(layers, square(shape, side + more)) for more in range(1, 9))
    assert edit.words.endswith("or more")


def test_the_remedies_of_the_chapters_example() -> None:
    """32x32x3 through 9x9/2, 7x7, 7x7: the third has 6 pixels for 7."""
    layers, shape = parse([*THREE_CONVOLUTIONS, *ENDING]), (3, 32, 32)
    assert culprit(layers, shape=shape, classes=10) == 2
    words = [edit.words for edit in edits(layers, shape=shape, classes=10)]
    assert "drop conv3" in words
    assert 'pad conv3 ("same")' in words
    assert "a window of 6x6 in conv3" in words
    assert "stride 1 in conv1" in words
    assert "an input of 33x33 or more" in words
    with pytest.raises(ShapeError) as caught:
        build(layers, shape=shape, classes=10)
    text = str(mended(caught.value, layers, shape=shape, classes=10))
    assert (
        "input 32x32x3 -> conv1 9x9/2 -> 12x12x16 -> conv2 7x7 -> 6x6x32 -> conv3 7x7 needs at least 7"
        in text
    )
    assert text.splitlines()[-1].startswith("  any one of these works: drop conv3 | ")


def test_a_failing_pool_can_be_made_global() -> None:
    layers, shape = parse(IMPOSSIBLE[1][0]), IMPOSSIBLE[1][1]
    words = [edit.words for edit in edits(layers, shape=shape, classes=10)]
    assert "global max pooling in place of pool4" in words
    assert "drop pool4" in words
    assert "drop pool1" in words


def test_a_flat_input_of_a_convolution_is_mended() -> None:
    layers, shape = parse(IMPOSSIBLE[6][0]), IMPOSSIBLE[6][1]
    with pytest.raises(ShapeError) as caught:
        build(layers, shape=shape, classes=10)
    assert "drop flatten1" in str(mended(caught.value, layers, shape=shape, classes=10))


def test_a_network_that_can_be_has_no_remedies() -> None:
    layers = parse([conv(4, 3), *ENDING])
    assert culprit(layers, shape=(1, 8, 8), classes=10) is None
    assert edits(layers, shape=(1, 8, 8), classes=10) == ()
    assert can_be(layers, shape=(1, 8, 8), classes=10)
    assert not can_be([], shape=(1, 8, 8), classes=10)


def test_random_networks_are_mended() -> None:
    """Remedies of networks put together at random, each built and run."""
    draw, broken = random.Random(3), 0
    for _ in range(40):
        document = [draw.choice([conv(2, draw.randint(1, 7), draw.randint(1, 3)), POOL]) for _ in range(4)]
        layers, shape = parse([*document, *ENDING]), (1, draw.randint(5, 20), draw.randint(5, 20))
        found: tuple[Edit, ...] = edits(layers, shape=shape, classes=ONE_OUTPUT)
        assert bool(found) != runs(layers, shape)
        broken += bool(found)
        for edit in found:
            assert runs(edit.layers, edit.shape), (document, shape, edit.words)
    assert broken > 5


# --- input sizes of networks as they are -------------------------------------------------------------------


class Wide(nn.Module):
    """A dense layer of fixed width after two convolutions, as in many tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.dense = (
            nn.Conv2d(3, 6, 5),
            nn.Conv2d(6, 16, 5),
            nn.Linear(16 * 5 * 5, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.dense(torch.flatten(x, 1))


class Ladder(nn.Module):
    """Down twice and up again, with a joint that only multiples of 4 reach."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 2, 2), nn.Conv2d(4, 4, 2, 2))
        self.up = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, 2), nn.ConvTranspose2d(4, 1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.up(self.down(x))], 1)


def takes(network: nn.Module, channels: int, side: int) -> bool:
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(2, channels, side, side))
    except RuntimeError:
        return False
    return True


def test_a_fixed_dense_layer_fits_a_few_sizes() -> None:
    network = Wide()
    found = fitting_sizes(network, 3)
    assert found is not None
    assert [found.least, found.most] == [32, 35]
    assert found.text() == "32 to 35"
    assert [takes(network, 3, side) for side in (31, 32, 35, 36)] == [False, True, True, False]


@pytest.mark.parametrize("kernels", [(3,), (5, 3), (7, 7, 7)])
def test_a_fully_convolutional_network_fits_from_some_size_on(kernels: tuple[int, ...]) -> None:
    network = nn.Sequential(*(nn.Conv2d(2, 2, k, stride=2) for k in kernels))
    found = fitting_sizes(network, 2)
    assert found is not None
    assert found.most is None
    assert takes(network, 2, found.least)
    assert not takes(network, 2, found.least - 1)


def test_joints_that_only_some_sizes_reach() -> None:
    network = Ladder()
    found = fitting_sizes(network, 1)
    assert found is not None
    assert (found.least, found.most, found.step) == (4, None, 4)
    assert [side for side in range(1, 20) if takes(network, 1, side)] == [4, 8, 12, 16]


def test_no_size_mends_the_wrong_channels() -> None:
    assert fitting_sizes(Wide(), 1) is None


def test_the_smallest_input_of_predicates() -> None:
    for least in (1, 2, 3, 17, 64, 1000):
        found = smallest_input(lambda side, least=least: side >= least)  # type: ignore[misc]
        assert found is not None
        assert (found.size, found.and_all_larger) == (least, True)
    assert smallest_input(lambda side: False) is None
    gaps = smallest_input(lambda side: side % 4 == 0)
    assert gaps is not None
    assert not gaps.and_all_larger


@pytest.mark.parametrize("name", sorted(name for name, row in ZOO.items() if row.shape[1:] == (28, 28)))
def test_the_smallest_input_of_the_chapters_networks(name: str) -> None:
    row = ZOO[name]
    found = smallest_square(lambda shape: row.build(shape=shape, classes=row.classes), row.shape[0])
    assert found is not None
    assert row.smallest in {0, found.size}

    def real(side: int) -> bool:
        try:
            network = row.build(shape=(row.shape[0], side, side), classes=row.classes)
        except ShapeError:
            return False
        return takes(network, row.shape[0], side)

    assert real(found.size)
    assert found.size == 1 or not real(found.size - 1)
