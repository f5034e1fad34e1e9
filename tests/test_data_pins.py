"""What data are made of never changes: fingerprints, splits, draws and cache keys of the first version."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from neocog.data import Data, load
from neocog.data.augment.augment import Augment
from neocog.data.batches import Feed, stream
from neocog.data.dataset import Dataset, Split
from neocog.data.folders.listing import Item, Listing
from neocog.data.folders.picture_cache import _key
from neocog.pictures.decode import Preprocess

SMALL = Preprocess(size=(6, 6))


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path_factory.mktemp("home")))


def picture(path: Path, seed: int) -> None:
    """A PPM: its bytes are the same with every version of every library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.arange(5 * 7 * 3) * (seed + 3) * 7919 + seed * seed * 104_729) % 251
    path.write_bytes(b"P6 7 5 255\n" + pixels.astype(np.uint8).tobytes())


def folders(root: Path) -> Path:
    for k in range(60):
        picture(root / ("2", "10", "b")[k % 3] / f"{k}.ppm", k // 2 if k < 10 else k)
    return root


def splits(root: Path) -> Path:
    for k in range(40):
        picture(
            root / ("train", "train", "train", "valid")[k % 4] / ("cat", "dog")[k // 4 % 2] / f"{k}.ppm", k
        )
    return root


def table(root: Path) -> Path:
    rows = ["file,label"]
    for k in range(40):
        picture(root / "pictures" / f"{k}.ppm", k)
        rows.append(f"{k}.ppm,{('red', 'red;round', '', 'round;big')[k % 4]}")
    (root / "labels.csv").write_text("\n".join(rows))
    return root


def archive(root: Path) -> Path:
    source = folders(root / "source")
    with zipfile.ZipFile(root / "mine.zip", "w") as packed:
        for path in sorted(source.rglob("*.ppm")):
            packed.write(path, f"mine/{path.relative_to(source)}")
    return root / "mine.zip"


def arrays(root: Path) -> Path:
    root.mkdir()
    x = ((np.arange(50 * 8 * 9 * 3) * 7919) % 253).astype(np.uint8).reshape(50, 8, 9, 3)
    np.savez(root / "a.npz", x=x, y=np.arange(50) % 4)
    return root


def label_sets(root: Path) -> Path:
    root.mkdir()
    x = ((np.arange(50 * 8 * 9) * 7919) % 253).astype(np.uint8).reshape(50, 8, 9)
    y = np.stack([np.arange(50) % n == 0 for n in (2, 3, 7)], 1).astype(np.uint8)
    np.savez(
        root / "sets.npz", train_images=x[:30], train_labels=y[:30], val_images=x[30:], val_labels=y[30:]
    )
    return root / "sets.npz"


def idx(root: Path) -> Path:
    root.mkdir()
    for part, count in (("train", 30), ("t10k", 8)):
        x = ((np.arange(count * 6 * 5) * 7919) % 253).astype(np.uint8)
        head = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (count, 6, 5))
        (root / f"{part}-images-idx3-ubyte").write_bytes(head + x.tobytes())
        y = (np.arange(count) % 3).astype(np.uint8)
        (root / f"{part}-labels-idx1-ubyte").write_bytes(
            bytes((0, 0, 8, 1)) + count.to_bytes(4, "big") + y.tobytes()
        )
    return root


def cifar(root: Path) -> Path:
    root.mkdir()
    for k in range(6):
        records = ((np.arange(10 * 3073) * 7919 + k) % 253).astype(np.uint8).reshape(10, 3073)
        records[:, 0] = np.arange(10)
        (root / (f"data_batch_{k + 1}.bin" if k < 5 else "test_batch.bin")).write_bytes(records.tobytes())
    return root


MAKERS = {f.__name__: f for f in (folders, splits, table, archive, arrays, label_sets, idx, cifar)}
ASKED = {
    "plain": {},
    "seed 5, limit 13": {"seed": 5, "limit": 13},
    "val test": {"val": "test"},
    "val none": {"val": "none", "held_out": 0.4},
    "as given": {"divide": "as given"},
    "all as test": {"divide": "all as test"},
}
PINNED: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "data_pins.json").read_text())


