"""The rules against torch itself, the figures against the papers and closed forms, and the given network left
alone.
"""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from math import ceil, prod

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from neocog.arithmetic import Impossible, Refusal, operations, output_shape, rule, walk
from neocog.errors import ShapeError
from neocog.zoo.blocks import Concat, Gate, GlobalPool, Grow, Residual, conv
from neocog.zoo.borders import L2Pool, Pad, Same, SameAveragePool

# --- the rules against torch -------------------------------------------------------------------------------

CHANNELS = 4
PARTS = random.Random


def sides(draw: PARTS, axes: int, low: int, high: int) -> tuple[int, ...]:
    return tuple(draw.randint(low, high) for _ in range(axes))


def some_conv(draw: PARTS, axes: int) -> nn.Module:
    padding = draw.choice([sides(draw, axes, 0, 3), "same", "valid"])
    stride = (1,) * axes if padding == "same" else sides(draw, axes, 1, 4)
    return (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1](
        CHANNELS, 2 * CHANNELS, sides(draw, axes, 1, 5), stride, padding, sides(draw, axes, 1, 3),
        groups=draw.choice([1, 2, 4]), bias=draw.random() < 0.5,
        padding_mode=draw.choice(["zeros", "zeros", "reflect", "replicate", "circular"]),
    )  # fmt: skip


def some_transposed(draw: PARTS, axes: int) -> nn.Module:
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[axes - 1]
    return kind(
        CHANNELS, 2, sides(draw, axes, 1, 5), sides(draw, axes, 1, 3), sides(draw, axes, 0, 3),
        sides(draw, axes, 0, 2), groups=draw.choice([1, 2]), dilation=sides(draw, axes, 1, 3),
    )  # fmt: skip


def some_maxpool(draw: PARTS, axes: int) -> nn.Module:
    kind = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[axes - 1]
    stride = draw.choice([None, sides(draw, axes, 1, 4)])
    padding, dilation = sides(draw, axes, 0, 2), sides(draw, axes, 1, 2)
    return kind(sides(draw, axes, 1, 4), stride, padding, dilation, ceil_mode=draw.random() < 0.5)


def some_avgpool(draw: PARTS, axes: int) -> nn.Module:
    kind = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[axes - 1]
    stride = draw.choice([None, sides(draw, axes, 1, 4)])
    return kind(sides(draw, axes, 1, 4), stride, sides(draw, axes, 0, 2), ceil_mode=draw.random() < 0.5)


def some_lppool(draw: PARTS, axes: int) -> nn.Module:
    kind = (nn.LPPool1d, nn.LPPool2d, nn.LPPool3d)[axes - 1]
    size = draw.randint(1, 4) if axes == 1 else sides(draw, axes, 1, 4)
    return kind(2, size, ceil_mode=draw.random() < 0.5)


def some_adaptive(draw: PARTS, axes: int) -> nn.Module:
    mean = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 1]
    peak = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)[axes - 1]
    size = draw.randint(1, 6) if axes == 1 else tuple(draw.choice([None, 1, 3, 7]) for _ in range(axes))
    return draw.choice([mean, peak])(size)


def some_border(draw: PARTS, axes: int) -> nn.Module:
    kind = draw.choice(["ConstantPad", "ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"])
    amount = tuple(draw.randint(0, 4) for _ in range(2 * axes))
    if kind == "ConstantPad":
        return getattr(nn, f"ConstantPad{axes}d")(amount, 1.0)
    return getattr(nn, f"{kind}{axes}d")(amount)


def some_norm(draw: PARTS, axes: int) -> nn.Module:
    batch = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1]
    instance = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[axes - 1]
    width, affine = draw.choice([CHANNELS, CHANNELS, 3]), draw.random() < 0.7
    return draw.choice(
        [
            batch(width, affine=affine),
            instance(width, affine=True, track_running_stats=affine),
            nn.GroupNorm(1, width),
            nn.LayerNorm(sides(draw, draw.randint(1, axes), 1, 4)),
            nn.LocalResponseNorm(draw.randint(1, 5)),
        ]
    )


