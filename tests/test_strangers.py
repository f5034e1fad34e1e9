"""Networks that other people wrote: layers with a `forward` of their own, forwards that look at values, and
what would mend those that cannot be.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import neocog
from neocog.arithmetic import Impossible, NotFollowed, walk
from neocog.arithmetic.following import REAL
from neocog.data.dataset import Dataset, Split
from neocog.errors import ShapeError
from neocog.inside.shape_doctor import built, edits
from neocog.model import open_trained
from neocog.zoo import Model, build
from neocog.zoo.layer_list import parse

# --- layers that override `forward` -----------------------------------------------------------------------


class Conv2dSame(nn.Conv2d):
    """timm's: TensorFlow's padding."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for n, k, s in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-n // s) - 1) * s + k - n, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class LayerNorm2d(nn.LayerNorm):
    """torchvision's, of ConvNeXt."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class CausalConv1d(nn.Conv1d):
    """WaveNet's: the border is on the left."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, ((self.kernel_size[0] - 1) * self.dilation[0], 0)))


class ConvPooled(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(super().forward(x), 2)


class ReLUHalf(nn.ReLU):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, : x.shape[1] // 2]


class ThroughConvForward(nn.Conv2d):
    """The other place where people change a convolution."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight, bias)[..., 1:-1]


class PaddedPool(nn.Module):
    """EfficientNet-PyTorch's: it has the attributes of a pool and pads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = 3, 2, 0

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), self.kernel_size, self.stride)


def replaced_forward() -> nn.Module:
    """A layer whose own `forward` was put in its place from outside."""
    layer = nn.Conv2d(3, 4, 3)
    layer.forward = lambda x: F.conv2d(x, layer.weight, layer.bias, 2)  # type: ignore[method-assign]
    return layer


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Sequential(Conv2dSame(3, 8, 3, 2), nn.ReLU(), Conv2dSame(8, 16, 3, 2)), (3, 30, 31)),
        (Conv2dSame(3, 8, 5), (3, 4, 4)),
        (nn.Sequential(nn.Conv2d(3, 6, 4, 4), LayerNorm2d(6)), (3, 16, 16)),
        (nn.Sequential(CausalConv1d(1, 8, 3, dilation=4), CausalConv1d(8, 8, 3, dilation=8)), (1, 16)),
        (nn.Sequential(ConvPooled(3, 8, 3), nn.Flatten(), nn.Linear(8 * 49, 2)), (3, 16, 16)),
        (nn.Sequential(nn.Conv2d(3, 8, 3), ReLUHalf(), nn.Conv2d(4, 2, 3)), (3, 9, 9)),
        (nn.Sequential(ThroughConvForward(3, 8, 3), nn.Conv2d(8, 2, (3, 12))), (3, 16, 16)),
        (nn.Sequential(PaddedPool(), nn.Conv2d(3, 2, 3)), (3, 8, 8)),
        (replaced_forward(), (3, 9, 9)),
    ],
)
def test_a_layer_with_its_own_forward_is_run(network: nn.Module, shape: tuple[int, ...]) -> None:
    with torch.no_grad():
        real = network.eval()(torch.zeros(1, *shape))
    found = walk(network, shape)
    assert found.output == tuple(real.shape[1:])
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert set(found.remarks) <= {REAL}


def test_the_multiplications_of_a_layer_with_its_own_forward_count_once() -> None:
    assert walk(Conv2dSame(3, 8, 3, 2), (3, 32, 32)).macs == 16 * 16 * 8 * 3 * 9
    assert walk(ConvPooled(3, 8, 3), (3, 16, 16)).macs == 14 * 14 * 8 * 3 * 9


# --- attention, recurrent layers, links


class Heads(nn.Module):
    """Attention as timm writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(12, 36)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).reshape(x.shape[0], x.shape[1], 3, 2, 6).permute(2, 0, 3, 1, 4).unbind(0)
        return ((q @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).flatten(2)


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("network", "shape", "macs"),
    [
        (Attends(), (7, 12), 7 * 12 * 48 + 2 * 7 * 7 * 12),
        (Heads(), (7, 12), 7 * 12 * 36 + 2 * 7 * 7 * 12),
        (nn.LSTM(10, 20, 2, batch_first=True), (7, 10), 7 * 4 * 20 * (30 + 40)),
        (nn.GRU(10, 20, bidirectional=True, batch_first=True), (7, 10), 7 * 2 * 3 * 20 * 30),
    ],
)
def test_attention_and_recurrent_layers_are_counted(
    network: nn.Module, shape: tuple[int, ...], macs: int
) -> None:
    found = walk(network, shape)
    assert found.macs == macs
    assert found.parameters == sum(row.parameters for row in found.layers)


class Windowed(nn.Module):
    """Swin's way: the windows of a picture stand in the batch's axis."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.weight = nn.Linear(3, 5), nn.Parameter(torch.zeros(2, 5))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).permute(0, 2, 4, 3, 5, 1).reshape(n * 16, 4, 3)
        return F.linear(self.dense(x), self.weight).reshape(n, 16, 4, 2)


