"""Layer: one entry of a layer list, of whatever kind; the kinds are in `layer_list`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, field_validator
from torch import nn

from neocog.zoo.architectures import Shape

Named = Iterator[tuple[str, nn.Module]]


class Layer(BaseModel):
    """One entry of the list. `modules` yields (word, module) for an input of `shape`; the word becomes the
    stage's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    name: str | None = None

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str | None) -> str | None:
        """A stage is a member of a module, whose own words ('forward', 'train') and dots cannot be names."""
        if name is not None and (not name or "." in name or hasattr(nn.Module(), name)):
            raise ValueError(f"'{name}' cannot be a layer's name: torch's modules use it; choose another")
        return name

    def modules(self, shape: Shape, classes: int) -> Named:
        raise AssertionError("every kind of layer says its own modules")
