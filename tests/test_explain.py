"""Why a network answers: every method against closed forms or a network written out in NumPy, and nothing
left behind on the network, also when it raises.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neocog.errors import ShapeError, UsageError
from neocog.inside.capture import capture, capture_gradients
from neocog.inside.explain.deconvnet import deconvnet
from neocog.inside.explain.gradcam import gradcam
from neocog.inside.explain.gradcam_plus_plus import gradcam_plus_plus
from neocog.inside.explain.guided import guided
from neocog.inside.explain.integrated import integrated
from neocog.inside.explain.layercam import layercam
from neocog.inside.explain.occlusion import occlusion
from neocog.inside.explain.saliency import saliency
from neocog.inside.explain.score import ChannelScore, ClassScore
from neocog.inside.relu_rules import relu_rule
from neocog.inside.stages import first_convolution, first_with_weights, last_maps
from neocog.zoo import ZOO, Model, build

Floats = npt.NDArray[np.float64]
LAYERED: dict[str, Callable[..., Tensor]] = {
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "layercam": layercam,
}
PLAIN: dict[str, Callable[..., Tensor]] = {
    "saliency": saliency,
    "guided": guided,
    "deconvnet": deconvnet,
    "integrated": integrated,
    "occlusion": occlusion,
}


# --- a network written out in NumPy ------------------------------------------------------------------------


class Written:
    """conv 3x3 pad 1, ReLU, maxpool 2, conv 3x3, ReLU, dense: forwards and backwards by loops, with one of
    three rules for ReLU. It shares nothing with torch but the weights.
    """

    def __init__(self, network: nn.Sequential) -> None:
        weights = [p.detach().numpy() for p in network.parameters()]
        self.w1, self.b1, self.w2, self.b2, self.w3, self.b3 = weights

    def forward(self, x: Floats) -> Floats:
        self.x = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        self.z1 = self._conv(self.x, self.w1, self.b1)
        self.a1 = np.maximum(self.z1, 0)
        c, h, w = self.a1.shape
        windows = (
            self.a1.reshape(c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 2, 4).reshape(c, h // 2, w // 2, 4)
        )
        self.switches, self.p1 = windows.argmax(-1), windows.max(-1)
        self.z2 = self._conv(self.p1, self.w2, self.b2)
        self.a2 = np.maximum(self.z2, 0)
        return self.w3 @ self.a2.ravel() + self.b3

    def backward(self, to: Floats, rule: str) -> tuple[Floats, Floats]:
        """What reaches the picture, and what reaches the last maps, from `to` at the logits."""
        at_maps = (to @ self.w3).reshape(self.a2.shape)
        g = self._transposed(self._relu(at_maps, self.z2, rule), self.w2)
        up = np.zeros_like(self.a1)
        for c, i, j in np.ndindex(*g.shape):
            s = self.switches[c, i, j]
            up[c, 2 * i + s // 2, 2 * j + s % 2] = g[c, i, j]
        return self._transposed(self._relu(up, self.z1, rule), self.w1)[:, 1:-1, 1:-1], at_maps

    @staticmethod
    def _relu(g: Floats, z: Floats, rule: str) -> Floats:
        """Of the gradient, what each rule lets through."""
        passes = {"plain": z > 0, "guided": (z > 0) & (g > 0), "deconvnet": g > 0}[rule]
        return np.where(passes, g, 0)

    @staticmethod
    def _conv(x: Floats, w: Floats, b: Floats) -> Floats:
        _, h, v = x.shape
        out = np.empty((len(w), h - 2, v - 2))
        for k, i, j in np.ndindex(*out.shape):
            out[k, i, j] = (x[:, i : i + 3, j : j + 3] * w[k]).sum() + b[k]
        return out

    @staticmethod
    def _transposed(g: Floats, w: Floats) -> Floats:
        out = np.zeros((w.shape[1], g.shape[1] + 2, g.shape[2] + 2))
        for k, i, j in np.ndindex(*g.shape):
            out[:, i : i + 3, j : j + 3] += g[k, i, j] * w[k]
        return out


def layered(*, in_place: bool = False) -> nn.Sequential:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(in_place), nn.MaxPool2d(2),
        nn.Conv2d(3, 4, 3), nn.ReLU(in_place), nn.Flatten(), nn.Linear(16, 3),
    )  # fmt: skip
    return network.double().eval()


def picture(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(ours: Tensor, theirs: Any) -> None:
    torch.testing.assert_close(ours, torch.as_tensor(theirs).to(ours), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(("how", "rule"), [(saliency, "plain"), (guided, "guided"), (deconvnet, "deconvnet")])
def test_ways_back_are_those_written_out(how: Callable[..., Tensor], rule: str, in_place: bool) -> None:
    network, x = layered(in_place=in_place), picture(2, 2, 8, 8) - 0.3
    written = Written(network)
    seen = set()
    for of, against in [(0, None), (2, 1)]:
        ours = how(network, x, score=ClassScore(of, against))
        to = np.eye(3)[of] - (0 if against is None else np.eye(3)[against])
        for one, found in zip(x.numpy(), ours, strict=True):
            logits = written.forward(one)
            close(network(torch.from_numpy(one)[None])[0], logits)
            close(found, written.backward(to, rule)[0])
            seen.add(float(found.abs().sum()))
    assert len(seen) == 4
    assert 0 not in seen


@pytest.mark.parametrize("in_place", [False, True])
def test_class_maps_are_those_written_out(in_place: bool) -> None:
    network, x = layered(in_place=in_place), picture(3, 2, 8, 8, seed=1)
    written = Written(network)
    score = ClassScore(1)
    ours = {how: function(network, x, score=score, layer="4") for how, function in LAYERED.items()}
    before = gradcam(network, x, score=score, layer="3")  # at the convolution, which the ReLU may write over
    for n, one in enumerate(x.numpy()):
        written.forward(one)
        _, g = written.backward(np.eye(3)[1], "plain")
        maps = written.a2
        close(ours["gradcam"][n], np.maximum((g.mean((1, 2))[:, None, None] * maps).sum(0), 0))
        close(ours["layercam"][n], np.maximum((np.maximum(g, 0) * maps).sum(0), 0))
        # Grad-CAM++ as its paper derives it, from Y = exp(S) with its first three derivatives.
        y = np.exp(written.w3 @ maps.ravel() + written.b3)[1]
        first, second, third = y * g, y * g**2, y * g**3
        heat = np.zeros(maps.shape[1:])
        for k, plane in enumerate(maps):
            weight = 0.0
            for i, j in np.ndindex(*plane.shape):
                below = 2 * second[k, i, j] + plane.sum() * third[k, i, j]
                weight += second[k, i, j] / below * max(first[k, i, j], 0) if below else 0.0
            heat += weight * plane
        close(y * ours["gradcam++"][n], np.maximum(heat, 0))
        g3 = np.where(written.z2 > 0, g, 0)
        close(before[n], np.maximum((g3.mean((1, 2))[:, None, None] * written.z2).sum(0), 0))


def test_gradcam_is_cam_under_a_mean_and_a_dense_layer() -> None:
    """Selvaraju et al., section 3.2: there Grad-CAM is CAM, the maps weighted by the class's own weights."""
    network = layered()[:5].append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    network.append(nn.Linear(4, 3).double())
    x = picture(1, 2, 8, 8)
    maps = network[:5](x)[0]
    cam = torch.einsum("k,khw->hw", network[7].weight[2], maps).clamp(min=0)
    close(gradcam(network, x, score=ClassScore(2), layer="4")[0], (cam / 4).detach())


