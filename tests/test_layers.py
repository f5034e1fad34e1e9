"""The layer list: the chapters' networks and their arithmetic, JSON both ways, and refusals in words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from neocog.errors import ShapeError, UsageError
from neocog.zoo import ZOO, Model, begin, build
from neocog.zoo.layer_list import build as build_layers
from neocog.zoo.layer_list import document, meaning, parse

# Parameters as sums over the layers: kernels + biases, dense weights + biases, batch norm's two vectors.
BY_HAND = {
    "m0": 784 * 100 + 100 + 1010,
    "m1": 7850,
    "m2": 784 * 400 + 400 + 4010,
    "m5": 784 * 400 + 400 + 4010,
    "m6": 320 + 13 * 13 * 32 * 200 + 200 + 2010,
    "m7": 320 + 9248 + 12 * 12 * 32 * 200 + 200 + 2010,
    "m8": 320 + 9248 + 12 * 12 * 32 * 200 + 200 + 2010,
    "lenet": 431_080,  # S2
    "m10": 208 + 3216 + 4 * 4 * 16 * 32 + 32 + 64 + 330,
    "e1": 167_114,  # S2
    "e1-without-pooling": 4_058_314,  # S2
    "e2": 320 + 18496 + 11 * 11 * 64 * 32 + 32 + 330,
    "e7-dense": 784 * 128 + 128 + 256 + 128 * 64 + 64 + 128 + 650,
    "e7": 320 + 13 * 13 * 32 * 128 + 128 + 1290,
    "c0": 3072 * 100 + 100 + 1010,
    "c1": 896 + 15 * 15 * 32 * 512 + 512 + 5130,
    "c2": 896 + 9248 + 18496 + 36928 + 73856 + 147584 + 4 * (32 + 64 + 128) + 20490,
    "c4": 896 + 9248 + 14 * 14 * 32 * 200 + 200 + 2010,
    "c5": 896 + 9248 + 18496 + 36928 + 5 * 5 * 64 * 200 + 200 + 2010,
    "c6": 896 + 9248 + 18496 + 36928 + 6 * 6 * 64 * 512 + 512 + 5130,
    "c7": 40_330,  # S2
    "c9": 896 + 9248 * 2 + 18496 + 36928 * 2 + 73856 + 147584 * 2 + 4 * (32 + 64 + 128) + 20490,
    "g-dense": 784 * 128 + 128 + 128 * 64 + 64 + 650,
    "g1": 8 + 57 + 108 * 32 + 32 + 64 + 198,
    "g2": 80 + 1168 + 576 * 32 + 32 + 64 + 165,
    "g3": 224 + 1168 + 576 * 32 + 32 + 64 + 297,
}
CHAPTER = [row for row in ZOO.values() if row.url == "docs/experiments.md"]


def shapes(layers: list[dict[str, object]], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The output shape of every stage, by running the network."""
    network = build_layers(parse(layers), shape=shape, classes=10)
    seen = []
    x = torch.zeros(2, *shape)
    for stage in [*network.features, *network.head]:  # type: ignore[misc]
        x = stage(x)
        seen.append(tuple(x.shape[1:]))
    return seen


@pytest.mark.parametrize("row", CHAPTER, ids=lambda row: row.name)
def test_parameter_counts(row) -> None:  # type: ignore[no-untyped-def]
    with torch.device("meta"):
        network = row.build(shape=row.shape, classes=row.classes)
        logits = network(torch.zeros(2, *row.shape))
    assert sum(p.numel() for p in network.parameters()) == BY_HAND[row.name] == row.parameters
    assert logits.shape == (2, row.classes)


def test_lenet_sizes_and_stage_names() -> None:
    network = build(Model(name="lenet"), shape=(1, 28, 28), classes=10)
    names = [name for name, _ in network.features.named_children()]
    assert names == ["conv1", "relu1", "pool1", "conv2", "relu2", "pool2"]
    assert [n for n, _ in network.head.named_children()] == ["flatten1", "dense1", "relu3", "dense2"]
    x, sizes = torch.zeros(1, 1, 28, 28), []
    for name, stage in network.features.named_children():
        x = stage(x)
        if not name.startswith("relu"):
            sizes.append(x.shape[-1])
    assert sizes == [24, 12, 8, 4]


def test_impossible_network_is_refused_with_layer_chain_and_arithmetic() -> None:
    """S3."""
    layers = [
        {"kind": "conv", "filters": 16, "kernel": 9, "stride": 2},
        {"kind": "conv", "filters": 32, "kernel": 7},
        {"kind": "conv", "filters": 64, "kernel": 7},
        {"kind": "flatten"},
        {"kind": "dense", "units": 10},
    ]
    with pytest.raises(ShapeError) as refused:
        build_layers(parse(layers), shape=(3, 32, 32), classes=10)
    message = str(refused.value)
    for part in ("conv3", "32x32", "12x12", "6x6", "7x7", "negative dimension size"):
        assert part in message


