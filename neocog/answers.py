"""Answers: what a trained network says of every picture of a split, from the very pass that measures it.

Reports and predictions read them, so that a picture shown as wrong is one that the accuracy counted as wrong.
A run keeps those of its end in `answers.safetensors`, so that runs are compared without running them again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from neocog import sealed
from neocog.data.dataset import Dataset, Split
from neocog.data.targets import PICTURES
from neocog.errors import UnreadableError
from neocog.model import Trained
from neocog.tasks.table import TASKS
from neocog.tasks.task import Result, Task

FORMAT = 1
ANSWERS_FILE = "answers.safetensors"

MOST_KEPT = 64
"""MiB of answers that a run keeps; larger ones are left out, and the run remarks it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PictureAnswers:
    """One row per picture, in the split's order, on the CPU.

    probabilities  (n, classes), float32: of one class in many each row sums to 1, of labels each is by
                   itself; or restored pictures (n, C, H, W), uint8
    truth          the task's targets: class indices (n,), int64; label sets (n, classes), float32; or
                   pictures (n, C, H, W), uint8
    losses         (n,), float32: the task's, in nats
    """

    task: Task
    probabilities: Tensor
    truth: Tensor
    losses: Tensor

    def __len__(self) -> int:
        return len(self.truth)

    @functools.cached_property
    def predicted(self) -> Tensor:
        """The answers as the task gives them: class indices (n,), int64; or which labels are given,
        (n, classes), bool.
        """
        return self.task.predicted(self.probabilities)

    @functools.cached_property
    def right(self) -> Tensor:
        """(n,), bool; for label sets whether all labels are right."""
        return self.task.right(self.predicted, self.truth)

    def named(self, labels: Tensor) -> str:
        """One row of `truth` or `predicted` in words: a class, or labels joined by ' + ' ('none' of none)."""
        return self.task.named(labels)

    def first(self, verdict: Literal["right", "wrong"]) -> int | None:
        """The first picture that was answered so; None where there is none."""
        rows = (self.right == (verdict == "right")).nonzero().flatten()
        return int(rows[0]) if len(rows) else None

    def worst(self, most: int) -> tuple[int, ...]:
        """Wrongly answered pictures, at most so many, the highest loss first; equal losses in their order."""
        wrong = (~self.right).nonzero().flatten()
        order = self.losses[wrong].sort(descending=True, stable=True).indices
        return tuple(wrong[order[:most]].tolist())


@dataclass(frozen=True, eq=False, kw_only=True)
class Answers(PictureAnswers):
    """Answers with `report`, the measurement of the same pass."""

    report: Result


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedAnswers(PictureAnswers):
    """Answers as `read` finds them in a file. Of two files with the same `data_fingerprint` and `split`, row
    i is the same picture.

    names             where each picture came from, empty for sets that are arrays
    model_sha256      64 hex digits: the digest that stands in the model file that gave these answers
    data_fingerprint  SHA-256 over the pictures, labels and class names of the data set
    """

    split: str
    names: tuple[str, ...]
    model_sha256: str
    data_fingerprint: str

    def are_of(self, model_file: Path) -> bool:
        """Whether the model file, as it is now, gave these answers. Reads its header alone."""
        return sealed.digest(model_file) == self.model_sha256


class _Collector:
    """Keeps of every batch what `Answers` holds, in memory set aside once."""

    def __init__(self, task: Task, split: Split) -> None:
        self.task = task
        self.probabilities = torch.empty(len(split), len(task.classes))
        self.truth = torch.empty_like(split.y)
        self.losses = torch.empty(len(split))
        self.seen = 0

    def __call__(self, logits: Tensor, y: Tensor) -> None:
        rows = slice(self.seen, self.seen + len(y))
        found = self.task.probabilities(logits).cpu()
        if found.shape[1:] != self.probabilities.shape[1:]:  # pictures, not classes
            self.probabilities = torch.empty(len(self.truth), *found.shape[1:], dtype=found.dtype)
        self.probabilities[rows] = found
        self.truth[rows] = y.cpu()
        self.losses[rows] = self.task.losses(logits, y).cpu()
        self.seen += len(y)


