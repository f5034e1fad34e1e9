"""Hearing: who is told how far a download is, wherever in a verb it begins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the bytes there are and the bytes there will be (None where the server does not say)."""

Listener: TypeAlias = Callable[[str], Progress]
"""Called with the name of the file before its first byte."""


def _nobody(name: str) -> Progress:
    return lambda done, total: None


_listener: ContextVar[Listener] = ContextVar("listener", default=_nobody)


@contextlib.contextmanager
def hearing(listener: Listener) -> Iterator[None]:
    """While this lasts, `listener` hears of every download of this thread."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def announced(name: str) -> Progress:
    """Tell whoever listens that file `name` is to come: whom to tell how far it is."""
    return _listener.get()(name)