@pytest.mark.parametrize("batch", [1, 2])
def test_windows_in_the_batchs_axis_count(batch: int) -> None:
    assert walk(Windowed(), (3, 8, 8), batch=batch).macs == 64 * (3 * 5 + 5 * 2)


@pytest.mark.parametrize(
    ("filters", "groups", "name", "cures"),
    [
        (9, 4, None, ["1 group in conv2", "12 filters in conv2"]),
        (12, 5, None, ["4 groups in conv2"]),
        (6, 4, "mixer", ["2 groups in mixer", "8 filters in mixer"]),
        (8, 3, None, ["2 groups in conv2"]),
    ],
)
def test_groups_that_do_not_divide(filters: int, groups: int, name: str | None, cures: list[str]) -> None:
    """The layer is named, torch's words stand there, and each cure makes a network of 8 channels' maps."""
    second = {"kind": "conv", "filters": filters, "kernel": 3, "groups": groups, "name": name}
    layers = parse(
        [{"kind": "conv", "filters": 8, "kernel": 3}, second, {"kind": "dense", "units": "classes"}]
    )
    with pytest.raises(ShapeError) as refusal:
        built(Model(layers=layers), shape=(3, 12, 12), classes=4)
    said = str(refusal.value)
    assert said.startswith(
        f"{name or 'conv2'} (conv) cannot be: its {groups} groups must divide the 8 channels"
    )
    assert "in_channels must be divisible by groups" in said
    assert [cure for cure in cures if cure not in said] == []
    for edit in edits(layers, shape=(3, 12, 12), classes=4):
        made = build(Model(layers=edit.layers), shape=edit.shape, classes=4).eval()
        assert made(torch.zeros(1, *edit.shape)).shape == (1, 4)


def test_a_convolution_behind_a_flatten_is_named() -> None:
    layers = parse([{"kind": "flatten"}, {"kind": "conv", "filters": 8, "kernel": 3, "name": "late"}])
    with pytest.raises(ShapeError, match=r"^late \(conv\) cannot be: .*expected 4-dimensional input"):
        built(Model(layers=layers), shape=(1, 28, 28), classes=4)


def test_widths_of_borders_are_shown() -> None:
    layers = parse(
        [
            {"kind": "pad", "amount": 2},
            {"kind": "pad", "amount": [1, 3], "border": "reflect"},
            {"kind": "pad", "amount": 1, "border": "constant", "value": 0.5},
            {"kind": "conv", "filters": 4, "kernel": 3, "stride": 2, "padding": "same"},
        ]
    )
    network = build(Model(layers=layers), shape=(1, 9, 9), classes=2)
    words = [row.window for row in walk(network, (1, 9, 9)).layers]
    assert words[:5] == ["2", "1x3 reflect", "1 0.5", "same", "3x3/2"]


def test_groups_are_shown() -> None:
    rows = walk(
        nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 3, padding=1, groups=2)), (4, 8, 8)
    )
    assert [row.window for row in rows.layers] == ["3x3 depthwise", "3x3 pad 1 groups 2"]


def test_lenets_third_layer_has_sixty_links() -> None:
    rows = {row.name: row for row in neocog.summary("lenet5").walk.layers}
    assert rows["features.c3.maps.conv"].macs == 100 * 60 * 25
    assert rows["features.c3.maps.conv"].parameters == 60 * 25 + 16


def test_a_join_says_what_enters_it() -> None:
    rows = {row.name: row for row in neocog.summary("inception_v3").walk.layers if row.kind == "join"}
    last = rows["features.mixed10"]
    assert last.window == "320 + 768 + 768 + 192"
    assert last.output == (2048, 8, 8)


# --- forwards that cannot be followed without values ------------------------------------------------------


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lock = nn.Conv2d(3, 8, 3), threading.Lock()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)  # type: ignore[no-any-return]