def some_elementwise(draw: PARTS, axes: int) -> nn.Module:
    plain = [nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.Hardswish, nn.Identity, nn.Dropout, nn.PReLU]
    return draw.choice(
        [*(kind() for kind in plain), nn.PReLU(CHANNELS), nn.PReLU(3), nn.GLU(1), nn.Softmax(1)]
    )


def some_reshape(draw: PARTS, axes: int) -> nn.Module:
    start = draw.randint(1, 4)
    end = draw.choice([-1, start, start + 1])
    unflatten = nn.Unflatten(1, draw.choice([(2, 2), (4, 1), (3, 2), (2, -1)]))
    return draw.choice([nn.Flatten(), nn.Flatten(start, end), unflatten, nn.Linear(draw.randint(1, 9), 3)])


def some_upsample(draw: PARTS, axes: int) -> nn.Module:
    scale = nn.Upsample(scale_factor=draw.choice([2, 3, 1.5, 0.5]), mode=draw.choice(["nearest", "bilinear"]))
    return draw.choice(
        [scale, nn.Upsample(size=(5,) * axes), nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2)]
    )


DRAWS: dict[str, Callable[[PARTS, int], nn.Module]] = {
    name.removeprefix("some_"): draw for name, draw in list(globals().items()) if name.startswith("some_")
}


