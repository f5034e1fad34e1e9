"""Layer: one entry of a layer list, of whatever kind; the kinds are in `layer_list`. Penalty: what the size
of a layer's weights adds to the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, field_validator
from torch import Tensor, nn

from neocog.zoo.architectures import Shape

Named = Iterator[tuple[str, nn.Module]]
M = TypeVar("M", bound=nn.Module)


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


@dataclass(frozen=True, slots=True)
class Penalty:
    """l1 * sum |w| + l2 * sum w^2 over the weights of one layer, its biases left out. Keras' numbers: l2 here
    pulls by 2 l2 w, a weight decay of 0.002 is an l2 of 0.001.
    """

    l1: float = 0.0
    l2: float = 0.0

    def of(self, weight: Tensor) -> Tensor:
        """The penalty of `weight`, a scalar in float32."""
        weight = weight.float()
        return self.l1 * weight.abs().sum() + self.l2 * weight.square().sum()


def penalised(module: M, *, l1: float, l2: float) -> M:
    """`module`, whose `weight` is penalised from now on; as it is where both are 0."""
    if l1 or l2:
        module.penalty = Penalty(l1, l2)  # type: ignore[assignment]  # a plain attribute of the module
    return module


def penalty_of(module: nn.Module) -> Penalty:
    """The penalty of one layer; nothing where it has none."""
    found = vars(module).get("penalty")
    return found if isinstance(found, Penalty) else Penalty()


def penalties(network: nn.Module) -> Iterator[Tensor]:
    """The penalties of every layer of `network` that has one and learns, as scalars."""
    for module in network.modules():
        weight = module._parameters.get("weight")
        if weight is not None and weight.requires_grad and "penalty" in vars(module):
            yield penalty_of(module).of(weight)
