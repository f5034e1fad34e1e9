"""LayerCAM: every place of every map weighted by its own positive gradient; fit for early layers too.

Jiang, Zhang, Hou, Cheng and Wei, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
IEEE Transactions on Image Processing 30, 2021, https://doi.org/10.1109/TIP.2021.3089943, equations 6 to 8.
"""

from __future__ import annotations

from torch import Tensor, nn

from neocog.inside.explain.gradcam import maps_and_gradients
from neocog.inside.explain.score import Score


def layercam(network: nn.Module, x: Tensor, *, score: Score, layer: str) -> Tensor:
    """(N, *sizes), never negative, in the resolution of `layer`'s maps (N, K, *sizes)."""
    maps, gradients = maps_and_gradients(network, x, score=score, layer=layer)
    return (gradients.clamp(min=0) * maps).sum(1).clamp(min=0)