def torch_says(module: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of the real output on the CPU; None where torch refuses or the output is empty."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            made = tuple(module.eval()(torch.zeros(2, *shape)).shape)
        except (RuntimeError, ValueError, IndexError, TypeError, NotImplementedError):
            return None
    return made[1:] if made[0] == 2 and prod(made) else None


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("kind", sorted(DRAWS))
@settings(max_examples=60, derandomize=True, deadline=None, database=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_every_rule_says_what_torch_says(kind: str, axes: int, seed: int, sizes: list[int]) -> None:
    draw = random.Random(seed)
    module = DRAWS[kind](draw, axes)
    shape = (CHANNELS, *sizes[:axes])
    known = rule(module)
    assert known is not None
    try:
        ours: tuple[int, ...] | None = known.size(module.eval(), shape)
    except Refusal:
        ours = None
    assert ours == torch_says(module, shape), f"{module} on {shape}"


@pytest.mark.parametrize("kind", sorted(DRAWS))
def test_the_battery_meets_both_verdicts(kind: str) -> None:
    """A battery in which nothing is ever refused, or nothing ever works, would prove little."""
    draw, verdicts = random.Random(1), set()
    for _ in range(300):
        axes = draw.randint(1, 3)
        module, shape = DRAWS[kind](draw, axes), (CHANNELS, *sides(draw, axes, 1, 4))
        verdicts.add(torch_says(module, shape) is None)
    never_refuses = {"adaptive"}
    assert verdicts == ({False} if kind in never_refuses else {True, False})


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_blocks_of_the_zoo_tell_their_own_rule(axes: int) -> None:
    draw = random.Random(axes)
    for _ in range(40):
        kernel, stride, shape = (
            sides(draw, axes, 1, 4),
            sides(draw, axes, 1, 3),
            (CHANNELS, *sides(draw, axes, 4, 9)),
        )
        blocks = [
            Same(kernel, stride),
            Pad(stride),
            L2Pool(kernel, stride),
            SameAveragePool(kernel, stride),
            GlobalPool(),
        ]
        for block in blocks:
            assert output_shape(block, shape) == torch_says(block, shape), f"{block} on {shape}"


@pytest.mark.parametrize("network", [nn.Conv2d(4, 8, 3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Linear(4, 2)])
def test_a_rule_needs_the_right_number_of_axes(network: nn.Module) -> None:
    for shape in [(4,), (4, 9, 9)]:
        if torch_says(network, shape) is None:
            with pytest.raises(Refusal):
                output_shape(network, shape)
        else:
            assert output_shape(network, shape) == torch_says(network, shape)


# --- figures of the chapters and papers --------------------------------------------------------------------


def vgg(plan: tuple[int, ...], extra: int = 3) -> nn.Sequential:
    """The features of Simonyan & Zisserman 2014, table 1: `plan` convolutions per stage, the third with
    kernel `extra`.
    """
    layers, width = [], 3
    for out, depth in zip((64, 128, 256, 512, 512), plan, strict=True):
        for place in range(depth):
            kernel = extra if place == 2 else 3
            layers += [nn.Conv2d(width, out, kernel, padding=kernel // 2), nn.ReLU()]
            width = out
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def test_vgg16_has_the_published_size() -> None:
    found = walk(vgg((2, 2, 3, 3, 3)), (3, 224, 224))
    assert found.parameters == 14_714_688
    assert found.macs == 15_346_630_656
    assert found.output == (512, 7, 7)
    assert found.layers[-1].stride == (32, 32)


@pytest.mark.parametrize(
    ("plan", "field"),
    [((1, 1, 2, 2, 2), 150), ((2, 2, 2, 2, 2), 156), ((2, 2, 3, 3, 3), 212), ((2, 2, 4, 4, 4), 268)],
)
def test_vgg_sees_this_far(plan: tuple[int, ...], field: int) -> None:
    assert walk(vgg(plan), (3, 224, 224)).layers[-1].receptive_field == (field, field)


@pytest.mark.parametrize(
    ("features", "field"),
    [(vgg((1, 1, 1, 0, 0)), None), (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)), 5)],
)
def test_receptive_field_is_what_the_gradient_reaches(features: nn.Sequential, field: int | None) -> None:
    """Independent of the rule: the input pixels on which the middle output depends, by differentiation."""
    features = nn.Sequential(
        *(
            nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m
            for m in features
            if not isinstance(m, nn.ReLU)
        )
    )
    first = next(m for m in features if isinstance(m, nn.Conv2d))
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    x = torch.ones(1, first.in_channels, 96, 96, requires_grad=True)
    y = features(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    assert x.grad is not None
    reached = int((x.grad[0, 0].abs().sum(1) > 0).sum())
    row = walk(features, (first.in_channels, 96, 96)).layers[-1]
    assert row.receptive_field == (reached, reached)
    assert field in {None, reached}


def test_the_worked_parameter_counts() -> None:
    """Two 3x3 filters on a grey picture: 18 weights, with biases 20; dense 784 to 50: 39,200 and 39,250."""
    assert walk(nn.Conv2d(1, 2, 3, bias=False), (1, 28, 28)).parameters == 18
    assert walk(nn.Conv2d(1, 2, 3), (1, 28, 28)).parameters == 20
    assert walk(nn.Linear(784, 50, bias=False), (784,)).parameters == 39_200
    assert walk(nn.Linear(784, 50), (784,)).parameters == 39_250
    deep = nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * 256, 1024))
    assert walk(deep, (256, 8, 8)).parameters == 16_778_240


def test_exercise_of_five_layers() -> None:
    """64x64x3 through conv 5x5 valid and four layers with `same` padding: 60, 30, 30, 15, 8."""

    def same(kernel: int, stride: int, layer: nn.Module) -> nn.Sequential:
        return nn.Sequential(Same((kernel, kernel), (stride, stride)), layer)

    network = nn.Sequential(
        nn.Conv2d(3, 16, 5),
        same(3, 2, nn.MaxPool2d(3, 2)),
        same(3, 1, nn.Conv2d(16, 32, 3)),
        same(2, 2, nn.MaxPool2d(2)),
        same(3, 2, nn.Conv2d(32, 32, 3, 2)),
    )
    found = walk(network, (3, 64, 64))
    rows = [row.output[1] for row in found.layers if not row.kind.startswith("same")]
    assert rows == [60, 30, 30, 15, 8]
    assert found.output == (32, 8, 8)


def test_a_one_by_one_convolution_changes_the_depth_alone() -> None:
    assert output_shape(nn.Conv2d(3, 1, 1), (3, 3, 3)) == (1, 3, 3)


def test_dropped_pixels_are_said() -> None:
    found = walk(nn.Conv2d(1, 4, 3, stride=2), (1, 28, 28))
    assert found.layers[0].remark == "drops 1 row and 1 column at the border: (28-3)/2 is not whole"
    padded = walk(nn.Conv2d(3, 4, 7, stride=2, padding=3), (3, 224, 224))
    assert padded.layers[0].remark == "", "the row that is not seen is a row of zeros"


@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2))
def test_dropped_pixels_are_those_without_gradient(n: int, kernel: int, stride: int, padding: int) -> None:
    layer = nn.Conv1d(1, 1, kernel, stride, padding)
    if n + 2 * padding < kernel or stride > kernel:
        return
    nn.init.ones_(layer.weight)
    x = torch.ones(1, 1, n, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    unseen = int((x.grad == 0).sum())
    remark = walk(layer, (1, n)).layers[0].remark
    assert remark.startswith(f"drops {unseen} sample") if unseen else remark == ""


@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_multiply_accumulates_by_counting(seed: int, axes: int) -> None:
    """torch's own counter of floating-point operations counts two for each multiply-accumulate."""
    from torch.utils.flop_counter import FlopCounterMode

    draw = random.Random(seed)
    module = draw.choice([some_conv, some_transposed])(draw, axes)
    shape = (CHANNELS, *sides(draw, axes, 6, 9))
    if torch_says(module, shape) is None:
        return
    if isinstance(module, nn.modules.conv._ConvNd) and module.groups > 1:
        return  # torch's counter leaves the groups out of account
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        module(torch.zeros(1, *shape))
    assert 2 * walk(module, shape).macs == counter.get_total_flops()


def test_a_parametrised_weight_is_one_layer() -> None:
    found = walk(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3))), (1, 5, 5))
    assert [row.kind for row in found.layers] == ["conv"]
    assert (found.macs, found.parameters) == (9 * 18, 18 + 2 + 2)


