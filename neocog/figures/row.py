"""Row: one published figure beside ours, with the verdict; how a verdict comes about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from neocog.files import sha256
from neocog.tasks.intervals import wilson

Verdict = Literal[
    "same", "better", "worse", "differs",
    "holds", "does not hold", "cannot be told apart",
    "seen", "cut short", "not yet run",
]  # fmt: skip
"""What comes of a comparison. 'differs' is of facts, which have no better; the second line is of claims;
'seen' of what has no published figure; 'cut short' of a training that did less than the chapter's, which
is no comparison.
"""

OUTSIDE = "source: outside the chapters"
"""What is said of a figure that the chapters leave out, marked † in `docs/experiments.md`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`published` and `ours` are as people write them, empty where there is none; `outside` says that the
    published one is not from the chapters. `detail` holds the numbers behind `ours`, as JSON has them.
    """

    what: str
    published: str = ""
    ours: str = ""
    verdict: Verdict
    outside: bool = False
    remark: str = ""
    detail: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def short(self) -> str:
        """A short id of the measured figure and of what it hangs on; empty of facts."""
        if not self.detail:
            return ""
        return sha256(json.dumps(dict(self.detail), sort_keys=True).encode())[:8]

    def text(self) -> str:
        """One line, and one below it for what is to be known of it."""
        parts = [self.what, f"published {self.published}" if self.published else "", self.ours, self.verdict]
        notes = [note for note in (OUTSIDE if self.outside else "", self.remark) if note]
        return "\n".join(["  " + "   ".join(part for part in parts if part), *(f"    {n}" for n in notes)])

    def json(self) -> dict[str, Any]:
        """Its fields; `detail` last."""
        return {
            "what": self.what,
            "published": self.published,
            "ours": self.ours,
            "verdict": self.verdict,
            "outside": self.outside,
            "remark": self.remark,
            "detail": dict(self.detail),
        }


def read(document: Mapping[str, Any]) -> Row:
    """The row that `Row.json` made; `TypeError` for anything else."""
    return Row(**document)


def fact(what: str, published: object, ours: object, *, outside: bool = False, remark: str = "") -> Row:
    """A figure that is right or wrong: 'same' where both are equal."""
    verdict: Verdict = "same" if published == ours else "differs"
    return Row(
        what=what,
        published=_said(published),
        ours=_said(ours),
        verdict=verdict,
        outside=outside,
        remark=remark,
    )


def claim(what: str, ours: object, holds: bool | None, *, remark: str = "") -> Row:
    """What a chapter claims: whether it holds; None where that cannot be told."""
    verdict: Verdict = "cannot be told apart" if holds is None else "holds" if holds else "does not hold"
    return Row(what=what, ours=_said(ours), verdict=verdict, remark=remark)


def seen(what: str, ours: object, *, remark: str = "") -> Row:
    """What was made, where the chapters print no figure to compare it with."""
    return Row(what=what, ours=_said(ours), verdict="seen", remark=remark)


def missing(what: str, why: str, *, published: str = "", outside: bool = False) -> Row:
    """What was not run, and why."""
    return Row(what=what, published=published, verdict="not yet run", outside=outside, remark=why)


def share_verdict(ours: float, published: float, n: int) -> Verdict:
    """Our share against a published one that was measured once, on `n` pictures: 'same' within that one's
    Wilson interval.
    """
    low, high = wilson(round(published * n), n)
    return "worse" if ours < low else "better" if ours > high else "same"


def _said(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
