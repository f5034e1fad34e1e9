"""Unpack a zip or tar of pictures without trusting it: regular files only, nothing outside, all bounded.

The library's own extraction is not used: several releases of Python let links and crafted names out of the
folder (CVE-2025-4517 among them). Here names are checked, members are copied, and only a whole archive that
kept every rule gets its place, by one rename.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from neocog.errors import UnreadableError, UsageError

MAX_FILES = 400_000
"""Files of an archive; of twice as many entries, folders among them."""
MAX_BYTES = 64 << 30
MAX_RATIO = 200.0
"""Unpacked bytes per packed byte; deflate itself reaches 1,030."""
MAX_FILE_BYTES = 1 << 30
"""Of one member: more than any picture has."""
RATIO_GRACE = 1 << 20
"""Unpacked bytes that the ratio does not count: small files pack well."""
MAX_DEPTH = 32
MAX_NAME = 255
"""Bytes in one part of a path, as most file systems have it."""
_END_OF_ZIP = 22 + 0xFFFF + 76
"""Bytes at the end of a zip where its directory's place is said, comment and 64-bit forms included."""
_LONGEST_ENTRY = 46 + 3 * 0xFFFF
_BLOCK = 1 << 16
_HEADER_READ = 1 << 20
"""Bytes that a tar header may ask for at once; a long name needs a few hundred."""


