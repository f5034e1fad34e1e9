"""Run: the folder of one training, and State, all that has to be on disk to go on after a kill at any
moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neocog import sealed
from neocog.errors import UnreadableError, UsageError
from neocog.files import read_json, write_json
from neocog.model import MODEL_FILE, Trained
from neocog.optim.average import Average
from neocog.optim.optimizers import Optimizer
from neocog.recipes.recipe import Recipe, from_json
from neocog.zoo.blocks import Network

RUNS = "runs"


@dataclass(slots=True)
class State:
    """Where a training stands. `step` counts done steps; the sums are of the epoch under way."""

    step: int = 0
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    right: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    pictures: int = 0
    best_score: tuple[float, float] | None = None
    best_epoch: int | None = None
    patience_from: int = 0
    finished: str = ""

    def add(self, pictures: int, loss: Tensor, right: Tensor) -> None:
        """Count one step over so many `pictures`."""
        self.step += 1
        self.pictures += pictures
        self.loss_sum += loss.double() * pictures
        self.right += right

    def close_epoch(self) -> None:
        """Begin the next epoch's sums."""
        self.loss_sum.zero_()
        self.right.zero_()
        self.pictures = 0

    def to(self, device: torch.device) -> None:
        """Keep the sums on `device`, so that adding to them waits for nothing."""
        self.loss_sum, self.right = self.loss_sum.to(device), self.right.to(device)


NUMBERS = ("step", "pictures", "best_score", "best_epoch", "patience_from", "finished")
"""The fields of State that are not tensors."""


@dataclass(slots=True)
class Live:
    """What changes while training goes on, and nothing else: it is what the state file holds."""

    network: Network
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: Average
    state: State


