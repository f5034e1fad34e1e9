"""Published files: what each is called, how large it is, its hash, and the mirrors that have it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remote:
    """A published file: its name in every mirror, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Source:
    """Files that belong together and where they lie; a mirror is a folder's address that ends in a slash."""

    mirrors: tuple[str, ...]
    licence: str
    files: tuple[Remote, ...]
