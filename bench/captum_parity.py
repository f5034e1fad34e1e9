"""Are our maps those of Captum (https://captum.ai)? Every method that both have, on networks with random
weights: the largest difference of a value, as a share of the largest value of the map.

Captum replaces nn.ReLU alone (not ReLU6, not F.relu), so the networks are those whose ReLUs are modules.

    pip install --no-deps captum tqdm      # in an environment of your own, beside the torch that there is
    python bench/captum_parity.py [--networks lenet resnet18]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import captum
import torch
from captum.attr import (
    Deconvolution,
    GuidedBackprop,
    IntegratedGradients,
    LayerGradCam,
    Occlusion,
    Saliency,
)
from torch import Tensor, nn

from neocog.inside.explain.deconvnet import deconvnet
from neocog.inside.explain.gradcam import gradcam
from neocog.inside.explain.guided import guided
from neocog.inside.explain.integrated import integrated
from neocog.inside.explain.occlusion import occlusion
from neocog.inside.explain.saliency import saliency
from neocog.inside.explain.score import ClassScore
from neocog.inside.stages import last_maps
from neocog.zoo import ZOO, Model, build

NETWORKS = ("lenet", "c2", "vgg11-bn", "resnet18", "densenet40", "googlenet", "highway")
STEPS = 20
SIDE, STRIDE = (
    8,
    4,
)  # of the square; where they do not fit the picture, Captum cuts the last one off, we move it
SAME = 1e-6
"""The largest difference, as a share of the largest value, of what counts as the same: Captum adds up
occlusion and integrated gradients in float32 whatever it is given."""


def pairs(
    network: nn.Module, x: Tensor, of: int, layer: str
) -> dict[str, Callable[[], tuple[Tensor, Tensor]]]:
    """By method: what makes our map and Captum's."""
    score = ClassScore(of)
    module = network.get_submodule(layer)
    window = (x.shape[1], SIDE, SIDE)
    return {
        "gradcam": lambda: (
            gradcam(network, x, score=score, layer=layer)[:, None],
            LayerGradCam(network, module).attribute(x, target=of, relu_attributions=True),
        ),
        "saliency": lambda: (
            saliency(network, x, score=score),
            Saliency(network).attribute(x.clone().requires_grad_(), target=of, abs=False),
        ),
        "guided": lambda: (
            guided(network, x, score=score),
            GuidedBackprop(network).attribute(x.clone().requires_grad_(), target=of),
        ),
        "deconvnet": lambda: (
            deconvnet(network, x, score=score),
            Deconvolution(network).attribute(x.clone().requires_grad_(), target=of),
        ),
        "integrated": lambda: (
            integrated(network, x, score=score, steps=STEPS),
            IntegratedGradients(network).attribute(x, target=of, n_steps=STEPS, method="riemann_middle"),
        ),
        "occlusion": lambda: (
            occlusion(network, x, score=score, window=SIDE, stride=STRIDE),
            Occlusion(network).attribute(
                x, window, (x.shape[1], STRIDE, STRIDE), 0, target=of, perturbations_per_eval=16
            )[:, 0],
        ),
    }


def compared(name: str) -> dict[str, float]:
    """The differences of every method on one network, on two pictures, in float64."""
    shape = (3, 32, 32) if ZOO[name].shape[1] > 32 else ZOO[name].shape
    torch.manual_seed(0)
    network = build(Model(name=name), shape=shape, classes=10).double().eval()
    x = torch.randn(2, *shape, dtype=torch.float64)
    layer = last_maps(network, x).name
    found = {}
    for how, both in pairs(network, x, 3, layer).items():
        ours, theirs = both()
        assert ours.shape == theirs.shape, (how, ours.shape, theirs.shape)
        found[how] = float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-300))
    return found


def main() -> None:
    """Print a table, then JSON; exit 1 where a method differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    given = parser.parse_args()
    found = {name: compared(name) for name in given.networks}
    for name, differences in found.items():
        print(f"{name:12}", "  ".join(f"{how} {value:.1e}" for how, value in differences.items()))
    print(json.dumps({"captum": captum.__version__, "torch": torch.__version__, "differences": found}))
    most = max(value for differences in found.values() for value in differences.values())
    raise SystemExit(0 if most <= SAME else 1)


if __name__ == "__main__":
    main()
