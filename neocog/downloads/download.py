"""Downloads: mirrors, SHA-256, resumable, offline, never a half file under its final name.

A file arrives as `NAME.part`, resumes with an HTTP range where a transfer broke off, and gets its name
only after its SHA-256 was found right. Whatever a server, a login page or a power cut does, a file that bears
its name is the published one. `NEOCOG_OFFLINE=1` forbids every connection.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from neocog.downloads.https import check_address
from neocog.downloads.mirror import STALL_SECONDS, By, MirrorFailed, Wanted, from_mirror
from neocog.downloads.published import Source
from neocog.errors import NetworkNeeded, UnreadableError, UsageError
from neocog.files import NO_LOCKS, write_json
from neocog.hearing import Progress, announced

_DIGITS = {"sha256": "[0-9a-f]{64}", "sha256 prefix": "[0-9a-f]{8,64}", "md5": "[0-9a-f]{32}"}


def fetch(source: Source, folder: Path, *, progress: Progress | None = None) -> Path:
    """`folder` with every file of `source` in it, downloaded and checked.

    Raises:
        NetworkNeeded: a file is not there and cannot be had.
        UnreadableError: no mirror has the right bytes, or the disk is full.
    """
    for file in source.files:
        download(
            [mirror + file.name for mirror in source.mirrors],
            folder / file.name,
            sha256=file.sha256,
            size=file.size,
            licence=source.licence,
            progress=progress,
        )
    return folder


def download(
    urls: Sequence[str],
    target: Path,
    *,
    sha256: str,
    by: By = "sha256",
    size: int | None = None,
    licence: str | None = None,
    progress: Progress | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> Path:
    """`target`, holding the bytes whose SHA-256 is `sha256`: as found, or from the first mirror that has it.

    Where a publisher gives less, `by` says what `sha256` holds: its first 8 digits or more, or an MD5.
    `size` is in bytes. Beside the file, `NAME.source.json` says where it came from and under which licence.
    Processes that want the same file at the same time wait for the first. How far it is, `progress` is told,
    or whoever is `hearing`.

    Raises:
        NetworkNeeded: offline, or no mirror answers as it should.
        UnreadableError: a mirror has other bytes or a bad certificate, or the disk is full.
        UsageError: a URL that is not https, or a hash that is not 64 hexadecimal digits.
    """
    wanted = Wanted(target, sha256.lower(), size, stall_seconds, progress or (lambda done, total: None), by)
    if not re.fullmatch(_DIGITS[by], wanted.sha256):
        kind = "an MD5: give its 32" if by == "md5" else "a SHA-256: give all of its 64"
        raise UsageError(f"'{sha256}' is not {kind} hexadecimal digits")
    for url in urls:
        check_address(url)
    if wanted.there():
        return target
    if os.environ.get("NEOCOG_OFFLINE", "0") not in ("", "0"):
        raise NetworkNeeded(f"no network (NEOCOG_OFFLINE is set); {wanted.cure(urls)}")
    with _writing(wanted), _locked(target):
        if wanted.there():  # another process was faster
            return target
        if progress is None:
            wanted = replace(wanted, progress=announced(target.name))
        url = _from_mirrors(wanted, urls)
        write_json(
            target.with_name(target.name + ".source.json"),
            {"url": url, by: wanted.sha256, "size": target.stat().st_size, "licence": licence},
        )
    return target


def _from_mirrors(wanted: Wanted, urls: Sequence[str]) -> str:
    """The URL that gave the file, which now bears its name."""
    failures: list[tuple[str, MirrorFailed]] = []
    for url in urls:
        try:
            from_mirror(wanted, url)
            return url
        except MirrorFailed as failure:
            failures.append((url, failure))
    reasons = "; ".join(f"{url}: {failure}" for url, failure in failures) or "no URL is known"
    if any(failure.wrong for _, failure in failures):
        raise UnreadableError(
            f"{wanted.target.name} was not kept: {reasons}; the mirror may be damaged or compromised: "
            f"try later, or {wanted.cure(urls)}"
        )
    raise NetworkNeeded(
        f"cannot download {wanted.target.name}: {reasons}; check the network, or {wanted.cure(urls)}"
    )


@contextlib.contextmanager
def _writing(wanted: Wanted) -> Iterator[None]:
    """Make the folder; turn a disk that refuses into one line, leaving no part behind where it is full."""
    folder = wanted.target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            wanted.forget()
        raise UnreadableError(
            f"cannot write {wanted.target.name} in {folder}: {error.strerror or error}; "
            "free space there, or set NEOCOG_HOME to another folder"
        ) from error


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """One process at a time per file; the lock falls with the process that holds it. Where there are no
    locks (Windows, some network file systems) two downloads at once may both fail, never leave a wrong file.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with target.with_name(f".{target.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
