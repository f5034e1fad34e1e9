"""The tasks by name, and the one that a data set's targets ask for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from neocog.errors import UsageError, unknown
from neocog.tasks.classify import Classify
from neocog.tasks.multilabel import MultiLabel
from neocog.tasks.restore import Restore

AUTO = "auto"
TASKS: Mapping[str, type[Classify] | type[MultiLabel] | type[Restore]] = MappingProxyType(
    {"classify": Classify, "multilabel": MultiLabel, "restore": Restore}
)


def task_name(y: Tensor, asked: str = AUTO) -> str:
    """The task that is `asked` for, or with 'auto' the one that targets `y` fit. Raises `UsageError` where
    they do not fit.
    """
    fitting = [name for name, task in TASKS.items() if task.fits(y)]
    if asked != AUTO and asked not in TASKS:
        raise unknown("task", asked, (AUTO, *TASKS))
    if not fitting or asked not in (AUTO, *fitting):
        what = f"targets of shape {tuple(y.shape)} and type {str(y.dtype).removeprefix('torch.')}"
        raise UsageError(f"{what} do not suit the task '{asked}'; they suit: {', '.join(fitting) or 'none'}")
    return fitting[0] if asked == AUTO else asked
