"""The NumPy mirror and the torch engine, built from the same layer lists with the same weights: the same
answers, gradients and running values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mirror import CASES, EVERY_KIND, MODES, SINGLE, Entries, made
from torch import nn

from neocog.errors import ShapeError
from neocog.mirror.layers import Array, Dropout, Shape
from neocog.mirror.network import Network
from neocog.zoo.blocks import Network as TorchNetwork
from neocog.zoo.chapters import ENTRIES
from neocog.zoo.layer_list import build as build_torch
from neocog.zoo.layer_list import parse


class Masked(nn.Module):
    """torch's side of a dropout: in training it multiplies by the mask that the mirror drew."""

    def __init__(self, layer: Dropout) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.from_numpy(self.layer.mask)


def torch_twin(network: Network, entries: Entries, shape: Shape, classes: int, **more: Any) -> TorchNetwork:
    """The torch engine's network with the same weights, in double precision."""
    twin = build_torch(parse(entries), shape=shape, classes=classes, **more).double()
    state = {name: torch.from_numpy(array) for name, array in network.copied_weights().items()}
    twin.load_state_dict(state, strict=True)
    assert [n for part in (twin.features, twin.head) for n, _ in part.named_children()] == list(
        network.stages
    )
    for part in (twin.features, twin.head):
        for name, module in part.named_children():
            if isinstance(module, nn.Dropout):
                setattr(part, name, Masked(network.stages[name]))  # type: ignore[arg-type]
    return twin


def check_parity(
    entries: Entries, shape: Shape, *, classes: int = 3, batch: int = 3, seed: int = 0, **more: Any
) -> None:
    """Answers, all gradients and running values of both engines, in both modes."""
    network = made(entries, shape, classes, seed, **more)
    twin = torch_twin(network, entries, shape, classes, **more)
    rng = np.random.default_rng(seed + 1)
    for mode in MODES:
        twin.train(mode == "training")
        x = rng.normal(size=(batch, *shape))
        y = network.forward(x, mode)
        t = torch.from_numpy(x).requires_grad_()
        answer = twin(t)
        close(y, answer, "answer")
        dy = rng.normal(size=y.shape)
        dx = network.backward(dy)
        twin.zero_grad()
        answer.backward(torch.from_numpy(dy))
        assert t.grad is not None
        close(dx, t.grad, "dx")
        theirs = {name: p.grad for name, p in twin.named_parameters()}
        assert theirs.keys() == network.gradients().keys()
        for name, gradient in network.gradients().items():
            close(gradient, theirs[name], name)  # type: ignore[arg-type]
        state = twin.state_dict()
        for name, array in network.weights().items():
            close(array, state[name], name)


def close(ours: Array, theirs: torch.Tensor, what: str) -> None:
    """Equal but for rounding: relative to the largest number, as sums of many terms cancel."""
    wanted = theirs.detach().numpy()
    assert ours.shape == wanted.shape, what
    scale = max(float(np.abs(wanted).max(initial=0)), 0.1)
    np.testing.assert_allclose(ours / scale, wanted / scale, rtol=1e-9, atol=1e-11, err_msg=what)


@pytest.mark.parametrize(("kind", "way"), SINGLE)
def test_each_kind_equals_the_torch_engine(kind: str, way: int) -> None:
    ways, shape = CASES[kind]
    check_parity(ways[way], shape, answer="as written")


def test_every_kind_in_one_network_equals_the_torch_engine() -> None:
    check_parity(EVERY_KIND, (2, 9, 8))
    check_parity(EVERY_KIND, (2, 9, 8), answer="as written")


def test_maps_of_equal_numbers_send_their_gradients_to_the_same_place() -> None:
    for entries in ([{"kind": "maxpool", "size": 3, "stride": 1}], [{"kind": "globalpool", "how": "max"}]):
        network = made(entries, (1, 4, 4))
        twin = torch_twin(network, entries, (1, 4, 4), 3)
        x = np.random.default_rng(0).integers(0, 2, (5, 1, 4, 4)).astype(float)
        t = torch.from_numpy(x).requires_grad_()
        y = network.forward(x)
        twin(t).sum().backward()
        assert t.grad is not None
        close(network.backward(np.ones_like(y)), t.grad, str(entries))


@st.composite
def lists(draw: st.DrawFn) -> tuple[Entries, Shape]:
    """A layer list of one to three axes: a convolution, norm or activation, a pool, and an answer."""
    axes = draw(st.integers(1, 3))
    some = lambda low, high: [draw(st.integers(low, high)) for _ in range(axes)]  # noqa: E731
    sizes, groups = some(3, 9), draw(st.sampled_from([1, 2]))
    border = draw(st.sampled_from(["zero", "constant", "reflect", "nearest"]))
    conv = {
        "kind": "conv", "filters": groups * draw(st.integers(1, 2)), "kernel": some(1, 3),
        "stride": some(1, 2), "dilation": some(1, 2), "groups": groups,
        "padding": draw(st.sampled_from(["valid", "same", some(0, 2)])),
        "bias": draw(st.booleans()), "border": border, "value": draw(st.sampled_from([0.0, 1.5])),
        "activation": draw(st.sampled_from(["none", "relu", "sigmoid", "tanh", "softmax"])),
    }  # fmt: skip
    pool = {
        "kind": draw(st.sampled_from(["maxpool", "avgpool", "l2pool"])), "size": draw(st.integers(1, 2)),
        "stride": draw(st.sampled_from([None, 1, 2])), "padding": draw(st.sampled_from(["valid", "same"])),
    }  # fmt: skip
    end = draw(st.sampled_from([[], [{"kind": "globalpool"}], [{"kind": "flatten"}]]))
    middle = draw(st.sampled_from([[], [{"kind": "batchnorm"}], [{"kind": "dropout", "rate": 0.5}]]))
    answer = {"kind": "dense", "units": "classes", "activation": "softmax"}
    return [conv, *middle, pool, *end, answer], (2 * draw(st.integers(1, 2)), *sizes)


@given(lists(), st.integers(0, 1000))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_random_layer_lists_equal_the_torch_engine(drawn: tuple[Entries, Shape], seed: int) -> None:
    entries, shape = drawn
    try:
        build_torch(parse(entries), shape=shape, classes=3)
    except ShapeError:
        with pytest.raises(ShapeError):
            made(entries, shape)
        return
    check_parity(entries, shape, seed=seed)


SMALL = [name for name, entry in ENTRIES.items() if entry.golden < 1_000_000]


@pytest.mark.parametrize("name", SMALL)
def test_the_chapters_networks_equal_the_torch_engine(name: str) -> None:
    entry = ENTRIES[name]
    network = made(list(entry.layers), entry.shape, entry.classes)
    assert sum(p.size for p in network.parameters().values()) == entry.golden
    check_parity(list(entry.layers), entry.shape, classes=entry.classes, batch=4)
