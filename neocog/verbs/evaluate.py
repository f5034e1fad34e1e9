"""evaluate: a trained network, measured on a split it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from neocog.answers import collect
from neocog.data.dataset import Dataset, Split
from neocog.data.folders.picture_cache import Progress
from neocog.data.loading import given
from neocog.errors import UnreadableError, UsageError
from neocog.model import Trained, dataset_of, open_trained
from neocog.report.page import write as write_report
from neocog.report.subject import Subject
from neocog.runs.run import Run, run_of
from neocog.tasks.table import task_name
from neocog.tasks.task import Result
from neocog.world import find


def evaluate(
    what: str | Path | Run | Trained,
    *,
    split: Literal["train", "val", "test"] | None = None,
    data: str | Path | None = None,
    group: Mapping[str, Sequence[str]] | None = None,
    report: str | Path | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    dataset: Dataset | None = None,
) -> Result:
    """Measure a run or model file on its data set, or on `data` (a data set's name or a folder: where that
    says no split of its own and was not trained on, all of it), or on a `dataset` made in Python.

    Default: the test split, else the held-out one (the report says which). `group` joins classes:
    {"vehicle": ["automobile", "truck"]} asks how often the group is right. `report` is where to write
    everything as one HTML page. `weights` goes with a network of the zoo, see `open_trained`. Always in
    float32.
    """
    trained = open_trained(what, weights)
    own = data is None and dataset is None
    if dataset is None:
        dataset = dataset_of(trained, data, progress=progress)
    else:
        dataset = given(dataset, trained.preprocess)
    chosen = split or ("test" if dataset.test is not None else "val" if dataset.val is not None else "train")
    _require_suitable(trained, dataset.split(chosen), own=own)
    answers = collect(trained, dataset.split(chosen), chosen, find(device, "float32").device)
    found = answers.report.with_remarks(*dataset.remarks)
    grouped = found.grouped(group) if group else None
    if report is not None:
        run = run_of(trained)
        subject = Subject(trained=trained, dataset=dataset, answers=answers, run=run, grouped=grouped)
        write_report(Path(report), subject)
    return grouped or found


def _require_suitable(trained: Trained, split: Split, *, own: bool) -> None:
    """`UsageError` for targets of another form than the task's; `UnreadableError` where they are those of the
    data set that the file itself names.
    """
    try:
        task_name(split.y, trained.answers.name)
    except UsageError as error:
        if not own:
            raise
        raise UnreadableError(
            f"{trained.path or 'the network'} contradicts the data set that it names: {error}; "
            "restore the file, or name other data with --data"
        ) from error
