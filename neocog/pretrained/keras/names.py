"""Keras' names of our layers, for the networks of keras.applications (Keras 2 and 3).

A name stands for a whole Keras layer: convolution, normalisation, dense, or separable convolution, which is
two of our layers, `depthwise` and `pointwise`, under one roof.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from torch import nn

from neocog.zoo.blocks import Network

Pairs = Iterator[tuple[str, str]]
"""(their layer, ours) of every layer with weights, in the order in which Keras makes them."""


def keras(name: str, network: Network) -> dict[str, str]:
    """Keras' layers -> ours for the row `name` of the zoo; empty where Keras has no such network."""
    family = next((names for pattern, names in KERAS.items() if re.fullmatch(pattern, name)), None)
    return dict(family(network)) if family else {}


def may_be(name: str, layers: Container[str]) -> bool:
    """Whether a file with these `layers`, as `tidied` names them, may be of the row `name`."""
    return any(re.fullmatch(pattern, name) and mark in layers for pattern, mark in MARKS)


def tidied(name: str, layers: Iterable[str]) -> dict[str, str]:
    """The names of a file's `layers` -> today's names of the row `name`.

    Keras numbers layers that nobody named from whatever number its process had reached, so the nth in order
    is called the nth here. Older releases had other names for some layers.
    """
    layers = list(layers)
    today = {layer: _RENAMED.get(layer, layer.replace("/", "_")) for layer in layers}
    if name.startswith("resnet"):
        today = {layer: _resnet_of_2017(theirs) for layer, theirs in today.items()}
    if name in ("inception_v3", "xception"):
        for kind in ("conv2d", "batch_normalization"):
            numbered = {
                layer: match for layer in layers if (match := re.fullmatch(rf"{kind}(?:_(\d+))?", layer))
            }
            ordered = sorted(numbered, key=lambda layer: int(numbered[layer][1] or 0))
            today |= {layer: f"{kind}_{place}" for place, layer in enumerate(ordered, start=1)}
    return today


_RENAMED = {"Logits": "predictions", "fc1000": "predictions", "probs": "predictions"}


def is_resnet_of_2017(layers: Iterable[str]) -> bool:
    """Whether a file has the names, and so the epsilon of 1e-3, of Keras' first ResNet50."""
    return "res2a_branch2a" in set(layers)


def _resnet_of_2017(name: str) -> str:
    """res3b_branch2c -> conv3_block2_3_conv, bn3b_branch1 -> conv3_block2_0_bn."""
    if name == "bn_conv1":
        return "conv1_bn"
    if name == "conv1":
        return "conv1_conv"
    if match := re.fullmatch(r"(res|bn)(\d)([a-z])_branch(1|2[abc])", name):
        kind, stage, letter, branch = match.groups()
        part = {"1": 0, "2a": 1, "2b": 2, "2c": 3}[branch]
        return f"conv{stage}_block{ord(letter) - ord('a') + 1}_{part}_{'conv' if kind == 'res' else 'bn'}"
    return name


def _vgg(network: Network) -> Pairs:
    for name, _ in network.features.named_children():
        if name.startswith("conv"):
            stage, number = name.removeprefix("conv").split("_")
            yield f"block{stage}_conv{number}", f"features.{name}.conv"
    yield from (("fc1", "head.fc6.dense"), ("fc2", "head.fc7.dense"), ("predictions", "head.fc8"))


def _inception_v3(network: Network) -> Pairs:
    """Nobody named the layers; Keras makes them in the order in which ours stand."""
    for kind, layer in (("conv2d", "conv"), ("batch_normalization", "norm")):
        ours = [name for name, _ in network.features.named_modules() if name.endswith(f".{layer}")]
        ours = [name for name in ours if not list(network.features.get_submodule(name).children())]
        yield from ((f"{kind}_{n}", f"features.{name}") for n, name in enumerate(ours, start=1))
    yield "predictions", "head.fc"


