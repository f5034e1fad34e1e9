"""Watchers of a training's events: the console, metrics.jsonl with status.json, TensorBoard. The loop
knows none of them.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from types import TracebackType
from typing import IO, Any

from neocog.errors import optional
from neocog.events import Epoch, Event, Finding, Finished, Started, Step, document
from neocog.runs.run import Run
from neocog.show.words import duration, percent

STATUS_EVERY = 5.0  # seconds between two writes of status.json


class Console:
    """Progress on stderr: one live line on a terminal, one line an epoch anywhere else, no carriage
    returns in files.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self.stream = stream if stream is not None else sys.stderr
        self.epochs = self.steps = self.per_epoch = 0
        self.first = 0
        self.begun = time.monotonic()
        self.live: Any = None

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __call__(self, event: Event) -> None:
        match event:
            case Started():
                self._started(event)
            case Step():
                self._step(event)
            case Epoch():
                self._print(epoch_line(event, self.epochs, left=self._left(event.step)))
            case Finding():
                self._print(f"{event.sentence} {event.cure}")
            case Finished():
                self._close()
                kept = f"; epoch {event.best_epoch} is kept" if event.best_epoch else ""
                self._print(f"{event.reason} after {event.epoch} epoch{'s' * (event.epoch != 1)}{kept}")

    def _started(self, event: Started) -> None:
        self.epochs, self.steps, self.per_epoch, self.first = (
            event.epochs,
            event.steps,
            event.steps_per_epoch,
            event.step,
        )
        for remark in event.remarks:
            self._print(remark)
        if self.stream.isatty():
            from rich.console import Console as Terminal
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self.live = Progress(
                TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=Terminal(file=self.stream),
                transient=True,
            )
            self.live.start()
            self.task = self.live.add_task(
                "",
                total=event.steps,
                completed=event.step,
                epoch=event.epoch,
                epochs=event.epochs,
                figures="",
            )
            self.shown = 0.0

    def _step(self, event: Step) -> None:
        if self.live is None or time.monotonic() - self.shown < 0.2:
            return
        self.shown = time.monotonic()
        speed = (event.step - self.first) * event.pictures / max((event.step - 1) % self.per_epoch + 1, 1)
        speed /= max(self.shown - self.begun, 1e-9)
        figures = f"loss {float(event.loss):.4f}  {speed:,.0f} pictures/s"
        self.live.update(self.task, completed=event.step, epoch=event.epoch, figures=figures)

    def _left(self, step: int) -> float:
        done = step - self.first
        return (time.monotonic() - self.begun) / done * (self.steps - step) if done else 0.0

    def _print(self, line: str) -> None:
        try:
            if self.live is not None:
                self.live.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=self.stream, flush=True)
        except (OSError, ValueError):  # a reader that went away, or a full disk, must not end a training
            self.stream = io.StringIO()

    def _close(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None


def epoch_line(event: Epoch, epochs: int, *, left: float) -> str:
    """One line about an epoch: the task's figures, training and held out, speed, time left."""
    parts = [f"epoch {event.epoch}/{epochs}", *_in_words(event.figures)]
    held_out = {name: value for name, value in event.held_out.items() if value is not None}
    if held_out:
        first, *rest = _in_words(held_out)
        parts += [f"{event.watched}: {first}", *rest]
    parts += [f"{event.pictures_per_second:,.0f} pictures/s", duration(event.seconds)]
    if left >= 1:
        parts.append(f"{duration(left)} left")
    return "  ".join(parts)


def _in_words(figures: Mapping[str, float]) -> list[str]:
    """'loss 0.1234', 'accuracy 98.76 %', 'psnr 21.30 dB': whatever has no form of its own is a share."""
    return [
        f"{name} {FORMS[name].format(value) if name in FORMS else percent(value)}"
        for name, value in figures.items()
    ]


FORMS = {"loss": "{:.4f}", "psnr": "{:.2f} dB"}


class Record:
    """What whoever watches from outside can read: metrics.jsonl, one object an epoch; events.jsonl, whatever
    happened, as it happens; status.json, where the training stands now.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.last = 0.0
        self.begun = time.monotonic()
        self.started: Started | None = None
        self.epoch = 1
        self.figures: dict[str, Any] = {}
        self.findings = run.findings()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step) and time.monotonic() - self.last < STATUS_EVERY:
            return
        said = document(event)
        self.run.append("events.jsonl", json.dumps({"time": _now(), **said}))
        match event:
            case Started():
                self.started = event
            case Step():
                self.figures |= {"loss": said["loss"]}
            case Epoch():
                self.figures = metrics_of(event)
                self.run.append(self.run.metrics_file.name, json.dumps(metrics_of(event)))
            case Finding():
                self.findings.append(said)
        match event:
            case Started() | Step():
                self._status(event.step, event.epoch, "training")
            case Epoch():
                self._status(event.step, event.epoch + 1, "training")
            case Finding():
                self._status(event.step, self.epoch, "training")
            case Finished():
                self._status(event.step, event.epoch + 1, event.reason)

    def _status(self, step: int, epoch: int, state: str) -> None:
        assert self.started is not None
        self.last, self.epoch, started = time.monotonic(), epoch, self.started
        done, left = step - started.step, None
        if done and state == "training":
            left = (self.last - self.begun) / done * (started.steps - step)
        status = {
            "state": state,
            "pid": os.getpid(),
            "step": step,
            "steps": started.steps,
            "epoch": min(epoch, started.epochs),
            "epochs": started.epochs,
            "seconds_left": left,
            "updated": _now(),
            "figures": self.figures,
            "remarks": list(started.remarks),
            "findings": self.findings,
        }
        self.run.write("status.json", (json.dumps(status, indent=2) + "\n").encode())


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def metrics_of(event: Epoch) -> dict[str, Any]:
    """What metrics.jsonl holds of an epoch."""
    return {
        "epoch": event.epoch,
        "step": event.step,
        **event.figures,
        **{f"val_{name}": value for name, value in event.held_out.items()},
        "lr": event.lr,
        "seconds": round(event.seconds, 3),
        "pictures_per_second": round(event.pictures_per_second, 1),
        "kept": event.best,
        "watched": event.watched,
    }


class TensorBoard:
    """Loss and accuracy, training and held out, for TensorBoard (extra `tensorboard`), in the run's
    folder.
    """

    def __init__(self, run: Run) -> None:
        optional("tensorboard", extra="tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run.path / "tensorboard"))

    def __call__(self, event: Event) -> None:
        match event:
            case Epoch():
                for name, value in metrics_of(event).items():
                    if isinstance(value, float):
                        kind = event.watched if name.startswith("val_") else "training"
                        self.writer.add_scalar(f"{name.removeprefix('val_')}/{kind}", value, event.epoch)
                self.writer.flush()
            case Finished():
                self.writer.close()
