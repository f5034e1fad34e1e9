"""torchvision's and timm's names of our layers, family by family: what stands before `.weight` and `.bias`.

torchvision 0.28 (torchvision.models) and timm 1.0 (pytorch-image-models); where timm took over torchvision's
names, one table serves both. EfficientNet-Lite has the names of efficientnet_pytorch.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Container, Iterator, Mapping

from torch import nn

from neocog.zoo.blocks import Concat, Network

Pairs = Iterator[tuple[str, str]]
"""(their name, ours) of every layer with weights."""


def torchvision(name: str, network: Network) -> dict[str, str]:
    """torchvision's names -> ours for the row `name` of the zoo; empty where it has no such network."""
    family = _family(name, TORCHVISION)
    return dict(family(network)) if family else {}


def known(name: str) -> bool:
    """Whether one of these libraries has weights for the row `name` of the zoo."""
    return any(_family(name, table) for table in (TORCHVISION, TIMM, EFFICIENTNET_PYTORCH, RESNET_CIFAR10))


def may_be(name: str, keys: Container[str]) -> bool:
    """Whether a file with tensors called `keys` may be of the row `name`; a look at one name a family."""
    return any(mark in keys for pattern, mark in MARKS if re.fullmatch(pattern, name))


def timm(name: str, network: Network) -> dict[str, str]:
    """timm's names -> ours, where they differ from torchvision's; empty for the others."""
    family = _family(name, TIMM)
    return dict(family(network)) if family else {}


def efficientnet_pytorch(name: str, network: Network) -> dict[str, str]:
    """efficientnet_pytorch's names (L. Melas-Kyriazi) -> ours; empty for the others."""
    family = _family(name, EFFICIENTNET_PYTORCH)
    return dict(family(network)) if family else {}


def resnet_cifar10(name: str, network: Network) -> dict[str, str]:
    """pytorch_resnet_cifar10's names (Y. Idelbayev) -> ours; empty for the others."""
    family = _family(name, RESNET_CIFAR10)
    return dict(family(network)) if family else {}


def tidied(name: str) -> str:
    """A tensor's name in today's spelling: without DataParallel's prefix, DenseNet's `norm.1` as `norm1`."""
    name = name.removeprefix("module.")
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def _family(name: str, table: Mapping[str, Callable[[Network], Pairs]]) -> Callable[[Network], Pairs] | None:
    return next((names for pattern, names in table.items() if re.fullmatch(pattern, name)), None)


def _numbered_features(network: Network) -> Pairs:
    """AlexNet and VGG: one flat list, in which activations and pools count too."""
    leaves = [name for name, module in network.features.named_modules() if not list(module.children())]
    for number, leaf in enumerate(leaves):
        if leaf.endswith((".conv", ".norm")):
            yield f"features.{number}", f"features.{leaf}"


def _vgg(network: Network) -> Pairs:
    yield from _numbered_features(network)
    yield from (
        ("classifier.0", "head.fc6.dense"),
        ("classifier.3", "head.fc7.dense"),
        ("classifier.6", "head.fc8"),
    )


def _timm_vgg(network: Network) -> Pairs:
    """The dense layers are convolutions there: 7x7, then 1x1."""
    yield from _numbered_features(network)
    yield from (
        ("pre_logits.fc1", "head.fc6.dense"), ("pre_logits.fc2", "head.fc7.dense"), ("head.fc", "head.fc8"),
    )  # fmt: skip


def _alexnet(network: Network) -> Pairs:
    yield from _numbered_features(network)
    yield from (
        ("classifier.1", "head.fc6.dense"),
        ("classifier.4", "head.fc7.dense"),
        ("classifier.6", "head.fc8"),
    )


