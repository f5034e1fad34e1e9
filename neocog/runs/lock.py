"""The lock of a folder: one training at a time, on every system and file system that has locks."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from neocog.errors import UnreadableError, UsageError, escaped
from neocog.files import NO_LOCKS

LOCK_FILE = ".lock"
FAR = 1 << 30
"""Byte that is locked on Windows, where a locked byte cannot be read: none that is ever written."""


class Taken(Exception):
    """Somebody else holds the lock."""


@contextlib.contextmanager
def held(folder: Path) -> Iterator[tuple[str, ...]]:
    """Hold the lock of `folder`; it falls with the process. Yields remarks: one where the file system has no
    locks, so that a second training would go unnoticed.

    `UsageError` where another process holds it, `UnreadableError` where the folder cannot be written to.
    """
    try:
        handle, remarks = _hold(folder)
    except OSError as error:
        raise UnreadableError(
            f"cannot write in {folder}: {error.strerror or error}; make room or give permission there, "
            "or choose another --out"
        ) from error
    try:
        yield remarks
    finally:
        os.close(handle)


def _hold(folder: Path) -> tuple[int, tuple[str, ...]]:
    path = folder / LOCK_FILE
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            remarks = _taken(handle, folder)
            if _is(handle, path):
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {_host()}\n".encode())
                return handle, remarks
        except Taken:
            who = os.read(handle, 200).decode("utf-8", "replace").strip() or "another process"
            os.close(handle)
            raise UsageError(
                f"another process is training in {folder} ({escaped(who)}); "
                "wait for it or choose another --out"
            ) from None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the file was replaced meanwhile: its lock binds nobody


def _taken(handle: int, folder: Path) -> tuple[str, ...]:
    try:
        _lock(handle)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return (
            f"{folder} lies on a file system without locks: "
            "a second training into it would not be noticed, so start none",
        )
    return ()


def _lock(handle: int) -> None:
    """Lock the open file or raise `Taken`; any other `OSError` says that it cannot be locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(handle, FAR, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(handle, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK):
            raise Taken from None
        raise


def _is(handle: int, path: Path) -> bool:
    """Whether the open file still is the one at `path`."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _host() -> str:
    try:
        return socket.gethostname()
    except OSError:
        return "this machine"
