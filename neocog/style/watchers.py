"""Watchers of a painting's events: the console, and the picture as it grows. The painting knows neither."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from neocog.outputs import write_bytes
from neocog.show import grids
from neocog.show.words import duration, plural
from neocog.style.events import Begun, Ended, Event, Grown, Stroke

SAY_EVERY = 10.0
"""Seconds between two lines about the steps where stderr is no terminal; on one the line is live."""
_LIVE_EVERY = 0.5


class Console:
    """Progress on stderr: one live line on a terminal, a line now and then anywhere else."""

    def __init__(self, stream: IO[str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.clock = clock
        self.live = self.stream.isatty()
        self.steps, self.first = 0, 0.0
        self.begun = self.said = self.clock()

    def __call__(self, event: Event) -> None:
        match event:
            case Begun():
                self.steps, self.first, self.begun = event.steps, event.share, self.clock()
                for remark in event.remarks:
                    self._line(remark)
            case Grown():
                self._line(
                    f"{event.height}x{event.width}, size {event.number} of {event.sizes}, "
                    f"from step {event.step} of {self.steps}"
                )
            case Stroke():
                self._stroke(event)
            case Ended():
                self._line(
                    f"{event.reason} after {plural(event.step, 'step')} "
                    f"in {duration(self.clock() - self.begun)}"
                )

    def _stroke(self, event: Stroke) -> None:
        now = self.clock()
        if now - self.said < (_LIVE_EVERY if self.live else SAY_EVERY):
            return
        self.said = now
        style, content, variation = event.losses.tolist()
        text = f"step {event.step} of {self.steps}  style {style:.4f}  content {content:.4f}  "
        text += f"variation {variation:.4f}"
        if event.share > self.first:
            left = (now - self.begun) * (1 - event.share) / (event.share - self.first)
            text += f"  {duration(left)} left"
        if self.live:
            self.stream.write(f"\r\x1b[K{text}")
            self.stream.flush()
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        self.stream.write(f"\r\x1b[K{text}\n" if self.live else f"{text}\n")
        self.stream.flush()


class Pictures:
    """The picture after every `every` steps, beside `out`: out-0100.png, out-0200.png, ..."""

    def __init__(self, out: Path, every: int) -> None:
        self.out, self.every = out, every

    def __call__(self, event: Event) -> None:
        if isinstance(event, Stroke) and event.step % self.every == 0:
            write_bytes(self.out.with_stem(f"{self.out.stem}-{event.step:04d}"), grids.alone(event.picture()))