def _resnet(network: Network) -> Pairs:
    yield from (("conv1_conv", "features.conv1.conv"), ("conv1_bn", "features.conv1.norm"))
    for name, stage in network.features.named_children():
        if not name.endswith("_x"):
            continue
        for number, (block, module) in enumerate(stage.named_children(), start=1):
            theirs, ours = f"{name.removesuffix('_x')}_block{number}", f"features.{name}.{block}"
            if isinstance(module.get_submodule("shortcut"), nn.Sequential):
                yield from _conv_and_bn(f"{theirs}_0", f"{ours}.shortcut")
            for part, (body, _) in enumerate(module.get_submodule("body").named_children(), start=1):
                yield from _conv_and_bn(f"{theirs}_{part}", f"{ours}.body.{body}")
    yield "predictions", "head.linear"


def _conv_and_bn(theirs: str, ours: str) -> Pairs:
    yield from ((f"{theirs}_conv", f"{ours}.conv"), (f"{theirs}_bn", f"{ours}.norm"))


def _densenet(network: Network) -> Pairs:
    yield from (("conv1_conv", "features.conv1.conv"), ("conv1_bn", "features.conv1.norm"))
    parts = (("0_bn", "norm1"), ("1_conv", "conv1"), ("1_bn", "norm2"), ("2_conv", "conv2"))
    for name, stage in network.features.named_children():
        if match := re.fullmatch(r"dense(\d)", name):
            for number, _ in enumerate(stage.children(), start=1):
                theirs = f"conv{int(match[1]) + 1}_block{number}"
                yield from ((f"{theirs}_{t}", f"features.{name}.layer{number}.layer.{o}") for t, o in parts)
        elif match := re.fullmatch(r"transition(\d)", name):
            theirs = f"pool{int(match[1]) + 1}"
            yield from (
                (f"{theirs}_bn", f"features.{name}.norm"),
                (f"{theirs}_conv", f"features.{name}.conv"),
            )
    yield from (("bn", "features.norm"), ("predictions", "head.linear"))


def _xception(network: Network) -> Pairs:
    for number in (1, 2):
        yield f"block1_conv{number}", f"features.block1.conv{number}.conv"
        yield f"block1_conv{number}_bn", f"features.block1.conv{number}.norm"
    shortcuts = 0
    for name, block in list(network.features.named_children())[1:]:
        body = f"features.{name}" if isinstance(block, nn.Sequential) else f"features.{name}.body"
        for part, _ in network.get_submodule(body).named_children():
            if part.startswith("sepconv"):
                yield f"{name}_{part}", f"{body}.{part}"
                yield f"{name}_{part}_bn", f"{body}.{part}.norm"
        if isinstance(getattr(block, "shortcut", None), nn.Sequential):
            shortcuts += 1
            yield f"conv2d_{shortcuts}", f"features.{name}.shortcut.conv"
            yield f"batch_normalization_{shortcuts}", f"features.{name}.shortcut.norm"
    yield "predictions", "head.linear"


def _mobilenet_v2(network: Network) -> Pairs:
    yield from (("Conv1", "features.conv1.conv"), ("bn_Conv1", "features.conv1.norm"))
    for name, stage in network.features.named_children():
        if name.startswith("bottleneck"):
            number = int(name.removeprefix("bottleneck")) - 1
            theirs = f"block_{number}" if number else "expanded_conv"
            for part, _ in stage.get_submodule("body").named_children():
                yield f"{theirs}_{part}", f"features.{name}.body.{part}.conv"
                yield f"{theirs}_{part}_BN", f"features.{name}.body.{part}.norm"
    yield from (("Conv_1", "features.conv2.conv"), ("Conv_1_bn", "features.conv2.norm"))
    yield "predictions", "head.linear"


KERAS: Mapping[str, Callable[[Network], Pairs]] = {
    "vgg(16|19)": _vgg,
    "inception_v3": _inception_v3,
    "resnet50-keras": _resnet,
    "densenet(121|169|201)": _densenet,
    "xception": _xception,
    "mobilenet_v2": _mobilenet_v2,
}
"""By the names of the zoo's rows, as patterns."""
MARKS = (
    ("vgg(16|19)", "block5_conv1"),
    ("inception_v3", "conv2d_94"),
    ("resnet50-keras", "conv5_block3_3_conv"),
    ("densenet(121|169|201)", "conv5_block16_2_conv"),
    ("xception", "block14_sepconv2"),
    ("mobilenet_v2", "block_16_project"),
)
"""A layer that every file of a family has."""
