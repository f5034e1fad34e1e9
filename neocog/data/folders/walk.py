"""The walk over a folder of pictures: every entry once, nothing opened, nothing outside of the root."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from neocog.data.dataset import Skipped
from neocog.errors import UnreadableError, escaped
from neocog.pictures.decode import PICTURE_SUFFIXES

_SYSTEM_NAMES = frozenset(
    {"__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
)
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".txt"})
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(slots=True)
class Walked:
    """`files`: path below the root -> size and times as one word; `empty`: picture files of zero bytes;
    `tables`: files that may say the classes, at most one folder deep (also among `skipped`); `folders`: those
    entered. `found` counts files, links and folders that were not entered.
    """

    files: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    found: int = 0


class Folders:
    """What is in folders, each of them listed once: what was looked at before the walk is not listed again
    by it.
    """

    def __init__(self) -> None:
        self._listed: dict[str, list[os.DirEntry[str]]] = {}

    def entries(self, folder: str | Path) -> list[os.DirEntry[str]]:
        """The entries of a folder, kept for who comes next; `OSError` where it cannot be listed."""
        name = os.fspath(folder)
        if name not in self._listed:
            self._listed[name] = self.last(name)
        return self._listed[name]

    def last(self, folder: str) -> list[os.DirEntry[str]]:
        """The same, for the last time: nothing is kept."""
        if folder in self._listed:
            return self._listed.pop(folder)
        with os.scandir(folder) as entries:
            return list(entries)


def walk(root: Path, folders: Folders | None = None) -> Walked:
    """List the regular picture files below `root`; `UnreadableError` where that is no folder or cannot be
    listed. `folders` are those that were listed already.

    Links wait until everything that is there by itself is known; then those to a place inside the root that
    is not counted yet are followed.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise UnreadableError(f"{escaped(str(root))} {what}; give a folder of pictures")
    folders = folders or Folders()
    try:
        folders.entries(root)
    except OSError as error:
        raise UnreadableError(f"cannot list {escaped(str(root))}: {error.strerror or error}") from error
    return _Walk(root, folders).walked


class _Walk:
    def __init__(self, root: Path, listed: Folders) -> None:
        self.root, self.real = os.fspath(root), os.path.realpath(root)
        self.listed = listed
        self.walked = Walked()
        self.seen: set[int] = set()
        self.links: list[str] = []
        self._descend("")
        while self.links:
            waiting, self.links = sorted(self.links), []
            for path in waiting:
                self._follow(path)
        self.walked.folders.sort()
        self.walked.tables.sort()

    def _descend(self, top: str) -> None:
        """Everything below the folder `top` (a path below the root), links put aside."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            place = os.path.join(self.root, folder) if folder else self.root
            try:
                children = self.listed.last(place)
                if self._again(os.stat(place)):
                    continue
            except OSError as error:
                self._skip(folder, f"cannot be listed: {error.strerror or error}", new=True)
                continue
            if folder:
                self.walked.folders.append(folder)
            for entry in children:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if self._enter(entry, path):
                    waiting.append(path)

    def _enter(self, entry: os.DirEntry[str], path: str) -> bool:
        """Whether `entry` is a folder to be walked; everything else is dealt with here."""
        hidden = entry.name.startswith(".") or entry.name.casefold() in _SYSTEM_NAMES
        if hidden:
            self._skip(path, "hidden or a system's own", new=True)
        elif entry.is_symlink():
            self.walked.found += 1
            self.links.append(path)
        elif entry.is_dir(follow_symlinks=False):
            return True
        else:
            self.walked.found += 1
            try:
                self._file(path, os.lstat(entry.path))
            except OSError as error:
                self._skip(path, f"cannot be read: {error.strerror or error}")
        return False

    def _follow(self, path: str) -> None:
        """A link: to a place inside the root that has not been counted, or skipped."""
        name = os.path.join(self.root, path)
        try:
            target = os.path.realpath(name, strict=True)
            status = os.stat(target)
        except (OSError, RuntimeError):
            return self._skip(path, "a link that leads nowhere or in a circle")
        if os.path.commonpath([self.real, target]) != self.real:
            return self._skip(path, "a link that leads out of the folder; copy the file itself here")
        if not stat.S_ISDIR(status.st_mode):
            return self._file(path, status)
        if _identity(status) in self.seen:
            return self._skip(path, "a link to a folder that is counted already")
        self.walked.found -= 1  # a folder that is entered after all
        return self._descend(path)

    def _file(self, path: str, status: os.stat_result) -> None:
        suffix = PurePosixPath(path).suffix.lower()
        if not stat.S_ISREG(status.st_mode):
            kind = next((words for test, words in _KINDS if test(status.st_mode)), "no regular file")
            self._skip(path, f"{kind}, not a file")
        elif suffix not in PICTURE_SUFFIXES:
            if suffix in TABLE_SUFFIXES and path.count("/") <= 1:
                self.walked.tables.append(path)
            self._skip(path, f"not a picture by its name ({suffix or 'no ending'})")
        elif status.st_size == 0:
            self.walked.empty.append(path)
            self._skip(path, "an empty file")
        elif self._again(status):
            self._skip(path, "the same file as another one, under a second name")
        else:
            self.walked.files[path] = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"

    def _again(self, status: os.stat_result) -> bool:
        """Whether this file or folder was met before, under whatever name."""
        identity = _identity(status)
        if not status.st_ino or identity in self.seen:
            return bool(status.st_ino)
        self.seen.add(identity)
        return False

    def _skip(self, path: str, reason: str, *, new: bool = False) -> None:
        """`new`: an entry that is not counted as found yet."""
        self.walked.found += new
        self.walked.skipped.append(Skipped(path, reason))


def _identity(status: os.stat_result) -> int:
    """Device and inode as one number, which takes a third of a pair's memory."""
    return status.st_dev << 64 | status.st_ino
