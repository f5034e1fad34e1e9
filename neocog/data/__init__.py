"""Data sets: the table of those built in, `Data` (the recipe's part) and `load(Data) -> Dataset`.

The table needs no library, so that `neocog list data` is quick; the rest is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from neocog.data.choice import Data
    from neocog.data.dataset import Dataset, Split
    from neocog.data.loading import load

__all__ = ["DATASETS", "BuiltIn", "Data", "Dataset", "Split", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """A data set known by name. `shape` is (C, H, W) of one picture; `counts` the published number of
    pictures per split.

    `reader` says which source reads it: IDX files, CIFAR's batches, or one that needs no file (digits,
    shapes). `fit` is how its pictures meet an input of another size unless the user says otherwise.
    """

    title: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    source: str
    licence: str
    reader: Literal["idx", "cifar", "digits", "shapes"]
    fit: Literal["crop", "pad", "stretch"] = "pad"


_TEN_DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

DATASETS: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "mnist": BuiltIn(
            title="MNIST: handwritten digits",
            classes=_TEN_DIGITS,
            shape=(1, 28, 28),
            counts=MappingProxyType({"train": 60_000, "test": 10_000}),
            source="LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist",
            licence="CC BY-SA 3.0",
            reader="idx",
        ),
        "fashion-mnist": BuiltIn(
            title="Fashion-MNIST: clothing",
            classes=(
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ),
            shape=(1, 28, 28),
            counts=MappingProxyType({"train": 60_000, "test": 10_000}),
            source="Xiao, Rasul, Vollgraf 2017, https://github.com/zalandoresearch/fashion-mnist",
            licence="MIT",
            reader="idx",
        ),
        "cifar10": BuiltIn(
            title="CIFAR-10: ten kinds of animals and vehicles",
            classes=(
                "airplane",
                "automobile",
                "bird",
                "cat",
                "deer",
                "dog",
                "frog",
                "horse",
                "ship",
                "truck",
            ),
            shape=(3, 32, 32),
            counts=MappingProxyType({"train": 50_000, "test": 10_000}),
            source="Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html",
            licence="not stated by its author",
            reader="cifar",
            fit="crop",  # its pictures are full of their subject; bars at the sides look like a scene
        ),
        "digits": BuiltIn(
            title="Digits: 8x8 handwritten digits, inside the package",
            classes=_TEN_DIGITS,
            shape=(1, 8, 8),
            counts=MappingProxyType({"train": 1_438, "test": 359}),
            source="Alpaydin, Kaynak 1998, UCI, https://doi.org/10.24432/C50P49",
            licence="CC BY 4.0",
            reader="digits",
        ),
        "shapes": BuiltIn(
            title="Shapes: coloured circles, diamonds, lines, rectangles, triangles, drawn by the program; "
            "classes and channels depend on the task",
            classes=(),
            shape=(3, 28, 28),
            source="drawn by neocog",
            licence="Apache-2.0",
            reader="shapes",
        ),
    }
)

_LAZY = {"Data": "choice", "load": "loading", "Dataset": "dataset", "Split": "dataset"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f"neocog.data.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'neocog.data' has no attribute '{name}'")
