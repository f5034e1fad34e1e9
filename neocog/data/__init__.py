"""Data sets: the table of those built in, `Data` (the recipe's part) and `load(Data) -> Dataset`.

Everything is imported when it is asked for; the table needs no library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neocog.data.choice import Data
    from neocog.data.dataset import Dataset, Split
    from neocog.data.loading import load
    from neocog.data.sources.built_in import BuiltIn
    from neocog.data.sources.table import DATASETS

__all__ = ["DATASETS", "BuiltIn", "Data", "Dataset", "Split", "load"]

_LAZY = {
    "DATASETS": "sources.table",
    "BuiltIn": "sources.built_in",
    "Data": "choice",
    "load": "loading",
    "Dataset": "dataset",
    "Split": "dataset",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"neocog.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'neocog.data' has no attribute '{name}'")
