"""Restore: a damaged picture in, the undamaged one out; how near to it that comes, and whether it is nearer
than the damaged picture and a median filter.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.data.dataset import Split
from neocog.data.targets import PICTURES
from neocog.errors import CheckFailed, UsageError, escaped
from neocog.pictures.decode import Preprocess
from neocog.show.words import jsonable, plural, table
from neocog.tasks.quality import median_filtered, psnr, ssim
from neocog.tasks.task import Columns

UNIT = Preprocess()
PIECE = 256
"""Pictures compared at a time."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Mean squared error between the network's picture and the undamaged one, both scaled as `preprocess`
    scales inputs. PSNR and SSIM are of levels 0..255, whatever the scale.

    Targets are pictures (N, C, H, W) of 0..255, uint8 or float32.
    """

    classes: tuple[str, ...]
    label_smoothing: float = 0.0
    weights: Tensor | None = None
    preprocess: Preprocess = UNIT

    name: str = "restore"
    figure: str = "psnr"

    @classmethod
    def fits(cls, y: Tensor) -> bool:
        """Whether the targets `y` of a data set are pictures."""
        return PICTURES.fits(y)

    @classmethod
    def balanced(cls, y: Tensor, classes: int) -> Tensor:
        """`UsageError`: pictures that are restored have no classes."""
        raise UsageError("balance=loss weighs classes, and pictures that are restored have none; leave it")

    def levels(self, outputs: Tensor) -> Tensor:
        """Outputs (N, C, H, W) as levels 0..255, red, green, blue; what lies beyond is cut off."""
        ends = torch.tensor([0.0, 255.0], device=outputs.device).view(2, 1, 1, 1)
        low, high = self.preprocess.normalise(ends.repeat(1, outputs.shape[1], 1, 1))
        found: Tensor = ((outputs - low) / (high - low) * 255).clamp(0, 255)
        return found.flip(1) if self.preprocess.order == "bgr" else found

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean squared error; see `Task.loss`."""
        return F.mse_loss(outputs, self.preprocess.normalise(y))

    def count(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The PSNR of the pictures in dB, added up."""
        return psnr(self.levels(outputs), y).sum()

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(N,): the mean squared error of each picture."""
        return (outputs - self.preprocess.normalise(y)).square().flatten(1).mean(1)

    def tally(self) -> RestoreTally:
        """An empty account of an evaluation."""
        return RestoreTally(self)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """(N, C, H, W), uint8: the restored pictures."""
        return self.levels(outputs).round().byte()

    def predicted(self, probabilities: Tensor) -> Tensor:
        return probabilities

    def right(self, predicted: Tensor, y: Tensor) -> Tensor:
        """(N,), bool: pictures that are restored to the last level."""
        return (predicted == y).flatten(1).all(1)

    def named(self, answer: Tensor) -> str:
        """A picture has no words."""
        return ""

    def sureness(self, probabilities: Tensor, predicted: Tensor, truth: Tensor, loss: float) -> Sequence[str]:
        return [f"loss {loss:.4f}"]


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near pictures are to the undamaged ones: PSNR in dB and SSIM, means over the pictures."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class RestoreReport:
    """What `evaluate` finds: the `restored` pictures, beside the `damaged` ones and those that a 3 x 3
    `median` filter makes of them; None where nothing was measured.
    """

    split: str
    n: int
    loss: float | None
    restored: Nearness | None
    damaged: Nearness | None = None
    median: Nearness | None = None
    remarks: tuple[str, ...] = ()

    @property
    def score(self) -> tuple[float, float]:
        """The lower loss is the better."""
        return (0.0 if self.loss is None else -self.loss), 0.0

    def figures(self) -> dict[str, float | None]:
        """Loss and PSNR, as an epoch's line has them."""
        return {"loss": self.loss, "psnr": self.restored.psnr if self.restored else None}

    def result(self) -> dict[str, Any]:
        """The loss, and PSNR and SSIM of restored, damaged and median-filtered pictures."""
        found: dict[str, Any] = {"n": self.n, "loss": self.loss}
        for name, nearness in self._rows():
            prefix = "" if name == "restored" else f"{name}_"
            found |= {f"{prefix}psnr": nearness.psnr, f"{prefix}ssim": nearness.ssim}
        return found

    def _rows(self) -> list[tuple[str, Nearness]]:
        rows = (("restored", self.restored), ("damaged", self.damaged), ("median", self.median))
        return [(name, nearness) for name, nearness in rows if nearness is not None]

    def headline(self) -> tuple[tuple[str, str], ...]:
        """The figures at the top of a report."""
        words = {
            "restored": f"restored {self.split} pictures",
            "damaged": "the damaged pictures",
            "median": "a median filter",
        }
        found = [(f"{each.psnr:.2f} dB, {each.ssim:.3f}", words[name]) for name, each in self._rows()]
        loss = [(f"{self.loss:.4f}", "loss (mean squared error)")] if self.loss is not None else []
        return (*found, (f"{self.n:,}", f"{self.split} pictures"), *loss)

    def columns(self) -> Columns:
        return Columns()

    def beside(self, split: Split) -> RestoreReport:
        """The same with how near the damaged pictures of `split` are, and a median filter of them."""
        if not self.n:
            return self
        rows = range(0, len(split), PIECE)
        pieces = [split.take(torch.arange(start, min(start + PIECE, len(split)))) for start in rows]
        damaged, median = (
            _nearness([(make(x), y) for x, y in pieces]) for make in (Tensor.float, median_filtered)
        )
        return replace(self, damaged=damaged, median=median)

    def with_remarks(self, *remarks: str) -> RestoreReport:
        return replace(self, remarks=(*self.remarks, *remarks))

    def grouped(self, groups: Mapping[str, Sequence[str]]) -> RestoreReport:
        """`UsageError`: there are no classes to group."""
        raise UsageError("pictures that are restored have no classes to group; leave --group out")

    def text(self) -> str:
        """The report as aligned plain text."""
        loss = f", loss {self.loss:.4f}" if self.loss is not None else ""
        rows = [("pictures", "PSNR", "SSIM")]
        rows += [(name, f"{each.psnr:.2f} dB", f"{each.ssim:.4f}") for name, each in self._rows()]
        lines = [f"{self.split}: {plural(self.n, 'picture')}{loss}", "", *table(rows)]
        return "\n".join([*lines, *(["", *map(escaped, self.remarks)] if self.remarks else [])])

    def json(self) -> dict[str, Any]:
        """The report as one JSON document."""
        return jsonable(asdict(self))  # type: ignore[no-any-return]

    def save(self, path: str | Path) -> None:
        """`UsageError`: there are no confusions to draw."""
        raise UsageError("a restoration has no confusion matrix; its pictures: neocog evaluate RUN --report")

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text())}</pre>"