def collect(trained: Trained, split: Split, name: str, device: torch.device) -> Answers:
    """Measure `trained` on `split`, called `name` in the report, and keep its answer to every picture.

    Raises `CheckFailed` where an output is not finite. Memory: 4 (classes + 3) bytes a picture.
    """
    kept = _Collector(trained.answers, split)
    report = trained.measure(split, name, device, onlooker=kept)
    return Answers(
        task=trained.answers,
        probabilities=kept.probabilities,
        truth=kept.truth,
        losses=kept.losses,
        report=report,
    )


def write(path: Path, answers: Answers, dataset: Dataset, model_file: Path) -> None:
    """Write `answers`, which `model_file` gave on a split of `dataset`, to `path`, atomically and sealed."""
    document = {
        "format": FORMAT,
        "task": answers.task.name,
        "classes": list(answers.task.classes),
        "split": answers.report.split,
        "model_sha256": sealed.digest(model_file),
        "data_fingerprint": dataset.fingerprint,
    }
    sealed.write(path, _tensors(answers, dataset.split(answers.report.split).names), document)


def keep(path: Path, answers: Answers, dataset: Dataset, model_file: Path) -> tuple[str, ...]:
    """`write` up to `MOST_KEPT` MiB; above, write nothing, and say so in the remark that is returned."""
    names = dataset.split(answers.report.split).names
    size = sum(tensor.nbytes for tensor in _tensors(answers, names).values()) / 2**20
    if size <= MOST_KEPT:
        write(path, answers, dataset, model_file)
        return ()
    return (
        f"the answers to the {len(answers):,} {answers.report.split} pictures take {size:,.1f} MiB, more "
        f"than {MOST_KEPT}: they are not kept in {path.name}",
    )


def read(path: Path) -> SavedAnswers:
    """The answers in the file `path`. `UnreadableError` where it is missing, was changed or cut off, or holds
    something else.
    """
    tensors, document = sealed.read(path)
    try:
        if document["format"] > FORMAT or document["task"] not in TASKS:
            raise UnreadableError(
                f"{path} was written by a newer neocog (format {document['format']}, task "
                f"'{document['task']}'); upgrade neocog"
            )
        return _saved(tensors, document)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableError(
            f"{path} is a tensor file, but holds no answers ({error}); give a run's {ANSWERS_FILE}"
        ) from error


def _tensors(answers: Answers, names: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a file. Names are one JSON list in ASCII, as bytes: in the header they would be too
    long.
    """
    tensors = {"probabilities": answers.probabilities, "truth": answers.truth, "losses": answers.losses}
    if names:
        tensors["names"] = torch.frombuffer(bytearray(json.dumps(list(names)).encode()), dtype=torch.uint8)
    return tensors


def _saved(tensors: dict[str, Tensor], document: dict[str, Any]) -> SavedAnswers:
    """Raises `KeyError` or `ValueError` for what is missing or does not fit together."""
    found = SavedAnswers(
        task=TASKS[document["task"]](tuple(document["classes"])),
        probabilities=tensors["probabilities"],
        truth=tensors["truth"],
        losses=tensors["losses"],
        split=document["split"],
        names=tuple(json.loads(tensors["names"].numpy().tobytes())) if "names" in tensors else (),
        model_sha256=document["model_sha256"],
        data_fingerprint=document["data_fingerprint"],
    )
    n = len(found.truth)
    row = found.truth.shape[1:] if PICTURES.fits(found.truth) else (len(found.task.classes),)
    shapes = tuple(found.probabilities.shape), tuple(found.losses.shape)
    if shapes != ((n, *row), (n,)) or len(found.names) not in (0, n):
        raise ValueError(f"{n} pictures, but {shapes[0]} probabilities and {len(found.names)} names")
    return found
