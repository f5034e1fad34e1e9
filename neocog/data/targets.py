"""Targets: the forms that the answers of a data set have, and what each of them means.

Whoever wants to know more of targets than that there is one row a picture asks their form. Another form is a
class here with these methods, and its place in `FORMS`.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from neocog.errors import UsageError


class Form(Protocol):
    """What is asked of targets `y`, one row a picture; `classes` is how many classes there are."""

    def fits(self, y: Tensor) -> bool:
        """Whether `y` has this form."""

    def members(self, y: Tensor, classes: int) -> Tensor:
        """(N, classes), bool: which pictures are of which class, or carry which label."""

    def counts(self, y: Tensor, classes: int) -> list[int]:
        """How many pictures are of each class, or carry each label."""

    def only(self, y: Tensor) -> list[int | None]:
        """The number of each picture's class; None where pictures are not of one class each."""

    def strata(self, y: Tensor) -> Tensor:
        """int64 (N,), at least 0: pictures of one number are alike where they are divided by class."""

    def renumbered(self, y: Tensor, places: Tensor, classes: int) -> Tensor:
        """The same targets where class k is number `places[k]` of `classes`."""

    def shares(self, y: Tensor, classes: int) -> Tensor:
        """float32 (N, classes), 0..1: how much of each class a picture shows, for targets to be mixed."""

    def chances(self, y: Tensor, classes: int) -> Tensor:
        """float64 (N,): how often to draw each picture for classes to come alike often; not summing to 1.

        `UsageError` where a picture is not of one class.
        """


class ClassIndices:
    """One class a picture: its number, int64 (N,)."""

    def fits(self, y: Tensor) -> bool:
        return y.ndim == 1 and not y.is_floating_point()

    def members(self, y: Tensor, classes: int) -> Tensor:
        return y[:, None] == torch.arange(classes, device=y.device)

    def counts(self, y: Tensor, classes: int) -> list[int]:
        return [int(n) for n in torch.bincount(y, minlength=classes)]

    def only(self, y: Tensor) -> list[int | None]:
        return [int(k) for k in y]

    def strata(self, y: Tensor) -> Tensor:
        return y

    def renumbered(self, y: Tensor, places: Tensor, classes: int) -> Tensor:
        return places[y]

    def shares(self, y: Tensor, classes: int) -> Tensor:
        return F.one_hot(y, classes).float()

    def chances(self, y: Tensor, classes: int) -> Tensor:
        counts = torch.bincount(y, minlength=classes).clamp(min=1)
        return 1 / counts[y].double()


class LabelSets:
    """Any number of labels a picture, (N, classes): 1 for each that it carries, else 0; float32. Mixed
    pictures carry shares between 0 and 1.
    """

    def fits(self, y: Tensor) -> bool:
        return y.ndim == 2

    def members(self, y: Tensor, classes: int) -> Tensor:
        return y > 0

    def counts(self, y: Tensor, classes: int) -> list[int]:
        return [int(n) for n in y.sum(0)]

    def only(self, y: Tensor) -> list[int | None]:
        return [None] * len(y)

    def strata(self, y: Tensor) -> Tensor:
        number: Tensor = torch.unique(y, dim=0, return_inverse=True)[1]
        return number

    def renumbered(self, y: Tensor, places: Tensor, classes: int) -> Tensor:
        moved = torch.zeros(len(y), classes, dtype=y.dtype)
        moved[:, places] = y
        return moved

    def shares(self, y: Tensor, classes: int) -> Tensor:
        return y.float()

    def chances(self, y: Tensor, classes: int) -> Tensor:
        raise UsageError("balance=sampler needs one class a picture, these have label sets; use balance=loss")


class Pictures:
    """A picture for each picture, (N, C, H, W), 0..255: what a damaged one is to become."""

    def fits(self, y: Tensor) -> bool:
        return y.ndim == 4

    def members(self, y: Tensor, classes: int) -> Tensor:
        return torch.zeros(len(y), classes, dtype=torch.bool, device=y.device)

    def counts(self, y: Tensor, classes: int) -> list[int]:
        return [0] * classes

    def only(self, y: Tensor) -> list[int | None]:
        return [None] * len(y)

    def strata(self, y: Tensor) -> Tensor:
        return torch.zeros(len(y), dtype=torch.int64)

    def renumbered(self, y: Tensor, places: Tensor, classes: int) -> Tensor:
        return y

    def shares(self, y: Tensor, classes: int) -> Tensor:
        raise UsageError("mixup and cutmix mix classes, and pictures that are restored have none; leave them")

    def chances(self, y: Tensor, classes: int) -> Tensor:
        raise UsageError("balance=sampler draws classes, and pictures that are restored have none; leave it")


CLASS_INDICES, LABEL_SETS, PICTURES = ClassIndices(), LabelSets(), Pictures()
FORMS: tuple[Form, ...] = (CLASS_INDICES, LABEL_SETS, PICTURES)


def form_of(y: Tensor) -> Form:
    """The form that targets `y` have; `UsageError` where it is none of `FORMS`."""
    for form in FORMS:
        if form.fits(y):
            return form
    raise UsageError(
        f"targets of shape {tuple(y.shape)} and type {str(y.dtype).removeprefix('torch.')} are no labels; "
        "give class indices (N,), int64, or label sets (N, classes), float32"
    )


def are_labels(y: Tensor) -> bool:
    """Whether targets `y` say classes."""
    return CLASS_INDICES.fits(y) or LABEL_SETS.fits(y)


def named(y: Tensor, classes: tuple[str, ...]) -> list[str]:
    """The classes of each picture in words, joined by ' + '; '' of a picture that carries none."""
    members = form_of(y).members(y, len(classes))
    return [" + ".join(classes[k] for k in of.nonzero().flatten().tolist()) for of in members]
