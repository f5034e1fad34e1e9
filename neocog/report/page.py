"""Page: what stands on report.html, and its template, which says how that looks.

Class and file names are data: everything printed is escaped, pictures are data: URIs, and a content-security
policy in the page forbids whatever is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from neocog.errors import escaped
from neocog.show.words import percent
from neocog.tasks.metrics import Report
from neocog.tasks.task import Result

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_CELLS = 30
"""Classes up to which a confusion matrix stands as a table."""

FEW = 10
"""Pictures in a bin of the calibration below which its bar is drawn pale."""


@dataclass(frozen=True, slots=True)
class Example:
    """One picture with its answer: `surety` says in words how sure the network was."""

    source: Markup
    name: str
    truth: str
    predicted: str
    right: bool
    surety: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of the recipe; `changed` where it is not the default."""

    field: str
    value: str
    default: str
    changed: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A class: its pictures in each split, then its scores."""

    name: str
    counts: tuple[int, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the template reads. A section whose field is empty is left out. `classified` is `report` where
    each picture has one class.
    """

    title: str
    lead: str
    command: str = ""
    remarks: tuple[str, ...] = ()
    report: Result | None = None
    classified: Report | None = None
    figures: tuple[tuple[str, str], ...] = ()
    settings: tuple[Setting, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    more_skipped: int = 0
    splits: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    more_rows: int = 0
    score_names: tuple[str, ...] = ()
    means: tuple[str, ...] = ()
    curves: Markup | None = None
    first_batch: Markup | None = None
    confusion_picture: Markup | None = None
    calibration_words: str = ""
    mistakes: tuple[Example, ...] = ()
    mistakes_in_all: int = 0
    examples: tuple[tuple[str, Markup], ...] = ()
    samples: tuple[Example, ...] = ()
    grouped: Result | None = None
    pixelated: bool = False


def render(page: Page) -> str:
    """`page` as one HTML document."""
    return _environment().get_template("report.html.j2").render(page=page)


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: escaped(v) if isinstance(v, str) and not isinstance(v, Markup) else v,
    )
    environment.filters["percent"] = percent
    environment.globals.update(most_cells=MOST_CELLS, few=FEW)
    return environment
