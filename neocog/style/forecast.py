"""Forecast: how much memory and time a painting takes, before it begins, from one look at a small picture."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from neocog.errors import OutOfMemory, UsageError
from neocog.show.words import duration, storage
from neocog.style.backbone import Backbone
from neocog.style.descent import VECTORS
from neocog.style.goal import Goal, goal
from neocog.style.objective import Objective
from neocog.style.scene import Scene
from neocog.style.settings import Settings
from neocog.style.tiles import cut

TRIED = 192
"""Pixels; the longer side of the picture that is tried, where the first size is not smaller."""
USED = 0.8
"""Of the free memory, the share that a painting may take before it is cut into tiles."""
HOLES = 1.2
"""Memory of a step over what its tensors need: what the allocator cannot fill. Measured with VGG19's first
eight convolutions, 256 to 1024 pixels: 1.02 to 1.37."""
_PER_PIXEL = {"adam": 9 * 12, "lbfgs": (9 + 2 * VECTORS) * 12}
"""Bytes that pixels, gradient, means and what the optimizer remembers take for each pixel."""
_PASSES = 4 / 3
"""Time of a step in tiles over that of a step without, the surroundings of tiles not counted: a forward
pass more, where a backward pass takes as long as two."""
SMALLEST_TILE = 128
FIRST_STEP = 30_000_000
"""Bytes that torch and its kernels take once, at the first step, whatever the picture (measured: 28 MB)."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """`memory` in bytes, beside what the process holds before; `seconds` for all sizes; the side of tiles,
    None for whole pictures.
    """

    memory: int
    seconds: float
    tile: int | None

    def text(self) -> str:
        pieces = f", in tiles of {self.tile} pixels" if self.tile else ""
        return f"forecast: about {duration(self.seconds)} and {storage(self.memory)}{pieces}"


@dataclass(frozen=True, slots=True)
class Tried:
    """What a step on a small picture took: seconds and bytes for each pixel that the network sees."""

    seconds: float
    held: float


def forecast(backbone: Backbone, scene: Scene, settings: Settings, free: int | None) -> Forecast:
    """What the painting will take. With `free` bytes of memory it is cut into tiles where it needs more, or
    where `settings.tile` says so. `OutOfMemory` where that does not help.
    """
    why_not = backbone.why_whole(*scene.sides(settings.size))
    if isinstance(settings.tile, int) and why_not is not None:
        raise UsageError(f"this picture cannot be cut into tiles: {why_not}; set tile=whole, or another size")
    tried = attempt(backbone, scene, settings)
    tile = settings.tile if isinstance(settings.tile, int) else None
    if settings.tile == "auto" and free is not None:
        tile = _fitting(backbone, scene, settings, tried, free)
    seconds = sum(
        settings.steps * tried.seconds * _seen(backbone, scene, size, tile) for size in settings.sizes
    )
    return Forecast(_memory(backbone, scene, settings, tried, tile), seconds, tile)


def attempt(backbone: Backbone, scene: Scene, settings: Settings) -> Tried:
    """One step is made on a small picture to warm up, one to see what autograd keeps, two for the time: the
    shorter counts.
    """
    side = min(settings.sizes[0], TRIED)
    wanted: Goal = goal(backbone, scene, settings, side, None)
    objective = Objective(backbone, wanted, settings)
    x = scene.content_at(side).to(backbone.device)
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    objective(x)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        objective(x)
    seconds = min(_timed(objective, x) for _ in range(2))
    weights = sum(p.numel() * p.element_size() for p in backbone.network.parameters())
    pixels = x.shape[2] * x.shape[3]
    return Tried(seconds / pixels, max(sum(kept.values()) - weights, 0) / pixels)


def _timed(objective: Objective, x: Tensor) -> float:
    begun = time.perf_counter()
    float(objective(x)[0].sum())  # waits for the device
    return time.perf_counter() - begun


def _fitting(backbone: Backbone, scene: Scene, settings: Settings, tried: Tried, free: int) -> int | None:
    """The largest tiles that fit; None where the whole picture does."""
    if _memory(backbone, scene, settings, tried, None) <= USED * free:
        return None
    side = settings.size // 2
    if backbone.why_whole(*scene.sides(settings.size)) is None:
        while side >= SMALLEST_TILE:
            if _memory(backbone, scene, settings, tried, side) <= USED * free:
                return side
            side //= 2
    need = _memory(backbone, scene, settings, tried, None)
    raise OutOfMemory(
        f"a picture of {settings.size} pixels needs about {storage(need)}, and {storage(free)} are free; "
        f"try --size {max(64, int(settings.size * math.sqrt(USED * free / need)) // 16 * 16)}"
    )


def _memory(backbone: Backbone, scene: Scene, settings: Settings, tried: Tried, tile: int | None) -> int:
    """Bytes at the last size: what the first step takes for ever; what autograd keeps; what comes and goes,
    which is three of the largest maps and a style's maps twice in float32; the pixels; the content's maps.
    """
    height, width = scene.sides(settings.size)
    pieces = cut(height, width, tile, backbone.places(height, width))
    seen = max((t.rows.stop - t.rows.start) * (t.columns.stop - t.columns.start) for t in pieces)
    maps = {n: math.prod(size) * backbone.widths[n] for n, size in backbone.sizes(height, width).items()}
    bytes_each = torch.finfo(backbone.dtype).bits // 8
    style = max(maps[name] for name in backbone.layers.style)
    passing = (3 * bytes_each * backbone.largest(height, width) + 2 * 4 * style) / (height * width)
    content = bytes_each * sum(maps[name] for name in backbone.layers.content)
    pixels = height * width * _PER_PIXEL[settings.optimizer]
    return FIRST_STEP + int(HOLES * (seen * (tried.held + passing) + content + pixels))


def _seen(backbone: Backbone, scene: Scene, size: int, tile: int | None) -> float:
    """Pixels that the network sees in a step, counted as often as is spent on them."""
    height, width = scene.sides(size)
    pieces = cut(height, width, tile, backbone.places(height, width))
    seen = sum((t.rows.stop - t.rows.start) * (t.columns.stop - t.columns.start) for t in pieces)
    return seen * (1.0 if len(pieces) == 1 else _PASSES)
