"""Events of a painting: the only way in which it speaks. Console and saved pictures are watchers of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from neocog.pictures.pixels import Pixels


@dataclass(frozen=True, slots=True)
class Begun:
    """The painting begins or goes on at `step` of `steps`, `share` (0..1) of the work done; `remarks` are for
    the reader.
    """

    step: int
    steps: int
    share: float
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grown:
    """The picture has `height` x `width` pixels from here on; it is the `number`-th of `sizes` sizes."""

    step: int
    height: int
    width: int
    number: int
    sizes: int


@dataclass(frozen=True, slots=True)
class Stroke:
    """One step is done, and `share` (0..1) of all the work, counting pixels. `losses` holds the weighted
    losses of style, content and variation: reading it waits for the device. `picture()` is what would be
    shown now, (H, W, 3).
    """

    step: int
    share: float
    losses: Tensor
    picture: Callable[[], Pixels]


@dataclass(frozen=True, slots=True)
class Kept:
    """The state after `step` is on disk, at `path`."""

    step: int
    path: Path


@dataclass(frozen=True, slots=True)
class Ended:
    """The painting ended: 'done' or 'interrupted'."""

    step: int
    reason: str


Event = Begun | Grown | Stroke | Kept | Ended
Watcher = Callable[[Event], None]
