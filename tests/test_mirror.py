"""The NumPy mirror: its gradients against central differences, its window, and its refusals."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch

from neocog.errors import ShapeError, UsageError
from neocog.mirror import kinds
from neocog.mirror.layers import Array, Dropout, Mode, Shape
from neocog.mirror.network import Network, build
from neocog.mirror.windows import Window
from neocog.zoo.layer_list import KINDS, parse
from neocog.zoo.layer_list import build as build_torch

Entries = list[dict[str, Any]]
MODES: tuple[Mode, Mode] = ("training", "inference")


def made(entries: Entries, shape: Shape, classes: int = 3, seed: int = 0, **more: Any) -> Network:
    """The mirror's network, every weight and running value drawn: no 0 or 1 hides a fault."""
    rng = np.random.default_rng(seed)
    network = build(entries, shape=shape, classes=classes, generator=rng, **more)
    drawn = {
        name: rng.normal(0, 1, array.shape) if array.ndim else array
        for name, array in network.weights().items()
    }
    network.load({n: abs(a) + 0.5 if n.endswith("running_var") else a for n, a in drawn.items()})
    return network


# Each kind in its ways, with the shape of its input.
CASES: dict[str, tuple[list[Entries], Shape]] = {
    "conv": (
        [
            [{"kind": "conv", "filters": 4, "kernel": 3}],
            [{"kind": "conv", "filters": 4, "kernel": [3, 2], "stride": [2, 1], "padding": "same"}],
            [{"kind": "conv", "filters": 4, "kernel": 3, "groups": 2, "dilation": 2, "padding": 2}],
            [{"kind": "conv", "filters": 4, "kernel": 1, "groups": 4, "bias": False}],
            [{"kind": "conv", "filters": 2, "kernel": 1, "stride": 2, "activation": "sigmoid"}],
            *(
                [{"kind": "conv", "filters": 3, "kernel": 3, "padding": p, "stride": 2, "border": b,
                  "value": 0.7}]
                for p in ("same", 2)
                for b in ("zero", "constant", "reflect", "nearest")
            ),
        ],
        (4, 6, 5),
    ),
    "maxpool": (
        [
            [{"kind": "maxpool"}],
            [{"kind": "maxpool", "size": 3, "stride": 2, "padding": "same"}],
            [{"kind": "maxpool", "size": 3, "stride": 1, "padding": 1}],
        ],
        (2, 5, 6),
    ),
    "avgpool": (
        [
            [{"kind": "avgpool"}],
            [{"kind": "avgpool", "size": 3, "stride": 2, "padding": "same"}],
            [{"kind": "avgpool", "size": 3, "stride": 1, "padding": 1}],
        ],
        (2, 5, 6),
    ),
    "l2pool": (
        [
            [{"kind": "l2pool"}],
            [{"kind": "l2pool", "size": 3, "stride": 2, "padding": "same"}],
            [{"kind": "l2pool", "size": [3, 2], "stride": 1, "padding": 1}],
        ],
        (2, 5, 6),
    ),
    "globalpool": ([[{"kind": "globalpool", "how": how}] for how in ("average", "max")], (3, 4, 3)),
    "dense": (
        [
            [{"kind": "dense", "units": "classes"}],
            [{"kind": "dense", "units": 4, "bias": False, "activation": "tanh"}],
        ],
        (2, 3, 2),
    ),
    "flatten": ([[{"kind": "flatten"}]], (2, 3, 2)),
    "dropout": ([[{"kind": "dropout", "rate": 0.4}]], (2, 3, 2)),
    "batchnorm": ([[{"kind": "batchnorm"}], [{"kind": "batchnorm", "momentum": 0.5, "eps": 0.1}]], (3, 2, 2)),
    "pad": (
        [
            [{"kind": "pad", "amount": [2, 1], "border": b, "value": -0.3}]
            for b in ("zero", "constant", "reflect", "nearest")
        ],
        (2, 3, 4),
    ),
    "unflatten": ([[{"kind": "unflatten", "sizes": [2, 3, 2]}]], (3, 2, 2)),
    "upsample": (
        [[{"kind": "upsample", "factor": f, "how": h}] for f in (2, 3) for h in ("nearest", "linear")],
        (2, 3, 2),
    ),
    "transposed-conv": (
        [
            [{"kind": "transposed-conv", "filters": 3, "kernel": 3, "stride": 2, "activation": "tanh"}],
            [{"kind": "transposed-conv", "filters": 3, "kernel": 3, "stride": 2, "padding": "same"}],
            [{"kind": "transposed-conv", "filters": 2, "kernel": 5, "stride": 2, "padding": "same",
              "bias": False}],
        ],
        (2, 3, 2),
    ),
    **{kind: ([[{"kind": kind}]], (3, 2, 2)) for kind in ("relu", "sigmoid", "tanh", "softmax")},
}  # fmt: skip
SINGLE = [(kind, n) for kind, (ways, _) in CASES.items() for n in range(len(ways))]
EVERY_KIND = [
    {"kind": "conv", "filters": 4, "kernel": 3, "padding": "same", "border": "reflect", "name": "first"},
    {"kind": "batchnorm"}, {"kind": "relu"}, {"kind": "maxpool", "padding": "same"},
    {"kind": "pad", "amount": 1, "border": "nearest"}, {"kind": "l2pool", "size": 2, "stride": 1},
    {"kind": "conv", "filters": 4, "kernel": 2, "groups": 2, "activation": "tanh"}, {"kind": "softmax"},
    {"kind": "transposed-conv", "filters": 3, "kernel": 2, "stride": 2}, {"kind": "upsample"},
    {"kind": "avgpool", "size": 2, "stride": 1}, {"kind": "dropout", "rate": 0.3}, {"kind": "sigmoid"},
    {"kind": "globalpool"}, {"kind": "flatten"}, {"kind": "dense", "units": 8},
    {"kind": "unflatten", "sizes": [2, 2, 2]}, {"kind": "dense", "units": 5}, {"kind": "batchnorm"},
    {"kind": "tanh"}, {"kind": "dense", "units": "classes", "activation": "softmax"},
]  # fmt: skip


