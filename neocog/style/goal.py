"""Goal: what the maps of the picture shall be: those of the content, and the Gram matrices of the styles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neocog.style.backbone import Backbone, Place
from neocog.style.colours import matched
from neocog.style.losses import gram_sum
from neocog.style.scene import Scene, Style, mask_at
from neocog.style.settings import Settings
from neocog.style.tiles import Tile, cut

LEAST = 1e-12
"""What is divided by in the place of something smaller: masks and maps that are zero."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where a style counts: `masks` (1, 1, h, w) by layer, or None for everywhere; the Gram matrices (C, C)
    wanted there; `weight`, its share of the style's loss.
    """

    weight: float
    masks: Mapping[str, Tensor] | None
    grams: Mapping[str, Tensor]

    def extent(self, layer: str, positions: int) -> float:
        """Over how much the sums of a layer with so many positions go."""
        return positions if self.masks is None else max(float(self.masks[layer].sum()), LEAST)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a picture of one size, looked at in `tiles`, shall become. `content` holds the maps (1, C, h, w)
    of the content at its layers; `sizes` and `places` are those of every layer that counts.
    """

    tiles: tuple[Tile, ...]
    places: Mapping[str, Place]
    sizes: Mapping[str, tuple[int, int]]
    content: Mapping[str, Tensor]
    regions: tuple[Region, ...]


@torch.no_grad()
def goal(backbone: Backbone, scene: Scene, settings: Settings, size: int, tile: int | None) -> Goal:
    """The goal for a result whose longer side has `size` pixels, in tiles of `tile` (None: whole)."""
    height, width = scene.sides(size)
    content = scene.content_at(size).to(backbone.device)
    places, sizes = backbone.places(height, width), backbone.sizes(height, width)
    tiles = cut(height, width, tile, places)
    maps: dict[str, Tensor] = {}
    for piece in tiles:
        for name, found in backbone.maps(piece.seen(content)).items():
            if name in backbone.layers.content:
                core = piece.core(found, places[name].stride)
                whole = core.new_empty(1, core.shape[1], *sizes[name])
                piece.of_whole(maps.setdefault(name, whole), places[name].stride).copy_(core)
    regions = _regions(backbone, scene, settings, size, tile, content)
    return Goal(tuple(tiles), places, sizes, maps, regions)


def _regions(
    backbone: Backbone, scene: Scene, settings: Settings, size: int, tile: int | None, content: Tensor
) -> tuple[Region, ...]:
    """Styles that count everywhere share one region, whose Gram matrices are their weighted means; a style
    with a mask has its own. A region's weight is its part of weights times areas, times the area that is
    covered at all.
    """
    styles = [style for style in scene.styles if style.weight > 0]
    grams = []
    for style in styles:
        x = scene.style_at(style, settings.style_side(size)).to(content)
        x = matched(x, content) if settings.colours == "matched" else x
        grams.append(_grams(backbone, style, x, tile))
    masks = [None if s.where is None else mask_at(s.where, *content.shape[2:]).to(content) for s in styles]
    areas = [s.weight * (1.0 if m is None else float(m.mean())) for s, m in zip(styles, masks)]
    unmasked = [n for n, mask in enumerate(masks) if mask is None]
    covered = 1.0 if unmasked else float(torch.cat([m for m in masks if m is not None]).amax(0).mean())
    found = []
    if unmasked:
        plain = sum(areas[n] for n in unmasked)
        mixed = {
            name: torch.stack([areas[n] / plain * grams[n][name] for n in unmasked]).sum(0)
            for name in backbone.layers.style
        }
        found.append(Region(covered * plain / sum(areas), None, mixed))
    for mask, area, wanted in zip(masks, areas, grams):
        if mask is not None:
            found.append(Region(covered * area / sum(areas), _at_layers(backbone, mask), wanted))
    return tuple(found)


def _at_layers(backbone: Backbone, mask: Tensor) -> dict[str, Tensor]:
    """The mask (1, 1, H, W) at the size of every layer of the style: means over areas."""
    sizes = backbone.sizes(int(mask.shape[2]), int(mask.shape[3]))
    return {name: F.adaptive_avg_pool2d(mask, sizes[name]) for name in backbone.layers.style}


def _grams(backbone: Backbone, style: Style, x: Tensor, side: int | None) -> dict[str, Tensor]:
    """The Gram matrices of one style picture (1, 3, h, w) at the layers of the style."""
    height, width = int(x.shape[2]), int(x.shape[3])
    mask = None if style.part is None else _at_layers(backbone, mask_at(style.part, height, width).to(x))
    places, sizes = backbone.places(height, width), backbone.sizes(height, width)
    sums: dict[str, Tensor] = {}
    for tile in cut(height, width, side if backbone.why_whole(height, width) is None else None, places):
        maps = backbone.maps(tile.seen(x))
        for name in backbone.layers.style:
            stride = places[name].stride
            there = None if mask is None else tile.of_whole(mask[name], stride)
            found = gram_sum(tile.core(maps[name], stride), there)
            sums[name] = sums[name] + found if name in sums else found
    region = Region(1.0, mask, sums)
    return {n: value / region.extent(n, sizes[n][0] * sizes[n][1]) for n, value in sums.items()}
