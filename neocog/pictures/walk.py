"""The walk over a folder of pictures: every entry once, nothing opened, nothing outside of the root."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from neocog.errors import UnreadableError, escaped
from neocog.pictures.decode import PICTURE_SUFFIXES
from neocog.pictures.names import natural, shown

HIDDEN = "hidden or a system's own"
A_RUN = "a run of neocog, no pictures"
_SYSTEM_NAMES = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "system volume information", "lost+found"}
    | {"$recycle.bin", "#recycle", "@recycle", "@eadir", "icon\r"}
)
_RUN_FILES = frozenset({"recipe.json", "facts.json"})
TABLE_SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".txt"})
TEXTS = TABLE_SUFFIXES | {".md", ".json", ".html", ".xml", ".yml", ".yaml", ".py", ".sh", ".ipynb"}
"""Endings of tables and texts, which nobody takes for pictures."""
REASONS = 6
"""Reasons that one sentence names."""
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was found and not used."""

    path: str
    reason: str


@dataclass(slots=True)
class Walked:
    """`files`: path below the root -> size and times as one word; `empty`: picture files of zero bytes;
    `tables`: files that may say the classes, at most one folder deep (also among `skipped`); `folders`: those
    entered; `links`: those of `files` that are links or lie behind one. `names`: the paths of each file that
    has several, in natural order, what is no link first. `found` counts files, links and folders that were
    not entered.
    """

    files: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    names: list[tuple[str, ...]] = field(default_factory=list)
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

    Links are followed to places inside the root: what they lead to belongs to the folder that holds the link.
    A file is listed under each of its names, a folder behind a link once in each folder of the first two
    levels. Folders that are runs of neocog are left out.
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


def left_out(skipped: Sequence[Skipped], found: int) -> tuple[str, ...]:
    """How many of `found` entries were left out and why, each reason with an example, as one sentence; none
    where nothing was but what is hidden or a table.
    """
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        if one.reason != HIDDEN and not _is_text(one):
            by_reason.setdefault(_in_short(one.reason), []).append(one.path)
    count = sum(map(len, by_reason.values()))
    if not count:
        return ()
    ordered = sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    said = [
        f"{reason} ({len(paths)}: {shown(min(paths, key=natural))}{', ...' if len(paths) > 1 else ''})"
        for reason, paths in ordered
    ]
    said = [*said[:REASONS], *([f"{len(said) - REASONS} other reasons"] if len(said) > REASONS else [])]
    return (f"left out: {count} of {found} found: {'; '.join(said)}",)


def _in_short(reason: str) -> str:
    """A reason without its details and its cure, so that those alike count together."""
    by_name = re.match(r"not a picture by its name \(.*\)", reason)
    plain = re.sub(r"\d+x\d+ pixels", "too many pixels", reason.removeprefix("is "))
    return by_name[0] if by_name else re.split(r"[;:(,]", plain)[0].strip()


def _is_text(one: Skipped) -> bool:
    """Whether this is a table or a text beside the pictures."""
    return PurePosixPath(one.path).suffix.lower() in TEXTS and not one.reason.startswith("cannot")


class _Walk:
    def __init__(self, root: Path, listed: Folders) -> None:
        self.root, self.real = os.fspath(root), os.path.realpath(root)
        self.listed = listed
        self.walked = Walked()
        self.names: dict[int, str] = {}
        self.several: dict[int, list[str]] = {}
        self.behind: set[tuple[int, str]] = set()
        waiting = [("", self.real, False)]
        while waiting:
            waiting += self._entered(*waiting.pop())
        self._settle()

    def _settle(self) -> None:
        """Into an order that no disk decides."""
        walked = self.walked
        walked.folders.sort()
        walked.tables.sort()
        walked.names = sorted(
            tuple(sorted(paths, key=lambda path: (path in walked.links, natural(path))))
            for paths in self.several.values()
        )

    def _entered(self, folder: str, real: str, linked: bool) -> list[tuple[str, str, bool]]:
        """The folders to be walked after `folder` (a path below the root, at `real` on the disk), which is
        listed now; `linked` behind a link.
        """
        try:
            children = self.listed.last(os.path.join(self.root, folder) if folder else self.root)
        except OSError as error:
            self._skip(folder, f"cannot be listed: {error.strerror or error}", new=True)
            return []
        if folder:
            if {entry.name for entry in children} >= _RUN_FILES:
                self._skip(folder, A_RUN, new=True)
                return []
            self.walked.folders.append(folder)
        found = []
        for entry in sorted(children, key=lambda entry: entry.name):
            path = f"{folder}/{entry.name}" if folder else entry.name
            inner = self._enter(entry, path, os.path.join(real, entry.name), linked)
            if inner is not None:
                found.append(inner)
        return found

    def _enter(
        self, entry: os.DirEntry[str], path: str, real: str, linked: bool
    ) -> tuple[str, str, bool] | None:
        """The folder to be walked that `entry` is; everything else is dealt with here."""
        if entry.name.startswith(".") or entry.name.casefold() in _SYSTEM_NAMES:
            self._skip(path, HIDDEN, new=True)
        elif entry.is_symlink():
            return self._follow(path)
        elif entry.is_dir(follow_symlinks=False):
            return path, real, linked
        else:
            self.walked.found += 1
            try:
                self._file(path, os.lstat(entry.path), linked)
            except OSError as error:
                self._skip(path, f"cannot be read: {error.strerror or error}")
        return None

    def _follow(self, path: str) -> tuple[str, str, bool] | None:
        """A link: to a place inside the root, or skipped."""
        self.walked.found += 1
        name = os.path.join(self.root, path)
        try:
            target = os.path.realpath(name, strict=True)
            here = os.path.realpath(os.path.dirname(name))
            status = os.stat(target)
        except (OSError, RuntimeError):
            self._skip(path, "a link that leads nowhere or in a circle")
            return None
        if os.path.commonpath([self.real, target]) != self.real:
            self._skip(path, "a link that leads out of the folder; copy the file itself here")
            return None
        if not stat.S_ISDIR(status.st_mode):
            self._file(path, status, True)
            return None
        if os.path.commonpath([here, target]) == target:
            self._skip(path, "a link to a folder that holds it, a circle")
            return None
        once = (_identity(status), "/".join(path.split("/")[:2]))
        if once in self.behind:
            self._skip(path, "a link to a folder that is counted already")
            return None
        self.behind.add(once)
        self.walked.found -= 1  # a folder that is entered after all
        return path, target, True

    def _file(self, path: str, status: os.stat_result, linked: bool) -> None:
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
        else:
            self.walked.files[path] = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
            if linked:
                self.walked.links.add(path)
            if status.st_ino:
                self._named(path, _identity(status))

    def _named(self, path: str, identity: int) -> None:
        """Note the names of a file that has several."""
        first = self.names.setdefault(identity, path)
        if first is not path:
            self.several.setdefault(identity, [first]).append(path)

    def _skip(self, path: str, reason: str, *, new: bool = False) -> None:
        """`new`: an entry that is not counted as found yet."""
        self.walked.found += new
        self.walked.skipped.append(Skipped(path, reason))


def _identity(status: os.stat_result) -> int:
    """Device and inode as one number, which takes a third of a pair's memory."""
    return status.st_dev << 64 | status.st_ino