def test_integrated_gradients_of_a_quadratic_form() -> None:
    """S = x' A x: along the way from b to x the gradient is (A + A')(b + t (x - b)), its mean that at the
    middle: one point of the midpoint rule is exact.
    """
    a, x, b = picture(6, 6), picture(1, 6, seed=1), picture(1, 6, seed=2)

    def score(network: nn.Module, x: Tensor) -> Tensor:
        return torch.einsum("ni,ij,nj->n", x, a, x)

    ours = integrated(nn.Identity(), x, score=score, baseline=b, steps=1)
    close(ours[0], (x - b)[0] * ((a + a.T) @ (x + b)[0] / 2))
    close(ours.sum(), score(nn.Identity(), x)[0] - score(nn.Identity(), b)[0])


def test_integrated_gradients_add_up_to_the_difference_of_the_scores() -> None:
    network, x, score = layered(), picture(3, 2, 8, 8), ClassScore(0)
    wanted = (score(network, x) - score(network, torch.zeros_like(x))).detach()
    errors = []
    for steps in (4, 400):
        sums = integrated(network, x, score=score, steps=steps).sum((1, 2, 3))
        errors.append(float((sums - wanted).abs().max()))
    assert errors[1] < 5e-3 * float(wanted.abs().max()) < errors[0]
    with pytest.raises(UsageError, match="0 steps"):
        integrated(network, x, score=score, steps=0)


