"""Arithmetic on demand equals torch, to a millionth of the sum of absolute products."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import neocog
from neocog.cli import run as command
from neocog.errors import UsageError
from neocog.inside.by_hand.matrices import as_one, matrix
from neocog.inside.by_hand.one_number import work
from neocog.inside.by_hand.one_slope import slope
from neocog.inside.explain.arithmetic import arithmetic
from neocog.inside.explain.question import Picture, Question
from neocog.pictures.preprocess import Preprocess
from neocog.runs.run import Run
from neocog.verbs.explain import Explanation
from neocog.zoo.blocks import GlobalPool
from neocog.zoo.borders import L2Pool, Pad, Same, SameAveragePool
from neocog.zoo.fastres import Scale
from neocog.zoo.lenet import Squash

CONVOLUTIONS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Conv2d(3, 4, 3), (3, 7, 6)),
    (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=2), (4, 7, 6)),
    (nn.Conv2d(2, 3, 3, dilation=2, padding="same"), (2, 7, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", bias=False), (2, 7, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="replicate"), (2, 7, 6)),
    (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 7, 6)),
    (nn.Conv1d(2, 3, 4, stride=2, padding=1), (2, 9)),
    (nn.Conv3d(2, 3, 2, padding=1), (2, 3, 4, 3)),
    (nn.ConvTranspose2d(3, 4, 3), (3, 4, 5)),
    (nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 0), groups=2), (4, 4, 3)),
    (nn.ConvTranspose2d(2, 3, 3, dilation=2, bias=False), (2, 4, 3)),
    (nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1), (2, 5)),
    (nn.Conv2d(4, 4, 3, groups=4), (4, 5, 6)),
]
OTHERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(5, 3), (5,)),
    (nn.MaxPool2d(3, 2, padding=1), (2, 7, 6)),
    (nn.MaxPool2d(2, dilation=2), (2, 7, 6)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 8, 6)),
    (nn.AvgPool2d(2), (2, 7, 6)),
    (nn.AvgPool2d(3, 2, padding=1), (2, 7, 6)),
    (nn.AvgPool2d(3, 2, padding=1, ceil_mode=True), (2, 8, 6)),
    (nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (2, 7, 6)),
    (nn.AvgPool2d(2, divisor_override=3), (2, 6, 6)),
    (nn.LPPool2d(2, 2), (2, 6, 6)),
    (L2Pool((2, 3), (2, 1)), (2, 6, 6)),
    (SameAveragePool((3, 3), (2, 2)), (2, 7, 6)),
    (GlobalPool(), (3, 4, 5)),
    (GlobalPool("max"), (3, 4, 5)),
    (nn.AdaptiveAvgPool2d((3, None)), (2, 7, 5)),
    (nn.AdaptiveMaxPool2d(2), (2, 7, 5)),
    (nn.BatchNorm2d(2), (2, 3, 3)),
    (nn.BatchNorm2d(2, affine=False), (2, 3, 3)),
    (nn.BatchNorm1d(4), (4,)),
    (nn.GroupNorm(2, 4), (4, 3, 3)),
    (nn.LayerNorm((3, 4)), (2, 3, 4)),
    (nn.LayerNorm(5), (5,)),
    (nn.LocalResponseNorm(5, alpha=0.5), (7, 2, 2)),
    (nn.LocalResponseNorm(2), (4, 2, 2)),
    (nn.Softmax(1), (5,)),
    (nn.Flatten(), (2, 3, 2)),
    (Same((3, 3), (2, 2)), (2, 6, 5)),
    (Pad((1, 2), border="reflect"), (2, 4, 5)),
    (Pad((1, 1), border="constant", value=0.5), (2, 3, 3)),
    (Pad((1, 1), border="nearest"), (2, 3, 3)),
    (Scale(0.125), (5,)),
    (Squash(), (2, 3, 3)),
    (nn.PReLU(2), (2, 3, 3)),
    (nn.PReLU(), (2, 3, 3)),
    *[
        (one, (2, 3, 3))
        for one in (
            nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.ELU(0.5), nn.Sigmoid(), nn.Tanh(), nn.SiLU(),
            nn.GELU(), nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(2.0), nn.Identity(), nn.Dropout(),
        )
    ],
]  # fmt: skip
LAYERS = [*CONVOLUTIONS, *OTHERS]


def drawn(layer: nn.Module) -> nn.Module:
    """A layer in evaluation with weights that differ from those that it begins with."""
    torch.manual_seed(0)
    for name, tensor in layer.state_dict().items():
        if tensor.is_floating_point() and (name.startswith("running") or not isinstance(layer, nn.Linear)):
            tensor.uniform_(0.5, 2) if "running" in name else tensor.uniform_(-1, 1)
    return layer.eval()


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_every_number_of_every_kind_of_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    layer = drawn(layer)
    x = 3 * torch.randn(1, *shape)
    made = layer(x)[0].detach()
    for channel, *at in np.ndindex(*made.shape):
        found = work(layer, x[0].double().numpy(), channel, tuple(at))
        theirs = float(made[(channel, *at)])
        assert abs(found.result - theirs) <= 1e-6 * max(found.scale, 1)


@pytest.mark.parametrize(("layer", "shape"), CONVOLUTIONS)
def test_a_convolution_is_a_sparse_matrix(layer: Any, shape: tuple[int, ...]) -> None:
    layer = drawn(layer)
    x = torch.randn(1, *shape)
    found = matrix(layer, shape)
    made = layer(x)[0].detach().double()
    bias = layer.bias.detach().double() if layer.bias is not None else torch.zeros(len(made)).double()
    theirs = (made - bias.reshape(-1, *(1,) * (made.ndim - 1))).flatten().numpy()
    given = x[0].double().numpy().ravel()
    np.testing.assert_allclose(found.times(given), theirs, atol=1e-5)
    np.testing.assert_allclose(found.full() @ given, theirs, atol=1e-5)
    assert found.zeros == pytest.approx((found.full() == 0).mean())
    columns, weights = found.row(len(theirs) - 1)
    assert given[columns] @ weights == pytest.approx(theirs[-1], abs=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        *CONVOLUTIONS,
        *[
            one
            for one in OTHERS
            if isinstance(one[0], nn.Linear | nn.BatchNorm2d) and one[0].weight is not None
        ],
    ],
)
def test_every_slope_of_every_layer_that_learns(layer: Any, shape: tuple[int, ...]) -> None:
    """Of some loss: the sum of what comes out, each number times another."""
    layer = drawn(layer)
    x = torch.randn(1, *shape)
    made = layer(x)
    back = torch.randn_like(made)
    (theirs,) = torch.autograd.grad((made * back).sum(), [layer.weight])
    seen = set()
    for channel in range(made.shape[1]):
        places: list[Any] = [None]
        if isinstance(layer, nn.Linear):
            places += [(n,) for n in range(shape[0])]
        elif layer.weight.ndim > 1:
            places += list(np.ndindex(layer.in_channels // layer.groups, *layer.kernel_size))
        for at in places:
            found = slope(layer, x[0].double().numpy(), back[0].double().numpy(), channel, at)
            assert abs(found.result - float(theirs[found.index])) <= 2e-6 * max(found.scale, 1)
            seen.add(found.index)
    assert len(seen) == theirs.numel()


def test_the_worked_example_as_a_matrix() -> None:
    """F3: 25 numbers go in, 9 come out; 9 x 25 with five ones a row."""
    layer = nn.Conv2d(1, 1, 3, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]]))
    found = matrix(layer, (1, 5, 5)).full()
    assert found.shape == (9, 25)
    assert (found.sum(1) == 5).all()
    assert found[0].nonzero()[0].tolist() == [0, 2, 6, 10, 12]
    given = [1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0]
    assert (found @ np.array(given)).tolist() == [4, 3, 4, 2, 4, 3, 2, 3, 4]


def test_linear_layers_in_a_row_are_one() -> None:
    torch.manual_seed(1)
    layers = [nn.Linear(6, 5), nn.Linear(5, 4, bias=False), nn.Linear(4, 3)]
    weights, bias = as_one(layers)
    x = torch.randn(7, 6)
    theirs = nn.Sequential(*layers)(x).detach()
    np.testing.assert_allclose(x.double().numpy() @ weights.T + bias, theirs, atol=1e-6)


UNIT = Preprocess(size=(4, 4), channels=1, scale="unit", mean=(0.0,), std=(1.0,))


def asked(network: nn.Module, **more: Any) -> Question:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4), dtype=np.uint8)
    return Question(
        network=network.eval(), preprocess=UNIT, classes=("a", "b", "c"), shape=(1, 4, 4),
        pictures=(Picture("p", pixels, 1, 0.5),), **more,
    )  # fmt: skip


class WithAFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(x.flatten(1))))


def test_dense_layers_without_an_activation_are_shown_as_one() -> None:
    """E's claim: their product says the same, and where an activation stands between, nothing is claimed."""
    torch.manual_seed(0)
    bare = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Dropout(), nn.Linear(6, 5), nn.Linear(5, 3))
    found = arithmetic(asked(bare, layer="3"))
    assert found.facts["one"]["layers"] == ["1", "3", "4"]
    assert found.facts["one"]["apart"] < 1e-6
    assert (
        "1, 3, 4, with nothing between them, are one layer: (3 x 5) (5 x 6) (6 x 16) = 3 x 16" in found.lines
    )
    wanted = bare[4].weight @ bare[3].weight @ bare[1].weight
    np.testing.assert_allclose(found.arrays["product"], wanted.detach(), atol=1e-6)
    for network, layer in (
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 3)), "3"),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), "1"),
        (WithAFunction(), "two"),
    ):
        assert "one" not in arithmetic(asked(network, layer=layer)).facts


