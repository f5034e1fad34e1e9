"""The entries of all chapters, by id, in the order of `docs/experiments.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from neocog.errors import unknown
from neocog.figures import (
    claims,
    classics,
    clothing,
    digits,
    filters,
    photos,
    pretrained,
    shapes,
    sizes,
)
from neocog.figures.entry import Entry

ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {
        entry.id: entry
        for chapter in (filters, sizes, digits, clothing, photos, shapes, classics, pretrained, claims)
        for entry in chapter.ENTRIES
    }
)


def chosen(ids: Iterable[str]) -> tuple[Entry, ...]:
    """The entries of `ids`, in any case of letters, each once; `UsageError` with the nearest for others."""
    names = [name.upper() for name in dict.fromkeys(ids)]
    for name in names:
        if name not in ENTRIES:
            raise unknown("experiment", name, ENTRIES)
    return tuple(ENTRIES[name] for name in dict.fromkeys(names))
