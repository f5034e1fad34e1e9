"""What a walk leaves behind: one row per layer with its figures, the totals, or the refusal with the chain of
sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from neocog.arithmetic.rules import rule
from neocog.arithmetic.sliding_window import Refusal, Shape, times, window
from neocog.errors import ShapeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One leaf layer as it ran. Shapes are (C, *sizes) without the batch axis.

    `label` is the layer in a few words, `window` its kernel, stride and padding. `macs` counts the
    multiply-accumulates of convolutions and dense layers for one picture, `activations` the numbers put out.
    `receptive_field` is the input pixels per axis that one output number sees, None where it sees all of
    them; `stride` the input pixels between two neighbouring outputs.
    """

    index: int
    name: str
    kind: str
    label: str
    window: str
    input: Shape
    output: Shape
    parameters: int
    trainable: int
    macs: int
    activations: int
    receptive_field: tuple[int, ...] | None
    stride: tuple[float, ...] | None
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """Every layer of a network in the order in which they ran, and the totals.

    `parameters` are the trainable ones without auxiliary heads (named `aux.*`); `trainable` counts those too;
    `non_trainable` are frozen weights and the running mean and variance of normalisations. `memory` is the
    bytes that all activations of one picture take in float32, as training keeps them. `remarks` are about the
    network as a whole.
    """

    layers: tuple[Row, ...]
    input: Shape
    output: Shape
    parameters: int
    trainable: int
    non_trainable: int
    macs: int
    memory: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a network refuses: the shape `given` to the layer, () where there is none; the shapes that `met`
    in an operation between layers; the rows on the way (`path`).
    """

    given: Shape = ()
    met: tuple[Shape, ...] = ()
    path: tuple[Row, ...] = ()


class Impossible(ShapeError):
    """A network that cannot be.

    `layer` is the full name of the layer that refuses, `shown` its name for people, `refusal` why, `place`
    where that is, `chain` the sizes that led there, `works` edits that were tried and work.
    """

    def __init__(
        self, *, layer: str, shown: str, refusal: Refusal, place: Place, chain: str, works: Sequence[str] = ()
    ) -> None:
        self.layer, self.shown, self.refusal, self.place = layer, shown, refusal, place
        self.chain, self.works = chain, tuple(works)
        lines = [f"{shown} cannot run: {refusal.problem}", chain]
        if refusal.formula:
            lines.append(f"formula: {refusal.formula}")
        if works:
            lines.append(f"any one of these works: {' | '.join(works)}")
        super().__init__("\n  ".join(lines))

    def mended_by(self, works: Sequence[str]) -> Impossible:
        """The same refusal with edits that work, before those that it has."""
        return Impossible(
            layer=self.layer,
            shown=self.shown,
            refusal=self.refusal,
            place=self.place,
            chain=self.chain,
            works=(*works, *self.works),
        )


def label(module: nn.Module) -> str:
    """A layer in a few words: 'conv 9x9/2', 'maxpool 2x2/2', 'dense 500'."""
    known = rule(module)
    kind = known.kind if known is not None else type(module).__name__
    if isinstance(module, nn.Linear):
        return f"{kind} {module.out_features}"
    if kind == "activation":
        return type(module).__name__
    return f"{kind} {window_words(module).partition(' ')[0]}".strip()


def window_words(module: nn.Module) -> str:
    """Kernel, stride, padding and groups of a layer: '7x7/2 pad 3', '3x3 dilated 2', '3x3 depthwise'; ''
    where it has none.
    """
    if rule(module) is None:
        return ""
    if callable(own := getattr(module, "words", None)):
        return str(own())  # a leaf that tells itself, as with `output_size`
    if isinstance(module, _ConvTransposeNd):
        kernel, stride = tuple(module.kernel_size), tuple(module.stride)
        padding, dilation = tuple(module.padding), tuple(module.dilation)
    elif (frame := window(module)) is not None:
        kernel, stride, padding, dilation = frame.kernel, frame.stride, frame.after, frame.dilation
    else:
        return ""
    words = times(kernel)
    words += f"/{_short(stride)}" if max(stride) > 1 else ""
    words += f" pad {_short(padding)}" if any(padding) else ""
    words += f" dilated {_short(dilation)}" if max(dilation) > 1 else ""
    groups = module.groups if isinstance(module, _ConvNd) else 1
    return words + (
        "" if groups == 1 else " depthwise" if groups == module.in_channels else f" groups {groups}"
    )


def _short(sizes: Sequence[object]) -> str:
    """One number where all axes have the same."""
    return "x".join(str(n) for n in (sizes[:1] if len(set(sizes)) == 1 else sizes))


def multiply_accumulates(module: nn.Module, given: Shape, made: Shape) -> int:
    """Multiply-accumulates of a convolution or dense layer for one picture, biases left out; 0 for others.

    Where not every map meets every map (LeNet-5's C3), the weight's parametrization says how many `links`
    there are.
    """
    if isinstance(module, _ConvNd) and (links := _links(module)):
        return prod(made[1:]) * links * prod(module.kernel_size)
    if isinstance(module, _ConvTransposeNd):
        return prod(given) * module.out_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, _ConvNd):
        return prod(made) * module.in_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return prod(made) * module.in_features
    return 0


def _links(module: nn.Module) -> int:
    """Pairs of maps that a convolution connects, where its parametrization says so; else 0."""
    made = module._modules.get("parametrizations")
    steps = made["weight"] if isinstance(made, nn.ModuleDict) and "weight" in made else ()
    return next((int(step.links) for step in steps if hasattr(step, "links")), 0)  # type: ignore[union-attr]
