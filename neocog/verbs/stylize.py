"""stylize: a picture painted in the style of others."""

from __future__ import annotations

import base64
import contextlib
import html
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neocog.errors import CheckFailed, Interrupted, OutOfMemory, UsageError, escaped
from neocog.model import Kept as HasPath
from neocog.model import Trained
from neocog.outputs import require_place, write_bytes
from neocog.pictures.decode import Pixels
from neocog.show import grids
from neocog.show.words import duration, plural
from neocog.signals import Signals, signals
from neocog.style import canvas
from neocog.style.backbone import Backbone
from neocog.style.events import Ended, Stroke, Watcher
from neocog.style.eyes import digest
from neocog.style.eyes import found as find_eyes
from neocog.style.forecast import forecast
from neocog.style.order import Order
from neocog.style.order import from_json as order_from_json
from neocog.style.painting import Painting
from neocog.style.settings import Settings, from_json, override
from neocog.world import World, deterministic, find, free_memory
from neocog.world import facts as world_facts

LATER = ("content", "variation", "lr", "settling", "average", "colours")
"""Fields of the settings that may be changed when an unfinished painting goes on."""


@dataclass(frozen=True, slots=True)
class Stylized:
    """A painted picture (H, W, 3), in the file `out`. `style_layers` and `content_layers` are the stages of
    the network whose maps counted; losses are those of the last step, weighted: style, content, variation.
    """

    out: Path
    pixels: Pixels = field(repr=False, compare=False)
    eyes: str
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    settings: Settings
    steps: int
    seconds: float
    losses: tuple[float, float, float]
    tile: int | None

    def text(self) -> str:
        height, width = self.pixels.shape[:2]
        style, content, variation = self.losses
        return "\n".join(
            [
                f"{escaped(str(self.out))}: {height}x{width}, {plural(self.steps, 'step')} "
                f"in {duration(self.seconds)}",
                f"seen with {escaped(self.eyes)}: style {', '.join(self.style_layers)}; "
                f"content {', '.join(self.content_layers)}",
                f"losses: style {style:.4f}, content {content:.4f}, variation {variation:.4f}",
            ]
        )

    def json(self) -> dict[str, Any]:
        return {
            "out": escaped(str(self.out)),
            "height": self.pixels.shape[0],
            "width": self.pixels.shape[1],
            "eyes": escaped(self.eyes),
            "style_layers": list(self.style_layers),
            "content_layers": list(self.content_layers),
            "steps": self.steps,
            "seconds": self.seconds,
            "losses": dict(zip(("style", "content", "variation"), self.losses)),
            "tile": self.tile,
            "settings": self.settings.json(),
        }

    def png(self) -> bytes:
        """The picture, pixel for pixel."""
        return grids.alone(self.pixels)

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png()).decode()
        return f'<pre>{html.escape(self.text())}</pre><img alt="stylized" src="data:image/png;base64,{data}">'


def stylize(
    content: str | Path,
    styles: Sequence[str | Path],
    *,
    out: str | Path,
    eyes: str | Path | HasPath | Trained | None = None,
    weights: str | Path | None = None,
    style_weights: Sequence[float] = (),
    masks: Sequence[str | Path] = (),
    style_masks: Sequence[str | Path] = (),
    settings: Settings | None = None,
    changes: Sequence[str] = (),
    device: str = "auto",
    watchers: Sequence[Watcher] = (),
    stop: Callable[[], bool] | None = None,
) -> Stylized:
    """Paint `content` in the style of `styles`, all picture files, and write `out`, a PNG.

    `style_weights`, `masks` and `style_masks`, where given, are one for each style: how much it counts, where
    in the result (white in a picture of any size), and which part of the style picture is looked at. `eyes`
    is what `open_trained` takes, with `weights`; None: the best at hand. `changes` are "field=value" texts
    for `settings`. The state is kept beside `out` until the picture is done; after Ctrl-C or SIGTERM, or when
    `stop` says true, `Interrupted` is raised, and `go_on` continues.

    `UsageError` for what does not fit together; `UnreadableError` for files; `OutOfMemory` where neither
    the picture nor its tiles fit; `CheckFailed` when the loss stops being finite.
    """
    place = Path(out)
    if place.suffix.lower() != ".png":
        raise UsageError(f"a painting is written as .png, not as '{place.name}'")
    if canvas.beside(place).exists():
        raise UsageError(
            f"{canvas.beside(place)} holds an unfinished painting; go on with it: "
            f"neocog stylize --resume {place}; or delete it"
        )
    order = Order(
        str(content),
        tuple(map(str, styles)),
        tuple(style_weights),
        tuple(map(str, masks)),
        tuple(map(str, style_masks)),
        None if eyes is None or isinstance(eyes, Trained) else str(_path_of(eyes)),
        None if weights is None else str(weights),
    )
    how = override(settings or Settings(), changes)
    scene, world = order.scene(), find(device, how.precision)
    backbone, name, remark = _seeing(eyes, weights, how, world)
    told = forecast(backbone, scene, how, free_memory(world.device))
    painting = Painting(scene, backbone, how, told.tile)
    facts = {
        "order": order.json(),
        "settings": how.json(),
        "scene": scene.digest(),
        "eyes": name,
        "network": digest(backbone.network),
        "tile": told.tile,
        "seconds": 0.0,
        **world_facts(world),
    }
    remarks = [line for line in (remark, scene.stretched(how.size), told.text()) if line]
    return _drive(painting, place, facts, remarks, watchers, stop)


