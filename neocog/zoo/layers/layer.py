"""Layer: one entry of a layer list, of whatever kind, and what several kinds need; the kinds are in
`plain` and `growing`. Penalty: what the size of a layer's weights adds to the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, field_validator
from torch import Tensor, nn

from neocog.errors import ShapeError
from neocog.zoo.architectures import Shape

Named = Iterator[tuple[str, nn.Module]]
M = TypeVar("M", bound=nn.Module)
ACTIVATIONS: dict[str, Any] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


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


def activated(word: str) -> Named:
    """The activation called `word`, a stage of its own; none for 'none'."""
    if word == "softmax":
        yield word, nn.Softmax(dim=1)
    elif word != "none":
        yield word, ACTIVATIONS[word]()


def spatial(shape: Shape) -> int:
    """The number of spatial axes, 1 to 3, of an input of `shape`."""
    if not 2 <= len(shape) <= 4:
        raise ShapeError(
            f"it needs a picture (channels, one to three sizes), but its input is flat, {list(shape)} "
            f"(expected 4-dimensional input, but got 2-dimensional input); put it before the flatten "
            "or dense layer, or an unflatten before it"
        )
    return len(shape) - 1