def test_occlusion_is_the_mean_fall_over_the_squares_that_cover_a_pixel() -> None:
    network, x, score = layered(), picture(2, 2, 8, 8), ClassScore(2)
    written = Written(network)
    ours = occlusion(network, x, score=score, window=3, stride=2, fill=0.25)
    for one, found in zip(x.numpy(), ours, strict=True):
        falls: dict[tuple[int, int], list[float]] = {place: [] for place in product(range(8), range(8))}
        for top, left in product((0, 2, 4, 5), (0, 2, 4, 5)):
            covered = one.copy()
            covered[:, top : top + 3, left : left + 3] = 0.25
            fall = (written.forward(one) - written.forward(covered))[2]
            for place in product(range(top, top + 3), range(left, left + 3)):
                falls[place].append(fall)
        close(found, [[np.mean(falls[i, j]) for j in range(8)] for i in range(8)])
    for window, stride in [(9, 1), (0, 1), (3, 0), (2, 3)]:
        with pytest.raises(UsageError, match="a square of"):
            occlusion(network, x, score=score, window=window, stride=stride)


def test_occlusion_of_a_linear_network_is_its_weights_times_the_pixels() -> None:
    weights = picture(1, 5, 5)
    network = nn.Sequential(nn.Flatten(), nn.Linear(25, 1, bias=False).double())
    with torch.no_grad():
        network[1].weight.copy_(weights.reshape(1, 25))
    x = picture(1, 1, 5, 5, seed=1)
    close(occlusion(network, x, score=ClassScore(0), window=1), x[:, 0] * weights)


# --- scores ------------------------------------------------------------------------------------------------


def test_a_channels_score_is_its_largest_response_its_mean_or_that_of_a_place() -> None:
    network, x = layered(), picture(2, 2, 8, 8)
    maps = network[:5](x).detach()
    close(ChannelScore("4", 2)(network, x), maps[:, 2].amax((1, 2)))
    close(ChannelScore("4", 2, over="mean")(network, x), maps[:, 2].mean((1, 2)))
    close(ChannelScore("4", 2, at=(1, 0))(network, x), maps[:, 2, 1, 0])
    close(ChannelScore("6", 1)(network, x), network(x)[:, 1])


