"""ResNet, DenseNet, Xception, MobileNetV2, EfficientNet-Lite and ResNet-9 against papers, closed forms and
published weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from _pytest.mark.structures import ParameterSet
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from neocog.arithmetic import walk
from neocog.errors import ShapeError, UsageError
from neocog.zoo import densenet, efficientnet_lite, fastres, mobilenet, resnet, xception
from neocog.zoo.blocks import Network, Residual
from neocog.zoo.first_weights import initialise
from neocog.zoo.habits import Manner

FAMILIES = (resnet, densenet, xception, mobilenet, efficientnet_lite, fastres)
ROWS = {row.name: row for family in FAMILIES for row in family.ARCHITECTURES}
SMALL_STEMS = [name for name, row in ROWS.items() if "small" in row.stems]
QUICK = (
    "resnet18",
    "resnet50-keras",
    "resnet20",
    "densenet121",
    "densenet40",
    "xception",
    "mobilenet_v2",
    "efficientnet_lite1",
    "resnet9",
)
"""Rows that stand for their table's column in the fast suite."""
LIGHT = ("resnet20", "densenet40", "resnet9-narrow")
"""Rows that run on a CPU in well under a second."""


def rows(quick: Sequence[str], names: Iterable[str] = ROWS) -> list[ParameterSet | str]:
    """`names` as parameters of a test; those that are not `quick` are left to the slow suite."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


# Parameters and multiply-accumulates as published: torchvision's, Keras' and the authors' own figures.
# Of Keras, which counts moving statistics too, the trainable ones.
PUBLISHED = {
    "resnet18": (11_689_512, 1.81e9),
    "resnet34": (21_797_672, 3.66e9),
    "resnet50": (25_557_032, 4.09e9),
    "resnet101": (44_549_160, 7.80e9),
    "resnet152": (60_192_808, 11.51e9),
    "resnet50-keras": (25_583_592, 3.86e9),
    "resnet20": (269_722, 40.6e6),
    "resnet32": (464_154, 68.9e6),
    "resnet44": (658_586, 97.2e6),
    "resnet56": (853_018, 125.5e6),
    "resnet110": (1_727_962, 252.9e6),
    "densenet121": (7_978_856, 2.83e9),
    "densenet161": (28_681_000, 7.73e9),
    "densenet169": (14_149_480, 3.36e9),
    "densenet201": (20_013_928, 4.29e9),
    "densenet40": (1_019_722, 264.8e6),
    "densenet100": (769_162, 287.9e6),
    "xception": (22_855_952, 8.36e9),
    "mobilenet_v2": (3_504_872, 300.8e6),
    "efficientnet_lite0": (4_652_008, 385.2e6),  # of the authors' 407M, which count normalisations too: see
    "efficientnet_lite1": (5_416_680, 600.2e6),  # tests/test_efficientnet_lite.py
    "efficientnet_lite2": (6_092_072, 859.7e6),
    "resnet9": (6_573_120, 379.3e6),
    "resnet9-narrow": (412_944, 24.04e6),
}

# Side of the maps that leave each stage, at the row's own input.
_RESNET = {"conv1": 112, "pool1": 56, "conv2_x": 56, "conv3_x": 28, "conv4_x": 14, "conv5_x": 7}
_CIFAR = {"conv1": 32, "conv2_x": 32, "conv3_x": 16, "conv4_x": 8}
_DENSE = {"conv1": 112, "pool1": 56, "dense1": 56, "dense2": 28, "dense3": 14, "dense4": 7}
SIDES = {
    **dict.fromkeys(resnet.TABLE_1, _RESNET),
    **dict.fromkeys(resnet.SECTION_4_2, _CIFAR),
    **dict.fromkeys(densenet.TABLE_1, _DENSE),
    **{name: {"conv1": 32, "dense1": 32, "dense2": 16, "dense3": 8} for name in densenet.TABLE_2},
    "xception": {
        "block1": 147,
        "block2": 74,
        "block3": 37,
        "block4": 19,
        "block12": 19,
        "block13": 10,
        "block14": 10,
    },
    "mobilenet_v2": {
        "conv1": 112,
        "bottleneck1": 112,
        "bottleneck3": 56,
        "bottleneck6": 28,
        "bottleneck13": 14,
        "conv2": 7,
    },
    "efficientnet_lite0": {
        "stage1": 112,
        "stage2": 112,
        "stage3": 56,
        "stage4": 28,
        "stage6": 14,
        "stage9": 7,
    },
    "efficientnet_lite1": {
        "stage1": 120,
        "stage2": 120,
        "stage3": 60,
        "stage4": 30,
        "stage6": 15,
        "stage9": 8,
    },
    "efficientnet_lite2": {
        "stage1": 130,
        "stage2": 130,
        "stage3": 65,
        "stage4": 33,
        "stage6": 17,
        "stage9": 9,
    },
    **{name: {"prep": 32, "layer1": 16, "layer2": 8, "layer3": 4} for name in fastres.WIDTHS},
}


@cache
def on_meta(name: str, stem: str = "paper") -> Network:
    """The network of a row without memory: shapes alone."""
    row = ROWS[name]
    with torch.device("meta"):
        return row.build(shape=row.shape if stem == "paper" else (3, 32, 32), classes=row.classes, stem=stem)


def learner(name: str, *, classes: int = 4, seed: int = 0) -> Network:
    """The network of a row for 32x32 pictures, its weights drawn as the row says."""
    row = ROWS[name]
    network = row.build(shape=(3, 32, 32), classes=classes, stem=row.stems[-1])
    initialise(network, row.init, torch.Generator().manual_seed(seed))
    return network


def sizes(network: Network, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """(C, H, W) after each stage, on the meta device."""
    x = torch.empty(2, *shape, device="meta")
    seen = {}
    for name, stage in network.features.named_children():
        x = stage(x)
        seen[name] = tuple(x.shape[1:])
    return seen


# --- the papers' numbers --------------------------------------------------------------------------


def test_every_row_has_its_published_figures() -> None:
    assert set(PUBLISHED) == set(ROWS) == set(SIDES)


@pytest.mark.parametrize("name", rows(QUICK))
def test_parameters(name: str) -> None:
    counted = sum(p.numel() for p in on_meta(name).parameters())
    assert counted == ROWS[name].parameters == PUBLISHED[name][0]


@pytest.mark.parametrize("name", rows(QUICK))
def test_multiply_accumulates(name: str) -> None:
    row = ROWS[name]
    network = on_meta(name)
    assert walk(network, row.shape).macs == row.macs
    assert row.macs == pytest.approx(PUBLISHED[name][1], rel=3e-3)


@pytest.mark.parametrize("name", rows(QUICK))
def test_sides_of_the_maps(name: str) -> None:
    seen = sizes(on_meta(name), ROWS[name].shape)
    assert {stage: seen[stage][1:] for stage in SIDES[name]} == {s: (n, n) for s, n in SIDES[name].items()}


def test_keras_resnet50_with_its_moving_statistics() -> None:
    network = on_meta("resnet50-keras")
    statistics = sum(b.numel() for b in network.buffers() if b.ndim == 1)
    assert sum(p.numel() for p in network.parameters()) + statistics == 25_636_712


def test_xception_with_its_moving_statistics() -> None:
    network = on_meta("xception")
    statistics = sum(b.numel() for b in network.buffers() if b.ndim == 1)
    assert sum(p.numel() for p in network.parameters()) + statistics == 22_910_480


def test_xception_first_convolution_gives_149() -> None:
    conv1 = on_meta("xception").features.get_submodule("block1.conv1")
    assert conv1(torch.empty(2, 3, 299, 299, device="meta")).shape[2:] == (149, 149)


@pytest.mark.parametrize("name", rows(QUICK))
def test_depth_is_the_count_of_layers_with_weights(name: str) -> None:
    layers = [
        path
        for path, module in on_meta(name).named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and ".shortcut." not in path
    ]
    if name == "xception":  # a separable convolution is one layer
        layers = [path for path in layers if not path.endswith("depthwise")]
    assert len(layers) == ROWS[name].depth


# --- inputs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", rows(QUICK))
def test_smallest_input_works_and_one_pixel_less_does_not(name: str) -> None:
    row = ROWS[name]
    side = row.smallest
    with torch.device("meta"):
        network = row.build(shape=(3, side, side), classes=row.classes, stem="paper")
        assert network(torch.empty(2, 3, side, side)).shape == (2, row.classes)
        for shape in ((3, side - 1, side), (3, side, side - 1)):
            with pytest.raises(ShapeError):
                row.build(shape=shape, classes=row.classes, stem="paper")


@pytest.mark.parametrize("name", rows(QUICK))
def test_other_channels_classes_and_oblong_pictures(name: str) -> None:
    with torch.device("meta"):
        network = ROWS[name].build(shape=(1, 40, 72), classes=7, stem="paper")
        assert network(torch.empty(2, 1, 40, 72)).shape == (2, 7)


@pytest.mark.parametrize("name", rows(QUICK, SMALL_STEMS))
def test_small_stem_keeps_large_maps_on_small_pictures(name: str) -> None:
    paper, small = sizes(on_meta(name), (3, 32, 32)), sizes(on_meta(name, "small"), (3, 32, 32))
    assert min(list(small.values())[-1][1:]) >= 2 * min(list(paper.values())[-1][1:])
    assert next(iter(small.values()))[1:] == (32, 32)


@pytest.mark.parametrize("name", [name for name in ROWS if name not in SMALL_STEMS])
def test_networks_for_small_pictures_have_no_other_stem(name: str) -> None:
    with pytest.raises(UsageError, match="stem"):
        ROWS[name].build(shape=(3, 32, 32), classes=10, stem="small")


@pytest.mark.parametrize(
    "build", [resnet.resnet, resnet.cifar_resnet, densenet.densenet, densenet.cifar_densenet, fastres.fastres]
)
def test_unknown_names_are_refused(build: object) -> None:
    with pytest.raises(UsageError, match="resnet9000"):
        build("resnet9000")  # type: ignore[operator]


# --- the zoo's promises ---------------------------------------------------------------------------


class Operations(TorchDispatchMode):
    """Counts the operations that reach torch's dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = str(func.overloadpacket)
        self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", rows(QUICK))
