"""The data sets known by name: a line here and a file beside it, whose `ROW` says everything else."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from neocog.data.sources.built_in import BuiltIn

FILES: Mapping[str, str] = MappingProxyType(
    {
        "mnist": "mnist",
        "fashion-mnist": "fashion_mnist",
        "cifar10": "cifar10",
        "digits": "digits",
        "shapes": "shapes",
    }
)
"""Name of a data set -> the file of this folder that has its `ROW`."""


class Table(Mapping[str, BuiltIn]):
    """Every row by name. Names cost nothing; a row reads its file."""

    def __getitem__(self, name: str) -> BuiltIn:
        row: BuiltIn = importlib.import_module(f"{__package__}.{FILES[name]}").ROW
        return row

    def __contains__(self, name: object) -> bool:
        return name in FILES

    def __iter__(self) -> Iterator[str]:
        return iter(FILES)

    def __len__(self) -> int:
        return len(FILES)


DATASETS = Table()
