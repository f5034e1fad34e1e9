"""The one place that writes files: temporary name in the same folder, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from neocog.errors import UnreadableError, UsageError

PART = ".part"
"""How the name of a file ends that is being written."""
DAY = 86400.0  # seconds
NO_LOCKS = frozenset(
    getattr(errno, name)
    for name in ("ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL")
    if hasattr(errno, name)
)
"""What a file system without locks answers."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; when the block ends well, its bytes are flushed and it becomes
    `path`.

    A reader of `path` sees the old file or the new one, never a part. When the block raises, the temporary
    file is removed. What is no plain file (a device, a pipe, a link, a folder) is never replaced.
    `UnreadableError` says in one line what the disk says.
    """
    temporary: Path | None = None
    try:
        _require_plain(path)
        _make(path.parent)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=PART, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        raise UnreadableError(
            f"cannot write {path}: {error.strerror or error}; free space there or choose another place"
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _make(folder: Path) -> None:
    """Make `folder` and what is above it. `NotADirectoryError` where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from error


def _require_plain(path: Path) -> None:
    """`UnreadableError` where `path` is something that a file must not take the place of."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return  # what stands in the way of the folder is said when it is made
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link", stat.S_IFIFO: "a pipe"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise UnreadableError(f"cannot write {path}: it is {kind}, and stays one; choose another place")


def flush_folder(folder: Path) -> None:
    """Make what was renamed in `folder` last through a power cut, where a folder can be flushed."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows, and file systems that open no folder
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.EACCES):
            raise
    finally:
        os.close(handle)


def append(path: Path, text: str, *, flushed: Literal["to the disk", "to the system"]) -> None:
    """Add `text` to the file at `path`, whole or not at all; a last line that a kill cut off goes first."""
    try:
        with path.open("ab+", buffering=0) as file:
            end = _end_of_lines(file)
            try:
                file.truncate(end)
                left = memoryview(text.encode())
                while left:
                    left = left[file.write(left) :]
                if flushed == "to the disk":
                    os.fsync(file.fileno())
            except OSError:
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise
    except OSError as error:
        raise UnreadableError(
            f"cannot write {path}: {error.strerror or error}; free space there or choose another place"
        ) from error


def _end_of_lines(file: io.FileIO) -> int:
    """Where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(end - 4096, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def sweep(folder: Path, *, of: Iterable[str] = ("*",), older_than: float = 0.0) -> None:
    """Take away the temporary files and folders that a kill left in `folder`, of the files named in `of`:
    those that nobody has written to for `older_than` seconds, where others may be writing there.
    """
    for left in (path for name in of for path in folder.glob(f".{name}.*{PART}")):
        with contextlib.suppress(OSError):
            if older_than and time.time() - _last_written(left) <= older_than:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def _last_written(path: Path) -> float:
    """When `path`, or anything below it, was written to last, as `time.time` counts."""
    below = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return float(max(one.lstat().st_mtime for one in (path, *below)))


def write_bytes(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def json_text(value: Any) -> str:
    """A JSON document as it stands in our files: UTF-8; bytes of file names that are none are escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return _BYTES.sub(lambda byte: f"\\u{ord(byte[0]):04x}", text) + "\n"


_BYTES = re.compile("[\ud800-\udfff]")
"""What Python makes of a byte of a file's name that is no UTF-8, among other halves of characters."""


def write_json(path: Path, value: Any) -> None:
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """The JSON document in `path`; `UnreadableError` where it is missing or is not JSON."""
    try:
        text = path.read_bytes()
        found = json.loads(text, parse_constant=_finite, object_pairs_hook=_unique)
        if _HALF.search(text):  # most are one of a pair, which is a character
            json.dumps(found, ensure_ascii=False).encode(errors="surrogateescape")  # bytes of file names pass
        return found
    except OSError as error:
        raise UnreadableError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise UnreadableError(f"{path} is not a JSON document: '{half}' is half a character") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{path} is not a JSON document: {error}") from error


_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half a surrogate pair, as JSON writes it."""


def _finite(word: str) -> float:
    raise ValueError(f"{word} is no number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice[:60]}' stands twice in one object")
    return found


def named_as_path(text: str) -> bool:
    """Whether a name can only be meant as a path: it has an ending or a folder in it, './runs' too."""
    return bool(Path(text).suffix) or any(mark in text for mark in ("/", os.sep))


def require_named(*given: object) -> None:
    """`UsageError` where a name that a user gave is empty, which a path would take for this folder."""
    if "" in given:
        raise UsageError("a name is empty (an unset variable?); leave it out, or write . for this folder")


def sha256(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def cache_dir() -> Path:
    """Where downloads and decoded pictures are kept: NEOCOG_HOME, else the XDG cache. Safe to delete at
    any time. `UsageError` where there is neither, nor a home.
    """
    if place := os.environ.get("NEOCOG_HOME"):
        return _of_the_user(place)
    place = os.environ.get("XDG_CACHE_HOME", "")
    if Path(place).is_absolute():  # else it is no place, says its standard
        return Path(place) / "neocog"
    home = home_dir()
    if home is None:
        raise UsageError("there is no home folder for the cache; set NEOCOG_HOME to a folder of your choice")
    return home / ".cache" / "neocog"


def _of_the_user(place: str) -> Path:
    """The path `place` with the user's home for a ~ at its beginning, which a shell puts there, and the file
    of a container does not.
    """
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise UsageError(f"NEOCOG_HOME={place}: there is no home folder; give the whole path") from None


def home_dir() -> Path | None:
    """The user's home; None for a user without one, as in many containers: none is named, or what is named
    is no folder that is there. A home is never made.
    """
    if os.environ.get("HOME") == "":
        return None
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if home.is_absolute() and os.path.isdir(home) else None