def test_groups_divide_the_multiply_accumulates() -> None:
    assert walk(nn.Conv2d(8, 8, 3, groups=8), (8, 6, 6)).macs * 8 == walk(nn.Conv2d(8, 8, 3), (8, 6, 6)).macs
    assert walk(nn.Conv2d(8, 8, 3, groups=8), (8, 6, 6)).macs == 4 * 4 * 8 * 9


# --- a network that cannot be ------------------------------------------------------------------------------


def three_convolutions() -> nn.Sequential:
    layers = [("conv1", nn.Conv2d(3, 16, 9, 2)), ("relu1", nn.ReLU()), ("conv2", nn.Conv2d(16, 32, 7))]
    return nn.Sequential(OrderedDict([*layers, ("conv3", nn.Conv2d(32, 64, 7))]))


def refused(network: nn.Module, shape: tuple[int, ...], **how: bool) -> Impossible:
    with pytest.raises(Impossible) as caught:
        walk(network, shape, **how)
    return caught.value


def test_a_network_that_cannot_be() -> None:
    error = refused(three_convolutions(), (3, 32, 32))
    assert error.layer == "conv3"
    assert (
        "input 32x32x3 -> conv1 9x9/2 -> 12x12x16 -> conv2 7x7 -> 6x6x32 -> conv3 7x7 needs at least 7"
        in str(error)
    )
    assert "floor((6 + 0 - 6 - 1)/1) + 1 = 0" in str(error)
    assert "negative dimension size" in str(error)
    assert "kernel size can't be greater than actual input size" in str(error)
    assert error.exit_code == 5