class Looks(nn.Module):
    """A forward that looks at values, counts its calls and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.calls = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), 0
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += 1
        y = self.norm(self.conv(x)) + torch.rand(1)
        return y * 2 if y.mean() > 0 else y


class Drawing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.generator = nn.Conv2d(3, 8, 3), torch.Generator().manual_seed(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.rand(1, generator=self.generator)  # type: ignore[no-any-return]


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()))
        self.last = nn.Conv2d(8, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x))  # type: ignore[no-any-return]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [Locked, Looks, Drawing, lambda: torch.jit.script(nn.Conv2d(3, 8, 3))])
def test_what_needs_values_runs_for_real(kind: Any) -> None:
    network = kind().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random, own = torch.get_rng_state(), getattr(network, "generator", torch.Generator()).get_state()
    found = walk(network, (3, 9, 9))
    assert found.output == (8, 7, 7)
    assert found.macs == 7 * 7 * 8 * 27
    assert kind is Drawing or "ran once for real" in found.remarks[-1]
    assert network.training
    assert getattr(network, "calls", 0) == 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert torch.equal(own, getattr(network, "generator", torch.Generator()).get_state())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_inside_a_network_is_one_row() -> None:
    network = Scripted()
    found = walk(network, (3, 9, 9))
    assert [(row.name, row.output, row.macs) for row in found.layers] == [
        ("first", (8, 7, 7), 7 * 7 * 8 * 27),
        ("last", (2, 5, 5), 5 * 5 * 2 * 72),
    ]
    assert isinstance(network.first, torch.jit.ScriptModule), "the network is as it was"


def test_what_cannot_be_followed_says_so() -> None:
    class Iterating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scales = (n for n in (1, 2, 3))

        def forward(self, x: Tensor) -> Tensor:
            return x * next(self.scales)

    class TwoInputs(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    class Endless(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            while x.sum() > -1:
                x = x * 2
            return x

    for network in (Iterating(), TwoInputs(), Endless()):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("neocog.arithmetic.products.SECONDS", 0.2)
            with pytest.raises(NotFollowed, match="cannot be followed"):
                walk(network, (3, 8, 8))


def test_a_real_run_that_fails_is_refused_in_torchs_words() -> None:
    class Wrong(Looks):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.zeros(3, 3)

    with pytest.raises(Impossible, match="must match the size of tensor b"):
        walk(Wrong(), (3, 9, 9))


# --- any number of axes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "given", "output"),
    [
        (nn.Sequential(nn.Conv1d(1, 8, 5), nn.Flatten(), nn.Linear(8 * 124, 3)), (128, 1), (3,)),
        (nn.Sequential(nn.Linear(784, 10)), (784,), (10,)),
        (nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.MaxPool3d(2)), (16, 12, 9, 1), (4, 8, 6, 4)),
        (nn.LSTM(4, 6, batch_first=True), (4, 9), (9, 6)),
        (nn.Sequential(nn.Conv3d(3, 4, 3)), (16, 11, 12, 3), (4, 14, 9, 10)),
    ],
)
def test_summary_of_any_number_of_axes(network: nn.Module, given: Any, output: tuple[int, ...]) -> None:
    found = neocog.summary(network, input=given)
    assert found.walk.output == output
    assert found.json()["input"] == list(given)
    assert "output" in found.text()


def test_a_picture_without_channels_is_no_batch_without_them() -> None:
    with pytest.raises(ShapeError, match="expected 4-dimensional input") as refusal:
        neocog.summary(nn.Sequential(nn.Conv2d(1, 8, 3)), input=(28, 28))
    assert "x.unsqueeze(1)" in str(refusal.value)


# --- what would mend a module -----------------------------------------------------------------------------


class Shortcut(nn.Module):
    """Half the size on both sides, where the size is even."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.side = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(3, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y += self.side(F.avg_pool2d(x, 2))
        return y  # type: ignore[no-any-return]


class Sum(nn.Module):
    """The sum of two layers of one input."""

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)  # type: ignore[no-any-return]


class Block(nn.Module):
    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv, self.shortcut = nn.Conv2d(width, out, 3, stride, 1), nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shortcut(x)  # type: ignore[no-any-return]


class Tutorial(nn.Module):
    """The network of torch's tutorial, for colour pictures of 32x32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 120), nn.Linear(120, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).view(-1, 400)
        return self.fc2(F.relu(self.fc1(x)))  # type: ignore[no-any-return]


class Reads(nn.Module):
    """A recurrent layer over what it is given: (N, steps, width)."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]  # type: ignore[no-any-return]