def test_a_convolution_is_printed_as_a_matrix() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 3))
    found = arithmetic(asked(network, layer="0", channel=1, at=(0, 1)))
    assert found.facts["matrix"] == {
        "shape": [8, 16],
        "entries": 72,
        "different": 18,
        "apart": pytest.approx(0, abs=1e-6),
    }
    printed = [line.split() for line in found.lines if line.startswith("  ") and "." in line.split()]
    assert len(printed) == 8
    assert printed[5][:5] == [".", *(f"{w:.4g}" for w in network[0].weight[1, 0, 0].tolist()), "."]
    assert found.sheets[0].panels[0].pixels.shape == (8, 16, 3)
    assert found.document is not None
    assert "row 7: 5:" in found.document()
    large = arithmetic(asked(nn.Sequential(nn.Conv2d(1, 9, 3, padding=1)), layer="0", channel=8))
    assert any(line.startswith("its row 138 makes this number: 5:") for line in large.lines)


@pytest.mark.parametrize("backward", [False, True])
def test_nothing_is_left_behind(backward: bool) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    network.train()
    network[0].weight.requires_grad_(False)

    class Stops(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("as planned")

    for last in (nn.Identity(), Stops()):
        whole = nn.Sequential(*network, last)
        question = asked(whole, layer="0", step="backward" if backward else "forward")
        whole.train()
        if isinstance(last, Stops):
            with pytest.raises(RuntimeError, match="as planned"):
                arithmetic(question)
        else:
            arithmetic(question)
        assert all(module.training and not module._forward_hooks for module in whole.modules())
        assert not whole[0].weight.requires_grad
        assert whole[2].weight.requires_grad
        assert all(parameter.grad is None for parameter in whole.parameters())


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
    with pytest.raises(UsageError, match="made of others; give one of them as --layer: conv1, "):
        first(run, layer="features")


LEARN: dict[str, Callable[[], nn.Sequential]] = {
    "plain": lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)),
    "in groups": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1, groups=2), nn.Flatten(), nn.Linear(8, 3)
    ),
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(1, 2, 2, stride=2), nn.Flatten(), nn.Linear(128, 3)
    ),
    "normalised": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.Flatten(),
        nn.Linear(8, 5),
        nn.BatchNorm1d(5),
        nn.Linear(5, 3),
    ),
}


