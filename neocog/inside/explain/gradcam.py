"""Grad-CAM: the maps of one layer, each weighted by the mean gradient of the score with respect to it.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", 2017,
https://arxiv.org/abs/1610.02391, equations 1 and 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neocog.errors import ShapeError
from neocog.inside.capture import capture_gradients
from neocog.inside.explain.score import Score


def gradcam(network: nn.Module, x: Tensor, *, score: Score, layer: str) -> Tensor:
    """(N, *sizes), never negative, in the resolution of `layer`'s maps (N, K, *sizes)."""
    maps, gradients = maps_and_gradients(network, x, score=score, layer=layer)
    weights = gradients.flatten(2).mean(2)
    return torch.einsum("nk,nk...->n...", weights, maps).clamp(min=0)


def maps_and_gradients(network: nn.Module, x: Tensor, *, score: Score, layer: str) -> tuple[Tensor, Tensor]:
    """The output (N, K, *sizes) of `layer` for `x`, and the gradient of `score` with respect to it; zeros
    where the score does not depend on it. `ShapeError` where the layer has no maps.
    """
    with capture_gradients(network, [layer]) as seen:
        total = score(network, x.detach().clone()).sum()
        maps = seen.maps[layer]
        if maps.ndim < 3:
            raise ShapeError(
                f"{layer} puts out {tuple(maps.shape[1:])} numbers for a picture and no maps; "
                f"choose a layer before the flatten"
            )
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        gradients = seen.gradients.get(layer)
        maps = maps.detach()
    return maps, torch.zeros_like(maps) if gradients is None else gradients.detach()