CURES = [
    (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(7200, 10)), (32, 32, 3), "nn.Flatten() before 1"),
    (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(99, 2)), (9, 9, 3), "nn.Linear(392, 2) as 2"),
    (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(72, 2)),
        (9, 9, 3),
        "nn.AdaptiveAvgPool2d(3) after 0",
    ),
    (
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2)),
        (9, 9, 3),
        "nn.AdaptiveAvgPool2d(1) and nn.Flatten()",
    ),
    (Shortcut(), (33, 33, 3), "a square input, its side 4, 6, ... pixels"),
    (Block(3, 8, 2), (32, 32, 3), "nn.Conv2d(3, 8, 1, stride=2) as shortcut"),
    (Sum(nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(3, 8, 1)), (32, 32, 3), "stride=2 in b"),
    (Sum(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 16, 1)), (8, 8, 3), "out_channels=8 in b"),
    (Sum(nn.Conv1d(2, 8, 4, 4), nn.Conv1d(2, 6, 2, 2)), (16, 2), "out_channels=8 and stride=4 in b"),
    (Sum(nn.Conv1d(2, 8, 3, dilation=2), nn.Conv1d(2, 8, 1)), (50, 2), "an input of length 5"),
    (Sum(nn.Conv3d(1, 4, 3, 2, 1), nn.MaxPool3d(2)), (9, 9, 9, 1), "a cubic input, its side 4, 6, ..."),
    (Tutorial(), (40, 40, 3), "x.flatten(1) in place of the view and nn.Linear(784, 120) as fc1"),
    (Tutorial(), (28, 28, 1), "in_channels=1 in conv1 and x.flatten(1)"),
    (Tutorial(), (32, 32, 1), "x.expand(-1, 3, -1, -1)"),
    (nn.Conv2d(1, 8, 3), (8, 8, 3), "x.mean(1, keepdim=True)"),
    (nn.Conv2d(3, 8, 3), (3, 32, 32), "an input of 32x32x3"),
    (nn.Conv2d(3, 8, 3), (32, 3, 32), "x.permute(0, 3, 1, 2)"),
    (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(16)), (9, 9, 3), "nn.BatchNorm2d(8) as 1"),
    (nn.Sequential(nn.Flatten(), nn.Conv2d(1, 8, 3)), (28, 28, 1), "nn.Unflatten(1, (1, 28, 28)) before 1"),
    (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 9)), (8, 8, 3), "padding=4 in 1"),
    (
        nn.Sequential(nn.Conv2d(3, 9, 3), nn.Conv2d(10, 10, 3, groups=5)),
        (9, 9, 3),
        "in_channels=9 and groups=1",
    ),
    (nn.Sequential(nn.Conv2d(3, 12, 3), nn.GroupNorm(4, 8)), (9, 9, 3), "nn.GroupNorm(4, 12) as 1"),
    (Reads(nn.LSTM(9, 4, 2, batch_first=True)), (5, 7), "nn.LSTM(5, 4) as layer"),
    (Reads(nn.GRU(3, 6, bidirectional=True, batch_first=True)), (8, 2), "nn.GRU(8, 6) as layer"),
    (
        nn.Sequential(*[m for _ in range(4) for m in (nn.Conv2d(3, 3, 3), nn.MaxPool2d(2))]),
        (28, 28, 3),
        "padding=1 in every convolution",
    ),
    (
        nn.Sequential(*[m for n in (5, 3, 3, 3) for m in (nn.Conv2d(3, 3, n), nn.MaxPool2d(2))]),
        (28, 28, 3),
        "a padding of half its window in every convolution",
    ),
]


@pytest.mark.parametrize(("network", "given", "cure"), CURES)
def test_the_cures_of_modules(network: nn.Module, given: Any, cure: str) -> None:
    with pytest.raises(Impossible) as refusal:
        neocog.summary(network, input=given)
    assert any(words.startswith(cure) for words in refusal.value.works), refusal.value.works


def test_no_cure_is_the_layer_that_is_there() -> None:
    with pytest.raises(Impossible) as refusal:
        neocog.summary(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(7200, 10)), input=(32, 32, 3))
    assert "size mismatch, m1: [240 x 30], m2: [7200 x 10]" in str(refusal.value)
    assert not any(words.startswith("nn.Linear(7200, 10)") for words in refusal.value.works)
    assert "would fit" not in str(refusal.value)


def test_where_a_cure_leads_to_one_vector_no_other_is_named() -> None:
    """A dense layer of another width would run along the last axis of the maps, so would a wider input."""
    network = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Linear(4 * 6**3, 2))
    with pytest.raises(Impossible) as refusal:
        neocog.summary(network, input=(8, 8, 8, 1))
    assert refusal.value.works == (
        "nn.Flatten() before 2",
        "nn.Flatten() and nn.Linear(864, 2) in place of 2",
    )


