"""L1 and L2 per layer: what they add to the loss, in both engines, and that files keep them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neocog.errors import UsageError
from neocog.inside.as_list import as_list
from neocog.mirror.network import build as mirror
from neocog.mirror.training import softmax_cross_entropy
from neocog.optim.optimizers import Optimizer
from neocog.optim.settings import Optim
from neocog.pretrained.keras import sequential
from neocog.tasks.classify import Classify
from neocog.tasks.task import Objective
from neocog.zoo.layer_list import build, document, parse

ENTRIES = [
    {"kind": "conv", "filters": 4, "kernel": 3, "l1": 0.03},
    {"kind": "relu"},
    {"kind": "conv", "filters": 4, "kernel": 3, "groups": 4, "l1": 0.01, "l2": 0.2},
    {"kind": "flatten"},
    {"kind": "dense", "units": 6, "l2": 0.25},
    {"kind": "dense", "units": "classes"},
]
PLAIN = [{k: v for k, v in entry.items() if k not in ("l1", "l2")} for entry in ENTRIES]
AMOUNTS = {"conv1": (0.03, 0.0), "conv2": (0.01, 0.2), "dense1": (0.0, 0.25), "dense2": (0.0, 0.0)}
SHAPE = (1, 7, 7)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(1)
    return torch.randn(5, *SHAPE, generator=draws), torch.tensor([0, 1, 2, 1, 0])


def objective(entries: list[dict[str, object]]) -> Objective:
    torch.manual_seed(0)
    return Objective(build(parse(entries), shape=SHAPE, classes=3), Classify(("a", "b", "c")))


def test_each_layer_is_pulled_by_its_own_amounts_and_the_answers_loss_is_left_alone() -> None:
    mine, plain = objective(ENTRIES), objective(PLAIN)
    outcome, other = mine(*batch()), plain(*batch())
    assert torch.equal(outcome.answer_loss, other.answer_loss)
    weights = {name.split(".")[-2]: p for name, p in mine.named_parameters() if name.endswith("weight")}
    added = sum(
        l1 * weights[name].abs().sum() + l2 * weights[name].square().sum()
        for name, (l1, l2) in AMOUNTS.items()
    )
    assert torch.allclose(outcome.loss - other.loss, torch.as_tensor(added), atol=1e-6)
    torch.autograd.backward([outcome.loss, other.loss])
    for (name, p), (_, q) in zip(mine.named_parameters(), plain.named_parameters(), strict=True):
        l1, l2 = AMOUNTS[name.split(".")[-2]] if name.endswith("weight") else (0.0, 0.0)
        assert p.grad is not None
        assert q.grad is not None
        assert torch.allclose(p.grad - q.grad, l1 * p.sign() + 2 * l2 * p.detach(), atol=1e-6), name


def test_an_l2_of_half_a_weight_decay_moves_the_weights_alike() -> None:
    moved = []
    for l2, decay in ((0.05, 0.0), (0.0, 0.1)):
        mine = objective([{"kind": "dense", "units": "classes", "l2": l2}])
        outcome = mine(*batch())
        torch.autograd.backward(outcome.loss)
        Optimizer(Optim(kind="sgd", weight_decay=decay), mine.network).step(
            0.1, torch.amp.GradScaler(enabled=False)
        )
        moved.append([p.detach().clone() for p in mine.parameters()])
    for a, b in zip(*moved, strict=True):
        assert torch.allclose(a, b, atol=1e-7)


def test_a_frozen_layer_is_not_pulled() -> None:
    mine, plain = objective(ENTRIES), objective(PLAIN)
    mine.requires_grad_(False)
    assert torch.equal(mine(*batch()).loss, plain(*batch()).loss)


def test_the_mirror_has_the_same_gradients() -> None:
    x, y = batch()
    mine = objective(ENTRIES).double()
    ours = mirror(ENTRIES, shape=SHAPE, classes=3, generator=np.random.default_rng(0))
    ours.load({name: p.detach().numpy().copy() for name, p in mine.network.named_parameters()})
    loss, gradient = softmax_cross_entropy(ours.forward(x.double().numpy(), "training"), y.numpy())
    ours.backward(gradient)
    outcome = mine(x.double(), y)
    torch.autograd.backward(outcome.loss)
    assert float(outcome.answer_loss) == pytest.approx(loss, abs=1e-6)
    for name, p in mine.network.named_parameters():
        assert p.grad is not None
        np.testing.assert_allclose(ours.gradients()[name], p.grad.numpy(), atol=1e-6, err_msg=name)


@pytest.mark.parametrize("ending", ["h5", "keras", "json"])
def test_they_are_read_back(ending: str, tmp_path: Path) -> None:
    layers = parse(ENTRIES)
    network = build(layers, shape=SHAPE, classes=3)
    kept = [
        {k: v for k, v in entry.items() if k in ("l1", "l2")}
        for entry in ENTRIES
        if entry["kind"] in ("conv", "dense")
    ]
    found = document(as_list(network, "mine"))["layers"]
    assert [
        {k: v for k, v in e.items() if k in ("l1", "l2")} for e in found if e["kind"] in ("conv", "dense")
    ] == kept
    mine = sequential.Sequential(layers, SHAPE, network)
    sequential.save(tmp_path / f"net.{ending}", mine)
    if ending == "json":
        again, _ = sequential.read(json.loads((tmp_path / "net.json").read_text()))
    else:
        again = sequential.load(tmp_path / f"net.{ending}").layers
    read = [layer for layer in again if layer.kind in ("conv", "dense")]  # type: ignore[attr-defined]
    assert [(layer.l1, layer.l2) for layer in read] == list(AMOUNTS.values())  # type: ignore[attr-defined]


def test_keras_older_and_newer_words_are_read() -> None:
    for said in (
        {"class_name": "L2", "config": {"l2": 0.5}},
        {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}},
        {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.5}, "registered_name": None},
    ):
        dense = {"name": "d", "units": 2, "kernel_regularizer": said, "batch_input_shape": [None, 4]}
        layers, _ = sequential.read(
            {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": dense}]}}
        )
        assert (layers[0].l1, layers[0].l2) == (0.0, 0.5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("amount", [-1e-3, 1e300, "much"])
def test_amounts_that_cannot_be_are_one_line(amount: object) -> None:
    with pytest.raises(UsageError, match=r"^layer 1 \(dense\).*l2"):
        parse([{"kind": "dense", "units": 2, "l2": amount}])


def test_a_module_of_torch_keeps_what_it_was() -> None:
    """Without amounts nothing is put on the layer."""
    plain = build(parse(PLAIN), shape=SHAPE, classes=3)
    assert not any("penalty" in vars(module) for module in plain.modules())
    assert isinstance(plain, nn.Module)
