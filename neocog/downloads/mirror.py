"""One file from one mirror: into `NAME.part`, resumed where it broke off, checked, then given its name."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import re
import shutil
import ssl
import time
import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, TypeAlias
from urllib.parse import urlsplit

from neocog._version import __version__
from neocog.downloads.https import Refused, opened
from neocog.errors import UnreadableError
from neocog.files import replacing, sha256_file
from neocog.hearing import Progress

By: TypeAlias = Literal["sha256", "sha256 prefix", "md5"]
"""What a publisher gives to know a file by: all of its SHA-256, its first digits (torchvision's file names),
or an MD5 (Keras); the latter two keep out accidents, not a determined forger.
"""

STALL_SECONDS = 30.0
SLOWEST = 512
"""Bytes per second, over a span of the stall time, below which a mirror is given up."""
RESUMES = 20
"""How often one mirror may break off and be asked to go on, as long as every attempt brings something."""
UNKNOWN_SIZE_LIMIT = 8 << 30
"""Bytes at which a file of undeclared size is given up."""
_BLOCK = 1 << 16
_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EFBIG,
    errno.EISDIR,
)
"""Errors of the file system, as against those of the network."""


def digest_of(path: Path, by: By) -> str:
    """The whole digest of a file, of the kind that a publisher gives."""
    if by != "md5":
        return sha256_file(path)
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to have: where, which, how patiently, and who hears about it."""

    target: Path
    sha256: str
    size: int | None
    stall_seconds: float
    progress: Progress
    by: By = "sha256"

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        """Which URL `part` began with, and that version's ETag."""
        return self.target.with_name(self.target.name + ".part.json")

    @property
    def limit(self) -> int:
        return self.size if self.size is not None else UNKNOWN_SIZE_LIMIT

    def there(self) -> bool:
        return self.target.is_file() and self.digest(self.target) == self.sha256

    def digest(self, path: Path) -> str:
        """Of the bytes in `path`, what `sha256` should equal."""
        return digest_of(path, self.by)[: len(self.sha256)]

    def held(self) -> int:
        """Bytes that are here already."""
        return self.part.stat().st_size if self.part.is_file() else 0

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def cure(self, urls: Sequence[str]) -> str:
        source = f", from {urls[0]}" if urls else ""
        return f"put {self.target.name} ({self.by} {self.sha256}) in {self.target.parent}{source}"


class MirrorFailed(Exception):
    """This mirror did not give the file. `broke_off`: going on may help. `wrong`: it gave other bytes."""

    def __init__(self, reason: str, *, broke_off: bool = False, wrong: bool = False) -> None:
        super().__init__(" ".join(reason.split())[:300])  # a server has its say in it, on one line
        self.broke_off, self.wrong = broke_off, wrong


def from_mirror(wanted: Wanted, url: str) -> None:
    """Transfer, going on where it breaks off; check; name."""
    for _ in range(RESUMES):
        before = wanted.held()
        try:
            _transfer(wanted, url)
            _check(wanted)
            break
        except MirrorFailed as failure:
            if failure.wrong:
                wanted.forget()
            # What was resumed may be two versions spliced together: that gets one more try, from the start.
            if not (before if failure.wrong else failure.broke_off and wanted.held() > before):
                raise
    else:
        raise MirrorFailed(f"broke off {RESUMES} times")
    with replacing(wanted.target) as temporary:
        wanted.part.replace(temporary)
    wanted.forget()


def _check(wanted: Wanted) -> None:
    found = wanted.digest(wanted.part)
    if found != wanted.sha256:
        name = wanted.by.replace("sha256", "SHA-256").replace("md5", "MD5")
        raise MirrorFailed(f"its bytes have {name} {found}, expected {wanted.sha256}", wrong=True)


def _transfer(wanted: Wanted, url: str) -> None:
    """Bring `part` to the end of the file, or raise `MirrorFailed`; what has come stays in `part`."""
    held = wanted.held()
    if held and held == wanted.size:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": f"neocog/{__version__}"}
    if held:
        headers["Range"] = f"bytes={held}-"
        if etag := _noted_etag(wanted, url):
            headers["If-Range"] = etag
    try:
        with opened(url, headers, timeout=wanted.stall_seconds) as response:
            _receive(wanted, url, response)
    except Refused as refused:
        raise MirrorFailed(str(refused)) from None
    except urllib.error.HTTPError as error:
        beyond = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        raise MirrorFailed(f"answered {error.code} {error.reason}", wrong=beyond) from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _broken_off(wanted, url, reason) from None


def _broken_off(wanted: Wanted, url: str, reason: BaseException | str) -> Exception:
    """The error to raise for what ended a transfer: the disk's, a final one, or one to go on after."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return UnreadableError(
            f"the certificate of {urlsplit(url).hostname} is not to be trusted ({reason.verify_message}), "
            f"nothing was downloaded; check the clock and the network, or {wanted.cure([url])}"
        )
    if isinstance(reason, TimeoutError):
        return MirrorFailed(f"sent nothing for {wanted.stall_seconds:g} s", broke_off=True)
    if isinstance(reason, OSError) and reason.errno in _DISK:
        return reason
    return MirrorFailed(f"broke off ({reason or type(reason).__name__})", broke_off=True)


def _receive(wanted: Wanted, url: str, response: http.client.HTTPResponse) -> None:
    """Write the response's body to `part`: after what is there for 206, from the start for 200."""
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise MirrorFailed(f"sent the file {coding}-encoded, though asked for it as it is")
    if response.headers.get_content_type() == "text/html":
        raise MirrorFailed("got an HTML page instead of the file: does the network need a login?")
    start = wanted.held() if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    if start and not response.headers.get("Content-Range", "").replace(" ", "").startswith(f"bytes{start}-"):
        wanted.forget()
        raise MirrorFailed("sent another range than it was asked for", wrong=True)
    announced = response.length
    total = wanted.size if wanted.size is not None or announced is None else start + announced
    _room(wanted, (total or start) - start)
    with wanted.part.open("r+b" if start else "wb") as file:
        file.seek(start)
        if not start:
            # Written plainly: a torn or lost note costs one request, not a wrong byte.
            wanted.note.write_text(json.dumps({"url": url, "etag": response.headers.get("ETag")}))
        end = _copy(wanted, response, file, start=start, total=total)
    if total is not None and end < total:
        raise MirrorFailed(f"broke off at byte {end} of {total}", broke_off=True)


def _copy(
    wanted: Wanted, response: http.client.HTTPResponse, file: IO[bytes], *, start: int, total: int | None
) -> int:
    """Copy to the end of the body, or of the file where its size is known; the bytes the file then has.

    One byte beyond the size ends it; so does a stretch of the stall time slower than `SLOWEST`.
    """
    end = mark = start
    since = time.monotonic()
    while wanted.size is None or end < wanted.size:
        # read1 returns what has come; read would wait for a whole block from a server that drips
        block = response.read1(min(_BLOCK, wanted.limit + 1 - end))
        if not block:
            break
        if end == 0 and re.match(rb"\s*<(!doctype\s+html|html)", block[:256], re.IGNORECASE):
            raise MirrorFailed("got an HTML page instead of the file: does the network need a login?")
        file.write(block)
        end += len(block)
        if end > wanted.limit:
            raise MirrorFailed(f"sent more than the file's {wanted.limit} bytes", wrong=True)
        wanted.progress(end, total)
        now = time.monotonic()
        if now - since > wanted.stall_seconds:
            if end - mark < SLOWEST * wanted.stall_seconds:
                raise MirrorFailed(f"sent only {end - mark} bytes in {now - since:.0f} s")
            mark, since = end, now
    return end


def _noted_etag(wanted: Wanted, url: str) -> str | None:
    """The strong ETag under which this URL gave the beginning; a weak one does not vouch for bytes."""
    try:
        note = json.loads(wanted.note.read_bytes())
        etag = note["etag"] if note["url"] == url else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return etag if isinstance(etag, str) and re.fullmatch(r'"[\x21\x23-\x7e]*"', etag) else None


def _room(wanted: Wanted, missing: int) -> None:
    """Refuse before the first byte what cannot fit on the disk; `missing` in bytes."""
    free = shutil.disk_usage(wanted.target.parent).free
    if missing > free:
        raise OSError(errno.ENOSPC, f"{missing} bytes are needed and {free} are free")
