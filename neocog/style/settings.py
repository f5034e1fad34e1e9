"""Settings: everything that decides how a picture is painted, but for the pictures and the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neocog.assignments import fields
from neocog.errors import first_complaint

Side = Annotated[int, Field(ge=8, le=16_384)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Colours = Literal["style", "content", "matched"]
STEP = 2**0.5
"""By which one size is larger than the one before, as in style-transfer-pytorch (K. Crowson)."""


class Settings(BaseModel):
    """How to paint. Sizes are the longer side in pixels; the other follows from the picture.

    size           of the result
    style_size     of the style pictures at the last size; None: `size`. Before, in proportion
    smallest       the first of the sizes, each 2^0.5 of the one before; one not below `size` means one size
    steps          at every size
    style_layers   stages of the network whose Gram matrices count; None: chosen for the network
    style_weights  of those layers, in proportion; None: alike
    content_layers stages whose maps count; None: chosen for the network
    content        weight of the content's loss; that of style is 1
    variation      weight of the mean squared difference of neighbouring pixels, in 0..1; None: 1, and 50 for
                   a network that begins with a stride, which hardly sees single pixels
    scaling        relative: a loss is divided by its target's mean square; paper: as it is; gradient: by the
                   sum of absolute errors, so that every layer pulls alike at its maps, however far they are
    optimizer      adam, or lbfgs (limited-memory BFGS without line search, 20 vectors; its pixels are within
                   0..1 only where they are shown)
    lr             step size in parts of the pixels' range 0..1; None: 0.02 for adam, 1 for lbfgs
    settling       share of the steps at the last size over which the step size falls to nothing, in a line:
                   pixels then rest where the loss is least, in place of trembling around it
    start          content, style (the first one) or noise
    pooling        of the network: max (as it is) or average in its place
    border         what the first convolution sees outside the picture: nearest pixels, or zeros
    colours        style: as they come; content: hue and saturation of the content, brightness as painted;
                   matched: the style's mean and covariance of colours are brought to the content's first
    average        decay of the running mean of iterates that is shown; 0: the last iterate
    tile           longer side of the pieces in which the network looks at large pictures, which changes no
                   result; auto: by what memory is free; whole: never
    precision      of the network: auto, float32 or bfloat16; sums and pixels are float32
    seed           of the noise to start from
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Side = 512
    style_size: Side | None = None
    smallest: Side = 128
    steps: int = Field(default=150, ge=1)
    style_layers: tuple[str, ...] | None = Field(default=None, min_length=1)
    style_weights: tuple[Weight, ...] | None = None
    content_layers: tuple[str, ...] | None = Field(default=None, min_length=1)
    content: Weight = 0.05
    variation: Weight | None = None
    scaling: Literal["relative", "paper", "gradient"] = "relative"
    optimizer: Literal["adam", "lbfgs"] = "adam"
    lr: float | None = Field(default=None, gt=0)
    settling: float = Field(default=0.0, ge=0, le=1)
    start: Literal["content", "style", "noise"] = "content"
    pooling: Literal["max", "average"] = "max"
    border: Literal["nearest", "zero"] = "nearest"
    colours: Colours = "style"
    average: float = Field(default=0.9, ge=0, lt=1)
    tile: Annotated[int, Field(ge=64)] | Literal["auto", "whole"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        weights = self.style_weights
        if weights is not None and self.style_layers is not None and len(weights) != len(self.style_layers):
            raise ValueError(f"{len(weights)} style_weights for {len(self.style_layers)} style_layers")
        if weights is not None and sum(weights) == 0:
            raise ValueError("style_weights are all 0; one at least is greater")
        return self

    @property
    def sizes(self) -> tuple[int, ...]:
        """Longer sides from coarse to fine; the last is `size`."""
        found, side = [self.size], self.size / STEP
        while round(side) >= self.smallest:
            found.insert(0, round(side))
            side /= STEP
        return tuple(found)

    def style_side(self, size: int) -> int:
        """The longer side of style pictures while the result has `size`."""
        return max(1, round(size * (self.style_size or self.size) / self.size))

    @property
    def rate(self) -> float:
        """`lr`, or the optimizer's own."""
        return self.lr if self.lr is not None else {"adam": 0.02, "lbfgs": 1.0}[self.optimizer]

    def rate_at(self, step: int) -> float:
        """The rate of the step with that number; the first of all sizes is 0."""
        left, settling = len(self.sizes) * self.steps - step, self.settling * self.steps
        return self.rate * min(1.0, left / settling) if settling else self.rate

    def json(self) -> dict[str, Any]:  # type: ignore[override]
        """Every field as JSON."""
        return self.model_dump(mode="json")


def from_json(document: Any, *, within: str) -> Settings:
    """The settings of a JSON object; `UsageError` names the field that is wrong."""
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise first_complaint(error, within=within) from None


def override(settings: Settings, changes: Iterable[str]) -> Settings:
    """`settings` with "field=value" changes; values are JSON or text (`size=1024`, `colours=content`,
    `style_layers=["conv1_1","conv3_1"]`). `UsageError` with the nearest spelling.
    """
    given = fields(changes, Settings.model_fields, of="the settings", example="steps=300")
    return from_json(settings.json() | given, within="settings")
