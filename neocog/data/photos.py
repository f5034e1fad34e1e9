"""Photos: pictures of any sizes without classes, as square-cut pieces at their own resolution, for networks
that restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from neocog.data.augment.colour import grey
from neocog.data.choice import Data
from neocog.data.dataset import Dataset, Split
from neocog.data.splits import counted
from neocog.errors import UnreadableError, UsageError
from neocog.pictures.decode import Pixels, Preprocess
from neocog.pictures.reading import find
from neocog.pictures.walk import Skipped

NAME = "photos"
"""In a recipe's `Data`."""
PIECES = 4096
"""Of all photos together, at most."""
OF_ONE = 64
"""Pieces of one photo, at most."""
LARGEST = 1600
"""Pixels of a photo's longer side, to which larger ones are reduced."""


def read(where: Path, data: Data, preprocess: Preprocess) -> Dataset:
    """The pictures at `where` (a folder, with those below it, or one file), cut into pieces of
    `preprocess.size`; every piece of a photo is in the same split. Of a single photo its last pieces are
    held out.

    `UsageError`: no size. `UnreadableError`: no picture can be decoded.
    """
    if preprocess.size is None:
        raise UsageError("photos are cut into pieces of one size; give it, for example --size 64x64")
    found = find([where])
    shares = max(1, min(OF_ONE, PIECES // max(len(found.files), 1)))
    pieces: list[Tensor] = []
    names: list[str] = []
    skipped = [Skipped(str(path), why) for path, why in found.refused.items()]
    for group in found.read(lambda pixels: _small(pixels, preprocess)):
        for one in group:
            if one.pixels is None:
                skipped.append(Skipped(str(one.path), one.error))
                continue
            cut = _pieces(torch.from_numpy(one.pixels).permute(2, 0, 1), preprocess.size, shares)
            pieces.append(cut if preprocess.channels == 3 else grey(cut.float()).round().byte())
            names += [one.path.name] * len(cut)
    if not pieces:
        raise UnreadableError(
            f"no picture in {where} can be read: {skipped[0].reason if skipped else 'none'}"
        )
    held = _held_out([len(cut) for cut in pieces], data)
    splits = {name: _split(pieces, names, held == (name == "val")) for name in ("train", "val")}
    val = splits["val"] if data.val != "none" and len(splits["val"]) else None
    said = f"{len(pieces)} photos, cut into {len(names)} pieces of {'x'.join(map(str, preprocess.size))}"
    return Dataset(
        name=where.name or NAME,
        classes=("photo",),
        train=splits["train"] if val is not None else _split(pieces, names, torch.ones(len(names)).bool()),
        val=val,
        skipped=tuple(skipped),
        remarks=(said,),
    )


def _held_out(counts: list[int], data: Data) -> Tensor:
    """Which pieces are held out, bool: those of whole photos, drawn by `data.seed`."""
    share = data.held_out
    if len(counts) == 1:
        first = counts[0] - round(share * counts[0])
        return torch.arange(counts[0]) >= first
    order = torch.randperm(
        len(counts), generator=torch.Generator().manual_seed(counted(data.seed, len(counts)))
    )
    most = max(round(share * len(counts)), 1 if share else 0)
    chosen = set(order[:most].tolist())
    return torch.cat([torch.full((n,), photo in chosen) for photo, n in enumerate(counts)])


def _split(pieces: list[Tensor], names: list[str], rows: Tensor) -> Split:
    x = torch.cat(pieces)[rows]
    chosen = rows.nonzero().flatten().tolist()
    return Split(x, torch.zeros(len(x), dtype=torch.int64), tuple(names[n] for n in chosen))


def _small(pixels: Pixels, preprocess: Preprocess) -> Pixels:
    """At most `LARGEST` pixels a side, and at least a piece."""
    from PIL import Image

    assert preprocess.size is not None
    height, width = pixels.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    scale = max(scale, preprocess.size[0] / height, preprocess.size[1] / width)
    if scale == 1.0:
        return pixels
    size = max(round(width * scale), preprocess.size[1]), max(round(height * scale), preprocess.size[0])
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def _pieces(x: Tensor, size: tuple[int, int], most: int) -> Tensor:
    """At most so many pieces (N, C, h, w) of `x` (C, H, W), evenly over it, beside one another."""
    places = list(_places(x.shape[1] // size[0], x.shape[2] // size[1], most))
    h, w = size
    return torch.stack([x[:, r * h : r * h + h, c * w : c * w + w] for r, c in places])


def _places(rows: int, columns: int, most: int) -> Iterator[tuple[int, int]]:
    number = rows * columns
    for n in range(min(number, most)):
        yield divmod(n * number // min(number, most), columns)
