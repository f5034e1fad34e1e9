"""BuiltIn: a data set known by name, as a row: what it is, and where its pictures come from.

A row is data, so that all of them can be listed without a library: what reads or draws pictures is imported
by the function that does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from neocog.data.choice import Data
    from neocog.data.dataset import Dataset, Split
    from neocog.downloads.published import Source

Bare = Literal["NEOCOG_DATA", "Keras"]
"""A folder of several data sets: the one that NEOCOG_DATA names, or the one of Keras' downloads."""


@dataclass(frozen=True, slots=True)
class Found:
    """The files of a data set. `read` gives its splits, refusing labels that are not below the number of
    classes it is given; `words` say what the files are; `classes` are their names where the files fix them.
    """

    paths: tuple[Path, ...]
    read: Callable[[int], dict[str, Split]]
    words: str
    classes: tuple[str, ...] = ()


class Layout(Protocol):
    """How the files of a data set lie in a folder."""

    @property
    def expected(self) -> str:
        """The files, in words."""

    def find(self, where: Path) -> Found | None:
        """The files in the folder `where`, or the file itself; None where they are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """A data set known by name. `shape` is (C, H, W) of one picture; `counts` the published number of
    pictures per split; `fit` how its pictures meet an input of another size unless the user says otherwise;
    `recipe` the one that trains on it where nothing else is said ('' for none).

    Its pictures come from files in a `layout`, which are looked for and, with `remote`, downloaded; or
    `make` makes them, without files. `bare` are folders of several sets in which its files may lie without
    a folder of their own.
    """

    title: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    source: str
    licence: str
    fit: Literal["crop", "pad", "stretch"] = "pad"
    recipe: str = ""
    layout: Layout | None = None
    bare: tuple[Bare, ...] = ()
    remote: Source | None = None
    make: Callable[[Data], Dataset] | None = None

    def __post_init__(self) -> None:
        if (self.layout is None) == (self.make is None):
            raise ValueError("a data set is read from files in a layout, or made: give one of the two")
