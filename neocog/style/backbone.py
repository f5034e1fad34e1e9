"""Backbone: the first stages of a trained network, which look at the picture and give the maps that count."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neocog.arithmetic import Row, walk
from neocog.errors import UsageError, unknown
from neocog.inside.capture import capture
from neocog.inside.folded import in_precision
from neocog.model import Trained
from neocog.pictures.pixels import GREY
from neocog.pictures.preprocess import Preprocess
from neocog.style.settings import Settings
from neocog.world import World
from neocog.zoo.blocks import Network
from neocog.zoo.borders import Same, SameAveragePool

CONTENT_SCALE = 4
"""The content is taken where the maps have been halved three times, as the paper's conv4_2."""
STYLE_SCALES = 5
"""The style is taken from the first stage of so many scales, as the paper's conv1_1 to conv5_1."""
VARIATION, STRIDED_VARIATION = 1.0, 50.0
"""Weights of the total variation; the second for networks whose first convolution has a stride: they hardly
see single pixels, and paint noise there."""
_TRIED = 256
"""Pixels; the side for which stages are sorted into scales."""
_POOLS = (nn.MaxPool2d, nn.AvgPool2d)
_CONTINUES = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.BatchNorm2d)
"""What belongs to the convolution before it, where a network has them as stages of their own."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Stages of a network whose maps count, and the weights of those of the style, which sum to 1."""

    style: tuple[str, ...]
    weights: tuple[float, ...]
    content: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.style, *self.content)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where the maps of a stage lie in the picture: pixels between neighbours, and pixels that one of them
    sees, None where it sees everything.
    """

    stride: int
    sees: int | None


class Backbone:
    """Copies of the stages of `trained` that are needed, in the precision of `world`, changed as `settings`
    say. The network of `trained` is left alone.

    `UsageError` for stages that there are not and networks that look at no pictures.
    """

    def __init__(self, trained: Trained, settings: Settings, world: World) -> None:
        if len(trained.shape) != 3 or trained.shape[0] not in (1, 3):
            raise UsageError(
                f"this network takes {trained.shape}; pictures want one that takes 1 or 3 channels"
            )
        self.layers = chosen(trained.network, trained.shape[0], settings)
        self.channels: int = trained.shape[0]
        self.preprocess: Preprocess = trained.preprocess
        self.dtype, self.device = world.dtype, world.device
        self.variation = _variation(trained.network) if settings.variation is None else settings.variation
        network = trained.network
        last = max(self.layers.all, key=_order(network).__getitem__)
        beginning = copy.deepcopy(network.until(last)).eval().requires_grad_(False)
        if settings.pooling == "average":
            _pool_by_mean(beginning)
        if settings.border == "nearest":
            _see_nearest(beginning)
        self.names = {f"features.{name}": name for name in self.layers.all}
        self.network = in_precision(beginning, world.dtype).to(
            device=world.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """The maps (1, C, h, w) of every layer that counts, for a picture (1, 3, H, W) float32 in 0..1."""
        with capture(self.network, list(self.names)) as found:
            self.network(self.given(x))
        return {self.names[name]: maps for name, maps in found.items()}

    def given(self, x: Tensor) -> Tensor:
        """What the network is given for a picture (1, 3, H, W) in 0..1; differentiable."""
        pixels = 255 * x
        if self.channels == 1:
            pixels = (pixels * pixels.new_tensor(GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
        placed = self.preprocess.normalise(pixels)
        return placed.to(dtype=self.dtype, memory_format=torch.channels_last)

    def places(self, height: int, width: int) -> dict[str, Place]:
        """Where the maps of each layer that counts lie in a picture of that size. `ShapeError` where the
        picture is too small for the network.
        """
        rows = walk(self.network, (self.channels, height, width)).layers
        return {short: _place(rows, name) for name, short in self.names.items()}

    def sizes(self, height: int, width: int) -> dict[str, tuple[int, int]]:
        """Height and width of the maps of each layer that counts, for a picture of that size."""
        rows = walk(self.network, (self.channels, height, width)).layers
        return {short: _last(rows, name).output[1:] for name, short in self.names.items()}  # type: ignore[misc]

    @property
    def widths(self) -> dict[str, int]:
        """Channels of the maps of each layer that counts."""
        rows = walk(self.network, (self.channels, _TRIED, _TRIED)).layers
        return {short: _last(rows, name).output[0] for name, short in self.names.items()}

    def largest(self, height: int, width: int) -> int:
        """Numbers in the largest map, for a picture of that size."""
        return max(row.activations for row in walk(self.network, (self.channels, height, width)).layers)

    def why_whole(self, height: int, width: int) -> str | None:
        """Why a picture of that size cannot be looked at in tiles; None where it can."""
        places = self.places(height, width)
        blind = [name for name, place in places.items() if place.sees is None]
        if blind:
            return f"{blind[0]} sees the whole picture at once"
        step = max(place.stride for place in places.values())
        shifts = any(isinstance(module, Same | SameAveragePool) for module in self.network.modules())
        if shifts and (height % step or width % step):
            return f"TensorFlow's padding of {height}x{width} pixels is another than that of their parts"
        return None


def chosen(network: Network, channels: int, settings: Settings) -> Layers:
    """The layers that `settings` name, or in their place those that the paper would take of this network.

    The style is read from the first stage at each of the first five scales; the content from the second stage
    of the fourth. A network, or a file of weights, that ends before it gives its last stage to the style too,
    and to the content the one before that, where that has maps of the same size.
    """
    order = _order(network)
    for name in (*(settings.style_layers or ()), *(settings.content_layers or ())):
        if name not in order:
            raise unknown("stage", name, order)
    scales = _scales(network, channels)
    style = [stages[0] for stages in scales[:STYLE_SCALES]]
    content = scales[min(CONTENT_SCALE, len(scales)) - 1][:2][-1]
    if len(scales) < CONTENT_SCALE:
        last = scales[-1][-1]
        style = [*style, last] if last not in style else style
        content = scales[-1][-2] if len(scales[-1]) > 1 else last
    named = settings.style_layers or tuple(style)
    weights = settings.style_weights or (1.0,) * len(named)
    if len(weights) != len(named):
        raise UsageError(f"{len(weights)} style_weights for the layers {', '.join(named)}; give one for each")
    total = sum(weights)
    return Layers(named, tuple(weight / total for weight in weights), settings.content_layers or (content,))


def _order(network: Network) -> dict[str, int]:
    """Stages of the network by name, and stages in a line within them, in the order in which they end."""
    found: dict[str, int] = {}

    def line(modules: nn.Module, before: str) -> None:
        for name, module in modules.named_children():
            if isinstance(module, nn.Sequential):
                line(module, f"{before}{name}.")
            found[before + name] = len(found)

    line(network.features, "")
    return found


def _scales(network: Network, channels: int) -> list[list[str]]:
    """The stages of the network that are no pools, sorted by how often the picture was halved. Of a
    convolution, normalisation and activation in a row the last stands for all.
    """
    rows = walk(network.features, (channels, _TRIED, _TRIED)).layers
    found: dict[int, list[str]] = {}
    stages = list(network.features.named_children())
    for (name, stage), (_, after) in zip(stages, [*stages[1:], ("", None)]):
        if isinstance(after, _CONTINUES):
            continue
        mine = [row for row in rows if row.name == name or row.name.startswith(f"{name}.")]
        if mine and len(mine[-1].output) == 3 and not isinstance(stage, _POOLS):
            found.setdefault(mine[-1].output[1], []).append(name)
    if not found:
        raise UsageError("this network has no stage with maps before its head; nothing there can be painted")
    return list(found.values())


def _place(rows: Sequence[Row], name: str) -> Place:
    last = _last(rows, name)
    if last.stride is None or last.receptive_field is None:
        return Place(1, None)
    return Place(int(max(last.stride)), max(last.receptive_field))


def _last(rows: Sequence[Row], name: str) -> Row:
    """The row of the last layer within the stage `name`."""
    return next(r for r in reversed(rows) if r.name == name or r.name.startswith(f"{name}."))


def _variation(network: Network) -> float:
    """The weight of the total variation where none is asked for."""
    first = next((m for m in network.features.modules() if isinstance(m, nn.Conv2d)), None)
    return VARIATION if first is None or max(first.stride) == 1 else STRIDED_VARIATION


def _pool_by_mean(network: nn.Module) -> None:
    """Average pooling in the place of max pooling, windows and strides as they were."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            mean = nn.AvgPool2d(
                module.kernel_size,
                module.stride,
                module.padding,
                ceil_mode=module.ceil_mode,
                count_include_pad=False,
            )
            network.set_submodule(name, mean)


def _see_nearest(network: nn.Module) -> None:
    """Nearest pixels outside the picture for the first convolution, where it pads by itself."""
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and not isinstance(first.padding, str) and max(first.padding) > 0:
        first.padding_mode = "replicate"
        first._reversed_padding_repeated_twice = [n for n in reversed(first.padding) for _ in range(2)]
