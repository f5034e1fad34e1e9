"""Borrowed eyes or none: the same few pictures, trained as `neocog train FOLDER` does, from both beginnings.

    python bench/borrowing.py --shared SHARED/data [--only NAME ...] [--out results/borrowing.json]

Sets of several kinds: ants and bees (photos), CIFAR-10's JPEG files (32x32, colours), MNIST and colours and
shapes as folders of PNG files, and those shapes with several labels each. Of the training pictures a draw of
so many a class is laid out as a folder of its own, smaller draws within larger ones; up to ten pictures are
drawn three times. Test pictures lie apart (one of each class beside the others, so that no training picture
is made one) and are answered afterwards, by borrowed eyes through features that are computed once. A row is
written as soon as it is there; rows that the file has already are not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from turns import machine

import neocog
from neocog.data import Data, load
from neocog.data.batches import plain_batches
from neocog.data.dataset import Split
from neocog.model import Trained
from neocog.model import load as load_model
from neocog.show.words import percent
from neocog.tasks.intervals import wilson
from neocog.transfer.features import ALL, cut, features
from neocog.transfer.lending import EYES
from neocog.world import find

RESULTS = Path(__file__).parent.parent / "results" / "borrowing.json"
DRAWS, FEW = 3, 10
"""Of at most so many pictures a class there are several draws: which ones they are says much."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a file (`suffix`, with `content` to write) and its labels, one or several."""

    suffix: str
    content: Callable[[Path], None]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A set: training and test pictures, how many a class are taken in turn (of several labels: in all), and
    for which of these sizes a network is trained from nothing too.
    """

    train: Callable[[Path], list[Picture]]
    test: Callable[[Path], list[Picture]]
    sizes: tuple[int, ...]
    from_nothing: tuple[int, ...]
    several: bool = False


@cache
def opened(path: Path) -> zipfile.ZipFile:
    """A zip, whose long list of members is read once."""
    return zipfile.ZipFile(path)


def copied(source: Path, member: str, label: str) -> Picture:
    """A file of a folder or of a zip, byte for byte."""

    def write(path: Path) -> None:
        if source.is_dir():
            path.write_bytes((source / member).read_bytes())
        else:
            path.write_bytes(opened(source).read(member))

    return Picture(Path(member).suffix, write, (label,))


def drawn(x: torch.Tensor, labels: Sequence[str]) -> Picture:
    """A picture of a tensor (C, H, W), uint8, as PNG."""
    pixels = x.permute(1, 2, 0).squeeze(2).numpy()
    return Picture(".png", lambda path: Image.fromarray(pixels).save(path), tuple(labels))


def photos(split: str, shared: Path) -> list[Picture]:
    """Ants and bees."""
    root = shared / "photos" / "ants-bees"
    files = sorted(path for path in (root / split).rglob("*") if path.is_file())
    return [copied(root, str(path.relative_to(root)), path.parent.name) for path in files]


def jpegs(split: str, each: int, shared: Path) -> list[Picture]:
    """The first of every class of CIFAR-10."""
    packed = shared / "cifar10-jpeg.zip"
    names = sorted(name for name in opened(packed).namelist() if name.startswith(f"{split}/"))
    found: dict[str, list[Picture]] = {}
    for name in names:
        label = name.split("/")[1]
        if name.endswith(".jpg") and len(found.setdefault(label, [])) < each:
            found[label].append(copied(packed, name, label))
    return [picture for pictures in found.values() for picture in pictures]


def of_data(name: str, split: str, most: int, shared: Path, *, several: bool = False) -> list[Picture]:
    """Pictures of a data set of neocog; of several labels, the words of the class."""
    del shared
    data = load(Data(name=name, task="both" if name == "shapes" else None, held_out=0.0))
    part = data.split("train" if split == "train" else "test")
    names = [data.classes[k] for k in part.y[:most].tolist()]
    return [drawn(x, n.split() if several else [n]) for x, n in zip(part.x[:most], names, strict=True)]


CASES = {
    "ants and bees": Case(
        partial(photos, "train"), partial(photos, "val"), (1, 5, 20, 100), (20,)
    ),
    "CIFAR-10, JPEG files": Case(
        partial(jpegs, "train", 1000), partial(jpegs, "test", 50), (1, 5, 20, 100, 500), (20, 100, 500)
    ),
    "MNIST, PNG files": Case(
        partial(of_data, "mnist", "train", 20_000), partial(of_data, "mnist", "test", 500),
        (1, 5, 10, 20, 100), (5, 10, 20, 100),
    ),
    "colours and shapes, PNG files": Case(
        partial(of_data, "shapes", "train", 4000), partial(of_data, "shapes", "test", 500),
        (1, 5, 20, 50), (5, 20, 50),
    ),
    "colours and shapes, several labels": Case(
        partial(of_data, "shapes", "train", 4000, several=True),
        partial(of_data, "shapes", "test", 500, several=True),
        (20, 50, 200), (20, 50, 200), several=True,
    ),
}  # fmt: skip


def chosen(pictures: Sequence[Picture], size: int, draw: int, *, several: bool) -> list[Picture]:
    """So many of every class, or of all; the first of a shuffle, so that a larger draw holds the smaller."""
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(draw)).tolist()
    shuffled = [pictures[i] for i in order]
    if several:
        return shuffled[:size]
    names = sorted({picture.labels for picture in pictures})
    return [p for name in names for p in [p for p in shuffled if p.labels == name][:size]]


def laid_out(parts: Mapping[str, Sequence[Picture]], place: Path, *, several: bool) -> Path:
    """A folder of these splits: class folders, or a table where there are several labels."""
    rows = []
    for split, pictures in parts.items():
        for number, picture in enumerate(pictures):
            folder = place if several else place / split / picture.labels[0]
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{split}{number:05}{picture.suffix}"
            picture.content(file)
            rows.append((file.name, ";".join(picture.labels), split))
    if several:
        with (place / "labels.csv").open("w", newline="") as table:
            csv.writer(table).writerows([("file", "labels", "split"), *rows])
    return place


def rows_of(name: str, shared: Path, done: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """The rows of a set that are not `done` yet."""
    case = CASES[name]
    with tempfile.TemporaryDirectory() as place:
        root, train, test = Path(place), case.train(shared), case.test(shared)
        few = list({picture.labels: picture for picture in test}.values())
        tests = laid_out({"test": test, "train": few}, root / "tests", several=case.several)

        for size in case.sizes:
            for draw in range(DRAWS if size <= FEW else 1):
                folder = root / f"{size}-{draw}"
                for start in (EYES, "nothing")[: 1 + (size in case.from_nothing)]:
                    row = {"set": name, "size": size, "draw": draw, "start": start}
                    if done(row):
                        continue
                    if not folder.exists():
                        some = chosen(train, size, draw, several=case.several)
                        laid_out({"train": some, "test": few}, folder, several=case.several)
                    run = neocog.train(folder, start=start, out=root / "runs" / f"{size}-{draw}-{start}")
                    trained = load_model(run.model_file)
                    whole = Data(name="folder", held_out=0.0, val="none")
                    unseen = load(
                        whole, where=tests, preprocess=trained.preprocess, classes=trained.classes
                    ).split("test")
                    right, n = answered(trained, unseen, borrowed=start == EYES), len(unseen)
                    facts = run.facts()
                    yield row | {
                        "pictures": facts["counts"]["train"], "held_out": facts["counts"].get("val", 0),
                        "right": right, "n": n, "accuracy": right / n, "interval": wilson(right, n),
                        "seconds": facts["seconds"],
                    }  # fmt: skip


def answered(trained: Trained, split: Split, *, borrowed: bool) -> int:
    """How many pictures of `split` are answered right as a whole."""
    network, world = trained.network.eval(), find("cpu", "float32")
    with torch.inference_mode():
        if borrowed:
            stage = cut(network, ALL)
            x = features(network, stage, split, trained.preprocess, world=world).x[0]
            outputs = network.after(stage)(x)
        else:
            batches = plain_batches(split, trained.preprocess, device=world.device)
            outputs = torch.cat([network(x) for x, _ in batches])
    task = trained.answers
    return int(task.right(task.predicted(task.probabilities(outputs)), split.y).sum())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    rows = json.loads(asked.out.read_text())["rows"] if asked.out.exists() else []

    def done(row: dict[str, Any]) -> bool:
        return any(row.items() <= each.items() for each in rows)

    for name in asked.only:
        for row in rows_of(name, asked.shared, done):
            rows.append(row)
            print(f"{name}, {row['size']}, draw {row['draw']}, {row['start']}: "
                  f"{percent(row['accuracy'], row['interval'])} of {row['n']}", flush=True)  # fmt: skip
            asked.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