def test_a_dense_layer_of_the_wrong_width_is_told_the_number() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.dense = nn.Conv2d(1, 20, 5), nn.Linear(800, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = F.max_pool2d(F.relu(self.conv(x)), 2)
            return self.dense(x.view(x.size(0), -1))

    text = str(refused(Net(), (1, 28, 28)))
    assert "mat1 and mat2 shapes cannot be multiplied" in text
    assert "12x12x20" in text
    assert "20 x 12 x 12 = 2880" in text


@pytest.mark.parametrize(
    ("network", "shape", "words"),
    [
        (nn.Conv2d(3, 8, 3), (1, 28, 28), "expected input to have 3 channels, but got 1"),
        (nn.Conv2d(3, 8, 3), (1, 28, 28), "repeating"),
        (nn.Conv2d(3, 8, 3), (224, 224, 3), "did you mean permute?"),
        (nn.Conv2d(32, 8, 5), (32, 32, 3), "did you mean permute"),
        (nn.Sequential(nn.Flatten(), nn.Conv2d(3, 8, 3)), (3, 8, 8), "height x width x channels"),
        (nn.MaxPool2d(2, padding=2), (1, 8, 8), "at most half"),
        (nn.ReflectionPad2d(4), (1, 4, 4), "mirrored"),
    ],
)
def test_the_words_that_people_search_for(network: nn.Module, shape: tuple[int, ...], words: str) -> None:
    assert words in str(refused(network, shape))


def test_same_padding_with_a_stride_is_explained() -> None:
    class Strided(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, torch.zeros(4, 3, 3, 3), stride=2, padding="same")

    text = str(refused(Strided(), (3, 8, 8)))
    assert "TensorFlow pads more at the bottom and right" in text
    assert "neocog.zoo.borders.Same" in text


def test_branches_that_do_not_meet_are_named() -> None:
    joined = nn.Sequential(nn.Conv2d(3, 8, 3), Concat({"a": nn.Conv2d(8, 4, 3), "b": nn.Conv2d(8, 4, 1)}))
    assert "cannot join 28x28x4 and 30x30x4" in str(refused(joined, (3, 32, 32)))
    added = nn.Sequential(
        OrderedDict(stem=nn.Conv2d(3, 8, 3), block=Residual(nn.Conv2d(8, 16, 3, padding=1)))
    )
    error = refused(added, (3, 32, 32))
    assert error.layer == "block"
    assert "cannot add 30x30x16 and 30x30x8" in str(error)
    assert "input 32x32x3 -> stem (conv 3x3) -> 30x30x8" in str(error)


def test_batch_norm_on_one_number_is_recognised_when_training() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 4), nn.BatchNorm2d(8))
    assert walk(network, (3, 4, 4)).output == (8, 1, 1)
    assert "Expected more than 1 value per channel when training" in str(
        refused(network, (3, 4, 4), training=True)
    )
    assert walk(network, (3, 4, 4), training=True, batch=2).output == (8, 1, 1)
    assert walk(network, (3, 5, 5), training=True).output == (8, 2, 2)


def test_sizes_must_be_whole_numbers_from_one() -> None:
    for shape in [(), (3, 0, 4), (3, -1, 4), (3, 2.5, 4)]:
        with pytest.raises(ShapeError):
            walk(nn.Identity(), shape)  # type: ignore[arg-type]


# --- any module, and the given one left alone --------------------------------------------------------------


