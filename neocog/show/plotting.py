"""Where matplotlib keeps its list of fonts: in the cache, so that nothing is written elsewhere."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from neocog.errors import NeocogError
from neocog.files import cache_dir

VARIABLE = "MPLCONFIGDIR"


def settle() -> None:
    """Called before matplotlib is imported. A place that the user chose stays; where there is no cache, the
    list lives as long as the process.
    """
    if VARIABLE in os.environ or "matplotlib" in sys.modules:
        return
    try:
        place = cache_dir() / "matplotlib"
        place.mkdir(parents=True, exist_ok=True)
        usable = os.access(place, os.W_OK)
    except (NeocogError, OSError):
        usable = False
    if not usable:
        place = Path(tempfile.mkdtemp(prefix="neocog-"))
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    os.environ[VARIABLE] = str(place)
