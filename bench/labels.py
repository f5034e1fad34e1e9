"""Labels exchanged on purpose, and how many of them `neocog study labels` names first.

    python bench/labels.py --shared SHARED/data [--draws 3] [--out results/labels.json]

Of the training photos of ants and bees, and of 1,000 JPEG files of CIFAR-10 (100 a class), 2, 5 and 10 % get
the label of another class, drawn anew each time: n of them. Counted is how many of the first n suspects are
among them, in the mean of the draws.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from functools import partial
from pathlib import Path

import torch
from borrowing import Picture, chosen, jpegs, laid_out, photos
from turns import machine, write

from neocog.data import Data, load
from neocog.data.dataset import Dataset
from neocog.transfer.labels import labels
from neocog.transfer.lending import EYES
from neocog.transfer.start import borrowed

SETS = {
    "ants and bees": (partial(photos, "train"), partial(photos, "val"), 1000),
    "CIFAR-10": (partial(jpegs, "train", 200), partial(jpegs, "test", 1), 100),
}
"""Pictures to be judged, others that lie beside as a test split, and how many of each class are taken."""
SHARES = (0.02, 0.05, 0.10)


def exchanged(dataset: Dataset, share: float, draw: int) -> tuple[Dataset, set[str]]:
    """The set with so large a share of its training labels exchanged, and the pictures that have them."""
    train, generator = dataset.train, torch.Generator().manual_seed(draw)
    picked = torch.randperm(len(train), generator=generator)[: round(share * len(train))]
    y, classes = train.y.clone(), len(dataset.classes)
    y[picked] = (y[picked] + torch.randint(1, classes, (len(picked),), generator=generator)) % classes
    changed = dataclasses.replace(train, y=y)
    return dataclasses.replace(dataset, train=changed), {train.names[i] for i in picked.tolist()}


def precision(dataset: Dataset, share: float, draw: int) -> tuple[int, int]:
    """How many of the first n suspects have exchanged labels, and n."""
    changed, wrong = exchanged(dataset, share, draw)
    first = labels(".", dataset=changed).items[: len(wrong)]
    return sum(suspect.file in wrong for suspect in first), len(wrong)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--shared", type=Path, required=True)
    asked.add_argument("--draws", type=int, default=3)
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    before, rows = machine(), []
    preprocess = borrowed(EYES).trained.preprocess
    for name, (source, others, most) in SETS.items():
        pictures: list[Picture] = chosen(source(given.shared), most, 0, several=False)
        with tempfile.TemporaryDirectory() as place:
            folder = laid_out({"train": pictures, "test": others(given.shared)}, Path(place), several=False)
            whole = Data(name="folder", held_out=0.0, val="none")
            dataset = load(whole, where=folder, preprocess=preprocess)
        for share in SHARES:
            found = [precision(dataset, share, draw) for draw in range(given.draws)]
            mean = statistics.fmean(right / n for right, n in found)
            print(f"{name} {len(dataset.train)}, {share:.0%} exchanged: {mean:.0%} of {found}", flush=True)
            rows.append({"set": name, "pictures": len(dataset.train), "share": share, "draws": found})
            write(given.out, rows, before)


if __name__ == "__main__":
    main()
