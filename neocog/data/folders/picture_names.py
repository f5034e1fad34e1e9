"""Named: from what a table writes to the picture that is meant; never outside of the folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import PurePosixPath

from neocog.data.names import shown
from neocog.errors import UnreadableError
from neocog.pictures.decode import PICTURE_SUFFIXES


class Outside(UnreadableError):
    """A table names a file outside of the folder."""


class Named:
    """Looks up pictures by a path below one of several folders, or by as much of its end as is written, with
    or without the ending.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files
        self._stems: dict[str, list[str]] | None = None

    def find(self, name: str, folders: tuple[str, ...], where: str) -> str | None:
        """The picture that `name` means, first below `folders`; None where there is none or more than one.

        `Outside`, naming `where`: the name is absolute, or leads out of the folder.
        """
        written = name if name in self._files else name.replace("\\", "/")
        if re.match(r"/|[A-Za-z]:/|[A-Za-z][A-Za-z0-9+.-]+://", written):
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
        return self._by_end(written, folders)

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


def _stem(name: str) -> str:
    """Without the ending of a picture, if it has one."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in PICTURE_SUFFIXES else name


def _plain(name: str) -> str:
    """One spelling for both Unicode forms: archives made on a Mac write the other one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