def _nearness(pieces: Sequence[tuple[Tensor, Tensor]]) -> Nearness:
    """Of all pictures in `pieces`, each (found, wanted)."""
    n = sum(len(y) for _, y in pieces)
    ratio, similarity = (sum(float(measure(x, y).sum()) for x, y in pieces) / n for measure in (psnr, ssim))
    return Nearness(ratio, similarity)


class RestoreTally:
    """Sums over the batches of an evaluation."""

    def __init__(self, task: Restore) -> None:
        self.task = task
        self.n = 0
        self.sums = torch.zeros(3, dtype=torch.float64)

    def add(self, outputs: Tensor, y: Tensor, loss_sum: Tensor) -> None:
        """Count a batch: outputs (N, C, H, W), pictures `y`, and the sum of the losses."""
        levels = self.task.levels(outputs)
        found = [loss_sum.double(), psnr(levels, y).sum(), ssim(levels, y).sum()]
        self.sums += torch.stack(found).cpu()
        self.n += len(y)

    def report(self, classes: tuple[str, ...], *, split: str) -> RestoreReport:
        """The means; `CheckFailed` where an output was not finite."""
        if not self.n:
            return RestoreReport(split, 0, None, None, remarks=("no pictures: nothing was measured",))
        loss, ratio, similarity = (self.sums / self.n).tolist()
        if not self.sums.isfinite().all():
            raise CheckFailed("the network's pictures are not finite; train again with a lower learning rate")
        return RestoreReport(split, self.n, loss, Nearness(ratio, similarity))
