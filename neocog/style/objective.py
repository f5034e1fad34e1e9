"""Objective: how far a picture is from its goal, and in which direction it gets nearer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from neocog.style.backbone import Backbone
from neocog.style.goal import LEAST, Goal
from neocog.style.losses import gram_sum, over_absolute, style_loss, total_variation
from neocog.style.settings import Settings
from neocog.style.tiles import Tile

CONTENT = -1
"""In the place of a region's number."""
Sums = dict[tuple[int, str], Tensor]
"""What is summed over positions, float32, by region and layer: products of channels (C, C); by `CONTENT` and
layer: squared errors, (1,), and with scaling "gradient" absolute ones too, (2,).
"""


class Objective:
    """The losses of a picture that `backbone` looks at, as `settings` weigh them."""

    def __init__(self, backbone: Backbone, goal: Goal, settings: Settings) -> None:
        self.backbone, self.goal, self.settings, self.layers = backbone, goal, settings, backbone.layers
        self.by_errors, paper = settings.scaling == "gradient", settings.scaling == "paper"
        self.content_scale = {
            name: maps.numel() / 2 if paper else 1 / max(float(maps.float().square().mean()), LEAST)
            for name, maps in goal.content.items()
        }
        self.style_scale = {
            (number, name): 1 / 4 if paper else 1 / max(float(gram.square().mean()), LEAST)
            for number, region in enumerate(goal.regions)
            for name, gram in region.grams.items()
        }

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted losses (3,) of style, content and variation of the picture `x` (1, 3, H, W), and the
        gradient of their sum with respect to `x`, times the number of values in `x`: so its size does not
        depend on the picture's.
        """
        x = x.detach().requires_grad_()
        variation = self.backbone.variation * total_variation(x)
        if len(self.goal.tiles) == 1:
            (tile,) = self.goal.tiles
            maps = self.backbone.maps(x)
            sums = self._sums(maps, tile)
            style, content = self._style(sums), self._content(sums)
            (gradient,) = torch.autograd.grad(style + content + variation, x)
        else:
            (gradient,) = torch.autograd.grad(variation, x)
            style, content = self._in_tiles(x.detach(), gradient)
        return torch.stack([style, content, variation]).detach(), gradient * x.numel()

    def _in_tiles(self, x: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Twice over the tiles: for the sums, then, knowing how the loss depends on them, for the gradient,
        which is added to `gradient`.
        """
        sums: Sums = {}
        with torch.no_grad():
            for tile in self.goal.tiles:
                for key, part in self._sums(self.backbone.maps(tile.seen(x)), tile).items():
                    sums[key] = sums[key] + part if key in sums else part
        leaves = {key: value.requires_grad_() for key, value in sums.items()}
        style, content = self._style(leaves), self._content(leaves)
        slopes = dict(zip(leaves, torch.autograd.grad(style + content, list(leaves.values()))))
        for tile in self.goal.tiles:
            piece = tile.seen(x).detach().requires_grad_()
            parts = self._sums(self.backbone.maps(piece), tile)
            pulls = [(slopes[key] * value).sum() for key, value in parts.items()]
            (pull,) = torch.autograd.grad(torch.stack(pulls).sum(), piece)
            tile.seen(gradient).add_(pull)
        return style.detach(), content.detach()

    def _sums(self, maps: Mapping[str, Tensor], tile: Tile) -> Sums:
        """What the core of one tile adds to the sums."""
        found: Sums = {}
        for name in self.layers.style:
            stride = self.goal.places[name].stride
            core = tile.core(maps[name], stride)
            for number, region in enumerate(self.goal.regions):
                mask = None if region.masks is None else tile.of_whole(region.masks[name], stride)
                found[number, name] = gram_sum(core, mask)
        for name in self.layers.content:
            stride, target = self.goal.places[name].stride, self.goal.content[name]
            errors = tile.core(maps[name], stride).float() - tile.of_whole(target, stride).float()
            sums = [errors.square().sum(), errors.abs().sum()] if self.by_errors else [errors.square().sum()]
            found[CONTENT, name] = torch.stack(sums)
        return found

    def _style(self, sums: Sums) -> Tensor:
        """The style's loss, given the sums over the whole picture."""
        found = []
        for number, region in enumerate(self.goal.regions):
            for name, weight in zip(self.layers.style, self.layers.weights):
                height, width = self.goal.sizes[name]
                gram = sums[number, name] / region.extent(name, height * width)
                found.append(region.weight * weight * self._apart(gram, region.grams[name], (number, name)))
        return torch.stack(found).sum()

    def _apart(self, gram: Tensor, wanted: Tensor, which: tuple[int, str]) -> Tensor:
        """How far a Gram matrix is from the one that is wanted."""
        if self.by_errors:
            errors = gram - wanted
            return over_absolute(errors.square().sum(), errors.abs().sum())
        return self.style_scale[which] * style_loss(gram, wanted)

    def _content(self, sums: Sums) -> Tensor:
        """The content's loss, likewise."""
        found = []
        for name in self.layers.content:
            squares, *absolutes = sums[CONTENT, name]
            scale = self.content_scale[name] / self.goal.content[name].numel()
            found.append(over_absolute(squares, *absolutes) if self.by_errors else scale * squares)
        return self.settings.content / len(found) * torch.stack(found).sum()
