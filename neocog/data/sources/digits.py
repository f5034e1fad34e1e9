"""Digits: 1,797 handwritten digits of 8x8 pixels, carried inside the package, so that every verb works
offline.

The test part of 'Optical Recognition of Handwritten Digits', E. Alpaydin and C. Kaynak, 1998, UCI Machine
Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0; the same rows in the same order as
scikit-learn's `load_digits`. Changed: the original values 0..16, how many pixels of a 4x4 block are set,
become 0..255. `digits.csv.gz` has a line per digit: 64 values row by row, then the label.
"""

from __future__ import annotations

import gzip
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from neocog.data.sources.built_in import BuiltIn

if TYPE_CHECKING:
    from neocog.data.choice import Data
    from neocog.data.dataset import Dataset, Split

ROWS, SIDE, LEVELS = 1797, 8, 16
TEST_SHARE = 0.2


def read() -> dict[str, Split]:
    """`train` (1,438) and `test` (359), x uint8 (N, 1, 8, 8), y int64; the same stratified split always."""
    import numpy as np
    import torch

    from neocog.data.dataset import Split
    from neocog.data.splits import hold_out

    packed = resources.files("neocog.data.sources").joinpath("digits.csv.gz").read_bytes()
    values = np.array(gzip.decompress(packed).replace(b"\n", b",").rstrip(b",").split(b","), dtype=np.int64)
    table = torch.from_numpy(values.reshape(ROWS, SIDE * SIDE + 1))
    x = (
        (table[:, :-1] * 255 + LEVELS // 2)
        .div(LEVELS, rounding_mode="floor")
        .to(torch.uint8)
        .view(ROWS, 1, SIDE, SIDE)
    )
    whole = Split(x, table[:, -1].clone())
    train, test = hold_out(whole.y, TEST_SHARE, seed=0)
    return {"train": whole.subset(train), "test": whole.subset(test)}


def _carried(data: Data) -> Dataset:
    from neocog.data.dataset import Dataset

    splits = read()
    return Dataset(name="digits", classes=ROW.classes, train=splits["train"], test=splits["test"])


ROW = BuiltIn(
    title="Digits: 8x8 handwritten digits, inside the package",
    classes=("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"),
    shape=(1, 8, 8),
    counts=MappingProxyType({"train": 1_438, "test": 359}),
    source="Alpaydin, Kaynak 1998, UCI, https://doi.org/10.24432/C50P49",
    licence="CC BY 4.0",
    recipe="digits",
    make=_carried,
)