class Branchy(nn.Module):
    """Shared layers, a layer of two inputs, functions, an output in a tuple, an unused layer and weights of
    its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.mix = nn.Bilinear(3, 3, 5)
        self.unused = nn.Linear(7, 7)
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        x = self.conv(F.relu(self.conv(x))) * self.scale + torch.zeros(3, 1, 1)
        x = F.avg_pool2d(x, 2)
        flat = x.mean((2, 3))
        return self.mix(flat, flat), {"maps": x}


def test_a_module_of_any_form_is_walked() -> None:
    network = Branchy()
    found = walk(network, (3, 8, 8))
    assert found.output == (5,)
    assert found.parameters == sum(p.numel() for p in network.parameters())
    assert [row.name for row in found.layers] == ["conv", "conv", "avg_pool2d", "mix"]
    assert found.layers[1].parameters == 0
    assert "used again" in found.layers[1].remark
    assert found.layers[2].receptive_field == (6, 6)
    assert found.layers[2].stride == (2, 2)
    assert found.macs == 2 * 8 * 8 * 3 * 3 * 9


def test_functions_count_like_their_layers() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel, self.weight = nn.Parameter(torch.zeros(8, 3, 3, 3)), nn.Parameter(torch.zeros(10, 8))

        def forward(self, x: Tensor) -> Tensor:
            x = F.conv2d(x, self.kernel, stride=2, padding=1)
            x = F.max_pool2d(x, kernel_size=3, stride=2, ceil_mode=True)
            return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), self.weight)

    layered = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 10, bias=False),
    )  # fmt: skip
    one, two = walk(Functional(), (3, 32, 32)), walk(layered, (3, 32, 32))
    assert (one.macs, one.parameters, one.output) == (two.macs, two.parameters, two.output)
    assert [r.receptive_field for r in one.layers] == [
        r.receptive_field for r in two.layers if r.kind != "flatten"
    ]


def test_branches_see_as_far_as_the_widest() -> None:
    network = nn.Sequential(
        Concat({"narrow": nn.Conv2d(3, 2, 1), "wide": nn.Conv2d(3, 2, 7, padding=3)}),
        Grow(nn.Conv2d(4, 2, 3, padding=1)),
    )
    assert walk(network, (3, 16, 16)).layers[-1].receptive_field == (9, 9)


def test_transposed_convolution_halves_the_stride() -> None:
    rows = walk(nn.Sequential(nn.Conv2d(1, 2, 3, 2), nn.ConvTranspose2d(2, 1, 3, 2)), (1, 9, 9)).layers
    assert rows[0].stride == (2, 2)
    assert rows[1].stride == (1, 1)
    assert rows[1].output == (1, 9, 9)


def test_frozen_layers_are_told_apart() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 4, 2))
    for module in list(network)[:2]:
        module.requires_grad_(False)
    found = walk(network, (3, 4, 4))
    assert [row.remark for row in found.layers] == ["frozen", "frozen(eval)", "", ""]
    assert found.parameters == found.trainable == 8 * 4 * 2 + 2
    assert found.non_trainable == (3 * 9 * 8 + 8) + 16 + 16, "weights, and the running mean and variance"


def test_auxiliary_heads_are_left_out_of_the_parameters() -> None:
    network = nn.Sequential(OrderedDict(head=nn.Linear(4, 2)))
    network.add_module("aux", nn.ModuleDict({"stage": nn.Linear(4, 3)}))

    class Main(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.aux = network.head, network.aux

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x)

    found = walk(Main(), (4,))
    assert found.parameters == 10
    assert found.trainable == 10 + 15


def test_activation_memory() -> None:
    found = walk(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten()), (1, 5, 5))
    assert found.memory == 4 * (36 + 36)


def test_views_that_mix_the_batch_are_remarked() -> None:
    class Mixing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.view(-1, 10)

    assert "mixes the pictures" in walk(Mixing(), (1, 10, 10)).remarks[0]


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 8, 8), (1, 32, 32)])
def test_the_given_network_is_left_alone(shape: tuple[int, ...]) -> None:
    """Weights, statistics, modes, gradients, hooks and device, also where the walk ends in a refusal."""
    calls: list[str] = []
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 5)
    )
    network[0].eval()
    network[0].register_forward_hook(lambda *_: calls.append("forward"))
    network[4].register_forward_pre_hook(lambda *_: calls.append("before"))
    network[4].weight.grad = torch.ones_like(network[4].weight)
    before = {name: (value, value.clone()) for name, value in network.state_dict(keep_vars=True).items()}
    modes = [module.training for module in network.modules()]
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in network.modules()]
    for training in (False, True):
        try:
            walk(network, shape, training=training)
        except ShapeError:
            assert shape != (3, 32, 32)
    assert not calls
    assert modes == [module.training for module in network.modules()]
    assert hooks == [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in network.modules()]
    assert network[4].weight.grad is not None
    for name, value in network.state_dict(keep_vars=True).items():
        assert value is before[name][0]
        assert value.device.type == "cpu"
        assert torch.equal(value, before[name][1])


def test_a_network_without_sizes_says_so() -> None:
    with pytest.raises(ShapeError, match="run the network once"):
        walk(nn.Sequential(nn.LazyConv2d(3, 3)), (3, 8, 8))


def test_same_padding_gives_the_ceiling() -> None:
    for n in range(1, 20):
        for kernel in range(1, 5):
            for stride in range(1, 4):
                block = nn.Sequential(Same((kernel,), (stride,)), nn.Conv1d(1, 1, kernel, stride))
                assert walk(block, (1, n)).output == (1, ceil(n / stride))


def test_the_walk_stays_clear_of_torchs_compiler() -> None:
    """torch's first sum on the meta device loads its compiler, some seconds; a summary must not wait for
    that.
    """
    code = """