@dataclass(frozen=True, slots=True)
class Run:
    """A folder: `recipe.json` (asked), `facts.json` (happened), `metrics.jsonl`, `status.json`,
    `last.safetensors` (full state), `model.safetensors` (best), `model.json`, and pictures.
    """

    path: Path

    @property
    def recipe_file(self) -> Path:
        return self.path / "recipe.json"

    @property
    def facts_file(self) -> Path:
        return self.path / "facts.json"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def state_file(self) -> Path:
        return self.path / "last.safetensors"

    @property
    def model_file(self) -> Path:
        return self.path / MODEL_FILE

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    def json(self) -> dict[str, Any]:
        """What a training came to: run, epochs, seconds, test_accuracy (None without a test split)."""
        facts = self.facts()
        result = facts.get("result", {})
        return {
            "run": str(self.path),
            "epochs": result.get("epochs", len(self.metrics())),
            "seconds": facts.get("seconds", 0.0),
            "test_accuracy": result.get("test_accuracy"),
        }

    def text(self) -> str:
        result, figures = self.facts().get("result", {}), self.json()
        reason = result.get("reason", "not finished")
        lines = [f"{self.path}: {figures['epochs']} epochs in {figures['seconds']:.1f} s ({reason})"]
        if result.get("test_accuracy") is not None:
            low, high = result["test_interval"]
            lines.append(
                f"test accuracy {result['test_accuracy']:.2%} [{low:.2%}, {high:.2%}] "
                f"on {result['test_n']:,} pictures"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The result and the curves, for notebooks."""
        from neocog.show import charts, markup

        curves = markup.image(charts.training_curves(self.metrics()), alt="loss and accuracy over epochs")
        return f"<pre>{markup.text(self.text())}</pre>{curves}"

    def recipe(self) -> Recipe:
        return from_json(read_json(self.recipe_file), within=str(self.recipe_file))

    def facts(self) -> dict[str, Any]:
        return dict(read_json(self.facts_file))

    def write_recipe(self, recipe: Recipe) -> None:
        write_json(self.recipe_file, recipe.json())

    def write_facts(self, facts: dict[str, Any]) -> None:
        write_json(self.facts_file, facts)

    def metrics(self) -> list[dict[str, Any]]:
        """One dictionary per epoch; a last line that a kill cut off is left out."""
        if not self.metrics_file.exists():
            return []
        lines = self.metrics_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder's lock; a second training in the same folder is refused."""
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise UsageError(
                    f"another process is training in {self.path}; wait for it or choose another --out"
                ) from None
            yield

    def save(self, live: Live) -> None:
        """Write the full state, atomically, with the present length of metrics.jsonl."""
        state = live.state
        tensors = {f"network/{name}": tensor for name, tensor in live.network.state_dict().items()}
        tensors |= {f"average/{name}": tensor for name, tensor in live.average.state().items()}
        tensors |= {"sums/loss": state.loss_sum, "sums/right": state.right}
        numbers: dict[str, Any] = {}
        for index, values in live.optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{key}"] = value
                else:
                    numbers[f"{index}/{key}"] = value
        document = {
            **{name: getattr(state, name) for name in NUMBERS},
            "optimizer": numbers,
            "scaler": live.scaler.state_dict(),
            "metrics_bytes": self.metrics_file.stat().st_size if self.metrics_file.exists() else 0,
        }
        sealed.write(self.state_file, tensors, document)

    def saved(self) -> dict[str, Any]:
        """What the state file says of itself: step, best epoch, whether the training is finished."""
        return sealed.document(self.state_file)

    def load(self, live: Live) -> None:
        """Put the saved state into `live`, and cut metrics.jsonl to the length that it had then."""
        tensors, document = sealed.read(self.state_file)
        live.network.load_state_dict(_part(tensors, "network/"))
        live.average.load(_part(tensors, "average/"))
        _load_optimizer(live.optimizer, tensors, document["optimizer"])
        if document["scaler"]:
            live.scaler.load_state_dict(document["scaler"])
        if self.metrics_file.exists() and self.metrics_file.stat().st_size > document["metrics_bytes"]:
            os.truncate(self.metrics_file, document["metrics_bytes"])
        numbers = {name: document[name] for name in NUMBERS}
        if (score := numbers["best_score"]) is not None:
            numbers["best_score"] = (score[0], score[1])
        live.state = State(loss_sum=tensors["sums/loss"], right=tensors["sums/right"], **numbers)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name begins with `prefix`, without it."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _load_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    states: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            states.setdefault(int(index), {})[key] = tensor
    for name, number in numbers.items():
        index, key = name.split("/")
        states.setdefault(int(index), {})[key] = number
    parameters = [p for group in optimizer.inner.param_groups for p in group["params"]]
    for (
        place,
        state,
    ) in states.items():  # in the memory layout of their parameter, or fused steps fall back to slow ones
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameters[place].shape and value.ndim > 0:
                state[key] = torch.empty_like(parameters[place], dtype=value.dtype).copy_(value)
    document = optimizer.state_dict()
    optimizer.load_state_dict({"state": states, "param_groups": document["param_groups"]})


def create(name: str, out: Path | None) -> Run:
    """A new folder for a run: `out` itself, or runs/NAME, runs/NAME-2, ... Making the folder is the claim
    to it.
    """
    if out is not None:
        if (out / "recipe.json").exists() or (out.exists() and not out.is_dir()):
            raise UsageError(
                f"{out} exists already; choose another --out, or go on with: neocog train --resume {out}"
            )
        out.mkdir(parents=True, exist_ok=True)
        return Run(out)
    folder = Path(os.environ.get("NEOCOG_RUNS_DIR", RUNS))
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return Run(path)
        except FileExistsError:
            number += 1


def run_of(trained: Trained) -> Run | None:
    """The run whose model file `trained` was read from; None for a model file on its own."""
    if trained.path is None or not (trained.path.parent / "recipe.json").exists():
        return None
    return Run(trained.path.parent)


def open_run(path: Path) -> Run:
    """The run in the folder `path`."""
    run = Run(path)
    if not run.recipe_file.exists():
        raise UnreadableError(f"{path} is no run: it holds no recipe.json")
    return run
