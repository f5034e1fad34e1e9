"""State: all that has to be on disk to go on after a kill at any moment, and the file that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neocog import sealed
from neocog.errors import UnreadableError
from neocog.optim.average import Average
from neocog.optim.optimizers import Optimizer
from neocog.recipes.recipe import Recipe, from_json
from neocog.zoo.blocks import Network


@dataclass(slots=True)
class State:
    """Where a training stands. `step` counts done steps, `epoch` whole epochs; the rest up to `pictures` is
    of the epoch under way: `rows` are how many of its pictures were taken, which is its place in the epoch
    whatever the size of the batches.
    """

    step: int = 0
    epoch: int = 0
    rows: int = 0
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
        """Begin the next epoch and its sums."""
        self.loss_sum.zero_()
        self.right.zero_()
        self.pictures = self.rows = 0
        self.epoch += 1

    def to(self, device: torch.device) -> None:
        """Keep the sums on `device`, so that adding to them waits for nothing."""
        self.loss_sum, self.right = self.loss_sum.to(device), self.right.to(device)


NUMBERS = ("step", "pictures", "best_score", "best_epoch", "patience_from", "finished")
"""The fields of State that are not tensors, and that every state file has."""

PLACE = ("epoch", "rows")
"""Those that a state file has had since epochs can change their number of steps; before, step said both."""


@dataclass(slots=True)
class Live:
    """What changes while training goes on, and nothing else: it is what the state file holds."""

    network: Network
    optimizer: Optimizer
    scaler: torch.amp.GradScaler
    average: Average
    state: State


@dataclass(frozen=True, slots=True)
class Saved:
    """A state file, read and checked. `recipe` is the one under which it was saved, `metrics` the text of
    metrics.jsonl at that time; None in files of versions that did not keep them.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    document: Mapping[str, Any]

    @property
    def recipe(self) -> Recipe | None:
        found = self.document.get("recipe")
        return None if found is None else from_json(found, within=str(self.path))

    @property
    def metrics(self) -> str | None:
        return self.document.get("metrics")

    @property
    def metrics_bytes(self) -> int:
        return int(self.document["metrics_bytes"])

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name begins with `prefix`, without it."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    def state(self, *, per_epoch: int, batch: int) -> State:
        """Where the training stood; `per_epoch` and `batch` are those of a file that says no epoch."""
        values: dict[str, Any] = {name: self.document[name] for name in NUMBERS}
        if values["best_score"] is not None:
            values["best_score"] = tuple(values["best_score"])
        step = values["step"]
        place = {"epoch": step // per_epoch, "rows": step % per_epoch * batch}
        values |= {name: self.document.get(name, place[name]) for name in PLACE}
        return State(loss_sum=self.tensors["sums/loss"], right=self.tensors["sums/right"], **values)

    def optimizer(self) -> dict[int, dict[str, Any]]:
        """The optimizer's memory: of parameter number i, its tensors and numbers by name."""
        states: dict[int, dict[str, Any]] = {}
        for name, value in (*self.part("optimizer/").items(), *self.document["optimizer"].items()):
            index, key = name.split("/")
            states.setdefault(int(index), {})[key] = value
        return states


def read(path: Path) -> Saved:
    """The state file at `path`, every byte checked."""
    saved = Saved(path, *sealed.read(path))
    missing = {*NUMBERS, "optimizer", "scaler", "metrics_bytes"} - saved.document.keys()
    if missing or not {"sums/loss", "sums/right"} <= saved.tensors.keys():
        raise UnreadableError(f"{path} is a tensor file, but no state of a training; restore it")
    return saved


def write(path: Path, live: Live, *, recipe: Recipe, metrics: str) -> None:
    """Write the full state, atomically, with the recipe in force and the text of metrics.jsonl."""
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
        **{name: getattr(state, name) for name in (*NUMBERS, *PLACE)},
        "optimizer": numbers,
        "scaler": live.scaler.state_dict(),
        "recipe": recipe.json(),
        "metrics": metrics,
        "metrics_bytes": len(metrics.encode()),
    }
    sealed.write(path, tensors, document)


def load_optimizer(optimizer: Optimizer, states: dict[int, dict[str, Any]]) -> None:
    """Give `optimizer` the memory `states`, by the number of the parameter."""
    parameters = [p for group in optimizer.inner.param_groups for p in group["params"]]
    for place, state in states.items():
        for key, value in state.items():
            # in the memory layout of their parameter, or fused steps fall back to slow ones
            if isinstance(value, Tensor) and value.shape == parameters[place].shape and value.ndim > 0:
                state[key] = torch.empty_like(parameters[place], dtype=value.dtype).copy_(value)
    document = optimizer.state_dict()
    optimizer.load_state_dict({"state": states, "param_groups": document["param_groups"]})