def _resnet(network: Network) -> Pairs:
    yield from (("conv1", "features.conv1.conv"), ("bn1", "features.conv1.norm"))
    for stage, block, module in _blocks(network, "conv", "_x"):
        theirs = f"layer{stage - 1}.{block - 1}"
        ours = f"features.conv{stage}_x.conv{stage}_{block}"
        for part, _ in module.get_submodule("body").named_children():
            number = part.removeprefix("conv")
            yield f"{theirs}.conv{number}", f"{ours}.body.{part}.conv"
            yield f"{theirs}.bn{number}", f"{ours}.body.{part}.norm"
        if isinstance(module.get_submodule("shortcut"), nn.Sequential):
            yield from (
                (f"{theirs}.downsample.0", f"{ours}.shortcut.conv"),
                (f"{theirs}.downsample.1", f"{ours}.shortcut.norm"),
            )
    yield "fc", "head.linear"


def _cifar_resnet(network: Network) -> Pairs:
    """Y. Idelbayev's pytorch_resnet_cifar10, which everybody loads: shortcuts without weights, `linear`."""
    yield from ((theirs, ours) for theirs, ours in _resnet(network) if theirs != "fc")
    yield "linear", "head.linear"


def _blocks(network: Network, before: str, after: str) -> Iterator[tuple[int, int, nn.Module]]:
    """(stage, block, module) of the blocks in the stages that are named `before` number `after`."""
    for name, stage in network.features.named_children():
        if match := re.fullmatch(rf"{before}(\d+){after}", name):
            for block, module in enumerate(stage.children(), start=1):
                yield int(match[1]), block, module


def _densenet(network: Network) -> Pairs:
    yield from (("features.conv0", "features.conv1.conv"), ("features.norm0", "features.conv1.norm"))
    for block, layer, _ in _blocks(network, "dense", ""):
        for part in ("norm1", "conv1", "norm2", "conv2"):
            theirs = f"features.denseblock{block}.denselayer{layer}.{part}"
            yield theirs, f"features.dense{block}.layer{layer}.layer.{part}"
    for name, _ in network.features.named_children():
        if name.startswith("transition"):
            yield from ((f"features.{name}.{part}", f"features.{name}.{part}") for part in ("norm", "conv"))
    yield from (("features.norm5", "features.norm"), ("classifier", "head.linear"))


def _inception_v3(network: Network) -> Pairs:
    stem = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")
    for number, theirs in enumerate(stem, start=1):
        yield from _conv_and_bn(f"Conv2d_{theirs}", f"features.conv{number}")
    letters = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
    for number, letter in enumerate(letters):
        mixed = network.features.get_submodule(f"mixed{number}")
        assert isinstance(mixed, Concat)
        for branch, module in mixed.branches.items():
            ours = f"features.mixed{number}.branches.{branch}"
            yield from _branch(f"Mixed_{letter}.branch", branch, ours, module)
    yield "fc", "head.fc"


def _branch(theirs: str, branch: str, ours: str, module: nn.Module) -> Pairs:
    """`branch3x3` is one convolution, `branch3x3_2` one of a chain, `branch3x3_2a` a tine of a fork in it."""
    if branch == "pool":
        if isinstance(module, nn.Sequential):
            yield from _conv_and_bn(f"{theirs}_pool", f"{ours}.project")
        return
    parts = dict(module.named_children())
    if "conv" in parts and isinstance(parts["conv"], nn.Conv2d):
        yield from _conv_and_bn(f"{theirs}{branch}", ours)
        return
    for number, (name, part) in enumerate(parts.items(), start=1):
        if isinstance(part, Concat):
            for letter, tine in zip("ab", part.branches, strict=True):
                yield from _conv_and_bn(
                    f"{theirs}{branch}_{number}{letter}", f"{ours}.{name}.branches.{tine}"
                )
        else:
            yield from _conv_and_bn(f"{theirs}{branch}_{number}", f"{ours}.{name}")


def _conv_and_bn(theirs: str, ours: str) -> Pairs:
    yield from ((f"{theirs}.conv", f"{ours}.conv"), (f"{theirs}.bn", f"{ours}.norm"))


def _mobilenet_v2(network: Network) -> Pairs:
    for number, (name, stage) in enumerate(network.features.named_children()):
        if name.startswith("conv"):
            yield from _pair(f"features.{number}.0", f"features.{number}.1", f"features.{name}")
            continue
        for place, (part, _) in enumerate(stage.get_submodule("body").named_children()):
            theirs, ours = f"features.{number}.conv.{place}", f"features.{name}.body.{part}"
            if part == "project":  # the last pair stands without a list of its own
                yield from _pair(theirs, f"features.{number}.conv.{place + 1}", ours)
            else:
                yield from _pair(f"{theirs}.0", f"{theirs}.1", ours)
    yield "classifier.1", "head.linear"


