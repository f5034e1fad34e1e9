"""Layer: one entry of a layer list, of whatever kind; the kinds are in `layer_list`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict
from torch import nn

from neocog.zoo.architectures import Shape

Named = Iterator[tuple[str, nn.Module]]


class Layer(BaseModel):
    """One entry of the list. `modules` yields (word, module) for an input of `shape`; the word becomes the
    stage's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str | None = None

    def modules(self, shape: Shape, classes: int) -> Named:
        raise AssertionError("every kind of layer says its own modules")
