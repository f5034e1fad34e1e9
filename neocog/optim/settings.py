"""Optim, the recipe's part that says how weights move: which optimizer, at which rate, which stages at
another.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["sgd", "momentum", "nesterov", "rmsprop", "adadelta", "adam", "adamw"]
Schedule = Literal["constant", "step", "exponential", "inverse-time", "cosine", "one-cycle"]

DEFAULT_LR = {
    "sgd": 0.01,
    "momentum": 0.01,
    "nesterov": 0.01,
    "rmsprop": 1e-3,
    "adadelta": 1.0,
    "adam": 1e-3,
    "adamw": 1e-3,
}
DEFAULT_RHO = {"rmsprop": 0.9, "adadelta": 0.95}
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""What a rate is multiplied by. For a rate of nothing, parameters are frozen: see `zoo.modes`."""


class Optim(BaseModel):
    """How weights move. `lr` None is Keras' default of the kind (`DEFAULT_LR`).

    `schedule` multiplies the rate: `step` by `factor` at each of the epochs in `drops`; `exponential` by
    `factor` per epoch; `inverse-time` by 1 / (1 + decay * step); `cosine` from 1 to 0; `one-cycle` up from
    1/25 and down to 0 (Smith & Topin 2018). `warmup` epochs of linear rise come first. `clip` bounds the norm
    of the whole gradient; 0 is off. `weight_decay` is added to the gradient (L2), except in adamw, where it
    shrinks the weights apart (Loshchilov & Hutter 2019); biases and normalisation are spared.

    `rates` gives stages another rate: factors by name ({"features": 0.1, "conv1": 0.01}; the longest name
    that fits a parameter counts, all others have 1), or one factor by which each stage is slower than the one
    after it (0.8: the head 1, the last stage 0.8, the one before 0.64; Howard & Ruder 2018, "discriminative
    fine-tuning").
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Kind = "adam"
    lr: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    rho: float | None = Field(default=None, ge=0, lt=1)
    eps: float = Field(default=1e-7, gt=0)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    clip: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    schedule: Schedule = "constant"
    factor: float = Field(default=0.1, gt=0, le=1)
    drops: tuple[float, ...] = ()
    decay: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.0, ge=0)
    rates: dict[str, Factor] | Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def rate(self) -> float:
        """`lr`, or Keras' default of the kind."""
        return self.lr if self.lr is not None else DEFAULT_LR[self.kind]
