"""Named: from what a table writes to the picture that is meant; never outside of the folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from neocog.data.names import shown
from neocog.errors import UnreadableError
from neocog.pictures.decode import PICTURE_SUFFIXES


class Outside(UnreadableError):
    """A table names a file outside of the folder."""


class Named:
    """Looks up pictures by a path below one of several folders, or by as much of its end as is written, with
    or without the ending.
    """

    def __init__(self, files: Mapping[str, str], root: Path) -> None:
        self._files = files
        self._roots = tuple(dict.fromkeys((root.absolute().as_posix(), root.resolve().as_posix())))
        self._stems: dict[str, list[str]] | None = None
        self._near: dict[str, list[str]] | None = None
        self._nearly: dict[str, str] = {}

    def remarks(self) -> list[str]:
        """On names that are not written as the files are called."""
        if not self._nearly:
            return []
        name, path = next(iter(self._nearly.items()))
        return [
            f"{len(self._nearly)} names differ from the files' in capital letters, zeros before a number or "
            f"Unicode form (such as '{shown(name)}' for {shown(path)})"
        ]

    def find(self, name: str, folders: tuple[str, ...], where: str) -> str | None:
        """The picture that `name` means, first below `folders`; None where there is none or more than one.

        `Outside`, naming `where`: the name is an address, or leads out of the folder.
        """
        written = name if name in self._files else name.replace("\\", "/")
        if as_file := re.match(r"file:(?://(?:localhost)?(?=/))?(?!//)", written, re.IGNORECASE):
            written = unquote(written[as_file.end() :])
        for root in self._roots:
            written = written.removeprefix(f"{root}/")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", written):
            raise Outside(
                f"{shown(where)}: '{shown(name)}' is an address; download the pictures and write their paths"
            )
        if re.match(r"/|[A-Za-z]:/", written):
            raise Outside(
                f"{shown(where)}: '{shown(name)}' is an absolute path; write paths relative to the folder"
            )
        parts = [part for part in written.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise Outside(
                f"{shown(where)}: '{shown(name)}' leads out of the folder; keep every picture inside of it"
            )
        if not parts:
            return None
        written = "/".join(parts)
        for folder in folders:
            path = f"{folder}/{written}" if folder else written
            if path in self._files:
                return path
        return self._by_end(written, folders) or self._nearby(written, folders)

    def _by_end(self, written: str, folders: tuple[str, ...]) -> str | None:
        if self._stems is None:
            self._stems = {}
            for path in self._files:
                self._stems.setdefault(_plain(_stem(path.rpartition("/")[2])), []).append(path)
        ended = _stem(written) != written
        wanted = _plain(written)
        found = [
            path
            for path in self._stems.get(_plain(_stem(written.rpartition("/")[2])), ())
            if f"/{_plain(path if ended else _stem(path))}".endswith(f"/{wanted}")
        ]
        if len(found) > 1:  # the same name in several folders: the one below the table's own split
            tops = {folder for folder in folders if folder}
            found = [path for path in found if path.split("/")[0] in tops]
        return found[0] if len(found) == 1 else None

    def _nearby(self, written: str, folders: tuple[str, ...]) -> str | None:
        """The only picture below `folders` whose name differs in capital letters or zeros before a number."""
        if self._near is None:
            self._near = {}
            for path in self._files:
                for key in {_key(path), _key(_stem(path))}:
                    self._near.setdefault(key, []).append(path)
        for folder in folders:
            found = self._near.get(_key(f"{folder}/{written}" if folder else written), ())
            if len(found) == 1:
                self._nearly[written] = found[0]
                return found[0]
        return None


def _key(path: str) -> str:
    """Alike for names that differ in capital letters or zeros before the number that they are."""
    folder, slash, name = _plain(path).casefold().rpartition("/")
    stem = _stem(name)
    return f"{folder}{slash}{int(stem)}{name[len(stem) :]}" if stem.isdecimal() else f"{folder}{slash}{name}"


def _stem(name: str) -> str:
    """Without the ending of a picture, if it has one."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in PICTURE_SUFFIXES else name


def _plain(name: str) -> str:
    """One spelling for both Unicode forms: archives made on a Mac write the other one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
