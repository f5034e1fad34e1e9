"""Names of pictures, classes and splits: their order, how they are shown, and the words for a split."""

from __future__ import annotations

from typing import Literal

from neocog.pictures.names import natural as natural
from neocog.pictures.names import shown as shown
from neocog.pictures.names import some as some

SplitName = Literal["train", "val", "test"]
SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "val",
    "test": "test",
    "testing": "test",
}
"""The split that a folder's, table's or array's word means."""
ORDER = {"train": 0, "val": 1, "test": 2}
"""In which splits come."""
