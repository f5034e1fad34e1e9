"""Classify: one class of many for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.data.targets import CLASS_INDICES
from neocog.pictures.decode import Preprocess
from neocog.show.words import percent
from neocog.tasks.tally import Tally


@dataclass(frozen=True, slots=True)
class Classify:
    """Cross-entropy on softmax, with label smoothing (Szegedy et al. 2016, section 7) if asked. `weights`
    (classes,) multiply the loss of each class's pictures.

    Targets are class indices (N,), int64, or shares (N, classes) where training pictures were mixed.
    """

    classes: tuple[str, ...]
    label_smoothing: float = 0.0
    weights: Tensor | None = None
    preprocess: Preprocess | None = None

    name: str = "classify"
    figure: str = "accuracy"

    @classmethod
    def fits(cls, y: Tensor) -> bool:
        """Whether the targets `y` of a data set are one class each."""
        return CLASS_INDICES.fits(y)

    @classmethod
    def balanced(cls, y: Tensor, classes: int) -> Tensor:
        """Weights that let each class count alike: n / (classes n_c), float32 (classes,); 1 for a class
        without pictures.
        """
        counts = torch.bincount(y, minlength=classes)
        return torch.where(counts > 0, len(y) / (classes * counts.clamp(min=1)), 1.0).float()

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The mean cross-entropy; see `Task.loss`."""
        if self.weights is None:
            return F.cross_entropy(outputs, y, label_smoothing=self.label_smoothing)
        # Divided by the number of pictures, not by their weights: a batch of rare classes shall count for
        # more.
        smoothing = self.label_smoothing
        losses = F.cross_entropy(outputs, y, self.weights, reduction="sum", label_smoothing=smoothing)
        return losses / len(y)

    def count(self, outputs: Tensor, y: Tensor) -> Tensor:
        """How many pictures were right; of a mixed picture the class with the larger share counts."""
        return (outputs.argmax(1) == (y if self.fits(y) else y.argmax(1))).sum()

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """(N,): the plain cross-entropy of each picture, unweighted."""
        return F.cross_entropy(outputs, y, reduction="none")

    def tally(self) -> Tally:
        """An empty account of an evaluation."""
        return Tally(len(self.classes))

    def probabilities(self, outputs: Tensor) -> Tensor:
        """(N, classes), each row summing to 1."""
        return outputs.softmax(1)

    def predicted(self, probabilities: Tensor) -> Tensor:
        """(N,), int64: the likeliest class, of equals the one that `tally` counts."""
        return probabilities.max(1).indices

    def right(self, predicted: Tensor, y: Tensor) -> Tensor:
        """(N,), bool."""
        return predicted == y

    def named(self, answer: Tensor) -> str:
        """The class of an index ()."""
        return self.classes[int(answer)]

    def sureness(self, probabilities: Tensor, predicted: Tensor, truth: Tensor, loss: float) -> Sequence[str]:
        """How likely the answer was held, and the truth where that is another."""
        said = [f"{percent(float(probabilities[int(predicted)]), digits=1)} sure"]
        return (
            [*said, f"truth {percent(float(probabilities[int(truth)]), digits=1)}"]
            if truth != predicted
            else said
        )
