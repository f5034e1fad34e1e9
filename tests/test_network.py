"""Networks cut, given a new head, frozen: over every network of the zoo, and in closed forms."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.errors import ShapeError, UsageError
from neocog.inside.capture import capture, capture_gradients
from neocog.zoo import ZOO, Model, Network, build
from neocog.zoo.head import with_new_head
from neocog.zoo.modes import evaluating, freeze, training_mode

REAL = ["googlenet", "resnet18", "densenet40", "mobilenet_v2"]
"""With branches of every kind, small enough to compute."""


def small(name: str, classes: int = 3) -> Network:
    shape = (3, 32, 32) if min(ZOO[name].shape[1:]) >= 32 else ZOO[name].shape
    stem = "small" if "small" in ZOO[name].stems else "paper"
    torch.manual_seed(0)
    return build(Model(name=name, stem=stem), shape=shape, classes=classes).eval()


@cache
def on_meta(name: str) -> Network:
    with torch.device("meta"):
        return build(Model(name=name, stem="paper"), shape=ZOO[name].shape, classes=5).eval()


# --- until -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_until_is_what_capture_sees(name: str) -> None:
    network, x = small(name), torch.rand(2, 3, 32, 32)
    stages = [stage for stage, _ in network.features.named_children()]
    with torch.inference_mode(), capture(network, [f"features.{s}" for s in stages]) as found:
        network(x)
        for stage in stages:
            torch.testing.assert_close(network.until(stage)(x), found[f"features.{stage}"], rtol=0, atol=0)


@pytest.mark.parametrize("name", ZOO)
def test_every_stage_of_the_zoo_gives_the_shape_that_capture_sees(name: str) -> None:
    network = on_meta(name)
    stages = [stage for stage, _ in network.features.named_children()]
    if not stages:
        return
    with torch.device("meta"), capture(network, [f"features.{s}" for s in stages]) as found:
        x = torch.empty(1, *ZOO[name].shape)
        network(x)
        chosen = {stages[0], stages[len(stages) // 2], stages[-1]}
        for stage in chosen:
            beginning = network.until(stage)
            assert beginning(x).shape == found[f"features.{stage}"].shape
            assert list(beginning.features._modules) == stages[: stages.index(stage) + 1]
            assert beginning.state_dict().keys() <= network.state_dict().keys()


def test_vgg_takes_another_picture_size_before_its_dense_layers() -> None:
    network = on_meta("vgg16")
    x = torch.empty(1, 3, 300, 170, device="meta")
    with pytest.raises(RuntimeError):
        network(x)
    assert network.until("pool4")(x).shape == (1, 512, 18, 10)
    assert network.until("features.conv4_2.conv")(x).shape == (1, 512, 37, 21)
    assert network.until("fc6")(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 4096)


def test_until_goes_into_stages_that_run_in_a_line_and_refuses_the_rest() -> None:
    network = small("resnet18")
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode(), capture(network, ["features.conv4_x.conv4_1"]) as found:
        network(x)
        assert network.until("conv4_x.conv4_1")(x).equal(found["features.conv4_x.conv4_1"])
    for wrong in ("conv4_x.conv4_1.body", "conv4_x.conv9", "head.conv1", "features.linear", ""):
        with pytest.raises(UsageError, match="unknown stage"):
            network.until(wrong)
    with pytest.raises(UsageError, match="did you mean 'conv4_x'"):
        network.until("conv4x")


def test_until_shares_the_weights_and_keeps_the_modes() -> None:
    network = small("googlenet").train()
    network.features.get_submodule("conv1").eval()
    beginning = network.until("inception4a")
    assert beginning.training
    assert not beginning.features.get_submodule("conv1").training
    assert beginning.features.get_submodule("conv2") is network.features.get_submodule("conv2")
    assert "inception4b" not in dict(beginning.features.named_children())


# --- a new head ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ZOO)
def test_a_new_head_for_every_network_of_the_zoo(name: str) -> None:
    network = on_meta(name)
    generator = torch.Generator().manual_seed(1)
    if not list(network.features.parameters()):
        with pytest.raises(UsageError, match="has no features to keep"):
            with_new_head(network, shape=ZOO[name].shape, classes=7, generator=generator)
        return
    made = with_new_head(network, shape=ZOO[name].shape, classes=7, hidden=11, generator=generator)
    assert made(torch.empty(2, *ZOO[name].shape, device="meta")).shape == (2, 7)
    assert list(made.head._modules) == ["pool", "dense", "relu", "linear"]
    assert (len(made.aux), made.aux_weight) == (0, 0)
    assert all(a is b for a, b in zip(made.features.parameters(), network.features.parameters(), strict=True))


def test_a_new_head_is_its_formula_and_drawn_by_the_generator_alone() -> None:
    network, x = small("googlenet"), torch.rand(2, 3, 32, 32)
    outside = torch.random.get_rng_state()
    made = with_new_head(network, shape=(3, 32, 32), classes=5, generator=torch.Generator().manual_seed(3))
    same = with_new_head(network, shape=(3, 32, 32), classes=5, generator=torch.Generator().manual_seed(3))
    other = with_new_head(network, shape=(3, 32, 32), classes=5, generator=torch.Generator().manual_seed(4))
    assert torch.random.get_rng_state().equal(outside)
    linear = made.head.get_submodule("linear")
    weight, bias = linear.weight, linear.bias
    assert isinstance(weight, Tensor)
    assert isinstance(bias, Tensor)
    assert weight.equal(same.head.get_submodule("linear").weight)  # type: ignore[arg-type]
    assert not weight.equal(other.head.get_submodule("linear").weight)  # type: ignore[arg-type]
    assert not bias.any()
    assert weight.abs().max() <= (6 / (1024 + 5)) ** 0.5  # Glorot's bound
    with torch.no_grad():
        expected = F.linear(network.features(x).mean((2, 3)), weight, bias)
        torch.testing.assert_close(made(x), expected)
    assert not any(module.training for module in made.modules())


def test_a_new_head_says_what_it_cannot_be() -> None:
    network, generator = small("resnet18"), torch.Generator()
    with pytest.raises(UsageError, match="0 classes"):
        with_new_head(network, shape=(3, 32, 32), classes=0, generator=generator)
    with pytest.raises(ShapeError):
        with_new_head(network, shape=(1, 32, 32), classes=2, generator=generator)


# --- freezing and modes ----------------------------------------------------------------------------


def statistics(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in network.state_dict().items() if "running" in k or "tracked" in k}


def test_frozen_normalisations_keep_their_statistics_through_training_and_measuring() -> None:
    network = small("resnet18")
    freeze(network, until="conv3_x")
    before, weights = statistics(network), copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    for _ in range(2):
        training_mode(network)
        F.cross_entropy(network(torch.rand(4, 3, 32, 32)), torch.arange(4) % 3).backward()
        optimizer.step()
        with evaluating(network), torch.inference_mode():
            network(torch.rand(2, 3, 32, 32))
    frozen = ("features.conv1.", "features.pool1", "features.conv2_x", "features.conv3_x")
    for key, value in statistics(network).items():
        assert value.equal(before[key]) == key.startswith(frozen), key
    for key, value in network.state_dict().items():
        if key.startswith(frozen):
            assert value.equal(weights[key]), key
    assert all(p.requires_grad for p in network.features.get_submodule("conv4_x").parameters())


def test_evaluating_restores_every_module_also_when_it_raises() -> None:
    network = small("resnet18").train()
    network.features.get_submodule("conv1").eval()
    modes = {name: module.training for name, module in network.named_modules()}
    assert set(modes.values()) == {True, False}
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert {name: module.training for name, module in network.named_modules()} == modes
    with pytest.raises(RuntimeError), evaluating(network):
        network(torch.rand(1, 5, 32, 32))
    assert {name: module.training for name, module in network.named_modules()} == modes


def test_dropout_within_what_is_frozen_is_still_and_before_the_head_is_not() -> None:
    features = {
        "conv1": nn.Conv2d(1, 2, 1), "dropout1": nn.Dropout(), "conv2": nn.Conv2d(2, 2, 1),
        "dropout2": nn.Dropout(), "conv3": nn.Conv2d(2, 2, 1),
    }  # fmt: skip
    network = Network(features, nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(2, 2)))
    freeze(network, until="conv2")
    still = {name for name, module in network.named_modules() if not module.training}
    assert still == {"features.conv1", "features.dropout1", "features.conv2"}
    network.eval()
    training_mode(network.requires_grad_(True))
    assert all(module.training for module in network.modules())


def test_a_normalisation_frozen_alone_stays_in_evaluation() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2).requires_grad_(False), nn.Conv2d(2, 1, 1))
    training_mode(network)
    assert [module.training for module in network] == [True, False, True]


# --- gradients of captured maps --------------------------------------------------------------------


def test_gradients_of_maps_are_those_of_a_run_from_there() -> None:
    network, x = small("googlenet"), torch.rand(2, 3, 32, 32)
    names = ["features.conv2", "features.inception4a"]
    with torch.inference_mode(), capture_gradients(network, names) as seen:
        network(x.clone())[:, 1].sum().backward()
    stages = [stage for stage, _ in network.features.named_children()]
    for name in names:
        rest = network.features[stages.index(name.removeprefix("features.")) + 1 :]
        here = seen.maps[name].detach().requires_grad_()
        network.head(rest(here))[:, 1].sum().backward()
        torch.testing.assert_close(seen.gradients[name], here.grad)
        assert here.grad is not None
        assert here.grad.abs().max() > 0
    # against differences of the logit itself
    double = small("lenet5-relu").double()
    one = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    with capture_gradients(double, ["features.s2"]) as seen:
        double(one)[0, 0].backward()

    maps, step = seen.maps["features.s2"].detach(), torch.zeros_like(seen.maps["features.s2"])
    step[0, 2, 5, 6] = 1e-6
    start = next(i for i, (n, _) in enumerate(double.features.named_children()) if n == "s2") + 1
    rest = double.features[start:]
    with torch.no_grad():
        up, down = (double.head(rest(maps + s))[0, 0] for s in (step, -step))
    found = seen.gradients["features.s2"][0, 2, 5, 6].item()
    assert found == pytest.approx(float(up - down) / 2e-6, rel=1e-4)


def test_capturing_gradients_leaves_no_trace_also_when_the_forward_raises() -> None:
    network = small("resnet18").train()
    freeze(network, until="conv1")
    learns = {name: p.requires_grad for name, p in network.named_parameters()}
    modes = {name: module.training for name, module in network.named_modules()}
    assert len(set(learns.values())) == len(set(modes.values())) == 2
    before, x = statistics(network), torch.rand(2, 3, 32, 32)

    def is_as_it_was() -> None:
        assert {name: p.requires_grad for name, p in network.named_parameters()} == learns
        assert {name: module.training for name, module in network.named_modules()} == modes
        assert all(p.grad is None for p in network.parameters())
        assert not any(m._forward_hooks or m._backward_hooks for m in network.modules())
        assert all(v.equal(before[k]) for k, v in statistics(network).items())

    with capture_gradients(network, ["features.conv3_x"]) as seen:
        network(x).sum().backward()
    assert seen.gradients["features.conv3_x"].shape == seen.maps["features.conv3_x"].shape
    assert not x.requires_grad
    is_as_it_was()
    with pytest.raises(RuntimeError), capture_gradients(network, ["features.conv3_x"]):
        network(torch.rand(2, 5, 32, 32))
    is_as_it_was()
    with pytest.raises(UsageError, match="unknown layer"), capture_gradients(network, ["features.conv33_x"]):
        pass
    is_as_it_was()


def test_capturing_gradients_does_not_mark_the_callers_picture() -> None:
    network, x = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(4, 2)), torch.rand(1, 1, 2, 2)
    with capture_gradients(network, ["0"]) as seen:
        network(x)[0, 1].backward()
    assert not x.requires_grad
    torch.testing.assert_close(seen.gradients["0"].flatten(), network[2].weight[1].detach())  # type: ignore[index]