def test_a_place_is_projected_back_through_the_switches() -> None:
    """The deconvolution view of one place of the second layer: its own kernel, unpooled, then the first
    layer's kernels.
    """
    network, x = layered(), picture(1, 2, 8, 8)
    written = Written(network)
    written.forward(x[0].numpy())
    start = np.zeros_like(written.z2)
    start[1, 0, 1] = 1
    g = Written._transposed(start, written.w2)
    up = np.zeros_like(written.a1)
    for c, i, j in np.ndindex(*g.shape):
        s = written.switches[c, i, j]
        up[c, 2 * i + s // 2, 2 * j + s % 2] = g[c, i, j]
    wanted = Written._transposed(np.maximum(up, 0), written.w1)[:, 1:-1, 1:-1]
    close(deconvnet(network, x, score=ChannelScore("3", 1, at=(0, 1)))[0], wanted)


def test_what_cannot_be_explained_is_refused_in_words() -> None:
    network, x = layered(), picture(1, 2, 8, 8)
    with pytest.raises(UsageError, match="class 3 of 3; give 0 to 2"):
        saliency(network, x, score=ClassScore(3))
    with pytest.raises(UsageError, match="class 1 against itself"):
        ClassScore(1, 1)
    with pytest.raises(ShapeError, match="logits"):
        saliency(network[:5], x, score=ClassScore(0))
    with pytest.raises(UsageError, match="there is no channel 4"):
        saliency(network, x, score=ChannelScore("4", 4))
    with pytest.raises(UsageError, match="its places go to 1,1"):
        saliency(network, x, score=ChannelScore("4", 0, at=(2, 0)))
    with pytest.raises(ShapeError, match="before the flatten"):
        gradcam(network, x, score=ClassScore(0), layer="5")
    with pytest.raises(UsageError, match="unknown layer 'conv9'"):
        gradcam(network, x, score=ClassScore(0), layer="conv9")
    with pytest.raises(UsageError, match="unknown rule"), relu_rule("none"):  # type: ignore[arg-type]
        pass


def test_a_score_that_does_not_depend_on_the_picture_gives_zeros() -> None:
    network, x = layered(), picture(1, 2, 8, 8)

    def always_one(network: nn.Module, x: Tensor) -> Tensor:
        network(x)
        return torch.ones(len(x), dtype=x.dtype)

    for name, how in {**LAYERED, **PLAIN}.items():
        more = {"layer": "4"} if name in LAYERED else {}
        assert not how(network, x, score=always_one, **more).any(), name


# --- ReLU in all its spellings -----------------------------------------------------------------------------


class Spelled(nn.Module):
    """x -> relu(x - 0.5), written in one of the ways that torch has; at most 6 where asked for."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x - 0.5)


def ignored_result(x: Tensor) -> Tensor:
    F.relu(x, inplace=True)
    return x


SPELLINGS = {
    "module": nn.ReLU(), "module in place": nn.ReLU(inplace=True), "module of six": nn.ReLU6(),
    "function": F.relu, "torch": torch.relu, "method": Tensor.relu, "in place": torch.relu_,
    "method in place": Tensor.relu_, "result ignored": ignored_result, "six": F.relu6,
    "six by name": lambda x: F.hardtanh(x, min_val=0.0, max_val=6.0),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_every_spelling_of_relu_follows_the_rule(spelling: str, rule: Any) -> None:
    network = Spelled(SPELLINGS[spelling])
    x = torch.tensor([[0.0, 1.0, 1.0, 9.0]], dtype=torch.float64)
    sign = torch.tensor([1.0, 1.0, -1.0, 1.0], dtype=torch.float64)

    def score(network: nn.Module, x: Tensor) -> Tensor:
        return (network(x) * sign).sum(1)

    with relu_rule(rule) as replaced:
        close(network(x.clone()), network.relu((x - 0.5).clone()))
        replaced.count = 0
        found = saliency(network, x, score=score)
        assert replaced.count == 1
    six = "six" in spelling
    assert found.tolist() == [[0, 1, 0, 0 if six else 1] if rule == "guided" else [1, 1, 0, 1]]
    plain = saliency(network, x, score=score)
    assert plain.tolist() == [[0, 1, -1, 0 if six else 1]], "the rule ends with its block"


def test_other_activations_keep_their_own_gradient() -> None:
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[None]
    for activation in (nn.Tanh(), nn.Hardtanh(), nn.LeakyReLU(), nn.Sigmoid()):
        plain = saliency(activation, x, score=lambda network, x: network(x).sum(1))
        with relu_rule("guided") as replaced:
            close(saliency(activation, x, score=lambda network, x: network(x).sum(1)), plain)
        assert replaced.count == 0


# --- nothing is left behind --------------------------------------------------------------------------------


def test_captured_maps_survive_a_relu_in_place() -> None:
    """meta-pytorch/captum#578: a ReLU in place wrote over what the hook had kept."""
    network, x = layered(in_place=True), picture(1, 2, 8, 8)
    wanted = layered()[:4](x).detach()
    assert (wanted < 0).any()
    with torch.no_grad(), capture(network, ["3"]) as found:
        network(x)
    close(found["3"], wanted)
    with capture_gradients(network, ["3"]) as seen:
        network(x)[:, 0].sum().backward()
    close(seen.maps["3"].detach(), wanted)


class Reused(nn.Module):
    """One layer, used twice: w (w x + 1) + 1, with what `between` does in between."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 1).double()
        self.unused = nn.Conv2d(1, 1, 1)
        self.between = between
        nn.init.constant_(self.layer.weight, 3.0)
        nn.init.ones_(self.layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return (self.between(self.layer(self.between(self.layer(x)))) * 5).flatten(1)


def test_of_a_layer_that_runs_twice_both_are_of_its_last_use() -> None:
    """The gradient of the first use comes last, and is 15; that of the last is 5."""
    network, x = Reused(lambda x: x), torch.tensor([[[[2.0]]]]).double()
    with capture_gradients(network, ["layer"]) as seen:
        network(x).sum().backward()
    assert (float(seen.maps["layer"].detach()), float(seen.gradients["layer"])) == (22, 5)
    assert float(gradcam(network, x, score=ClassScore(0), layer="layer")) == 110


def test_a_relu_in_place_within_a_forward_writes_over_nothing() -> None:
    network, x = Reused(lambda x: F.relu(x, inplace=True)), torch.tensor([[[[-2.0]]]]).double()
    with torch.no_grad(), capture(network, ["layer"]) as found:
        network(-x)
    assert float(found["layer"]) == 22
    network.layer.bias.data.fill_(-1.0)  # -7, cut to 0, then -1
    with torch.no_grad(), capture(network, ["layer"]) as found:
        network(x)
    assert float(found["layer"]) == -1
    for how in LAYERED.values():
        assert float(how(network, x, score=ClassScore(0), layer="layer")) == 0
    assert float(saliency(network, -x, score=ClassScore(0))) == 45


def test_a_layer_that_does_not_run_is_refused_in_words() -> None:
    network, x = Reused(lambda x: x), torch.ones(1, 1, 1, 1).double()
    for how in LAYERED.values():
        with pytest.raises(UsageError, match="unused does not run when the network answers"):
            how(network, x, score=ClassScore(0), layer="unused")
    with pytest.raises(UsageError, match="unused does not run"):
        ChannelScore("unused", 0)(network, x)


@pytest.mark.parametrize("how", [*LAYERED, *PLAIN])
def test_half_precision_gives_the_map_of_float32(how: str) -> None:
    """Of the same numbers, but for the rounding of bfloat16, 1 in 256."""
    network, x = layered().bfloat16(), picture(1, 2, 8, 8).bfloat16()
    explain = LAYERED.get(how) or PLAIN[how]
    more = {"layer": "4"} if how in LAYERED else {}
    half = explain(network, x, score=ClassScore(0), **more)
    whole = explain(network.float(), x.float(), score=ClassScore(0), **more)
    assert half.dtype == torch.bfloat16
    assert float((half.float() - whole).abs().max()) < 0.06 * float(whole.abs().max())


# --- the layer that is chosen ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("lenet", "features.relu2"),
        ("vgg16", "features.conv5_3.relu"),
        ("resnet18", "features.conv5_x.conv5_2.after"),
        ("googlenet", "features.inception5b"),
        ("highway", "features.highway3_5"),
        ("inception_v3", "features.mixed10"),
        ("mobilenet_v2", "features.conv2.relu"),
    ],
)
def test_the_layer_is_the_last_that_tells_places_apart(name: str, layer: str) -> None:
    with torch.device("meta"):
        network = build(Model(name=name, stem="paper"), shape=ZOO[name].shape, classes=5).eval()
        choice = last_maps(network, torch.empty(1, *ZOO[name].shape))
    assert choice.name == layer
    assert "last" in choice.reason


def test_networks_without_maps_are_told_what_to_use() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(UsageError, match="saliency, integrated and occlusion need none"):
        last_maps(network, torch.rand(1, 1, 4, 4))
    with pytest.raises(UsageError, match="no filters"):
        first_convolution(network)
    assert first_convolution(layered()).name == first_with_weights(layered()).name == "0"
    assert first_with_weights(network).name == "1", "the arithmetic of a dense network needs no --layer"
    shrunk = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 2), nn.Flatten())
    assert last_maps(shrunk, torch.rand(1, 1, 4, 4)).name == "0", "1x1 maps tell no places apart"
