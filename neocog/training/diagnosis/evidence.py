"""Evidence: what one look at a training finds, in numbers; and what the doctor remembers of the looks "
"before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was measured after `step` steps. Shares are fractions 0..1; layers and tensors go by their names.

    loss        mean over the training batches since the look before, as they were trained on
    known       the loss of who sees no picture and knows only how common the classes are
    right       the share of a few training pictures, alike many of each class, that are answered right
    low, high   the least and the largest number that the network is given
    spread      how far the outputs for different pictures lie apart (standard deviation over the pictures,
                root mean square over the outputs)
    dead        of each ReLU, the share of its channels that are 0 everywhere, for every picture looked at
    saturated   of each sigmoid and tanh, the share of numbers where its slope is under a twentieth of the
                steepest
    gradients   of each weight tensor, the root mean square of the loss's gradient
    moved       of each weight tensor, how far the last step moved it, as a share of its own size (both as
                root mean squares over the same sample of numbers)
    still       the weight tensors that no step has moved
    never       class -> its share of the training pictures, for each class that none of the pictures looked
                at was taken for, though some are of it
    others      the share answered right of the pictures that are not of `never`
    fair        the share of the training pictures that each class would have if all had the same
    """

    step: int
    loss: float
    known: float
    right: float
    low: float
    high: float
    spread: float
    dead: Mapping[str, float] = field(default_factory=dict)
    saturated: Mapping[str, float] = field(default_factory=dict)
    gradients: Mapping[str, float] = field(default_factory=dict)
    moved: Mapping[str, float] = field(default_factory=dict)
    still: tuple[str, ...] = ()
    never: Mapping[str, float] = field(default_factory=dict)
    others: float = 1.0
    fair: float = 0.0

    @property
    def stuck(self) -> bool:
        """Whether the network has learned nothing: its loss is no lower than of who sees no picture."""
        return not math.isfinite(self.loss) or self.loss > STUCK * self.known

    @property
    def pace(self) -> float:
        """How far a step moves the middle one of the weight tensors that move, as a share of its size; 0
        where none moves.
        """
        found = sorted(share for share in self.moved.values() if share > 0)
        return found[len(found) // 2] if found else 0.0

    @property
    def reach(self) -> float:
        """The gradient's root mean square in the first weight tensor over that in the last; 1 for fewer
        than two.
        """
        sizes = list(self.gradients.values())
        return sizes[0] / sizes[-1] if len(sizes) > 1 and sizes[-1] > 0 else 1.0


STUCK = 0.97
