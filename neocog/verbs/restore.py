"""restore: damaged photos of any size go in, restored ones come out: tile by tile, smoothly put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neocog.errors import UnreadableError, UsageError, escaped
from neocog.files import require_named
from neocog.model import Trained, open_trained
from neocog.outputs import write_bytes
from neocog.pictures.decode import Pixels
from neocog.pictures.reading import find
from neocog.runs.run import Run
from neocog.show import grids
from neocog.show.words import plural
from neocog.tasks.restore import Restore
from neocog.tasks.table import TASKS
from neocog.world import find as find_world
from neocog.zoo.modes import evaluating

AT_ONCE = 32
"""Tiles that the network sees together."""


@dataclass(frozen=True, slots=True)
class Restored:
    """One picture: where it was, where it is now, its size in pixels; or why it could not be read."""

    path: str
    out: str = ""
    size: tuple[int, int] = (0, 0)
    tiles: int = 0
    error: str = ""

    def text(self) -> str:
        if self.error:
            return f"{escaped(self.path)}: {escaped(self.error)}"
        height, width = self.size
        return f"{escaped(self.path)} -> {escaped(self.out)} ({height}x{width}, {plural(self.tiles, 'tile')})"


@dataclass(frozen=True, slots=True)
class Restorations:
    """What `restore` did, picture by picture."""

    items: tuple[Restored, ...]

    @property
    def exit_code(self) -> int:
        """3 where a picture could not be read, else 0."""
        return UnreadableError.exit_code if any(item.error for item in self.items) else 0

    def text(self) -> str:
        """One line a picture."""
        return "\n".join(item.text() for item in self.items)

    def json(self) -> list[dict[str, Any]]:
        """One object a picture."""
        return [
            {"path": i.path, "out": i.out, "size": list(i.size), "tiles": i.tiles, "error": i.error}
            for i in self.items
        ]


def restore(
    what: str | Path | Run | Trained,
    images: Sequence[str | Path],
    *,
    out: str | Path,
    overlap: float = 0.5,
    device: str = "auto",
) -> Restorations:
    """Restore `images` (files, folders, globs) with a network that learned to: one PNG for each, of the same
    size. `out` is the PNG for a single picture, else the folder for all of them.

    Pictures are seen in tiles of the size that the network was trained on, which overlap by the share
    `overlap` (0 to below 1) and are blended where they do; a network for grey pictures restores the channels
    of a colour picture one by one. `UsageError` where the network does not restore; `UnreadableError` where
    no picture can be read. The pictures that go in are never changed.
    """
    require_named(out)
    trained = open_trained(what)
    if TASKS[trained.task] is not Restore:
        raise UsageError(
            f"this network names pictures ({trained.task}) and restores none; "
            "train one that does: neocog train restore PHOTOS"
        )
    if not 0 <= overlap < 1:
        raise UsageError(f"an overlap of {overlap:g}; give a share of a tile, 0 to below 1")
    found = find(images)
    target, single = Path(out), len(found.files) == 1 and Path(out).suffix.lower() == ".png"
    if not single and target.suffix:
        raise UsageError(f"{out} is no folder; {len(found.files)} pictures go into one: -o FOLDER")
    where = find_world(device, "float32").device
    items: list[Restored] = []
    taken: set[Path] = set()
    for group in found.read(most=1):
        for one in group:
            if one.pixels is None:
                items.append(Restored(str(one.path), error=one.error))
                continue
            place = target if single else _free(target / f"{one.path.stem}.png", taken)
            place.parent.mkdir(parents=True, exist_ok=True)
            whole, tiles = restored(trained, one.pixels, overlap=overlap, device=where)
            write_bytes(place, grids.alone(whole))
            items.append(Restored(str(one.path), str(place), one.pixels.shape[:2], tiles))
    if all(item.error for item in items):
        raise UnreadableError(items[0].text())
    return Restorations(tuple(items))


def _free(place: Path, taken: set[Path]) -> Path:
    """`place`, or with a number where another picture of this call has that name."""
    number, found = 2, place
    while found in taken:
        found, number = place.with_stem(f"{place.stem}-{number}"), number + 1
    taken.add(found)
    return found


def restored(trained: Trained, pixels: Pixels, *, overlap: float, device: torch.device) -> tuple[Pixels, int]:
    """`pixels`, uint8 (H, W, 3), restored, as uint8 (H, W, 3), and from how many tiles.

    Each pixel is the mean over the tiles that hold it, weighted by a hill that falls to nothing towards a
    tile's edges, so that no seam is seen.
    """
    channels, height, width = trained.shape
    x = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).float()
    grey = bool((x == x[:1]).all())
    planes = (x[:1, None] if grey else x[:, None]) if channels == 1 else x[None]
    spare = [max(height - x.shape[1], 0), max(width - x.shape[2], 0)]
    padded = torch.nn.functional.pad(planes, (0, spare[1], 0, spare[0]), mode="replicate")
    corners = [
        (top, left)
        for top in starts(padded.shape[2], height, overlap)
        for left in starts(padded.shape[3], width, overlap)
    ]
    weight = hill(height)[:, None] * hill(width)[None]
    total, weights = torch.zeros_like(padded), torch.zeros(padded.shape[2:])
    for some, tiles in _seen(trained, padded, corners, device):
        for (top, left), tile in zip(some, tiles, strict=True):
            total[:, :, top : top + height, left : left + width] += weight * tile
            weights[top : top + height, left : left + width] += weight
    whole = (total / weights)[:, :, : x.shape[1], : x.shape[2]].round().clamp(0, 255).byte()
    flat = whole[:, 0] if channels == 1 else whole[0]
    return np.ascontiguousarray(flat.expand(3, -1, -1).permute(1, 2, 0).numpy()), len(corners)


def starts(size: int, tile: int, overlap: float) -> list[int]:
    """Where tiles begin on a side of `size` pixels: evenly, the last one ends with the picture."""
    step = max(round(tile * (1 - overlap)), 1)
    number = -(-(size - tile) // step)
    return [round(n * (size - tile) / max(number, 1)) for n in range(number + 1)]


def hill(size: int) -> Tensor:
    """(size,): sin^2 over the tile, above 0 everywhere."""
    return torch.sin(torch.pi * (torch.arange(size) + 0.5) / size) ** 2 + 1e-3


@torch.inference_mode()
def _seen(
    trained: Trained, planes: Tensor, corners: Sequence[tuple[int, int]], device: torch.device
) -> Iterator[tuple[Sequence[tuple[int, int]], Tensor]]:
    """Some corners with what the network makes of the tiles there: (n, planes, C, h, w), levels."""
    channels, height, width = trained.shape
    task = Restore(trained.classes, preprocess=trained.preprocess)
    network = trained.network.to(device)
    with evaluating(network):
        for start in range(0, len(corners), AT_ONCE):
            some = corners[start : start + AT_ONCE]
            tiles = torch.cat([planes[:, :, t : t + height, u : u + width] for t, u in some]).to(device)
            levels = task.levels(network(trained.preprocess.normalise(tiles)).float()).cpu()
            yield some, levels.view(len(some), len(planes), channels, height, width)