def test_the_sum_of_unequal_maps_is_refused_in_torchs_words() -> None:
    with pytest.raises(Impossible, match=r"cannot add 17x17x8 and 16x16x8") as refusal:
        neocog.summary(Shortcut(), input=(33, 33, 3))
    with pytest.raises(RuntimeError) as torchs:
        Shortcut()(torch.zeros(1, 3, 33, 33))
    assert str(torchs.value) in str(refusal.value)


# --- a border wider than the map --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "refused"),
    [
        ([{"kind": "pad", "amount": 4, "border": "reflect"}], True),
        ([{"kind": "conv", "filters": 2, "kernel": 9, "padding": "same", "border": "reflect"}], True),
        ([{"kind": "conv", "filters": 2, "kernel": 3, "padding": 4, "border": "reflect"}], True),
        ([{"kind": "pad", "amount": 3, "border": "reflect"}], False),
        ([{"kind": "pad", "amount": 9, "border": "nearest"}], False),
    ],
)
def test_a_mirror_needs_more_than_its_border(
    layers: list[dict[str, Any]], refused: bool, tmp_path: Any
) -> None:

    path = tmp_path / "net.json"
    tail = [{"kind": "flatten"}, {"kind": "dense", "units": 2}]
    path.write_text(json.dumps({"layers": [*layers, *tail]}))
    if refused:
        with pytest.raises(ShapeError, match="cannot be mirrored from 4 pixels"):
            neocog.summary(path, input=(4, 4, 1))
    else:
        assert neocog.summary(path, input=(4, 4, 1)).walk.output == (2,)


# --- channels first -----------------------------------------------------------------------------------------


def test_channels_first_are_hinted_at() -> None:
    found = neocog.summary("resnet18", input=(3, 64, 64))
    assert "write 64x64x3" in found.remarks[-1]
    assert "channels first" in found.remarks[-1]
    assert not any("channels first" in r for r in neocog.summary("resnet18", input=(64, 64, 3)).remarks)
    with pytest.raises(ShapeError, match="an input of 28x28x1, the channels last"):
        neocog.summary(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(2704, 2)), input=(1, 28, 28))
    with pytest.raises(ShapeError, match="an input of 33x33x4, the channels last"):
        neocog.summary(nn.Conv2d(4, 8, 7), input=(4, 33, 33))
    with pytest.raises(ShapeError) as refusal:  # neither order helps: nothing is promised
        neocog.summary(nn.Conv2d(7, 4, 3), input=(3, 28, 28))
    assert "channels last" not in str(refusal.value)


# --- the last layer and the classes -------------------------------------------------------------------------


def trained(tmp_path: Path, layers: list[dict[str, Any]], classes: int, *changes: str) -> Any:
    """A run of one epoch of a layer list on eight random pictures."""
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"layers": layers}))
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8, generator=draw)
    split = Split(x, torch.arange(8) % classes)
    dataset = Dataset("random", tuple("abc"[:classes]), train=split, val=split, test=split)
    changes = ("epochs=1", "batch=4", *changes)
    return neocog.train("digits", model=path, dataset=dataset, out=tmp_path / "run", changes=changes)


@pytest.mark.parametrize(
    ("units", "activation"), [(10, "softmax"), (4, "softmax"), (1, "sigmoid"), (2, "none")]
)
def test_a_last_layer_that_does_not_fit_the_classes_is_refused(
    tmp_path: Path, units: int, activation: str
) -> None:
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": units, "activation": activation}]
    with pytest.raises(ShapeError, match='"units": "classes"'):
        trained(tmp_path, layers, 3)
    assert not (tmp_path / "run").exists()


def test_one_logistic_serves_two_classes(tmp_path: Path) -> None:
    layers = [{"kind": "flatten"}, {"kind": "dense", "units": 1, "activation": "sigmoid"}]
    run = trained(tmp_path, layers, 2)
    network = open_trained(run).network
    x = torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        both = network(x)
        one = network.head[:-1](x)  # type: ignore[index]
    torch.testing.assert_close(both.softmax(1)[:, 1:], one.sigmoid())


def test_batches_of_one_picture_and_one_number_per_channel(tmp_path: Path) -> None:
    norm = [{"kind": "globalpool"}, {"kind": "batchnorm"}, {"kind": "dense", "units": "classes"}]
    with pytest.raises(ShapeError, match="Expected more than 1 value per channel"):
        trained(tmp_path, norm, 2, "batch=1")
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192))
    assert "Expected more than 1 value per channel" in neocog.summary(network.train(), input=(8, 8, 3)).text()
    assert "Expected more than 1 value" not in neocog.summary(network.eval(), input=(8, 8, 3)).text()