def test_exercise_with_same_padding() -> None:
    """S4: 60, 30, 30, 15, 8."""
    layers: list[dict[str, object]] = [
        {"kind": "conv", "filters": 16, "kernel": 5},
        {"kind": "maxpool", "size": 3, "stride": 2, "padding": "same"},
        {"kind": "conv", "filters": 32, "kernel": 3, "padding": "same"},
        {"kind": "maxpool", "size": 2, "stride": 2, "padding": "same"},
        {"kind": "conv", "filters": 32, "kernel": 3, "stride": 2, "padding": "same"},
    ]
    sizes = [
        s[1] for s in shapes(layers, (3, 64, 64))
    ]  # paddings included: 60 61 30 30 30 15 16 8 in some order
    kept = [60, 30, 30, 15, 8]
    for size in sizes:
        kept = kept[1:] if kept and size == kept[0] else kept
    assert kept == []
    assert shapes(layers, (3, 64, 64))[-1] == (32, 8, 8)


def tensorflow_same(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Cross-correlation of one channel under TensorFlow's documented padding, in plain loops."""
    size, k = x.shape[0], kernel.shape[0]
    out = -(-size // stride)
    total = max((out - 1) * stride + k - size, 0)
    padded = np.pad(x, (total // 2, total - total // 2))
    return np.array(
        [
            [
                (padded[i * stride : i * stride + k, j * stride : j * stride + k] * kernel).sum()
                for j in range(out)
            ]
            for i in range(out)
        ]
    )


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [7, 8])
def test_same_is_tensorflows(kernel: int, stride: int, size: int) -> None:
    layer = {
        "kind": "conv",
        "filters": 1,
        "kernel": kernel,
        "stride": stride,
        "padding": "same",
        "bias": False,
    }
    network = build_layers(parse([layer]), shape=(1, size, size), classes=1)
    x = torch.randn(1, 1, size, size)
    weight = next(network.parameters()).detach().numpy()[0, 0]
    assert np.allclose(
        network.features(x).detach().numpy()[0, 0],
        tensorflow_same(x.numpy()[0, 0], weight, stride),
        atol=1e-5,
    )


def test_worked_example() -> None:
    """F3, valid and same."""
    picture = torch.tensor(
        [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    ).float()
    kernel = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]]).float()
    expected = {
        "valid": [[4, 3, 4], [2, 4, 3], [2, 3, 4]],
        "same": [[2, 2, 3, 1, 1], [1, 4, 3, 4, 1], [1, 2, 4, 3, 3], [1, 2, 3, 4, 1], [0, 2, 2, 1, 1]],
    }
    for padding, values in expected.items():
        layer = {"kind": "conv", "filters": 1, "kernel": 3, "padding": padding, "bias": False}
        network = build_layers(parse([layer]), shape=(1, 5, 5), classes=1)
        with torch.no_grad():
            next(network.parameters()).copy_(kernel[None, None])
            assert network.features(picture[None, None])[0, 0].tolist() == values


def test_pooling_values() -> None:
    """F5: 2x2 stride 2 on a 4x4 map, and same average pooling that does not count the border."""
    grid = torch.arange(16.0).view(1, 1, 4, 4)

    def pooled(**layer: object) -> list[list[float]]:
        return build_layers(parse([layer]), shape=(1, 4, 4), classes=1).features(grid)[0, 0].tolist()

    assert pooled(kind="maxpool", size=2) == [[5, 7], [13, 15]]
    assert pooled(kind="avgpool", size=2) == [[2.5, 4.5], [10.5, 12.5]]
    root = [[(0 + 1 + 16 + 25) ** 0.5, (4 + 9 + 36 + 49) ** 0.5]]
    assert pooled(kind="l2pool", size=2)[0] == pytest.approx(root[0])
    same = pooled(kind="avgpool", size=3, stride=3, padding="same")  # pads 1 and 1; windows see 2x2 corners
    assert same == [[pytest.approx(2.5), pytest.approx(4.5)], [pytest.approx(10.5), pytest.approx(12.5)]]
    assert pooled(kind="maxpool", size=3, stride=2) == [[10]]


def test_l2_pooling_of_zeros_has_a_finite_gradient() -> None:
    network = build_layers(parse([{"kind": "l2pool", "size": 2}]), shape=(1, 2, 2), classes=1)
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    network.features(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("border", "corner"), [("zero", 0.0), ("constant", 9.0), ("reflect", 3.0), ("nearest", 0.0)]
)
def test_borders(border: str, corner: float) -> None:
    """S7: what the pixel beyond the corner of [[0 1] [2 3]] is."""
    layer = {"kind": "pad", "amount": 1, "border": border, "value": 9.0}
    network = build_layers(parse([layer]), shape=(1, 2, 2), classes=1)
    padded = network.features(torch.arange(4.0).view(1, 1, 2, 2))
    assert padded.shape == (1, 1, 4, 4)
    assert padded[0, 0, 0, 0].item() == corner


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_one_two_and_three_dimensions(axes: int) -> None:
    """F8: five nodes and a filter of three give three nodes, along every axis."""
    layers = [
        {"kind": "conv", "filters": 4, "kernel": 3},
        {"kind": "maxpool", "size": 3},
        {"kind": "dense", "units": 2},
    ]
    network = build_layers(parse(layers), shape=(1, *(5,) * axes), classes=2)
    conv = network.features[0]
    assert conv(torch.zeros(1, 1, *(5,) * axes)).shape[2:] == (3,) * axes
    assert sum(p.numel() for p in conv.parameters()) == 4 * 3**axes + 4
    assert network(torch.zeros(2, 1, *(5,) * axes)).shape == (2, 2)


def test_json_round_trip_of_every_chapter_network() -> None:
    from neocog.zoo.chapters import ENTRIES

    for entry in ENTRIES.values():
        layers = parse(list(entry.layers))
        assert parse(json.loads(json.dumps(document(layers)))) == layers
        model = Model(layers=layers)
        assert Model.model_validate(model.json()) == model


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], "a network in JSON is"),
        ([{"kind": "convv"}], "layer 1: unknown kind of layer 'convv'; did you mean 'conv'"),
        (
            [{"kind": "conv", "filter": 3, "kernel": 3}],
            r"layer 1 \(conv\): unknown field 'filter'; did you mean 'filters'",
        ),
        ([{"kind": "flatten"}, {"kind": "dense", "units": 0}], r"layer 2 \(dense\)"),
        ([{"kind": "dropout", "rate": 2}], "rate = 2"),
        ([{"size": 2}], 'no "kind"'),
    ],
)
def test_a_wrong_list_is_refused_in_one_line(layers: list[dict[str, object]], words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        parse(layers)
    assert "\n" not in str(refused.value)


def test_a_convolution_after_the_flatten_is_refused() -> None:
    layers = [{"kind": "flatten"}, {"kind": "conv", "filters": 2, "kernel": 3}]
    with pytest.raises(ShapeError, match="put it before the flatten"):
        build_layers(parse(layers), shape=(1, 8, 8), classes=2)


def test_a_last_softmax_is_left_to_the_loss() -> None:
    layers = parse([{"kind": "dense", "units": 3, "activation": "softmax"}])
    assert meaning(layers) == "softmax"
    logits = build_layers(layers, shape=(1, 2, 2), classes=3)
    as_written = build_layers(layers, shape=(1, 2, 2), classes=3, answer="as written")
    as_written.load_state_dict(logits.state_dict())
    x = torch.randn(5, 1, 2, 2)
    assert torch.allclose(logits(x).softmax(1), as_written(x))


def test_opposed_filters_leave_no_input_unheard() -> None:
    """Of two filters one lets a pixel through, whatever it is; an odd one out stands alone."""
    layers = parse([{"kind": "conv", "filters": 5, "kernel": 1}, {"kind": "relu"}])
    model = Model(layers=layers, init="opposed")
    network = build(model, shape=(3, 8, 8), classes=2)
    begin(model, network, torch.Generator().manual_seed(1))
    weight = network.features[0].weight
    assert torch.equal(weight[1::2], -weight[0:4:2])  # type: ignore[index]
    assert len(torch.unique(weight.abs())) == 9  # type: ignore[operator]
    passed = network.features(torch.randn(4, 3, 8, 8))
    assert ((passed[:, :2] > 0).sum(1) == 1).all()


@pytest.mark.parametrize("how", ["glorot", "he", "uniform"])
def test_initialisers(how: str) -> None:
    model = Model(
        layers=parse([{"kind": "conv", "filters": 64, "kernel": 5}, {"kind": "dense", "units": 10}]), init=how
    )  # type: ignore[arg-type]
    network = build(model, shape=(8, 12, 12), classes=10)
    begin(model, network, torch.Generator().manual_seed(1))
    conv = network.features[0]
    assert isinstance(conv, nn.Conv2d)
    fan_in, fan_out = 8 * 25, 64 * 25
    spread = {"glorot": (2 / (fan_in + fan_out)) ** 0.5, "he": (2 / fan_in) ** 0.5, "uniform": 0.05 / 3**0.5}[
        how
    ]
    assert conv.weight.std().item() == pytest.approx(spread, rel=0.05)
    assert conv.bias is not None
    assert conv.bias.abs().max() == 0
    again = build(model, shape=(8, 12, 12), classes=10)
    begin(model, again, torch.Generator().manual_seed(1))
    assert torch.equal(network.features[0].weight, again.features[0].weight)  # type: ignore[arg-type]
