"""Nothing is left behind on the network that was explained: hooks, modes, gradients, numbers; also when the
forward raises. Every method of the table, with its verdict and with a step of learning, over the families of
networks.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neocog.data.dataset import Split
from neocog.errors import UsageError
from neocog.inside.explain import maximise
from neocog.inside.explain.answer import Answer
from neocog.inside.explain.class_map import ClassMap
from neocog.inside.explain.integrated import integrated
from neocog.inside.explain.method import Method
from neocog.inside.explain.occlusion import occlusion
from neocog.inside.explain.question import Picture, Question
from neocog.inside.explain.score import ClassScore
from neocog.inside.explain.table import METHODS
from neocog.inside.stages import last_maps
from neocog.pictures.preprocess import Preprocess
from neocog.zoo import ZOO, Model, Shape, build
from neocog.zoo.blocks import Network

FAMILIES: dict[str, Shape] = {
    "lenet": (1, 28, 28), "lenet5": (1, 32, 32), "c2": (3, 32, 32), "g2": (1, 28, 28),
    "alexnet-owt": (3, 96, 96), "zfnet": (3, 96, 96), "vgg11-bn": (3, 32, 32), "resnet18": (3, 32, 32),
    "resnet9": (3, 32, 32), "densenet40": (3, 32, 32), "googlenet": (3, 32, 32), "inception_v3": (3, 75, 75),
    "xception": (3, 64, 64), "mobilenet_v2": (3, 32, 32), "efficientnet_lite0": (3, 32, 32),
    "highway": (3, 32, 32),
}  # fmt: skip
QUICK = ("g2",)
ASKED: list[dict[str, Any]] = [
    *({"how": how} for how in METHODS),
    {"how": "gradcam", "check": "verdict"},
    {"how": "arithmetic", "step": "backward"},
]


class Raises(nn.Module):
    """Raises when it is called the `after`-th time, counted from 0."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("as planned")
        return x


def standing(network: nn.Module) -> list[Any]:
    """All that a method might leave changed, but for the numbers."""
    modules = [
        (name, m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks),
         len(m._backward_pre_hooks), sorted(vars(m)), "forward" in vars(m))
        for name, m in network.named_modules()
    ]  # fmt: skip
    return [modules, [(n, p.requires_grad, p.grad is None) for n, p in network.named_parameters()]]


def mixed(name: str, shape: Shape) -> Network:
    """A network in training, but for one convolution that is in evaluation and does not learn."""
    torch.manual_seed(0)
    network = build(Model(name=name), shape=shape, classes=3)
    network.train()
    some = next(m for m in network.modules() if isinstance(m, nn.Conv2d))
    some.eval()
    some.weight.requires_grad_(False)
    return network


def question(network: Network, shape: Shape, **more: Any) -> Question:
    draws = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    split = Split(torch.from_numpy(draws), torch.tensor([0, 1]))
    zeros, ones = (0.0,) * shape[0], (1.0,) * shape[0]
    return Question(
        network=network, classes=("a", "b", "c"), shape=shape, first=1, data=lambda name: split,
        preprocess=Preprocess(size=shape[1:], channels=shape[0], scale="given", mean=zeros, std=ones),
        pictures=(Picture("p", draws[0], 1, 0.5),), **more,
    )  # fmt: skip


def outcome(method: Method, asked: Question) -> Answer | Exception:
    """The answer, or what was raised in its place."""
    try:
        return method.explain(asked)
    except Exception as error:
        return error


def families() -> list[Any]:
    return [
        pytest.param(name, id=name, marks=() if name in QUICK else (pytest.mark.slow,)) for name in FAMILIES
    ]


def test_every_file_of_the_zoo_has_its_family() -> None:
    files = {row.build.__module__ for row in ZOO.values()}
    assert {ZOO[name].build.__module__ for name in FAMILIES} == files


@pytest.mark.parametrize("name", families())
def test_every_method_leaves_the_network_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = FAMILIES[name]
    monkeypatch.setitem(maximise.strongest_picture.__kwdefaults__, "steps", 2)
    monkeypatch.setitem(integrated.__kwdefaults__, "steps", 2)  # fewer steps and places, so that it is quick
    monkeypatch.setitem(inspect.unwrap(occlusion).__kwdefaults__, "window", min(shape[1:]) // 2)
    network = mixed(name, shape)
    before, numbers = standing(network), {n: t.clone() for n, t in network.state_dict().items()}
    head, raised = network.head, set()
    for given in ASKED:
        more = {key: value for key, value in given.items() if key != "how"}
        method = METHODS[given["how"]]

        said = outcome(method, question(network, shape, **more))
        if method.name == "gates" and name != "highway":
            assert isinstance(said, UsageError), "there are none"
        else:
            assert isinstance(said, Answer), (given, said)
            assert all(np.isfinite(values).all() for values in said.arrays.values()), given
        assert standing(network) == before, given
        for after in (0, 1, 3):
            network.head = nn.Sequential(head, Raises(after))
            prepared = standing(network)
            if "as planned" in str(outcome(method, question(network, shape, **more))):
                raised.add((method.name, after))
            assert standing(network) == prepared, (given, after)
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
        network.head = head
    unasked = {"filters", "weights"} | (set() if name == "highway" else {"gates"})
    assert {how for how, _ in raised} == set(METHODS) - unasked
    assert {"occlusion", "maximise"} <= {how for how, after in raised if after > 0}
    assert all(torch.equal(tensor, numbers[n]) for n, tensor in network.state_dict().items())


@pytest.mark.parametrize("how", [how for how, row in METHODS.items() if isinstance(row.explain, ClassMap)])
def test_the_caller_keeps_his_tensors_and_his_modes(how: str) -> None:
    """Under inference mode too, and with an input that learns."""
    shape = FAMILIES["lenet"]
    network = mixed("lenet", shape)
    class_map = METHODS[how].explain
    assert isinstance(class_map, ClassMap)
    function: Callable[..., Tensor] = class_map.how
    x = torch.rand(1, *shape)
    more = {"layer": last_maps(network, x).name} if class_map.looks == "at maps" else {}
    given = x.clone().requires_grad_()
    found = function(network, given, score=ClassScore(1), **more)
    assert torch.isfinite(found).all()
    assert found.any()
    assert not found.requires_grad
    assert given.grad is None
    with torch.inference_mode():
        torch.testing.assert_close(function(network, x, score=ClassScore(1), **more), found)