def _timm_mobilenet_v2(network: Network) -> Pairs:
    yield from _pair("conv_stem", "bn1", "features.conv1")
    rows = (1, 2, 3, 4, 3, 3, 1)  # repeats of Table 2
    places = iter((row, repeat) for row, repeats in enumerate(rows) for repeat in range(repeats))
    for name, stage in network.features.named_children():
        if not name.startswith("bottleneck"):
            continue
        row, repeat = next(places)
        parts = [part for part, _ in stage.get_submodule("body").named_children()]
        theirs = ("conv_dw", "conv_pw") if len(parts) == 2 else ("conv_pw", "conv_dw", "conv_pwl")
        for number, (part, convolution) in enumerate(zip(parts, theirs, strict=True), start=1):
            place = f"blocks.{row}.{repeat}"
            yield from _pair(f"{place}.{convolution}", f"{place}.bn{number}", f"features.{name}.body.{part}")
    yield from _pair("conv_head", "bn2", "features.conv2")
    yield "classifier", "head.linear"


def _efficientnet_lite(network: Network) -> Pairs:
    """Blocks are numbered through all stages; a block's normalisations are 0 to 2, as in one that expands."""
    yield from _pair("_conv_stem", "_bn0", "features.stage1")
    numbers = itertools.count()
    theirs = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1")}
    theirs["project"] = ("_project_conv", "_bn2")
    for stage, blocks in network.features.named_children():
        if stage in ("stage1", "stage9"):
            continue
        for block, module in blocks.named_children():
            place = f"_blocks.{next(numbers)}"
            for part, _ in module.get_submodule("body").named_children():
                convolution, normalisation = (f"{place}.{name}" for name in theirs[part])
                yield from _pair(convolution, normalisation, f"features.{stage}.{block}.body.{part}")
    yield from _pair("_conv_head", "_bn1", "features.stage9")
    yield "_fc", "head.linear"


def _pair(convolution: str, normalisation: str, ours: str) -> Pairs:
    yield from ((convolution, f"{ours}.conv"), (normalisation, f"{ours}.norm"))


TORCHVISION: Mapping[str, Callable[[Network], Pairs]] = {
    r"vgg\d+(-bn)?": _vgg,
    "alexnet-owt": _alexnet,
    "resnet(18|34|50|101|152)": _resnet,
    "densenet(121|161|169|201)": _densenet,
    "inception_v3": _inception_v3,
    "mobilenet_v2": _mobilenet_v2,
}
"""By the names of the zoo's rows, as patterns. timm's ResNet, DenseNet and Inception V3 are named so too."""
TIMM: Mapping[str, Callable[[Network], Pairs]] = {
    r"vgg\d+(-bn)?": _timm_vgg,
    "mobilenet_v2": _timm_mobilenet_v2,
}
RESNET_CIFAR10: Mapping[str, Callable[[Network], Pairs]] = {"resnet(20|32|44|56|110)": _cifar_resnet}
EFFICIENTNET_PYTORCH: Mapping[str, Callable[[Network], Pairs]] = {
    r"efficientnet_lite[012]": _efficientnet_lite,
}
MARKS = (
    (r"vgg\d+(-bn)?", "features.0.weight"),
    ("alexnet-owt", "features.10.weight"),
    ("resnet(18|34|50|101|152)", "layer4.1.conv2.weight"),
    ("resnet(20|32|44|56|110)", "layer3.2.conv2.weight"),
    ("densenet(121|161|169|201)", "features.denseblock4.denselayer16.conv2.weight"),
    ("inception_v3", "Mixed_7c.branch_pool.conv.weight"),
    ("mobilenet_v2", "features.18.0.weight"),
    ("mobilenet_v2", "conv_stem.weight"),
    (r"efficientnet_lite[012]", "_conv_stem.weight"),
)
"""A tensor that every file of a family has."""
