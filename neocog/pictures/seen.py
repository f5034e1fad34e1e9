"""Seen: a decoded picture, and what of it the settings of `Preprocess` leave hard or impossible to see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import ValidationError

from neocog.assignments import fields
from neocog.errors import first_complaint
from neocog.pictures.pixels import Pixels
from neocog.pictures.preprocess import Preprocess
from neocog.pictures.samples import Used, together

DECODING = ("reading", "max_pixels", "levels", "ground")
"""The fields that the decoder depends on; `place` depends on others."""
SEE_THROUGH, FLAT = 128, 32
"""What is drawn has vanished where opacity differs by so much, and levels, laid on the ground, by no more."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as uint8 (H, W, 3); which samples it uses, where they have more than 8 bits and are not
    stretched in any case; whether it has transparent places, and whether what is drawn on them has vanished,
    being as light as the ground.
    """

    pixels: Pixels = field(repr=False)
    used: Used | None = None
    transparent: bool = False
    vanished: bool = False

    def note(self, wanted: Preprocess) -> str:
        """What to say of this one picture; empty where nothing is odd."""
        return "; ".join(_words((self.odds(),), wanted, "it"))

    def serves(self, wanted: Preprocess) -> bool:
        """Whether this picture, which was decoded by default, is what comes of decoding it as `wanted`."""
        fields = set(DECODING) if self.transparent else set(DECODING) - {"ground"}
        return wanted.model_dump(include=fields) == Preprocess().model_dump(include=fields)

    def odds(self) -> Odds:
        """What is odd of it, without the pixels."""
        return Odds(self.used, self.vanished)


@dataclass(frozen=True, slots=True)
class Odds:
    """As in `Seen`."""

    used: Used | None = None
    vanished: bool = False


def remarks(odds: Iterable[Odds], wanted: Preprocess) -> tuple[str, ...]:
    """What to say of many pictures."""
    every = tuple(odds)
    return tuple(_words(every, wanted, f"of {len(every)}"))


def decoding(preprocess: Preprocess, changes: Sequence[str]) -> Preprocess:
    """`preprocess` with "field=value" texts for the fields that the decoder depends on; `UsageError` with the
    nearest spelling.
    """
    texts = [change.strip().removeprefix("preprocess.") for change in changes]
    given = fields(texts, DECODING, of="how pictures are decoded", example="levels=[0,4095]")
    try:
        return Preprocess.model_validate({**preprocess.model_dump(), **given})
    except ValidationError as error:
        raise first_complaint(error, within="--set") from None


def decoded_as(wanted: Preprocess) -> tuple[str, ...]:
    """What is decoded otherwise than by default, as sentences."""
    said = []
    if wanted.levels is not None:
        low, high = wanted.levels
        said.append(
            f"of 16 bits a sample the range {low:,g} to {high:,g} is black to white: little else is used"
        )
    if wanted.ground != 255:
        said.append("transparent pictures are laid on black: on white nothing is left of what is drawn")
    return tuple(said)


def has_vanished(laid: Pixels, alpha: Pixels) -> bool:
    """Whether of a drawing nothing is left, `laid` (H, W, 3) on the ground by its opacity `alpha` (H, W)."""
    return int(np.ptp(alpha)) >= SEE_THROUGH and int(np.ptp(laid)) <= FLAT


def _words(every: tuple[Odds, ...], wanted: Preprocess, which: str) -> list[str]:
    said = []
    one = which == "it"
    found = [o.used for o in every if o.used is not None]
    if wanted.levels is None:
        few = [u for u in found if u.suited is not None]
        both = together(found)
        if few and both is not None and both.suited is not None:
            who = "it uses" if one else f"{len(few)} pictures {which} use"
            said.append(
                f"{who} only samples {both.low:,} to {both.high:,} of 0 to {both.most:,}, so little is seen: "
                f"say which are black and white, --set preprocess.levels={_list(both.suited)}"
            )
        elif few:
            who = "it uses" if one else f"{len(few)} pictures {which} use"
            said.append(f"{who} few of the samples that 16 bits have, so little of them is seen")
    else:
        low, high = wanted.levels
        half = (high - low) / 2
        far = [u for u in found if u.low < low - half or u.high > high + half]
        if far:
            who = "it uses" if one else f"{len(far)} pictures {which} use"
            said.append(
                f"{who} samples from {min(u.low for u in far):,} to {max(u.high for u in far):,}, far beyond "
                f"the range {low:,g} to {high:,g} that is seen (preprocess.levels)"
            )
    lost = sum(o.vanished for o in every)
    if lost:
        shade, other = ("dark", 255) if wanted.ground < 128 else ("light", 0)
        what = "it is drawn" if one else f"{lost} pictures {which} are drawn"
        said.append(
            f"{what} on transparency, as {shade} as the ground that is laid under it, so nothing is "
            f"seen: --set preprocess.ground={other}"
        )
    return said


def _list(levels: tuple[float, float]) -> str:
    return f"[{levels[0]:.0f},{levels[1]:.0f}]"