def go_on(
    out: str | Path,
    *,
    eyes: Trained | None = None,
    changes: Sequence[str] = (),
    device: str = "auto",
    watchers: Sequence[Watcher] = (),
    stop: Callable[[], bool] | None = None,
) -> Stylized:
    """Go on with the unfinished painting `out`: on the same machine to the same bits as if it had never been
    interrupted. `changes` may be of the fields in `LATER`. `eyes` where it was begun with a `Trained`.

    `CheckFailed` where pictures or weights are not those of the start.
    """
    place = Path(out)
    path = canvas.beside(place)
    facts = canvas.facts_of(path)
    order = order_from_json(facts["order"])
    before = from_json(facts["settings"], within=str(path))
    how = override(before, changes)
    moved = [name for name in Settings.model_fields if getattr(how, name) != getattr(before, name)]
    if any(name not in LATER for name in moved):
        raise UsageError(f"{', '.join(moved)} cannot be changed under way (accepted: {', '.join(LATER)})")
    world = find(device, facts["precision"])
    scene = order.scene()
    asked, asked_weights = (order.eyes, order.eyes_weights) if eyes is None else (eyes, None)
    backbone, name, _ = _seeing(asked, asked_weights, how, world)
    for what, now in (("scene", scene.digest()), ("network", digest(backbone.network))):
        if facts[what] != now:
            word = "pictures" if what == "scene" else f"weights of {name}"
            raise CheckFailed(
                f"the {word} are not those with which {place} was begun; put them back, or delete {path}"
            )
    painting = Painting(scene, backbone, how, facts["tile"])
    canvas.load(path, painting)
    now_facts = world_facts(world)
    changed = [
        f"{key} was {facts[key]}, is {now_facts[key]}" for key in now_facts if facts[key] != now_facts[key]
    ]
    remarks = (
        [f"not the machine of the start ({'; '.join(changed)}): last bits may differ"] if changed else []
    )
    return _drive(painting, place, {**facts, "settings": how.json()}, remarks, watchers, stop)


def _path_of(what: str | Path | HasPath) -> str | Path:
    return what if isinstance(what, str | Path) else what.path


def _seeing(
    asked: str | Path | HasPath | Trained | None, weights: str | Path | None, how: Settings, world: World
) -> tuple[Backbone, str, str]:
    """The backbone, what its network is called, and a remark; of the network no more than that is kept."""
    found = find_eyes(asked, weights)
    return Backbone(found.trained, how, world), found.name, found.remark


def _drive(
    painting: Painting,
    out: Path,
    facts: dict[str, Any],
    remarks: Sequence[str],
    watchers: Sequence[Watcher],
    stop: Callable[[], bool] | None,
) -> Stylized:
    """Paint to the end, hand every event to every watcher, and write the picture."""
    require_place(out, grids.alone(np.zeros((1, 1, 3), np.uint8)))
    before, begun, path = float(facts["seconds"]), time.monotonic(), canvas.beside(out)
    losses = torch.zeros(3)

    def keep() -> Path:
        canvas.write(path, painting, {**facts, "seconds": before + time.monotonic() - begun})
        return path

    with _in_order() as heard:
        events = painting.events(
            keep,
            stop=lambda: heard.received is not None or (stop is not None and stop()),
            remarks=remarks,
        )
        for event in _explained(events, painting):
            if isinstance(event, Stroke):
                losses = event.losses
            for watcher in watchers:
                watcher(event)
            if isinstance(event, Ended) and event.reason == "interrupted":
                raise Interrupted(
                    f"{heard.word}; the state is saved. To go on: neocog stylize --resume {out}",
                    exit_code=heard.exit_code,
                )
    style, content, variation = losses.tolist()
    pixels = painting.picture()
    write_bytes(out, grids.alone(pixels))
    path.unlink(missing_ok=True)
    return Stylized(
        out,
        pixels,
        facts["eyes"],
        painting.backbone.layers.style,
        painting.backbone.layers.content,
        painting.settings,
        painting.steps,
        round(before + time.monotonic() - begun, 3),
        (style, content, variation),
        painting.tile,
    )


@contextlib.contextmanager
def _in_order() -> Iterator[Signals]:
    """The same input gives the same bits, and signals wait for the end of a step."""
    with deterministic(), signals() as heard:
        yield heard


def _explained(events: Iterator[Any], painting: Painting) -> Iterator[Any]:
    """`events`, running out of memory in words."""
    try:
        yield from events
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            side = (painting.tile or painting.settings.size) // 2
            raise OutOfMemory(
                f"a picture of {painting.settings.size} pixels does not fit into memory; "
                f"try --set tile={max(64, side)}"
            ) from error
        raise