# --- differences -------------------------------------------------------------------------------------------


def differences(loss: Any, array: Array, step: float = 1e-6) -> Array:
    """dL/da by central differences, number by number, of a `loss()` that reads `array`."""
    slope = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = loss()
        array[place] = kept - step
        slope[place] = (above - loss()) / (2 * step)
        array[place] = kept
    return slope


def check_gradients(network: Network, x: Array, mode: Mode) -> None:
    """Every gradient of L = sum of r y, for a random r, against its difference."""
    draws = [layer.generator for layer in network.stages.values() if isinstance(layer, Dropout)]
    begun = [g.bit_generator.state for g in draws]

    def answer() -> Array:
        for g, state in zip(draws, begun, strict=True):
            g.bit_generator.state = state  # each run draws the same masks
        return network.forward(x, mode)

    r = np.random.default_rng(1).normal(size=answer().shape)
    dx = network.backward(r)
    found = {name: array.copy() for name, array in network.gradients().items()}
    parameters = network.parameters()
    assert found.keys() == parameters.keys()
    loss = lambda: float((answer() * r).sum())  # noqa: E731
    np.testing.assert_allclose(dx, differences(loss, x), rtol=1e-5, atol=1e-7)
    for name, p in parameters.items():
        np.testing.assert_allclose(found[name], differences(loss, p), rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_mirror_knows_every_kind_of_the_layer_list_and_its_fields() -> None:
    assert set(CASES) == set(KINDS) == set(kinds.KINDS)
    for kind, model in KINDS.items():
        fields = inspect.signature(kinds.KINDS[kind]).parameters
        wanted = {name for name in model.model_fields if name not in ("kind", "name")}
        assert set(fields) - {"site"} == wanted
        for name in wanted:
            field = model.model_fields[name]
            default = inspect.Parameter.empty if field.is_required() else field.default
            assert fields[name].default == default, f"{kind}: {name}"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "way"), SINGLE)
def test_gradients_are_differences(kind: str, way: int, mode: Mode) -> None:
    ways, shape = CASES[kind]
    x = np.random.default_rng(2).normal(size=(2, *shape))
    check_gradients(made(ways[way], shape, answer="as written"), x, mode)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_through_a_network_of_every_kind_are_differences(mode: Mode) -> None:
    assert {entry["kind"] for entry in EVERY_KIND} == set(KINDS)
    check_gradients(made(EVERY_KIND, (2, 7, 6)), np.random.default_rng(2).normal(size=(3, 2, 7, 6)), mode)


