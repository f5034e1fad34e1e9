"""Section: one part of a page, whoever has something to show; and how a template becomes HTML.

Class and file names are data: whatever a template prints is escaped, pictures are data: URIs, and a
content-security policy in the page forbids whatever is left.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from neocog.errors import escaped
from neocog.report.subject import Subject
from neocog.show.words import percent

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page under a heading of its own.

    anchor  its address within the page, once on a page: letters, digits, hyphens
    title   the heading; plain text, escaped by the page
    body    HTML. A plain `str` is taken for text and escaped; `Markup` says that it is HTML already
    link    its words in the row of links at the top: None for the title, '' for no link
    """

    anchor: str
    title: str
    body: Markup
    link: str | None = None


Maker = Callable[[Subject], Section | None]
"""Makes a section about a subject; None where there is nothing to show."""


def fill(template: str, **values: Any) -> Markup:
    """The template `template` of this package with `values`, every one of them escaped."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(**values))


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda v: escaped(v) if isinstance(v, str) and not isinstance(v, Markup) else v,
    )
    environment.filters["percent"] = percent
    return environment
