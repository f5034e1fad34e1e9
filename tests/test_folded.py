"""Folded networks: the same answers without batch normalisations where they follow a convolution; as they are
where folding would change the answer.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from neocog.inside.folded import SAME, Prepared, folded, in_precision, quick
from neocog.zoo import Model, build
from neocog.zoo.blocks import Network

SHAPE = (3, 32, 32)


def worn(network: Network) -> Network:
    """With statistics and scales as a training leaves them: all different."""
    random = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.running_var):
                tensor.data.uniform_(0.5, 2, generator=random)  # type: ignore[union-attr]
            for tensor in (module.bias, module.running_mean):
                tensor.data.normal_(generator=random)  # type: ignore[union-attr]
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "mobilenet_v2"])
def test_the_same_answers_without_normalisations(name: str) -> None:
    torch.manual_seed(0)
    network = worn(build(Model(name=name), shape=SHAPE, classes=5))
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(2))
    before = norms(network)
    quick = folded(network, SHAPE)
    assert norms(quick) == 0
    assert norms(network) == before  # the network itself is left alone
    with torch.no_grad():
        wanted = network(x)
        assert float((quick(x) - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())


class Twice(nn.Module):
    """A convolution whose output is seen beside the normalisation too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x)
        out: Tensor = self.norm(seen) + seen
        return out


class Again(nn.Module):
    """One normalisation after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.two(self.norm(self.one(x))))
        return out


@pytest.mark.parametrize(
    "stage", [Twice, Again, lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3))]
)
def test_what_may_not_be_folded_stays(stage) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    made = stage()
    network = worn(Network({"stage": made}, nn.Sequential(nn.Flatten(), nn.LazyLinear(2))))
    network(torch.zeros(1, *SHAPE))
    quick = folded(network, SHAPE)
    assert norms(quick) == 1
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        assert float((quick(x) - network(x)).abs().max()) <= SAME


def test_weights_in_another_precision() -> None:
    network = in_precision(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)), torch.bfloat16
    )
    assert [p.dtype for p in network.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2 + [
        torch.bfloat16
    ] * 2


CPU = torch.device("cpu")


def count(network: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(isinstance(module, kinds) for module in network.modules())


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "mobilenet_v2", "vgg11", "densenet121"])
def test_quick_answers_are_the_same_but_for_rounding(name: str) -> None:
    torch.manual_seed(0)
    network = worn(build(Model(name=name), shape=SHAPE, classes=5))
    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        wanted = network(x)
        exact, short = (quick(network, SHAPE, kind, CPU) for kind in (torch.float32, torch.bfloat16))
        assert float((exact(x) - wanted).abs().max()) <= 1e-4 * float(wanted.abs().max())
        with torch.autocast("cpu", torch.bfloat16):
            assert float((short(x).float() - wanted).abs().max()) <= 0.1 * float(wanted.abs().max())
    for made in (exact, short):
        assert count(made, nn.Conv2d) == 0
        assert count(made, Prepared) == count(network, nn.Conv2d)
    assert count(network, nn.Conv2d) > 0  # the network itself is left alone


def test_rectifiers_after_convolutions_are_part_of_them() -> None:
    network = build(Model(name="efficientnet_lite0"), shape=SHAPE, classes=5).eval()
    assert count(network, nn.ReLU6) > 0
    assert count(quick(network, SHAPE, torch.float32, CPU), nn.ReLU6) == 0


class Beside(nn.Module):
    """A convolution whose output is seen beside the rectifier too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        seen = self.conv(x)
        out: Tensor = self.relu(seen) - seen
        return out


def test_a_rectifier_whose_input_something_else_sees_stays() -> None:
    torch.manual_seed(0)
    network = Network({"stage": Beside()}, nn.Sequential(nn.Flatten(), nn.LazyLinear(2))).eval()
    network(torch.zeros(1, *SHAPE))
    made = quick(network, SHAPE, torch.float32, CPU)
    x = torch.randn(2, *SHAPE)
    with torch.inference_mode():
        assert float((made(x) - network(x)).abs().max()) <= SAME
    assert count(made, nn.ReLU) == 1


@pytest.mark.parametrize("options", [{"padding_mode": "reflect", "padding": 1}, {"padding": "same"}])
def test_convolutions_that_pad_otherwise_stay(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    stage = nn.Sequential(nn.Conv2d(3, 4, 3, **options), nn.ReLU())  # type: ignore[arg-type]
    network = Network({"stage": stage}, nn.Sequential(nn.Flatten(), nn.LazyLinear(2))).eval()
    network(torch.zeros(1, *SHAPE))
    made = quick(network, SHAPE, torch.float32, CPU)
    assert count(made, nn.Conv2d) == 1
    x = torch.randn(2, *SHAPE)
    with torch.inference_mode():
        assert float((made(x) - network(x)).abs().max()) <= 1e-5