def test_every_relu_is_a_module_of_its_own(name: str) -> None:
    network = on_meta(name)
    paths = [p for p, m in network.named_modules(remove_duplicate=False) if isinstance(m, nn.ReLU | nn.ReLU6)]
    modules = [m for m in network.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
    assert len(paths) == len(modules) > 0
    assert not any(m.inplace for m in modules)
    with torch.no_grad(), Operations() as operations:
        network(torch.empty(2, *ROWS[name].shape, device="meta"))
    counts = operations.counts
    assert counts.get("aten.relu", 0) + counts.get("aten.hardtanh", 0) == len(modules)
    assert not {"aten.relu_", "aten.hardtanh_"} & set(counts)


@pytest.mark.parametrize("name", rows(QUICK))
def test_keras_names_lead_to_stages(name: str) -> None:
    features = on_meta(name).features
    for ours in ROWS[name].aliases.values():
        features.get_submodule(ours)


def test_every_keras_block_is_named() -> None:
    for name, count in (
        ("resnet50", 16 + 2),
        ("densenet121", 58 + 3 + 3),
        ("mobilenet_v2", 3 + 16 * 3 + 10 + 1),
    ):
        assert len(ROWS[name].aliases) == count


@pytest.mark.parametrize("name", rows(QUICK))
def test_every_parameter_is_reached(name: str) -> None:
    network = ROWS[name].build(shape=(3, 32, 32), classes=3, stem=ROWS[name].stems[-1]).to("meta")
    network(torch.empty(2, 3, 32, 32, device="meta")).sum().backward()
    assert [path for path, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("name", rows(LIGHT))
def test_gradients_are_finite_and_nowhere_zero(name: str) -> None:
    network = learner(name, classes=3)
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    F.cross_entropy(network(x), torch.arange(8) % 3).backward()
    for path, p in network.named_parameters():
        assert p.grad is not None, path
        assert p.grad.isfinite().all(), path
        if not path.endswith(
            "conv.bias"
        ):  # a normalisation takes the mean away, so a bias before it has none
            assert p.grad.abs().sum() > 0, path


@pytest.mark.parametrize("name", rows(LIGHT))
def test_state_dict_round_trip(name: str) -> None:
    one, other = learner(name, seed=1).eval(), learner(name, seed=2).eval()
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        before = one(x)
        assert not torch.equal(other(x), before)
        other.load_state_dict(one.state_dict(), strict=True)
        assert torch.equal(other(x), before)


# --- ResNet ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [7, 8])
def test_option_a_picks_pixels_and_adds_zero_channels(side: int) -> None:
    shortcut = resnet.option_a(3, 2)
    assert list(shortcut.parameters()) == []
    x = torch.randn(2, 5, side, side)
    y = shortcut(x)
    assert torch.equal(y[:, :5], x[:, :, ::2, ::2])
    assert y.shape[1] == 8
    assert not y[:, 5:].any()


def test_cifar_shortcuts_have_no_parameters() -> None:
    blocks = [m for m in on_meta("resnet110").modules() if isinstance(m, Residual)]
    assert len(blocks) == 54
    assert sum(p.numel() for block in blocks for p in block.shortcut.parameters()) == 0


@pytest.mark.parametrize(("name", "strides"), [("resnet50", (1, 2, 1)), ("resnet50-keras", (2, 1, 1))])
def test_where_the_stride_of_a_bottleneck_stands(name: str, strides: tuple[int, ...]) -> None:
    features = on_meta(name).features
    for stage in ("conv3", "conv4", "conv5"):
        body = features.get_submodule(f"{stage}_x.{stage}_1.body")
        assert tuple(body.get_submodule(f"conv{n}.conv").stride[0] for n in (1, 2, 3)) == strides


def test_keras_normalisations_have_keras_epsilon() -> None:
    assert {m.eps for m in on_meta("resnet50-keras").modules() if isinstance(m, nn.BatchNorm2d)} == {1.001e-5}


def normalised(x: Tensor, state: dict[str, Tensor], path: str, eps: float) -> Tensor:
    """Batch normalisation in evaluation, written out."""
    mean, var, scale, shift = (
        state[f"{path}.{k}"][:, None, None] for k in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + eps).sqrt() * scale + shift


def shaken(network: Network, seed: int = 0) -> Network:
    """`network` in evaluation with statistics unlike those of a fresh one, so that nothing cancels."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3, generator=generator)
    return network.eval()


def test_resnet20_is_section_4_2_written_out() -> None:
    network = shaken(learner("resnet20", classes=10))
    state, x = network.state_dict(), torch.rand(2, 3, 32, 32)

    def conv(y: Tensor, path: str, stride: int = 1) -> Tensor:
        y = F.conv2d(y, state[f"{path}.conv.weight"], stride=stride, padding=1)
        return normalised(y, state, f"{path}.norm", 1e-5)

    y = conv(x, "features.conv1").relu()
    for s in (2, 3, 4):
        for b in (1, 2, 3):
            path, stride = f"features.conv{s}_x.conv{s}_{b}.body", 2 if s > 2 and b == 1 else 1
            f = conv(conv(y, f"{path}.conv1", stride).relu(), f"{path}.conv2")
            shortcut = y[:, :, ::stride, ::stride]
            shortcut = torch.cat([shortcut, torch.zeros(2, f.shape[1] - y.shape[1], *f.shape[2:])], 1)
            y = (f + shortcut).relu()
    expected = y.mean((2, 3)) @ state["head.linear.weight"].T + state["head.linear.bias"]
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


# --- DenseNet -------------------------------------------------------------------------------------


def test_densenet100_is_equation_2_written_out() -> None:
    network = shaken(learner("densenet100", classes=10))
    state, x = network.state_dict(), torch.rand(2, 3, 32, 32)

    def active(y: Tensor, path: str) -> Tensor:
        return normalised(y, state, path, 1e-5).relu()

    y = F.conv2d(x, state["features.conv1.conv.weight"], padding=1)
    for d in (1, 2, 3):
        maps = [y]
        for n in range(1, 17):
            path = f"features.dense{d}.layer{n}.layer"
            h = F.conv2d(active(torch.cat(maps, 1), f"{path}.norm1"), state[f"{path}.conv1.weight"])
            maps.append(F.conv2d(active(h, f"{path}.norm2"), state[f"{path}.conv2.weight"], padding=1))
        y = torch.cat(maps, 1)
        if d < 3:
            path = f"features.transition{d}"
            y = F.avg_pool2d(F.conv2d(active(y, f"{path}.norm"), state[f"{path}.conv.weight"]), 2)
    y = active(y, "features.norm").mean((2, 3))
    expected = y @ state["head.linear.weight"].T + state["head.linear.bias"]
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "channels"), [("densenet121", (256, 512, 1024, 1024)), ("densenet161", (384, 768, 2112, 2208))]
)
def test_densenet_channels(name: str, channels: tuple[int, ...]) -> None:
    seen = sizes(on_meta(name), ROWS[name].shape)
    assert tuple(seen[f"dense{d}"][0] for d in (1, 2, 3, 4)) == channels


# --- Xception -------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 5, 6, 9])
def test_halving_is_tensorflows_and_never_sees_padding(side: int) -> None:
    x = -1 - torch.rand(1, 1, side, side)  # all negative: a padded zero would win
    y = xception.halve()(x)
    out = -(-side // 2)
    start = max((out - 1) * 2 + 3 - side, 0) // 2
    for i in range(out):
        for j in range(out):
            rows, columns = (slice(max(2 * k - start, 0), 2 * k - start + 3) for k in (i, j))
            assert y[0, 0, i, j] == x[0, 0, rows, columns].max()
    assert y.shape == (1, 1, out, out)


def test_xception_modules_as_in_figure_5() -> None:
    features = on_meta("xception").features
    plain = [n for n in range(5, 13) if isinstance(features.get_submodule(f"block{n}.shortcut"), nn.Identity)]
    assert plain == list(range(5, 13))
    first_relu = {n: hasattr(features.get_submodule(f"block{n}.body"), "relu1") for n in range(2, 14)}
    assert [n for n, there in first_relu.items() if not there] == [2]
    assert {m.eps for m in features.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}


# --- MobileNetV2 ----------------------------------------------------------------------------------


DATA = Path(os.environ.get("NEOCOG_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
WEIGHTS = DATA / "weights" / "mobilenet_v2-keras-imagenet.fp16.safetensors"
PHOTOS = DATA / "photos" / "imagenet"


def renamed(key: str) -> str:
    """torchvision's name of a MobileNetV2 tensor as ours."""
    if key.startswith("classifier.1."):
        return key.replace("classifier.1", "head.linear")
    _, index, *rest = key.split(".")
    if rest[0] != "conv":  # the convolutions before and after the bottlenecks
        return f"features.{'conv1' if index == '0' else 'conv2'}.{('conv', 'norm')[int(rest[0])]}.{rest[1]}"
    place, tail = ".".join(rest[1:-1]), rest[-1]
    parts = ("depthwise",) if index == "1" else ("expand", "depthwise")
    places = {f"{n}.{k}": f"{part}.{('conv', 'norm')[k]}" for n, part in enumerate(parts) for k in (0, 1)}
    places |= {str(len(parts)): "project.conv", str(len(parts) + 1): "project.norm"}
    return f"features.bottleneck{index}.body.{places[place]}.{tail}"


@cache
def published_mobilenet(padding: Literal["half", "same"]) -> Network:
    network = Manner(padding=padding).applied(mobilenet.mobilenet_v2())
    with safe_open(WEIGHTS, "pt") as file:
        state = {renamed(key): file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert unexpected == []
    assert {key.rsplit(".", 1)[-1] for key in missing} <= {"num_batches_tracked"}
    return network.eval()


def photo(name: str) -> Tensor:
    """(1, 3, 224, 224): the shorter side 256, the middle 224x224, normalised as the weights' metadata say."""
    with Image.open(PHOTOS / name) as file:
        picture = file.convert("RGB")
    scale = 256 / min(picture.size)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR
    )
    left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
    pixels = (
        torch.from_numpy(np.array(picture.crop((left, top, left + 224, top + 224)))).permute(2, 0, 1) / 255
    )
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((pixels - mean[:, None, None]) / std[:, None, None])[None]


@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"the published MobileNetV2 weights are not at {WEIGHTS}")
@pytest.mark.parametrize(
    ("name", "label", "best"),
    [
        ("n02124075_Egyptian_cat.JPEG", 285, 1),
        ("n04310018_steam_locomotive.JPEG", 820, 2),  # the picture is mostly its passenger car, class 705
    ],
)
def test_published_mobilenet_weights_name_photos(name: str, label: int, best: int) -> None:
    with torch.no_grad():
        chances = published_mobilenet("same")(photo(name)).softmax(1)[0]
        torch_padding = published_mobilenet("half")(photo(name)).softmax(1)[0]
    assert label in chances.topk(best).indices
    assert chances[label] > torch_padding[label]


# --- ResNet-9 -------------------------------------------------------------------------------------


def test_resnet9_logits_are_an_eighth_of_the_products() -> None:
    network = shaken(learner("resnet9-narrow", classes=10))
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        pooled = F.max_pool2d(network.features(x), 4).flatten(1)
        torch.testing.assert_close(network(x), pooled @ network.head.linear.weight.T * 0.125)


# --- learning -------------------------------------------------------------------------------------


def striped(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy stripes (N, 3, 32, 32) in four classes: lying or standing, reddish or bluish."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (count,), generator=generator)
    ramp = torch.arange(32.0).expand(count, 32, 32)
    ramp = torch.where((labels % 2 == 0)[:, None, None], ramp, ramp.transpose(1, 2))
    phase, period = torch.rand(2, count, 1, 1, generator=generator)
    waves = torch.sin(ramp * 6.283 / (4 + 6 * period) + 6.283 * phase)
    tint = torch.tensor([[1.0, 0.5, 0.2], [0.2, 0.5, 1.0]])[labels // 2]
    pictures = waves[:, None] * tint[:, :, None, None]
    return pictures + 0.5 * torch.randn(pictures.shape, generator=generator), labels


# Residual networks, shallow and deep: steps, and the highest learning rate, which is lower for the deepest
# (section 4.2); tests/test_battery.py teaches every row by the training that users run.
LEARNERS = {
    "resnet20": (40, 0.02),
    "resnet110": (60, 0.005),
    "resnet9-narrow": (40, 0.02),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_stripes_and_colours(name: str) -> None:
    network, (steps, rate) = learner(name), LEARNERS[name]
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    for step in range(steps):
        for group in optimizer.param_groups:  # up in a fifth of the steps, then down to nothing
            group["lr"] = rate * min(1, 5 * (step + 1) / steps) * (1 - step / steps)
        x, y = striped(16, seed=step)
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    x, y = striped(64, seed=10_000)
    with torch.no_grad():
        accuracy = (network.eval()(x).argmax(1) == y).float().mean()
    assert accuracy > 0.8  # chance is a quarter