def test_the_difference_check_can_fail() -> None:
    network = made([{"kind": "tanh"}], (3,))
    network.stages["tanh1"].backward = lambda dy: dy  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        check_gradients(network, np.random.default_rng(2).normal(size=(2, 3)), "training")


def test_scattering_is_the_transpose_of_taking_patches() -> None:
    rng = np.random.default_rng(0)
    for sizes, window in (
        ((7,), Window((3,), (2,), (2,))),
        ((6, 5), Window((2, 3), (1, 2), (2, 1))),
        ((4, 5, 3), Window((2, 2, 2), (1, 2, 1), (1, 1, 1))),
    ):
        x = rng.normal(size=(2, 3, *sizes))
        seen = window.patches(x)
        other = rng.normal(size=seen.shape)
        assert (seen * other).sum() == pytest.approx((x * window.scattered(other, sizes)).sum(), rel=1e-12)


def test_a_convolution_by_hand() -> None:
    network = build(
        [{"kind": "conv", "filters": 1, "kernel": 2, "name": "c"}],
        shape=(1, 2, 3), classes=0, generator=np.random.default_rng(0),
    )  # fmt: skip
    network.load({"features.c.weight": np.array([[[[1, 2], [3, 4]]]]), "features.c.bias": np.array([10])})
    y = network.forward(np.array([[[[1, 0, 2], [0, 1, 1]]]]))
    assert y.tolist() == [[[[10 + 1 + 4, 10 + 4 + 3 + 4]]]]


def test_dropout_keeps_the_mean_while_training_and_everything_afterwards() -> None:
    """Of n numbers, n (1 - rate) are kept, within five standard deviations, each divided by 1 - rate."""
    network, x, rate = made([{"kind": "dropout", "rate": 0.3}], (1000,)), np.ones((100, 1000)), 0.3
    y = network.forward(x, "training")
    assert sorted(set(y.ravel())) == [0, 1 / (1 - rate)]
    assert (y > 0).mean() == pytest.approx(1 - rate, abs=5 * np.sqrt(rate * (1 - rate) / x.size))
    assert (network.forward(x, "training") != y).any(), "each batch has a mask of its own"
    assert (network.forward(x, "inference") == x).all()


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{"kind": "convolution"}], "layer 1: unknown kind of layer 'convolution'"),
        ([{"kind": "flatten"}, {"kind": "dense", "unit": 3}], "layer 2 .dense.: unknown field 'unit'"),
        ([{"kind": "relu", "name": "a"}, {"kind": "tanh", "name": "a"}], "two layers are named 'a'"),
        ([{"kind": "conv", "filters": 3, "kernel": 1, "groups": 2}], "2 groups must divide 2 channels and 3"),
        ([{"kind": "maxpool", "size": [2, 2, 2]}], "gives 3 sizes, but the input has 2 axes"),
    ],
)
def test_lists_that_cannot_be(entries: Entries, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        made(entries, (2, 4, 4))


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{"kind": "conv", "filters": 3, "kernel": 5}], "does not fit"),
        ([{"kind": "flatten"}, {"kind": "maxpool"}], "maxpool needs a picture"),
        ([{"kind": "pad", "amount": 4, "border": "reflect"}], "cannot mirror"),
        ([{"kind": "avgpool", "padding": 2}], "more than half of the window"),
    ],
)
def test_shapes_that_cannot_be(entries: Entries, says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        made(entries, (2, 4, 4))
    with pytest.raises((ShapeError, RuntimeError)):
        build_torch(parse(entries), shape=(2, 4, 4), classes=3)(torch.zeros(1, 2, 4, 4))


def test_weights_that_do_not_fit_are_refused() -> None:
    network = made([{"kind": "dense", "units": 2}], (3,))
    with pytest.raises(UsageError, match="given nothing, the network has"):
        network.load({})
    with pytest.raises(UsageError, match=r"given \(3, 2\), the network has \(2, 3\)"):
        network.load({"features.dense1.weight": np.zeros((3, 2)), "features.dense1.bias": np.zeros(2)})


def test_batch_norm_of_one_number_is_refused_in_training() -> None:
    with pytest.raises(ShapeError, match="no variance"):
        made([{"kind": "batchnorm"}], (3,)).forward(np.ones((1, 3)), "training")
