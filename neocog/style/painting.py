"""Painting: a generator of events, from a blank start or a saved state to the finished picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from neocog.errors import CheckFailed
from neocog.pictures.pixels import Pixels
from neocog.style.backbone import Backbone
from neocog.style.colours import coloured_like
from neocog.style.descent import Descent
from neocog.style.events import Begun, Ended, Event, Grown, Kept, Stroke
from neocog.style.goal import goal
from neocog.style.objective import Objective
from neocog.style.scene import Scene
from neocog.style.settings import Settings
from neocog.world import give_back_memory

KEEP_EVERY = 30.0
"""Seconds between two savings of the state."""
_LOOK_EVERY = 10
"""Steps between two checks that the loss is finite."""


class State:
    """Where a painting stands after `step` steps: the pixels, what the descent remembers, and the running
    mean of the pixels since the size began, as a sum with its `mass`.
    """

    def __init__(self, pixels: Tensor, settings: Settings, *, step: int = 0) -> None:
        self.step, self.pixels = step, pixels
        self.descent = Descent(pixels, settings)
        self.sum, self.mass = torch.zeros_like(pixels), 0.0

    def average(self, decay: float) -> None:
        """Count the pixels as they are now into the mean."""
        self.sum.mul_(decay).add_(self.pixels, alpha=1 - decay)
        self.mass = decay * self.mass + 1 - decay

    @property
    def mean(self) -> Tensor:
        """The running mean, within 0..1; before the first step the pixels themselves."""
        return (self.sum / self.mass if self.mass else self.pixels).clamp(0, 1)

    def grow(self, height: int, width: int) -> None:
        """Go on at another size, from the mean."""
        pixels = F.interpolate(self.mean, (height, width), mode="bicubic", align_corners=False).clamp_(0, 1)
        self.descent = self.descent.grown(height, width, pixels)
        self.pixels, self.sum, self.mass = pixels, torch.zeros_like(pixels), 0.0


class Painting:
    """One painting: what is painted, with which eyes, how, and where it stands. `tile` is the side of the
    pieces in which pictures are looked at, None for whole ones.
    """

    def __init__(self, scene: Scene, backbone: Backbone, settings: Settings, tile: int | None) -> None:
        self.scene, self.backbone, self.settings, self.tile = scene, backbone, settings, tile
        self.state = State(self._start(), settings)

    @property
    def steps(self) -> int:
        """In all."""
        return self.settings.steps * len(self.settings.sizes)

    @property
    def share(self) -> float:
        """Of all the work, what is done: steps times pixels."""
        steps, areas = self.settings.steps, [size**2 for size in self.settings.sizes]
        done = sum(area * min(max(self.state.step - steps * n, 0), steps) for n, area in enumerate(areas))
        return done / (steps * sum(areas))

    @property
    def size(self) -> int:
        """The longer side now."""
        return max(self.state.pixels.shape[2:])

    def picture(self) -> Pixels:
        """What it looks like now, (H, W, 3): the mean of the last iterates, in the colours that were asked
        for.
        """
        shown = self.state.mean.cpu()
        if self.settings.colours == "content":
            shown = coloured_like(shown, self.scene.content_at(self.size))
        found: Pixels = shown[0].mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return found

    def events(
        self, keep: Callable[[], Path], *, stop: Callable[[], bool], remarks: Sequence[str] = ()
    ) -> Iterator[Event]:
        """Paint, and say what happens. `keep` writes the state; it is called from time to time, and when
        `stop`, which is asked after every step, says true. `CheckFailed` when the loss stops being finite.
        """
        state, kept = self.state, time.monotonic()
        yield Begun(state.step, self.steps, self.share, tuple(remarks))
        objective: Objective | None = None
        while state.step < self.steps:
            number, done = divmod(state.step, self.settings.steps)
            if done == 0 or objective is None:
                objective = None  # the maps of the size before go first, and leave no holes
                give_back_memory()
                objective = self._objective(number, done)
                height, width = state.pixels.shape[2:]
                yield Grown(state.step, height, width, number + 1, len(self.settings.sizes))
            losses = state.descent.step(objective, self.settings.rate_at(state.step))
            if state.step % _LOOK_EVERY == 0:
                _require_finite(losses, state.step, self.settings)
            state.average(self.settings.average)
            state.step += 1
            yield Stroke(state.step, self.share, losses, self.picture)
            stopping = stop() and state.step < self.steps
            if stopping or (time.monotonic() - kept > KEEP_EVERY and state.step < self.steps):
                yield Kept(state.step, keep())
                kept = time.monotonic()
            if stopping:
                yield Ended(state.step, "interrupted")
                return
        _require_finite(losses, state.step, self.settings)
        yield Ended(state.step, "done")

    def _start(self) -> Tensor:
        """The picture (1, 3, h, w) to start from, at the first size."""
        size, settings = self.settings.sizes[0], self.settings
        content = self.scene.content_at(size)
        found = content
        if settings.start == "style":
            style = self.scene.style_at(self.scene.styles[0], settings.style_side(size))
            found = F.interpolate(style, content.shape[2:], mode="bicubic", align_corners=False).clamp_(0, 1)
        elif settings.start == "noise":
            found = torch.rand(content.shape, generator=torch.Generator().manual_seed(settings.seed))
        return found.to(self.backbone.device)

    def _objective(self, number: int, done: int) -> Objective:
        """The objective at the size with that number; the picture grows where that size begins."""
        size = self.settings.sizes[number]
        if done == 0 and number > 0:
            self.state.grow(*self.scene.sides(size))
        return Objective(
            self.backbone,
            goal(self.backbone, self.scene, self.settings, size, self._tile(size)),
            self.settings,
        )

    def _tile(self, size: int) -> int | None:
        sides = self.scene.sides(size)
        return None if self.tile is None or self.backbone.why_whole(*sides) else self.tile


def _require_finite(losses: Tensor, step: int, settings: Settings) -> None:
    if not torch.isfinite(losses).all():
        raise CheckFailed(
            f"the loss is not finite at step {step}; try a lower rate, for example "
            f"--set lr={settings.rate / 10:g}, or optimizer=adam"
        )