def unpack(
    archive: Path,
    into: Path,
    *,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
    max_ratio: float = MAX_RATIO,
) -> Path:
    """Unpack `archive` (.zip, .tar, .tar.gz, told by its content) as the new folder `into`, and return that.

    Files keep their relative paths alone: no owner, mode, time or link. All is unpacked or nothing.

    Raises:
        UsageError: `into` is there already and is not an empty folder.
        UnreadableError: the archive is damaged, is no archive, breaks a rule or a limit, or the disk is full.
    """
    if into.is_symlink() or (into.exists() and not (into.is_dir() and not any(into.iterdir()))):
        raise UsageError(f"{into} is there already; unpack into a new folder")
    limits = _Limits(max_files, max_bytes, max_ratio)
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with archive.open("rb") as file, _fresh_folder(into) as folder:
            packed = os.fstat(file.fileno()).st_size
            _unpack(file, _Unpacking(archive, folder, limits, packed))
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        gzip.BadGzipFile,
        EOFError,
    ) as error:
        raise UnreadableError(f"{archive} is damaged or cut off ({error}); fetch it again") from error
    except (
        ValueError,
        OverflowError,
        RecursionError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise UnreadableError(f"{archive} is no archive that can be unpacked safely ({error})") from error
    except OSError as error:
        name = archive if error.filename is None or Path(str(error.filename)) == archive else into
        raise UnreadableError(
            f"cannot unpack {archive}: {name}: {error.strerror or error}; "
            "free space there or choose another folder"
        ) from error
    return into


@dataclass(frozen=True, slots=True)
class _Limits:
    files: int
    bytes: int
    ratio: float


@dataclass(slots=True)
class _Unpacking:
    """One archive on its way into a fresh folder, and the account of what came out of it so far."""

    archive: Path
    folder: Path
    limits: _Limits
    packed: int
    """Bytes of the archive itself."""
    written: int = 0
    files: set[str] = field(default_factory=set)
    """Paths taken, as `_alike` writes them."""
    folders: dict[str, str] = field(default_factory=dict)
    """Folders made: as `_alike` writes them, and as they are spelled."""

    def refuse(self, reason: str) -> UnreadableError:
        return UnreadableError(f"{self.archive} was not unpacked: {reason}")

    def save(self, name: str, data: IO[bytes], *, size: int) -> None:
        """Write one member; `size` is what the archive says, and no more is read."""
        parts = self.parts(name)
        self.claim(parts, name)
        if len(self.files) > self.limits.files:
            raise self.refuse(f"it holds more than {self.limits.files} files")
        self.account(size, name)
        path = self.folder.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        missing = size
        with path.open("xb") as file:
            while missing and (block := data.read(min(_BLOCK, missing))):
                file.write(block)
                missing -= len(block)
        if missing:
            raise self.refuse(f"'{name}' is cut off ({missing} of {size} bytes are missing); fetch it again")

    def account(self, size: int, name: str) -> None:
        if size > MAX_FILE_BYTES:
            raise self.refuse(f"'{name}' has {size} bytes; a picture may have {MAX_FILE_BYTES}")
        self.written += size
        if self.written > self.limits.bytes:
            raise self.refuse(f"it unpacks to more than {self.limits.bytes} bytes")
        self.proportion(self.written, self.packed, "it")

    def proportion(self, unpacked: int, packed: int, what: str) -> None:
        if unpacked > self.limits.ratio * packed + RATIO_GRACE:
            raise self.refuse(
                f"{what} unpacks to more than {self.limits.ratio:g} times its size: an archive bomb"
            )

    def parts(self, name: str) -> list[str]:
        """The parts of a safe relative path."""
        if re.match(r"[/\\]|[A-Za-z]:", name):
            raise self.refuse(f"'{name}' is an absolute path; names must stay inside the folder")
        if "\\" in name:
            raise self.refuse(f"'{name}' has a backslash; parts of a path are divided by /")
        if any(unicodedata.category(c) == "Cc" for c in name):
            raise self.refuse(f"the name {name!r} has control characters")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise self.refuse(f"'{name}' leads out of the folder")
        if not parts:
            raise self.refuse(f"'{name}' is no name for a file")
        if len(parts) > MAX_DEPTH or any(len(os.fsencode(part)) > MAX_NAME for part in parts):
            raise self.refuse(
                f"'{name[:80]}...' is too long or too deep (parts {MAX_NAME} bytes, depth {MAX_DEPTH})"
            )
        return parts

    def claim(self, parts: list[str], name: str) -> None:
        """Refuse what another file system, or this one, would write over a file that is there."""
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            alike = _alike(folder)
            if alike in self.files:
                raise self.refuse(f"'{folder}' is both a file and a folder")
            if self.folders.setdefault(alike, folder) != folder:
                raise self.refuse(f"'{folder}' and '{self.folders[alike]}' differ only in case or spelling")
        alike = _alike("/".join(parts))
        if alike in self.files:
            raise self.refuse(f"'{name}' is there twice, or differs from another only in case or spelling")
        if alike in self.folders:
            raise self.refuse(f"'{name}' is both a file and a folder")
        self.files.add(alike)


def _alike(path: str) -> str:
    """The same for paths that some file system takes for one: case, Unicode form, trailing dots, spaces."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
    return "/".join(part.rstrip(". ") or part for part in folded.split("/"))


@contextlib.contextmanager
def _fresh_folder(into: Path) -> Iterator[Path]:
    """A new folder beside `into` that takes its name when the block ends well, and goes away otherwise."""
    folder = Path(tempfile.mkdtemp(prefix=f".{into.name[:80]}.", suffix=".part", dir=into.parent))
    try:
        yield folder
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        folder.replace(into)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(file: IO[bytes], unpacking: _Unpacking) -> None:
    beginning = file.read(512)
    file.seek(0)
    if beginning[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        _unpack_zip(file, unpacking)
    elif beginning[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file, mode="rb") as plain:
            _unpack_tar(plain, unpacking)
    elif beginning[257:262] == b"ustar":
        _unpack_tar(file, unpacking)
    else:
        raise unpacking.refuse("it is no zip, tar or tar.gz; pack it as one of these")
    if not unpacking.files:
        raise unpacking.refuse("it holds no files")


def _require_few(file: IO[bytes], unpacking: _Unpacking) -> None:
    """Count what the directory of a zip lists, before the library makes an object of each entry."""
    end = file.seek(0, os.SEEK_END)
    tail_at = max(0, end - _END_OF_ZIP)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    size, starts = struct.unpack_from("<II", tail, at + 12) if 0 <= at <= len(tail) - 22 else (0, 0)
    locator = tail.rfind(b"PK\6\7", 0, max(at, 0))
    if 0xFFFFFFFF in (size, starts) and 0 <= locator <= len(tail) - 20:
        file.seek(min(*struct.unpack_from("<Q", tail, locator + 8), end))
        wide = file.read(56)
        size = struct.unpack_from("<Q", wide, 40)[0] if len(wide) == 56 else 0
    file.seek(max(0, tail_at + at - min(size, end)))
    left, most = min(size, end), unpacking.limits.files
    if size > most * _LONGEST_ENTRY:
        raise unpacking.refuse(f"it lists more than {most:,} files; unpack it and give the folder")
    entries, rest = 0, b""
    while left > 0 and (block := file.read(min(_HEADER_READ, left))):
        left -= len(block)
        entries += (rest + block).count(b"PK\1\2")
        rest = block[-3:]
        if entries > 2 * most:
            raise unpacking.refuse(f"it lists more than {most:,} files; unpack it and give the folder")
    file.seek(0)


def _unpack_zip(file: IO[bytes], unpacking: _Unpacking) -> None:
    _require_few(file, unpacking)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        _check_overlap(members, unpacking)
        for member in members:
            name = member.orig_filename
            kind = stat.S_IFMT(member.external_attr >> 16)
            if name.endswith("/") and kind in (0, stat.S_IFDIR):
                unpacking.parts(name)
                continue
            if kind not in (0, stat.S_IFREG):
                raise unpacking.refuse(f"'{name}' is a link or device; only files and folders are unpacked")
            if member.flag_bits & 0x1:
                raise unpacking.refuse(f"'{name}' is encrypted; pack it without a password")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise unpacking.refuse(f"'{name}' is packed by method {member.compress_type}; use deflate")
            unpacking.proportion(member.file_size, member.compress_size, f"'{name}'")
            unpacking.parts(name)
            with archive.open(member) as data:
                unpacking.save(name, data, size=member.file_size)
                if data.read(1):  # also makes the library compare the checksum
                    raise unpacking.refuse(f"'{name}' is longer than it says")


def _check_overlap(members: list[zipfile.ZipInfo], unpacking: _Unpacking) -> None:
    """Members that share bytes are a bomb that no ratio of one member shows (CVE-2024-0450)."""
    local_header = 30
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise unpacking.refuse(
                f"'{member.orig_filename}' shares bytes with another member: an archive bomb"
            )
        end = member.header_offset + local_header + member.compress_size


def _unpack_tar(file: IO[bytes] | gzip.GzipFile, unpacking: _Unpacking) -> None:
    metered = _Metered(file, unpacking)
    with tarfile.TarFile(fileobj=metered, mode="r", encoding="utf-8", errors="surrogateescape") as archive:  # type: ignore[arg-type]
        members = 0
        while (member := archive.next()) is not None:
            members += 1
            if members > 2 * unpacking.limits.files:
                raise unpacking.refuse(f"it holds more than {unpacking.limits.files} files")
            if member.isdir():
                if member.name not in (".", ""):
                    unpacking.parts(member.name)
            elif (
                member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
                and not member.issparse()
                and member.size >= 0
            ):
                data = archive.extractfile(member)
                assert data is not None  # a regular file has data
                unpacking.save(member.name, data, size=member.size)
            else:
                raise unpacking.refuse(
                    f"'{member.name}' is a link, device or sparse file; only files are unpacked"
                )
            archive.members = []  # type: ignore[attr-defined]  # the list grows without end, and nothing here looks back
    if metered.last.count(0) != tarfile.BLOCKSIZE:  # the library takes a damaged header for the end
        raise unpacking.refuse("it is damaged or cut off; fetch it again")
    while metered.read(_BLOCK):  # the rest is padding; a gzip's checksum stands at its very end
        pass


class _Metered:
    """Reads forward only, counts what comes out of the packing, and refuses a bomb while it goes off."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, unpacking: _Unpacking) -> None:
        self.file, self.unpacking = file, unpacking
        self.position = 0
        self.last = b""

    def tell(self) -> int:
        return self.position

    def seek(self, position: int) -> int:
        while self.position < position and self.read(min(_BLOCK, position - self.position)):
            pass
        if self.position > position:
            raise tarfile.ReadError("it points backwards")
        return self.position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER_READ:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        block = self.file.read(size)
        self.position += len(block)
        if block:
            self.last = block
        self.unpacking.proportion(self.position, self.unpacking.packed, "it")
        return block