@pytest.mark.parametrize("name", LEARN)
def test_a_step_is_that_of_plain_gradient_descent(name: str) -> None:
    """Every layer that learns, against torch's own optimizer."""
    torch.manual_seed(0)
    network = LEARN[name]()
    for layer, module in network.named_children():
        if not hasattr(module, "weight"):
            continue
        found = arithmetic(asked(network, layer=layer, channel=1, step="backward")).facts
        other = copy.deepcopy(network)
        other.zero_grad()
        question = asked(other)
        torch.nn.functional.cross_entropy(other(question.x(0)), torch.tensor([1])).backward()
        torch.optim.SGD(other.parameters(), lr=question.rate).step()
        assert found["gradient"] != 0
        stepped = other.state_dict()[f"{layer}.weight"][tuple(found["index"])]
        assert found["new"] == pytest.approx(float(stepped), abs=1e-6)


def test_what_does_not_learn_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    for words, given in {
        "1 has no weights": {"layer": "1"},
        "inputs 0 to 7": {"layer": "3", "at": (8,)},
        "where in the kernel, up to 2,2": {"layer": "0", "at": (3, 0)},
        "no channel 2": {"layer": "0", "channel": 2},
    }.items():
        with pytest.raises(UsageError, match=words):
            arithmetic(asked(network, step="backward", **given))


def test_one_step_of_learning(run: Run) -> None:
    for layer, channel in (("conv1", 0), ("conv2", 5)):
        found = first(run, index=[3], layer=layer, channel=channel, at=(0, 2), step="backward", of=1)
        facts = found.json()["found"]
        assert abs(facts["gradient"] - facts["network"]) <= 1e-6 * max(facts["scale"], 1)
        assert facts["gradient"] != 0 or facts["scale"] == 0
        assert facts["new"] == pytest.approx(facts["weight"] - 0.1 * facts["gradient"])
