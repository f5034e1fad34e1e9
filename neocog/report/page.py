"""report.html: everything about a training on one page that needs neither network, script nor other file.

A page is its lead, the figures, and sections one after the other: those of every page, those that the task
brings, and what others add.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from neocog.errors import UsageError
from neocog.outputs import write_bytes
from neocog.report.lead import lead
from neocog.report.section import Maker, Section, fill
from neocog.report.sections.calibration import calibration
from neocog.report.sections.classes import classes
from neocog.report.sections.confusion import confusion
from neocog.report.sections.course import curves, first_batch
from neocog.report.sections.doubt import doubt
from neocog.report.sections.facts import facts
from neocog.report.sections.findings import findings
from neocog.report.sections.gallery import mistakes, one_of_each, samples
from neocog.report.sections.reasons import reasons
from neocog.report.sections.recipe import recipe
from neocog.report.sections.remarks import remarks
from neocog.report.sections.restored import restored, worst_restored
from neocog.report.subject import Subject

FIRST: tuple[Maker, ...] = (findings, remarks, curves)
"""What every page begins with."""

OF_ANY_TASK: tuple[Maker, ...] = (mistakes, classes, doubt, samples)
"""What pages show of a task that is not in `OF_TASK`."""

OF_TASK: Mapping[str, tuple[Maker, ...]] = MappingProxyType(
    {
        "classify": (one_of_each, mistakes, reasons, confusion, classes, calibration, doubt, samples),
        "restore": (restored, worst_restored),
    }
)
"""Task -> what its pages show of the answers."""

LAST: tuple[Maker, ...] = (first_batch, recipe, facts)
"""What every page ends with."""


def write(path: Path, subject: Subject, *, sections: Sequence[Maker] = ()) -> None:
    """Write the page about `subject` to `path`, atomically; `sections` as in `html`."""
    write_bytes(path, html(subject, sections=sections).encode())


def html(subject: Subject, *, sections: Sequence[Maker] = ()) -> str:
    """The page about `subject`: one HTML document. What `sections` make stands below the answers, in this
    order.

    Raises `UsageError` where two sections have one anchor.
    """
    return str(fill("page", lead=lead(subject), sections=made(subject, sections)))


def made(subject: Subject, further: Sequence[Maker] = ()) -> tuple[Section, ...]:
    """The sections of the page about `subject`, in order."""
    makers = (*FIRST, *OF_TASK.get(subject.task, OF_ANY_TASK), *further, *LAST)
    found = tuple(section for make in makers if (section := make(subject)) is not None)
    anchors = [section.anchor for section in found]
    for anchor in anchors:
        if anchors.count(anchor) > 1:
            raise UsageError(
                f"two sections of the report have the anchor '{anchor}'; give yours another, "
                f"none of: {', '.join(sorted(set(anchors)))}"
            )
    return found