def said(dataset: Dataset) -> str:
    """Everything that a data set is, in 16 digits: pictures, labels, names and splits in their order."""
    names = {name: split.names for name, split in dataset.splits.items()}
    counts = {name: len(split) for name, split in dataset.splits.items()}
    whole = [dataset.fingerprint, dataset.name, dataset.classes, names, counts]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]


@pytest.mark.parametrize("maker", MAKERS)
def test_own_data_are_read_and_divided_as_ever(tmp_path, maker):
    where = MAKERS[maker](tmp_path / "own")
    found = {}
    for name, asked in ASKED.items():
        fields = {key: value for key, value in asked.items() if key != "divide"}
        divide = asked.get("divide", "as trained")
        dataset = load(Data(name="folder", **fields), where=where, preprocess=SMALL, divide=divide)
        found[name] = said(dataset)
        assert sum(len(split) for split in dataset.splits.values())
    classes = (*reversed(dataset.classes), "never seen")
    found["classes of a model"] = said(
        load(Data(name="folder"), where=where, preprocess=SMALL, classes=classes)
    )
    assert found == PINNED[maker]


BUILT_IN = {
    "digits": {"name": "digits", "limit": 200},
    "shapes": {"name": "shapes", "task": "shape", "seed": 3, "limit": 100},
    "shapes both": {"name": "shapes", "val": "none"},
}


def test_built_in_sets_are_read_and_divided_as_ever():
    assert {k: said(load(Data(**fields))) for k, fields in BUILT_IN.items()} == PINNED["built in"]


def test_the_key_of_decoded_pictures_in_the_cache():
    items = (Item("a/1.png", (0,), "train", "10 5 6"), Item("b/2.png", (1, 2), "test", "11 7 8"))
    root = Path("/nowhere/at all")
    listing = Listing(root, "n", "l", ("a", "b", "c"), ("train", "test"), items, (), (), 2, several=True)
    found = {
        "6x6": _key(listing, SMALL),
        "grey crop": _key(listing, Preprocess(size=(8, 4), channels=1, fit="crop", crop_share=0.875)),
        "scaled": _key(listing, SMALL.model_copy(update={"scale": "unit"})),
    }
    assert found == PINNED["cache keys"]
    assert found["scaled"] == found["6x6"], "what happens after placing is no part of the key"


class Plain:
    is_off = True

    def __call__(self, x, y, classes, generator):
        raise AssertionError("off")


def draws() -> dict[str, str]:
    """The order of an epoch, and a batch varied by everything at once."""
    x = (torch.arange(20 * 3 * 8 * 8) * 7919 % 251).to(torch.uint8).view(20, 3, 8, 8)
    y = torch.arange(20) % 5
    sets = torch.stack([torch.arange(20) % n == 0 for n in (2, 3, 5)], 1).float()
    found = {}
    for order in ("shuffled", "balanced", "as given"):
        feed = Feed(
            split=Split(x, y**2 % 5),
            preprocess=Preprocess(size=(8, 8), channels=3, scale="raw"),
            augment=Plain(),
            batch=7,
            classes=5,
            seed=11,
            order=order,
            device=torch.device("cpu"),
        )
        found[order] = feed.rows(3).tolist()
    mixing = Augment(mixup=0.4, cutmix=1.0)
    for name, targets in (("indices", y), ("label sets", sets)):
        _, mixed = mixing(x.float(), targets, 5, stream(1, 2, 3))
        found[f"mixed {name}"] = [[round(v, 4) for v in row] for row in mixed.tolist()]
    return {k: hashlib.sha256(json.dumps(v).encode()).hexdigest()[:16] for k, v in found.items()}


def test_the_draws_of_an_epoch():
    assert draws() == PINNED["draws"]
