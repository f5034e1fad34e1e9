"""LeNet, AlexNet, ZFNet, VGG, GoogLeNet, Inception V3 and Highway against their papers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from neocog.arithmetic import walk
from neocog.errors import ShapeError, UsageError
from neocog.zoo import alexnet, googlenet, highway, inception_v3, lenet, vgg
from neocog.zoo.architectures import Architecture
from neocog.zoo.blocks import Concat, Gate, Network
from neocog.zoo.first_weights import initialise

FAMILIES = (lenet, alexnet, vgg, googlenet, inception_v3, highway)
ROWS = {row.name: row for family in FAMILIES for row in family.ARCHITECTURES}


def slow(value: Any, **more: Any) -> Any:
    return pytest.param(value, marks=pytest.mark.slow, **more)


LIKE_ANOTHER = {"alexnet-merged", "vgg13", "vgg19", "vgg11-bn", "vgg13-bn", "vgg19-bn"}
every = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
every_anew = pytest.mark.parametrize(  # tests that build the network once more
    "row",
    [(slow if n in LIKE_ANOTHER | {"inception_v3"} else pytest.param)(row, id=n) for n, row in ROWS.items()],
)

GOLDEN = {  # the literature's counts: without and with auxiliary heads
    "lenet5": (60_000, 60_000),
    "lenet5-relu": (61_706, 61_706),
    "alexnet": (60_965_224, 60_965_224),
    "alexnet-merged": (62_378_344, 62_378_344),
    "alexnet-owt": (61_100_840, 61_100_840),
    "zfnet": (62_357_608, 62_357_608),
    "vgg11": (132_863_336, 132_863_336),
    "vgg13": (133_047_848, 133_047_848),
    "vgg16": (138_357_544, 138_357_544),
    "vgg19": (143_667_240, 143_667_240),
    "vgg16-bn": (138_361_768, 138_361_768),
    "googlenet": (6_998_552, 13_378_280),
    "inception_v3": (23_834_568, 27_161_264),
}
GIGA_MACS = {  # as published, rounded
    "alexnet": 0.724,
    "alexnet-merged": 1.135,
    "alexnet-owt": 0.714,
    "zfnet": 1.168,
    "vgg11": 7.61,
    "vgg13": 11.31,
    "vgg16": 15.47,
    "vgg19": 19.63,
    "googlenet": 1.583,
    "inception_v3": 5.71,
}
SIZES = {  # the stages and the size of their maps that the papers print
    "lenet5": {"c1": 28, "s2": 14, "c3": 10, "s4": 5, "c5": 1},
    "lenet5-relu": {"c1": 28, "s2": 14, "c3": 10, "s4": 5},
    "alexnet": {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6},
    "alexnet-merged": {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv5": 13, "pool5": 6},
    "alexnet-owt": {"conv1": 55, "pool1": 27, "pool2": 13, "pool5": 6},
    "zfnet": {"conv1": 110, "pool1": 55, "conv2": 26, "pool2": 13, "conv5": 13, "pool5": 6},
    **{
        name: {"pool1": 112, "pool2": 56, "pool3": 28, "pool4": 14, "pool5": 7}
        for name in ROWS
        if name.startswith("vgg")
    },
    "googlenet": {
        "conv1": 112,
        "pool1": 56,
        "conv2": 56,
        "pool2": 28,
        "inception3b": 28,
        "pool3": 14,
        "inception4a": 14,
        "inception4e": 14,
        "pool4": 7,
        "inception5b": 7,
    },
    "inception_v3": {
        "conv1": 149,
        "conv2": 147,
        "conv3": 147,
        "pool1": 73,
        "conv5": 71,
        "pool2": 35,
        "mixed2": 35,
        "mixed3": 17,
        "mixed7": 17,
        "mixed8": 8,
        "mixed10": 8,
    },
    "highway": {"conv1": 32, "pool1": 16, "highway2_5": 16, "pool2": 8, "highway3_1": 8, "pool3": 4},
}


def on_meta(row: Architecture, **changed: Any) -> Network:
    """A network without memory; as the row has it, unless something is changed."""
    if not changed:
        return published(row.name)
    with torch.device("meta"):
        return row.build(**{"shape": row.shape, "classes": row.classes, **changed})


@cache
def published(name: str) -> Network:
    with torch.device("meta"):
        return ROWS[name].build(shape=ROWS[name].shape, classes=ROWS[name].classes)


def small(name: str, *, size: int = 32, classes: int = 10, channels: int | None = None) -> Network:
    """A network for small pictures, its weights drawn as its row says."""
    row = ROWS[name]
    network = row.build(shape=(channels or row.shape[0], size, size), classes=classes, stem=row.stems[-1])
    initialise(network, row.init, torch.Generator().manual_seed(0))
    return network


def counted(network: nn.Module) -> tuple[int, int]:
    sizes = {name: p.numel() for name, p in network.named_parameters() if p.requires_grad}
    return sum(n for name, n in sizes.items() if not name.startswith("aux.")), sum(sizes.values())


def longest_path(module: nn.Module) -> int:
    """Layers with weights on the longest way through `module`."""
    if isinstance(module, nn.Conv2d | nn.Linear | lenet.RadialBasis):
        return 1
    ways = [longest_path(child) for child in module.children() if not isinstance(child, nn.ModuleDict)]
    if isinstance(module, Concat):
        return max(longest_path(branch) for branch in module.branches.values())
    return max(ways) if isinstance(module, Gate) else sum(ways)


@contextmanager
def outputs(network: nn.Module, kind: type[nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """What every module of `kind` puts out, by name, call after call."""
    seen: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(lambda m, i, out, name=name: seen.setdefault(name, []).append(out))
        for name, module in network.named_modules()
        if isinstance(module, kind)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


# --- every row ---------------------------------------------------------------------------------------------


@every
def test_counts_are_the_literatures(row: Architecture) -> None:
    main, total = counted(on_meta(row))
    assert main == row.parameters
    assert (main, total) == GOLDEN.get(row.name, (main, main))


@every
def test_batch_norm_adds_one_number_per_map(row: Architecture) -> None:
    plain = ROWS.get(row.name.removesuffix("-bn"), row)
    widths = sum(w for stage in vgg.TABLE_1.get(plain.name, ()) for w in stage)
    assert row.parameters - plain.parameters == (widths if row.name.endswith("-bn") else 0)


@every
def test_stages_and_multiply_accumulates(row: Architecture) -> None:
    network = on_meta(row).eval()
    x, sizes = torch.empty(1, *row.shape, device="meta"), {}
    for name, stage in network.features.named_children():
        x = stage(x)
        sizes[name] = x.shape[-1]
    assert SIZES[row.name].items() <= sizes.items()
    walked = walk(network, row.shape)
    assert walked.output == (row.classes,)
    assert walked.parameters == row.parameters
    assert walked.macs == row.macs
    if row.name in GIGA_MACS:
        assert row.macs / 1e9 == pytest.approx(GIGA_MACS[row.name], rel=1e-3)


@every
def test_depth_is_the_longest_path(row: Architecture) -> None:
    network = on_meta(row)
    assert longest_path(network.features) + longest_path(network.head) == row.depth


@every_anew
def test_smallest_picture(row: Architecture) -> None:
    n = row.smallest
    network = on_meta(row, shape=(row.shape[0], n, n)).eval()
    assert network(torch.empty(1, row.shape[0], n, n, device="meta")).shape == (1, row.classes)
    with pytest.raises(ShapeError, match=rf"needs at least(.|\n)*input {n - 1}x{n - 1}x{row.shape[0]}"):
        on_meta(row, shape=(row.shape[0], n - 1, n - 1))


@every
def test_a_flat_input_is_refused(row: Architecture) -> None:
    with pytest.raises(ShapeError, match="channels, height, width"):
        on_meta(row, shape=(224, 224))


@every
def test_relus_are_modules_used_once_and_not_in_place(row: Architecture) -> None:
    calls = Counter[str]()

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls[getattr(func, "__name__", "")] += 1
            return func(*args, **(kwargs or {}))

    network = on_meta(row).train()
    with outputs(network, nn.ReLU) as seen, Watch():
        network.all_logits(torch.empty(2, *row.shape, device="meta"))
    names = {name for name, module in network.named_modules() if isinstance(module, nn.ReLU)}
    assert set(seen) == names
    assert all(len(outs) == 1 for outs in seen.values())
    assert not any(m.inplace for m in network.modules() if isinstance(m, nn.ReLU))
    assert calls["relu"] == len(names)
    assert calls["relu_"] == calls["clamp"] == 0


@every
def test_every_parameter_has_a_part_in_the_loss(row: Architecture) -> None:
    network = on_meta(row).train()
    network.zero_grad(set_to_none=True)
    sum(logits.sum() for logits in network.all_logits(torch.empty(2, *row.shape, device="meta"))).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@every_anew
def test_other_classes_and_channels(row: Architecture) -> None:
    shape = (2, *row.shape[1:])
    network = on_meta(row, shape=shape, classes=7)
    for logits in network.train().all_logits(torch.empty(2, *shape, device="meta")):
        assert logits.shape == (2, 7)


@every
def test_no_adaptive_pooling_and_no_batch_norm_unless_named(row: Architecture) -> None:
    modules = list(on_meta(row).modules())
    assert not any("Adaptive" in type(m).__name__ for m in modules)
    normed = any(isinstance(m, nn.BatchNorm2d) for m in modules)
    assert normed == (row.name.endswith("-bn") or row.name == "inception_v3")


@every
def test_the_row_is_whole(row: Architecture) -> None:
    names = {name.rpartition(".")[2] for name, _ in on_meta(row).named_modules()}
    assert row.title
    assert row.authors
    assert row.url.startswith("http")
    assert row.differs != "nothing"
    assert set(row.aliases.values()) <= names


@pytest.mark.parametrize(
    "name", ["alexnet", "alexnet-owt", "zfnet", "vgg11", "vgg16-bn", "googlenet", slow("inception_v3")]
)
@pytest.mark.parametrize("size", [28, 64])
def test_small_stem(name: str, size: int) -> None:
    row = ROWS[name]
    network = on_meta(row, shape=(3, size, size), classes=10, stem="small").eval()
    assert network(torch.empty(1, 3, size, size, device="meta")).shape == (1, 10)
    assert counted(network)[0] < row.parameters


# --- weights and gradients, in numbers ---------------------------------------------------------------------

LIGHT = ["lenet5", "lenet5-relu", "highway", "alexnet", "zfnet", "vgg11", "vgg11-bn"]
HEAVY = ["alexnet-merged", "alexnet-owt", "vgg16", "vgg19", "vgg19-bn", "googlenet", "inception_v3"]
real = pytest.mark.parametrize("name", [*LIGHT, *map(slow, HEAVY)])


@real
def test_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = small(name).train()
    for dropout in [m for m in network.modules() if isinstance(m, nn.Dropout)]:
        dropout.p = 0.0
    x = torch.randn(4, ROWS[name].shape[0], 32, 32)
    logits = network.all_logits(x)
    torch.stack([F.cross_entropy(out, torch.arange(4)) for out in logits]).sum().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == []


@real
def test_weights_travel_by_name(name: str) -> None:
    row = ROWS[name]
    one, other = small(name).eval(), small(name).eval()
    initialise(other, row.init, torch.Generator().manual_seed(1))
    x = torch.randn(2, row.shape[0], 32, 32)
    with torch.no_grad():
        assert not torch.equal(one(x), other(x))
        other.load_state_dict(one.state_dict(), strict=True)
        assert torch.equal(one(x), other(x))


@real
def test_a_new_network_neither_blows_up_nor_dies_out(name: str) -> None:
    network = small(name).eval()
    with torch.no_grad():
        maps = network.features(torch.randn(4, ROWS[name].shape[0], 32, 32))
    assert 0.02 < maps.std() < 50


# --- LeNet-5 -----------------------------------------------------------------------------------------------


def test_lenet5_counts_layer_by_layer() -> None:
    network = lenet.lenet5()
    stages = dict(network.features.named_children()) | dict(network.head.named_children())
    counts = {name: sum(p.numel() for p in stage.parameters()) for name, stage in stages.items()}
    expected = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert {name: n for name, n in counts.items() if n} == expected


def test_lenet5_c3_is_connected_as_table_1_says() -> None:
    """Six runs of 3 neighbours, six of 4, three of 4 with a gap, one of all: the text on Table I."""
    inputs = [{i, (i + 1) % 6, (i + 2) % 6} for i in range(6)]
    inputs += [{i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6} for i in range(6)]
    inputs += [{0, 1, 3, 4}, {1, 2, 4, 5}, {0, 2, 3, 5}, set(range(6))]
    conv = small("lenet5").features.c3.maps.conv  # type: ignore[union-attr]
    kernels = iter(conv.parametrizations.weight.original)
    x = torch.randn(3, 6, 14, 14)
    maps = conv(x)
    for j, sources in enumerate(inputs):
        wanted = conv.bias[j].expand(3, 10, 10)
        for i in sorted(sources):
            wanted = wanted + F.conv2d(x[:, i : i + 1], next(kernels)[None, None])[:, 0]
        torch.testing.assert_close(maps[:, j], wanted, rtol=1e-4, atol=1e-5)
    assert next(kernels, None) is None, "a kernel that connects nothing"
    assert conv.weight.shape == (16, 6, 5, 5)


def test_lenet5_subsampling() -> None:
    s2 = lenet.Subsample(3)
    x = torch.randn(2, 3, 6, 6)
    coefficient, bias = s2.scale.weight.view(1, 3, 1, 1), s2.scale.bias.view(1, 3, 1, 1)  # type: ignore[union-attr]
    summed = x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]
    wanted = 1.7159 * torch.tanh(2 / 3 * (coefficient * summed + bias))
    torch.testing.assert_close(s2(x), wanted)


def test_lenet5_output_is_the_negative_squared_distance_from_the_bitmaps() -> None:
    codes = lenet.codes(10)
    assert codes.shape == (10, 7 * 12)
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    hamming = (codes[:, None] != codes).sum(2)
    logits = lenet.RadialBasis(codes)(codes)
    torch.testing.assert_close(logits, -4.0 * hamming / 10)
    assert logits.argmax(1).tolist() == list(range(10))
    assert hamming[~torch.eye(10, dtype=torch.bool)].min() >= 8
    assert [n for n, _ in lenet.lenet5().named_buffers() if "codes" in n] == ["head.output.codes"]


def test_lenet5_codes_look_like_digits() -> None:
    """One is a vertical stroke; eight nearly its own mirror image; only the tail of 4 goes below."""
    bitmaps = lenet.codes(10).view(10, 12, 7)
    assert (bitmaps[1, :10, 4] == 1).all()
    assert (bitmaps[8] == bitmaps[8].flip(1)).float().mean() > 0.95
    assert [d for d in range(10) if (bitmaps[d, 10:] == 1).any()] == [4]


def test_lenet5_other_numbers_of_classes_have_codes_of_their_own() -> None:
    codes = lenet.codes(26)
    assert len(codes.unique(dim=0)) == 26
    assert torch.equal(codes, lenet.codes(26))


@pytest.mark.parametrize("build", [lenet.lenet5, lenet.lenet5_relu])
def test_lenet5_small_stem_frames_28_to_32(build: Any) -> None:
    framed = build(shape=(1, 28, 28), stem="small").eval()
    plain = build().eval()
    assert counted(framed) == counted(plain)
    plain.load_state_dict(framed.state_dict())
    x = torch.randn(2, 1, 28, 28)
    torch.testing.assert_close(framed(x), plain(F.pad(x, (2, 2, 2, 2))))
    assert counted(build(stem="small")) == counted(plain), "a picture of 32x32 needs no frame"


# --- AlexNet and VGG ---------------------------------------------------------------------------------------


def test_alexnet_towers_meet_in_conv3_alone() -> None:
    network = small("alexnet")
    groups = [network.features.get_submodule(f"conv{n}.conv").groups for n in range(1, 6)]
    assert groups == [1, 2, 1, 2, 2]
    assert all(m.groups == 1 for m in on_meta(ROWS["alexnet-merged"]).modules() if isinstance(m, nn.Conv2d))


def test_response_normalisation_is_the_papers_formula() -> None:
    a = np.random.default_rng(0).normal(scale=30, size=(1, 9, 2, 2)).astype(np.float32)
    wanted = np.empty_like(a)
    for i in range(9):
        near = a[:, max(0, i - 2) : min(8, i + 2) + 1]
        wanted[:, i] = a[:, i] / (2 + 1e-4 * (near**2).sum(1)) ** 0.75
    made = alexnet.response_norm()(torch.from_numpy(a))
    np.testing.assert_allclose(made.numpy(), wanted, rtol=1e-5)


def test_order_of_pool_and_normalisation() -> None:
    assert list(dict(small("alexnet").features.named_children()))[:3] == ["conv1", "norm1", "pool1"]
    assert list(dict(small("zfnet").features.named_children()))[:3] == ["conv1", "pool1", "norm1"]


def test_vgg_features_and_receptive_field() -> None:
    network = on_meta(ROWS["vgg16"])
    assert sum(p.numel() for p in network.features.parameters()) == 14_714_688
    for name, field in {"vgg11": 150, "vgg13": 156, "vgg16": 212, "vgg19": 268}.items():
        last = next(
            layer for layer in walk(on_meta(ROWS[name]), (3, 224, 224)).layers if layer.name.endswith("pool5")
        )
        assert (last.receptive_field, last.stride) == ((field, field), (32, 32))


def test_vgg_has_keras_names_in_keras_order() -> None:
    aliases = dict(ROWS["vgg16"].aliases)
    assert aliases["block1_conv1"] == "conv1_1"
    assert aliases["block4_pool"] == "pool4"
    assert list(aliases)[:3] == ["block1_conv1", "block1_conv2", "block1_pool"]
    assert list(aliases)[-4:] == ["flatten", "fc1", "fc2", "predictions"]
    assert len(aliases) == 22


def test_vgg_refuses_other_names() -> None:
    for name in ("vgg12", "vgg16-", "vgg16-gn"):
        with pytest.raises(UsageError, match="unknown VGG"):
            vgg.vgg(name)


# --- GoogLeNet, Inception V3, Highway ----------------------------------------------------------------------


def test_googlenet_columns() -> None:
    network = on_meta(ROWS["googlenet"])
    out = {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}
    for name, width in out.items():
        branches = network.features.get_submodule(f"inception{name}").branches
        assert branches["5x5"].conv.conv.kernel_size == (5, 5)
        assert branches["3x3"].conv.conv.kernel_size == (3, 3)
        last = [[m for m in branch.modules() if isinstance(m, nn.Conv2d)][-1] for branch in branches.values()]
        assert sum(conv.out_channels for conv in last) == width


def test_googlenet_auxiliary_heads() -> None:
    network = small("googlenet").train()
    assert list(network.aux) == ["inception4a", "inception4d"]
    assert network.aux_weight == 0.3
    logits = network.all_logits(torch.randn(2, 3, 32, 32))
    assert [tuple(out.shape) for out in logits] == [(2, 10)] * 3
    assert not torch.equal(logits[1], logits[2])
    maps = {
        n: walk(network.features[: i + 1], (3, 32, 32)).output
        for i, (n, _) in enumerate(network.features.named_children())
    }
    assert maps["inception4a"] == (512, 8, 8)
    assert not on_meta(ROWS["googlenet"], shape=(3, 64, 64)).aux, "its 4x4 maps do not reach the 5x5 pool"


def test_inception_v3_auxiliary_head_from_299_pixels() -> None:
    network = on_meta(ROWS["inception_v3"]).train()
    logits = network.all_logits(torch.empty(2, 3, 299, 299, device="meta"))
    assert [tuple(out.shape) for out in logits] == [(2, 1000)] * 2
    assert (list(network.aux), network.aux_weight) == (["mixed7"], 0.4)
    assert not on_meta(ROWS["inception_v3"], shape=(3, 224, 224)).aux


def test_inception_v3_widths_and_order() -> None:
    """Widths that come out of mixed0 to mixed10; Keras makes 94 convolutions, in this order within mixed4."""
    network = on_meta(ROWS["inception_v3"]).eval()
    x, widths = torch.empty(1, 3, 299, 299, device="meta"), []
    for name, stage in network.features.named_children():
        x = stage(x)
        widths += [x.shape[1]] * name.startswith("mixed")
    assert widths == [256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048]
    convs = [m for m in network.features.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 94
    assert all(m.eps == 1e-3 for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    inside = [m.kernel_size for m in network.features.mixed4.modules() if isinstance(m, nn.Conv2d)]  # type: ignore[union-attr]
    chain = [(1, 1), (1, 1), (1, 7), (7, 1), (1, 1), (7, 1), (1, 7), (7, 1), (1, 7), (1, 1)]
    assert inside == chain


def test_highway_count_in_closed_form() -> None:
    def conv(width: int, out: int) -> int:
        return out * (9 * width + 1)

    expected, width = 0, 3
    for out in (32, 64, 128):
        expected += conv(width, out) + 5 * 2 * conv(out, out)
        width = out
    assert ROWS["highway"].parameters == expected + 128 * 10 + 10


def test_highway_gates_begin_nearly_closed_and_can_be_looked_at() -> None:
    network = small("highway").eval()
    biases = [m.conv.bias for m in network.modules() if isinstance(m, highway.Transform)]
    assert len(biases) == 15
    assert all((bias == -2).all() for bias in biases)
    with outputs(network, nn.Sigmoid) as seen, torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    assert sorted(seen) == sorted(f"features.highway{s}_{j}.openness" for s in (1, 2, 3) for j in range(1, 6))
    for (opened,) in seen.values():
        torch.testing.assert_close(opened, torch.full_like(opened, torch.tensor(-2.0).sigmoid().item()))


def test_a_shut_highway_layer_carries_its_input() -> None:
    gate: Gate = small("highway").features.highway1_1  # type: ignore[assignment]
    nn.init.constant_(gate.transform.conv.bias, -40.0)
    x = torch.randn(2, 32, 8, 8)
    torch.testing.assert_close(gate(x), x)
    nn.init.constant_(gate.transform.conv.bias, 40.0)
    torch.testing.assert_close(gate(x), gate.body(x))


def test_highway_has_one_stem() -> None:
    with pytest.raises(UsageError, match="stem"):
        highway.highway(stem="small")


# --- they learn --------------------------------------------------------------------------------------------


def glyphs(count: int, channels: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ten classes on 20x20: the 7x12 bitmaps of the digits near the middle, coloured, in noise."""
    y = torch.randint(10, (count,), generator=generator)
    x = 0.3 * torch.randn(count, channels, 20, 20, generator=generator)
    drawn = (lenet.codes(10).view(10, 1, 12, 7) > 0).float()
    colour = 0.5 + torch.rand(count, channels, 1, 1, generator=generator)
    for n in range(count):
        top, left = (int(k) for k in torch.randint(1, 8, (2,), generator=generator))
        x[n, :, top : top + 12, left + 2 : left + 9] += colour[n] * drawn[y[n]]
    return x, y


# One whose answers are distances, and its like with a softmax, in a loop by hand; tests/test_battery.py
# teaches every row by the training that users run.
LEARNERS = {  # learning rate of Adam, batches of 32 pictures
    "lenet5": (2e-3, 600),
    "lenet5-relu": (2e-3, 200),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_from_scratch(name: str) -> None:
    lr, steps = LEARNERS[name]
    right = learned(name, lr=lr, steps=steps)
    assert right > 0.4, f"{name} names {right:.0%} of pictures of 10 classes"


def learned(name: str, *, lr: float, steps: int) -> float:
    """The accuracy on new pictures of a network trained from scratch with every loss that it has."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    channels = ROWS[name].shape[0]
    network = small(name, size=20).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for _ in range(steps):
        x, y = glyphs(32, channels, generator)
        main, *sides = [F.cross_entropy(logits, y) for logits in network.all_logits(x)]
        loss = main + network.aux_weight * sum(sides)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, y = glyphs(200, channels, generator)
    with torch.no_grad():
        return (network.eval()(x).argmax(1) == y).float().mean().item()
