"""Descent: how the pixels move. torch's Adam or L-BFGS on one picture, with a state that can be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from neocog.optim.uncompiled import compiler_left_out, moved
from neocog.style.settings import Settings

VECTORS = 20
"""Pairs of vectors that L-BFGS remembers."""
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A picture (1, 3, H, W) -> its losses (3,) and the gradient of their sum."""


def _made(pixels: Tensor, settings: Settings) -> torch.optim.Optimizer:
    if settings.optimizer == "adam":
        return torch.optim.Adam([pixels], lr=settings.rate)
    return torch.optim.LBFGS(  # one evaluation a step; it never believes to have arrived
        [pixels],
        lr=settings.rate,
        max_iter=1,
        history_size=VECTORS,
        tolerance_grad=0,
        tolerance_change=0,
    )


class Descent:
    """Moves `pixels` (1, 3, H, W), float32, in place. Adam's are kept within 0..1."""

    def __init__(self, pixels: Tensor, settings: Settings) -> None:
        self.pixels, self.settings = pixels, settings
        self.inner: torch.optim.Optimizer
        with compiler_left_out():
            self.inner = _made(pixels, settings)

    @torch.no_grad()
    def step(self, evaluate: Evaluate, rate: float) -> Tensor:
        """One step of that size; the losses (3,) of the picture before it."""
        found: list[Tensor] = []
        self.inner.param_groups[0]["lr"] = rate

        def closure() -> Any:
            losses, gradient = evaluate(self.pixels)
            found.append(losses)
            self.pixels.grad = gradient.contiguous()
            return losses.sum() * gradient.numel()

        with torch.enable_grad():
            moved(self.inner, closure)
        if self.settings.optimizer == "adam":
            self.pixels.clamp_(0, 1)
        return found[0]

    def grown(self, height: int, width: int, pixels: Tensor) -> Descent:
        """The descent of a larger picture `pixels`: Adam goes on with its means, enlarged; L-BFGS begins
        anew.
        """
        made = Descent(pixels, self.settings)
        memory = self.inner.state[self.pixels]
        if self.settings.optimizer == "adam" and memory:
            first = F.interpolate(memory["exp_avg"], (height, width), mode="bicubic", align_corners=False)
            second = F.interpolate(
                memory["exp_avg_sq"], (height, width), mode="bilinear", align_corners=False
            )
            made.inner.state[pixels] = {
                "step": memory["step"].clone(),
                "exp_avg": first,
                "exp_avg_sq": second.clamp_(min=0),
            }
        return made

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that it remembers: tensors, with the members of lists as NAME/NUMBER, and plain numbers."""
        tensors: dict[str, Tensor] = {}
        numbers: dict[str, Any] = {}
        for name, value in self.inner.state[self.pixels].items():
            if isinstance(value, Tensor):
                tensors[name] = value
            elif isinstance(value, list):
                members = [member for member in value if isinstance(member, Tensor)]
                if name != "al":  # scratch space of L-BFGS, written anew in every step
                    tensors |= {f"{name}/{n}": member for n, member in enumerate(members)}
                    numbers[name] = []
            else:
                numbers[name] = value
        return tensors, numbers

    def load(self, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Remember what `state` gave."""
        memory: dict[str, Any] = {n: [] if isinstance(v, list) else v for n, v in numbers.items()}
        lists = [key for key in tensors if "/" in key]
        for key in sorted(lists, key=lambda k: int(k.partition("/")[2])):
            memory[key.partition("/")[0]].append(tensors[key].to(self.pixels.device, copy=True))
        for key, tensor in tensors.items():
            if "/" not in key:
                device = "cpu" if key == "step" else self.pixels.device
                memory[key] = tensor.to(device, copy=True)
        if memory:
            self.inner.state[self.pixels] = memory
