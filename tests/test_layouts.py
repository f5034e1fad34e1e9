"""Every way in which pictures may come with their classes: tables, lists, archives, arrays; and hostile ones."""

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neocog.data import Data, load
from neocog.data.folder import scan
from neocog.errors import UnreadableError, UsageError
from neocog.image import Preprocess

SMALL = Preprocess(size=(8, 8))
FILES = tuple(f"{k}.png" for k in range(6))
PETS = ("cat", "dog", "cat", "dog", "cat", "dog")


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NEOCOG_HOME", str(place))
    return place


@pytest.fixture
def root(tmp_path):
    (tmp_path / "pets").mkdir()
    return tmp_path / "pets"


def draw(path: Path) -> Path:
    """A picture unlike any with another name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = int.from_bytes(hashlib.sha256(str(path).encode()).digest()[:4], "big")
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 12, 3), np.uint8)).save(path)
    return path


def fill(root: Path, *files: str) -> Path:
    for file in files:
        draw(root / file)
    return root


def write(root: Path, name: str, text: str, encoding: str = "utf-8") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(text.encode(encoding))


def table(header: str, names=FILES, labels=PETS, mark: str = ",") -> str:
    return "\n".join([header, *(f"{name}{mark}{label}" for name, label in zip(names, labels))]) + "\n"


def understood(where: Path, **fields) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Path -> (split, classes), and the account checked on the way."""
    listing = scan(where, **fields)
    assert listing.found == len(listing.items) + len(listing.skipped)
    assert len({item.path for item in listing.items}) == len(listing.items)
    return {i.path: (i.split, tuple(listing.classes[k] for k in i.labels)) for i in listing.items}


PLAIN = {file: ("train", (label,)) for file, label in zip(FILES, PETS)}

ONE_TABLE = {
    "labels.csv": ("labels.csv", table("file,label"), "'file' names the picture, 'label' the class"),
    "other words": ("breeds.csv", table("filename,breed"), "'filename' names the picture, 'breed' the class"),
    "columns swapped": (
        "labels.csv",
        table("class,image", PETS, FILES),
        "'image' names the picture, 'class' the class",
    ),
    "semicolons": ("labels.csv", table("file;label", mark=";"), "'label' the class"),
    "tabs": ("labels.tsv", table("file\tlabel", mark="\t"), "'label' the class"),
    "BOM and CRLF": ("labels.csv", "\ufeff" + table("file,label").replace("\n", "\r\n"), "'file' names"),
    "no header": ("labels.csv", table("").lstrip("\n"), "column 1 names the picture, column 2 the class"),
    "quoted": (
        "labels.csv",
        "file,label\n" + "".join(f'"{f}","{c}"\n' for f, c in zip(FILES, PETS)),
        "'file'",
    ),
    "backslashes": ("labels.csv", table("file,label", [f".\\{f}" for f in FILES]), "'file' names"),
    "no endings": ("labels.csv", table("id,breed", [f[:-4] for f in FILES]), "'id' names the picture"),
    "another column": (
        "labels.csv",
        "file,label,note\n" + "".join(f"{f},{c},seen {f}\n" for f, c in zip(FILES, PETS)),
        "'label' the class",
    ),
    "imagefolder csv": ("metadata.csv", table("file_name,label"), "'file_name' names the picture"),
    "imagefolder jsonl": (
        "metadata.jsonl",
        "".join(json.dumps({"file_name": f, "label": c}) + "\n" for f, c in zip(FILES, PETS)),
        "'file_name' names the picture, 'label' the class",
    ),
    "list": (
        "labels.txt",
        table("", mark=" ").lstrip("\n"),
        "column 1 names the picture, column 2 the class",
    ),
    "list with remarks": ("labels.txt", "# mine\n" + table("", mark=" "), "column 2 the class"),
    "one-hot columns": (
        "labels.csv",
        "file,cat,dog\n" + "".join(f"{f},{int(c == 'cat')},{int(c == 'dog')}\n" for f, c in zip(FILES, PETS)),
        "the 0/1 columns cat, dog are the classes, one to a picture",
    ),
    "utf-16": ("labels.csv", table("file,label"), "'file' names"),
}


@pytest.mark.parametrize("case", ONE_TABLE)
def test_a_flat_folder_with_a_table(root, case):
    fill(root, *FILES)
    name, text, says = ONE_TABLE[case]
    write(root, name, text, "utf-16" if case == "utf-16" else "utf-8")
    assert understood(root) == PLAIN
    layout = scan(root).layout
    assert layout.startswith(f"read {name} (")
    assert says in layout
    assert understood(root / name) == PLAIN  # the table itself, given
    dataset = load(Data(name="folder"), where=root, preprocess=SMALL)
    for split in dataset.splits.values():
        assert [dataset.classes[k] for k in split.y] == [PLAIN[n][1][0] for n in split.names]
