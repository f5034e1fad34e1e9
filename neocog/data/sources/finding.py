"""Where the files of a data set known by name are: the path given, NEOCOG_DATA, the cache, Keras' downloads,
else a download.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from neocog.data.sources.built_in import BuiltIn, Found, Layout
from neocog.errors import UnreadableError, escaped
from neocog.files import cache_dir, home_dir


def find(name: str, row: BuiltIn, layout: Layout, where: Path | None = None) -> Found:
    """The files of data set `name`; with `where`, from there or not at all."""
    if where is not None:
        found = _first(layout, (where, where / name))
        if found is None:
            raise UnreadableError(
                f"{escaped(str(where))} does not hold {name}; expected there: {layout.expected}"
            )
        return found
    found = _first(layout, _usual(name, row))
    if found is not None:
        return found
    if row.remote is None:
        raise UnreadableError(
            f"{name} is nowhere here and cannot be downloaded; put {layout.expected} in {cache_dir() / name}"
        )
    from neocog.downloads import download

    fetched = download.fetch(row.remote, cache_dir() / name)
    found = _first(layout, (fetched,))
    if found is None:
        raise UnreadableError(
            f"{escaped(str(fetched))} does not hold {name} after the download; delete it and try again"
        )
    return found


def _usual(name: str, row: BuiltIn) -> Iterator[Path]:
    given = os.environ.get("NEOCOG_DATA")
    if given:
        yield Path(given) / name
        if "NEOCOG_DATA" in row.bare:
            yield Path(given)
    yield cache_dir() / name
    place = os.environ.get("KERAS_HOME") or ((home := home_dir()) and home / ".keras")
    if place is None:
        return
    keras = Path(place) / "datasets"
    yield keras / name
    if "Keras" in row.bare:
        yield keras


def _first(layout: Layout, folders: Iterator[Path] | tuple[Path, ...]) -> Found | None:
    return next((found for folder in folders if (found := layout.find(folder)) is not None), None)