import sys
from torch import nn
from neocog.arithmetic import walk
from neocog.zoo.blocks import Concat, Gate, GlobalPool, Grow, Residual, conv

network = nn.Sequential(
    conv(3, 8, 3), Residual(nn.Sequential(conv(8, 8, 3), nn.Dropout())), Grow(conv(8, 4, 1)),
    Gate(conv(12, 12, 3), conv(12, 12, 3)), Concat({"a": conv(12, 4, 1), "b": conv(12, 4, 3)}),
    nn.AvgPool2d(2), GlobalPool(), nn.Linear(8, 2), nn.Softmax(1),
)
assert walk(network, (3, 8, 8)).output == (2,)
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_operations_make_what_torch_makes() -> None:
    """The shapes of sums, joins and means that the walk works out itself, against real tensors."""
    draw, seen, spoken = random.Random(0), set(), []
    for _ in range(2000):
        x = torch.zeros(sides(draw, draw.randint(1, 4), 1, 3))
        y = torch.zeros(sides(draw, draw.randint(1, 4), 1, 3))
        axis, keep = draw.randint(-3, 3), draw.random() < 0.5
        name, args, kwargs = draw.choice(
            [
                ("add", (x, y), {}),
                ("mul", (x, 2.0), {}),
                ("cat", ([x, y], axis), {}),
                ("mean", (x, axis), {"keepdim": keep}),
            ]
        )
        try:
            real: tuple[int, ...] | None = tuple(getattr(torch, name)(*args, **kwargs).shape)
        except (RuntimeError, IndexError) as error:
            real, words = None, str(error)
        try:
            made = operations.result(name, args, kwargs)
        except RuntimeError as error:
            made, said = None, str(error)
            spoken.append(said == words)  # unequal maps are refused in torch's words
        assert (None if made is None else tuple(made.shape)) == real, (name, args)
        seen.add((name, real is None))
    assert all(spoken)
    assert len(spoken) > 100
    assert len(seen) == 7, "everything but the product with a number both works and fails"


class Seen(nn.Module):
    """A network that writes down the real output shape of each of its leaves."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.shapes = network, []
        for module in network.modules():
            if not list(module.children()):
                module.register_forward_hook(lambda _m, _x, y: self.shapes.append(tuple(y.shape[1:])))


@pytest.mark.parametrize("size", [29, 32, 35])
def test_the_walk_and_a_real_run_agree(size: int) -> None:
    network = nn.Sequential(
        conv(3, 8, 7, stride=2), nn.MaxPool2d(3, 2, 1, ceil_mode=True), Residual(conv(8, 8, 3, relu=False)),
        Grow(conv(8, 4, 1)), Gate(conv(12, 12, 3), conv(12, 12, 3)),
        Concat({"a": conv(12, 4, 1, padding="same"), "b": conv(12, 4, 3)}), nn.AdaptiveAvgPool2d(3),
        nn.ConvTranspose2d(8, 4, 3, 2), nn.Upsample(scale_factor=2), GlobalPool(), nn.Linear(4, 2),
    )  # fmt: skip
    watched = Seen(network.eval())
    network(torch.zeros(2, 3, size, size))
    rows = walk(network, (3, size, size)).layers
    assert [row.output for row in rows if row.kind != "join"] == watched.shapes
    assert [row.window for row in rows if row.kind == "join"] == ["8 + 4", "4 + 4"]
