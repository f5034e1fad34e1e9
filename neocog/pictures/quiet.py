"""Quiet: Pillow without its warnings and its own ceiling, for as long as any thread decodes."""

from __future__ import annotations

import contextlib
import threading
import warnings
from types import TracebackType

from PIL import Image


class Quiet:
    """Pillow's warnings kept silent while a thread decodes, and its own ceiling of pixels lifted: ours is
    lower, or asked for.

    Both belong to the whole process, so overlapping decodes share one change of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self._filters.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                Image.MAX_IMAGE_PIXELS = None
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.close()


QUIET = Quiet()
