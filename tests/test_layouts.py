"""Every way in which pictures may come with their classes, and hostile ones."""

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import neocog
from neocog.data import Data, load
from neocog.data.own import open_own
from neocog.errors import UnreadableError, UsageError
from neocog.pictures.decode import Preprocess

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


def listing_of(where: Path, **fields):
    return open_own(where, **fields).listing


def understood(where: Path, **fields) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Path -> (split, classes), and the account checked on the way."""
    listing = listing_of(where, **fields)
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
    layout = listing_of(root).layout
    assert layout.startswith(f"read {name} (")
    assert says in layout
    assert understood(root / name) == PLAIN  # the table itself, given
    dataset = load(Data(name="folder"), where=root, preprocess=SMALL)
    for split in dataset.splits.values():
        assert [dataset.classes[k] for k in split.y] == [PLAIN[n][1][0] for n in split.names]


# --- splits ---


def test_a_split_column(root):
    fill(root, *FILES)
    splits = ("Train", "training", "valid", "test", "train", "train")
    write(
        root,
        "labels.csv",
        "file,label,split\n" + "".join(f"{f},{c},{s}\n" for f, c, s in zip(FILES, PETS, splits)),
    )
    assert [split for split, _ in sorted_values(understood(root))] == [
        "train",
        "train",
        "val",
        "test",
        "train",
        "train",
    ]
    listing = listing_of(root)
    assert listing.given == ("train", "val", "test")
    assert "'split' the split" in listing.layout


def test_fastais_is_valid(root):
    fill(root, *FILES)
    rows = zip(FILES, PETS, (False, True, False, False, True, False))
    write(root, "labels.csv", "name,label,is_valid\n" + "".join(f"{f},{c},{v}\n" for f, c, v in rows))
    assert [s for s, _ in sorted_values(understood(root))] == [
        "train",
        "val",
        "train",
        "train",
        "val",
        "train",
    ]


def test_a_column_of_folds_is_no_split_and_said(root):
    fill(root, *FILES)
    write(root, "labels.csv", "file,label,set\n" + "".join(f"{f},{c},A\n" for f, c in zip(FILES, PETS)))
    assert understood(root) == PLAIN
    assert any("column 'set' holds A, which are no splits" in remark for remark in listing_of(root).remarks)


def test_a_table_for_each_split(root):
    fill(root, *(f"images/{f}" for f in FILES))
    write(root, "train.csv", table("file,label", FILES[:4]))
    write(root, "val.csv", table("file,label", FILES[4:]))
    assert understood(root) == {
        f"images/{f}": ("train" if k < 4 else "val", (c,)) for k, (f, c) in enumerate(zip(FILES, PETS))
    }


def test_a_picture_in_two_splits_stays_in_the_first(root):
    fill(root, *FILES)
    write(root, "train.txt", table("", FILES[:4], mark=" "))
    write(root, "test.txt", table("", FILES[2:], PETS[2:], mark=" "))
    assert [s for s, _ in sorted_values(understood(root))] == ["train"] * 4 + ["test"] * 2
    assert any(
        "2 pictures of test.txt stand in train.txt too" in remark for remark in listing_of(root).remarks
    )


def test_lists_of_indices_as_mmpretrain_has_them(root):
    """ImageNet's own arrangement: train in class folders, val flat, lists below meta/, classes as numbers."""
    fill(root, *(f"train/n0{k % 2}/{k}.png" for k in range(6)), "val/a.png", "val/b.png")
    write(root, "meta/train.txt", "".join(f"n0{k % 2}/{k}.png {k % 2}\n" for k in range(6)))
    write(root, "meta/val.txt", "a.png 0\nb.png 1\n")
    got = understood(root)
    assert got["train/n01/3.png"] == ("train", ("1",))
    assert got["val/b.png"] == ("val", ("1",))
    assert len(got) == 8
    write(root, "classes.txt", "tench\ngoldfish\n")
    assert understood(root)["val/b.png"] == ("val", ("goldfish",))
    assert any("those in classes.txt" in remark for remark in listing_of(root).remarks)
    write(root, "classes.txt", "tench\n")
    assert any("classes.txt has 1 names, and 1 is a class" in remark for remark in listing_of(root).remarks)


def test_lists_of_paths_leave_the_class_to_the_folder(root):
    """As Food-101: meta/train.txt with apple_pie/1005649, pictures in images/apple_pie/1005649.jpg."""
    fill(root, *(f"images/{c}/{k}.png" for c in ("pie", "soup") for k in range(4)))
    write(root, "meta/train.txt", "".join(f"{c}/{k}\n" for c in ("pie", "soup") for k in range(3)))
    write(root, "meta/test.txt", "pie/3\nsoup/3\n")
    got = understood(root)
    assert got["images/soup/3.png"] == ("test", ("soup",))
    assert sum(split == "train" for split, _ in got.values()) == 6


def test_imagefolder_with_metadata_in_each_split(root):
    fill(root, *(f"train/{f}" for f in FILES), *(f"test/{f}" for f in FILES[:2]))
    write(root, "train/metadata.csv", table("file_name,label"))
    write(
        root,
        "test/metadata.jsonl",
        "".join(json.dumps({"file_name": f, "label": c}) + "\n" for f, c in zip(FILES[:2], PETS)),
    )
    got = understood(root)
    assert got["train/1.png"] == ("train", ("dog",))
    assert got["test/1.png"] == ("test", ("dog",))
    assert len(got) == 8


def test_metadata_over_split_folders(root):
    fill(root, *(f"train/{f}" for f in FILES[:4]), *(f"test/{f}" for f in FILES[4:]))
    names = [f"train/{f}" for f in FILES[:4]] + [f"test/{f}" for f in FILES[4:]]
    write(root, "metadata.csv", table("file_name,label", names))
    assert [s for s, _ in sorted_values(understood(root))] == ["test"] * 2 + ["train"] * 4


def test_kaggles_competition(root):
    """Flat train and test, ids without endings; the test table has no classes."""
    fill(root, *(f"train/{f}" for f in FILES), "test/x.png", "test/y.png")
    write(root, "train.csv", table("id,breed", [f[:-4] for f in FILES]))
    write(root, "test.csv", "id\nx\ny\n")
    write(root, "sample_submission.csv", "id,cat,dog\nx,0.5,0.5\ny,0.5,0.5\n")
    assert understood(root) == {f"train/{f}": ("train", (c,)) for f, c in zip(FILES, PETS)}
    assert any("test.csv is not used" in remark for remark in listing_of(root).remarks)


# --- several labels ---

SEVERAL = {
    "semicolons": ("labels.csv", "file,tags\n0.png,cat;dog\n1.png,dog\n2.png,\n3.png,cat; emu\n"),
    "bars": ("labels.csv", "file,tags\n0.png,cat|dog\n1.png,dog\n2.png,\n3.png,cat | emu\n"),
    "lists": (
        "metadata.jsonl",
        '{"file_name": "0.png", "label": ["cat", "dog"]}\n{"file_name": "1.png", "label": ["dog"]}\n'
        '{"file_name": "2.png", "label": []}\n{"file_name": "3.png", "label": ["cat", "emu"]}\n',
    ),
    "columns": ("labels.csv", "file,cat,dog,emu\n0.png,1,1,0\n1.png,0,1,0\n2.png,0,0,0\n3.png,1,0,1\n"),
    "true and false": (
        "labels.csv",
        "file,cat,dog,emu\n0.png,True,True,False\n1.png,False,True,False\n2.png,False,False,False\n"
        "3.png,True,False,True\n",
    ),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_several_labels_to_a_picture(root, case):
    fill(root, *FILES[:4])
    write(root, *SEVERAL[case])
    listing = listing_of(root)
    assert listing.several
    dataset = load(Data(name="folder", held_out=0), where=root, preprocess=SMALL, divide="as given")
    assert dataset.classes == ("cat", "dog", "emu")
    assert dataset.train.y.dtype == torch.float32
    assert dict(zip(dataset.train.names, dataset.train.y.tolist())) == {
        "0.png": [1, 1, 0],
        "1.png": [0, 1, 0],
        "2.png": [0, 0, 0],
        "3.png": [1, 0, 1],
    }


def test_classes_of_a_model_number_label_sets(root):
    fill(root, *FILES[:4])
    write(root, *SEVERAL["semicolons"])
    order = ("emu", "fox", "dog", "cat")
    listing = listing_of(root, classes=order)
    assert {i.path: i.labels for i in listing.items}["3.png"] == (0, 3)
    with pytest.raises(UsageError, match="does not know: emu"):
        listing_of(root, classes=("cat", "dog"))


# --- class folders and a table ---


def test_class_folders_win_where_the_table_says_the_same(root):
    fill(root, *(f"{c}/{k}.png" for c in ("a", "b") for k in range(3)))
    write(
        root,
        "labels.csv",
        "file,label\n" + "".join(f"{c}/{k}.png,{c * 2}\n" for c in ("a", "b") for k in range(3)),
    )
    listing = listing_of(root)
    assert listing.classes == ("a", "b")
    assert any("labels.csv is not used: the class folders say the same" in r for r in listing.remarks)


def test_the_table_wins_where_folders_are_only_parts(root):
    """HAM10000: two folders of pictures, the diagnosis in a table."""
    fill(root, *(f"images_part_{1 + k // 3}/{k}.png" for k in range(6)))
    write(root, "HAM10000_metadata.csv", table("image_id,dx", [str(k) for k in range(6)]))
    assert listing_of(root).classes == ("cat", "dog")


def test_a_table_of_answers_does_not_take_over(root):
    fill(root, *(f"{c}/{k}.png" for c in ("a", "b") for k in range(3)))
    write(root, "predictions.csv", "file,class\n" + "".join(f"a/{k}.png,{'ab'[k % 2]}\n" for k in range(3)))
    listing = listing_of(root)
    assert listing.classes == ("a", "b")
    assert len(listing.items) == 6
    assert any("to use it, give the file itself" in r for r in listing.remarks)


@pytest.mark.parametrize("text", ["\x00\x01binary", "a,b\n1,2,3\n", '"never closed\n', ""])
def test_class_folders_outlive_a_torn_table(root, text):
    fill(root, *(f"{c}/{k}.png" for c in ("a", "b") for k in range(3)))
    write(root, "labels.csv", text)
    listing = listing_of(root)
    assert listing.classes == ("a", "b")
    assert len(listing.items) == 6


# --- hostile tables ---


def test_missing_files_and_pictures_without_a_row_are_counted(root):
    fill(root, *FILES, "extra.png")
    write(root, "labels.csv", table("file,label") + "gone.png,cat\n,dog\n")
    listing = listing_of(root)
    assert {s.path: s.reason for s in listing.skipped} == {
        "extra.png": "is not named in labels.csv",
        "labels.csv": "the table that says the classes",
    }
    assert any(
        "2 rows name pictures that are not there, or in several folders: gone.png (line 8), (blank) (line 9)"
        in r
        for r in listing.remarks
    )


def test_rows_twice(root):
    fill(root, *FILES)
    write(root, "labels.csv", table("file,label") + "0.png,cat\n1.png,cat\n")
    got = understood(root)
    assert "0.png" in got
    assert "1.png" not in got
    skipped = {s.path: s.reason for s in listing_of(root).skipped}
    assert "says two things of it: dog, and cat" in skipped["1.png"]


def test_a_blank_class_is_no_class(root):
    fill(root, *FILES)
    write(root, "labels.csv", table("file,label", labels=("", *PETS[1:])))
    assert "0.png" not in understood(root)
    assert "gives it no class" in {s.path: s.reason for s in listing_of(root).skipped}["0.png"]


REFUSED = {
    "../x.jpg": r"labels\.csv, line 8: '\.\./x\.jpg' leads out of the folder",
    "a/../../x.jpg": "leads out of the folder",
    "..\\\\x.jpg": "leads out of the folder",
    "/etc/passwd": "is an absolute path",
    "C:\\\\x.jpg": "is an absolute path",
    "https://example.org/x.jpg": "is an address",
}


@pytest.mark.parametrize("name", REFUSED)
def test_paths_out_of_the_folder_are_refused(root, name):
    fill(root, *FILES)
    draw(root.parent / "x.jpg")
    write(root, "labels.csv", table("file,label") + f"{name},cat\n")
    with pytest.raises(UnreadableError, match=REFUSED[name]) as caught:
        listing_of(root)
    assert "\n" not in str(caught.value)


def test_a_table_of_nothing_but_outside_paths_says_so(root):
    fill(root, *FILES)
    write(root, "labels.csv", table("file,label", [f"../{f}" for f in FILES]))
    with pytest.raises(UnreadableError, match="leads out of the folder"):
        listing_of(root)


def test_class_words_like_paths_are_no_paths(root):
    """Open Images calls its classes /m/01abc."""
    fill(root, *FILES)
    write(root, "labels.csv", table("file,label", labels=[f"/m/{c}" for c in PETS]))
    assert listing_of(root).classes == ("/m/cat", "/m/dog")


TORN = {
    "nothing there": ("file,label\nx.png,cat\n", "names no picture that is there.*first row: 'x.png'"),
    "no class column": ("file\n0.png\n1.png\n", "names pictures but no classes"),
    "which column": (
        "file,colour,shape\n" + "".join(f"{k}.png,{'rg'[k % 2]},{'ox'[k // 3]}\n" for k in range(6)),
        "which of the columns colour, shape is the class",
    ),
    "one class": (table("file,label", labels=["cat"] * 6), "one class only, 'cat'"),
    "too many cells": ("file,label\n0.png,cat\n1.png,dog,fox\n", "line 3, has 3 cells where the first has 2"),
    "open quote": ('file,label\n0.png,"cat\n1.png,dog\n', "close the quotes"),
    "empty": ("", "is empty"),
    "zero bytes": ("file,label\n0.png,c\0at\n", "zero bytes"),
    "a huge cell": ("file,label\n0.png," + "x" * 200_000 + "\n", "field larger than field limit"),
    "twins": ("file,label\n0.png,Cat\n1.png,cat\n2.png,dog\n", "differ only by case"),
}


@pytest.mark.parametrize("case", TORN)
def test_torn_tables(root, case):
    fill(root, *FILES)
    text, says = TORN[case]
    write(root, "labels.csv", text)
    with pytest.raises(UnreadableError, match=says) as caught:
        listing_of(root)
    assert len(str(caught.value)) < 600


def test_not_utf_8(root):
    fill(root, *FILES)
    (root / "labels.csv").write_bytes(table("file,label").encode() + b"5.png,caf\xe9\n")
    with pytest.raises(UnreadableError, match="not UTF-8 text"):
        listing_of(root)


JSON_TORN = {
    "no JSON": ("{nope\n", "line 1, is not JSON"),
    "no object": ('["0.png", "cat"]\n', "line 1, is no object"),
    "deep": ("[" * 100_000 + "\n", "is not JSON"),
}


@pytest.mark.parametrize("case", JSON_TORN)
def test_torn_json_lines(root, case):
    fill(root, *FILES)
    write(root, "metadata.jsonl", JSON_TORN[case][0])
    with pytest.raises(UnreadableError, match=JSON_TORN[case][1]):
        listing_of(root)


def test_quoted_line_ends_and_names_that_drive_a_terminal(root):
    fill(root, *FILES)
    write(root, "labels.csv", 'file,label,note\n0.png,"cat\n\x1b[31m","a\nb"\n1.png,dog,"say ""x"", y"\n')
    listing = listing_of(root)
    assert listing.classes == ("cat\n\x1b[31m", "dog")
    gone = table("file,label") + "\x1b[2Jgone.png,dog\n"
    write(root, "labels.csv", gone)
    assert not any("\x1b" in remark for remark in listing_of(root).remarks)


def test_half_a_character_in_json(root):
    fill(root, *FILES)
    write(
        root,
        "metadata.jsonl",
        '{"file_name": "0.png", "label": "\\ud800"}\n{"file_name": "1.png", "label": "x"}\n',
    )
    for name in load(Data(name="folder"), where=root, preprocess=SMALL).classes:
        name.encode()


def test_names_in_the_other_unicode_form(root):
    fill(root, "cafe\u0301.png", "b.png")
    write(root, "labels.csv", "file,label\ncaf\u00e9.png,a\nb.png,b\n")
    assert set(understood(root)) == {"cafe\u0301.png", "b.png"}


def test_a_name_in_two_folders_is_not_guessed(root):
    fill(root, "x/0.png", "y/0.png", "x/1.png", "y/2.png", "x/3.png")
    write(root, "labels.csv", "file,label\n0.png,a\n1.png,a\n2.png,b\n3.png,b\n")
    assert set(understood(root)) == {"x/1.png", "y/2.png", "x/3.png"}
    assert any(
        "1 rows name pictures that are not there, or in several folders: 0.png" in r
        for r in listing_of(root).remarks
    )


def test_a_link_out_of_the_folder_is_not_opened_up_by_a_table(root, tmp_path):
    fill(root, *FILES)
    (root / "out.png").symlink_to(draw(tmp_path / "secret.png"))
    write(root, "labels.csv", table("file,label") + "out.png,cat\n")
    assert "out.png" not in understood(root)


def test_errors_show_three_layouts(root):
    fill(root, *FILES)
    with pytest.raises(UnreadableError, match="6 pictures but no class folders; expected:") as caught:
        listing_of(root)
    _, *example = str(caught.value).split("\n")
    assert len(example) == 3
    assert [word in line for word, line in zip(("cat/1.jpg", "labels.csv", "train.txt"), example)] == [
        True
    ] * 3


# --- archives ---


def packed_zip(root: Path, prefix: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + str(path.relative_to(root)))
    return out.getvalue()


def packed_tar(root: Path, prefix: str, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.add(path, prefix + str(path.relative_to(root)))
    return out.getvalue()


@pytest.mark.parametrize("prefix", ["", "wrapped/", "two/folders/"])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tgz"])
@pytest.mark.parametrize("layout", ["folders", "table"])
def test_archives(root, tmp_path, home, prefix, kind, layout):
    if layout == "folders":
        fill(root, *(f"{c}/{k}.png" for c in ("cat", "dog") for k in range(4)))
    else:
        fill(root, *FILES)
        write(root, "labels.csv", table("file,label"))
    archive = tmp_path / f"my.{kind}"
    archive.write_bytes(
        packed_zip(root, prefix)
        if kind == "zip"
        else packed_tar(root, prefix, "w" if kind == "tar" else "w:gz")
    )
    assert understood(archive) == understood(root)
    a = load(Data(name="folder"), where=archive, preprocess=SMALL)
    b = load(Data(name="folder"), where=root, preprocess=SMALL)
    assert a.fingerprint == b.fingerprint
    assert a.name == "my"
    assert len(list((home / "unpacked").iterdir())) == 1
    assert any("unpacked into the cache from my." in remark for remark in a.remarks)


def test_a_file_that_is_nothing_known(tmp_path):
    (tmp_path / "x.bin").write_bytes(b"hello")
    with pytest.raises(UnreadableError, match=r"is a file; give a folder of pictures, a zip or tar"):
        listing_of(tmp_path / "x.bin")


def test_an_archive_that_leads_out_is_refused(tmp_path, home):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../x.png", "x")
    with pytest.raises(UnreadableError, match="leads out"):
        listing_of(tmp_path / "bad.zip")
    assert not list((home / "unpacked").glob("*"))


# --- arrays ---


def pixels(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


X, Y = pixels(40, 9, 7, 3), np.arange(40) % 4

ARRAYS = {
    "keras": {"x_train": X, "y_train": Y, "x_test": X[:8], "y_test": Y[:8]},
    "keras columns": {"x_train": X, "y_train": Y[:, None], "x_test": X[:8], "y_test": Y[:8, None]},
    "medmnist": {
        **{f"{s}_images": X[:n] for s, n in (("train", 40), ("val", 12), ("test", 8))},
        **{f"{s}_labels": Y[:n, None].astype(np.uint8) for s, n in (("train", 40), ("val", 12), ("test", 8))},
    },
    "x and y": {"x": X, "y": Y},
    "images and labels": {"images": X, "labels": Y},
    "channels first": {"x": X.transpose(0, 3, 1, 2), "y": Y},
    "by columns": {"x": np.asfortranarray(X), "y": Y},
    "unit floats": {"x": X.astype(np.float32) / 255, "y": Y.astype(np.float64)},
    "wide integers": {"x": X.astype(">i4"), "y": Y.astype(np.int8)},
    "one-hot": {"x": X, "y": np.eye(4, dtype=np.float32)[Y]},
    "words": {"x": X, "y": np.array(["0", "1", "2", "3"])[Y]},
    "names": {"x": X, "y": Y, "classes": np.array(["a", "b", "c", "d"])},
    "others beside": {"x": X, "y": Y, "ids": np.arange(40), "notes": np.zeros(3)},
}


@pytest.mark.parametrize("case", ARRAYS)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, case, save):
    path = tmp_path / "mine.npz"
    save(path, **ARRAYS[case])
    data = load(Data(name="folder", held_out=0), where=path, divide="as given")
    assert (data.train.x.numpy() == X.transpose(0, 3, 1, 2)).all()
    assert data.train.y.tolist() == Y.tolist()
    assert data.classes == (("a", "b", "c", "d") if case == "names" else ("0", "1", "2", "3"))
    assert data.name == "mine"
    assert (data.test is not None) == (case in ("keras", "keras columns", "medmnist"))
    assert (data.val is not None) == (case == "medmnist")


def test_npz_grey_and_label_sets(tmp_path):
    sets = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]] * 10)
    np.savez(tmp_path / "a.npz", x=X[:, :, :, 0], y=sets)
    data = load(Data(name="folder", held_out=0), where=tmp_path / "a.npz", divide="as given")
    assert data.shape == (1, 9, 7)
    assert data.train.y.dtype == torch.float32
    assert data.train.y.tolist() == sets.tolist()


def test_npz_is_divided_like_a_folder(tmp_path):
    x = pixels(200, 5, 5, 3)
    x[100:] = x[:100]  # every picture twice
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(200) % 2)
    data = load(Data(name="folder"), where=tmp_path)  # the folder of the one npz
    assert set(data.splits) == {"train", "val", "test"}
    assert sum(len(s) for s in data.splits.values()) == 200
    seen = [{p.numpy().tobytes() for p in s.x} for s in data.splits.values()]
    assert not (seen[0] & seen[1])
    assert not (seen[0] & seen[2])
    assert not (seen[1] & seen[2])
    placed = load(Data(name="folder"), where=tmp_path, preprocess=SMALL, classes=("1", "x", "0"))
    assert placed.shape == (3, 8, 8)
    assert set(placed.train.y.tolist()) == {0, 2}
    whole = load(Data(name="folder"), where=tmp_path, divide="all as test")
    assert list(whole.splits) == ["test"]
    assert len(whole.test) == 200


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


BAD_ARRAYS = {
    "pickled": ({"x": X, "y": np.array([Trap()] * 40, dtype=object)}, "holds object"),
    "lengths": ({"x": X, "y": Y[:-1]}, "40 pictures, 39 labels"),
    "no labels": ({"x_train": X}, "train has pictures alone"),
    "nothing known": ({"weights": X}, "no array of pictures"),
    "two pictures": ({"x": X, "images": X, "y": Y}, "two arrays could be the pictures"),
    "shape": ({"x": X[:, :, :, :2], "y": Y}, "they must be"),
    "values": ({"x": X.astype(np.float32) * 2, "y": Y}, "must lie in 0..1 or 0..255"),
    "not finite": ({"x": np.full((4, 3, 3), np.nan), "y": Y[:4]}, "must lie in"),
    "fractions": ({"x": X, "y": Y + 0.5}, "whole numbers"),
    "negative": ({"x": X, "y": Y - 1}, "whole numbers from 0 on"),
    "huge label": ({"x": X, "y": Y + 10**9}, "is too large"),
    "few names": ({"x": X, "y": Y, "classes": np.array(["a"])}, "must be 4 different texts"),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_npz_that_is_refused(tmp_path, case):
    arrays, says = BAD_ARRAYS[case]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UnreadableError, match=says):
        load(Data(name="folder"), where=tmp_path / "a.npz")


def test_npz_headers_are_not_believed(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000, 1000), }"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", body)
        archive.writestr("y.npy", body)
    with pytest.raises(UnreadableError, match="shorter than its header says"):
        load(Data(name="folder"), where=tmp_path / "a.npz")


def sorted_values(found: dict) -> list:
    return [value for _, value in sorted(found.items())]


def idx(values: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, values.ndim)) + b"".join(n.to_bytes(4, "big") for n in values.shape)
    return head + values.tobytes()


def test_a_folder_with_idx_files_of_ones_own(tmp_path):
    where = tmp_path / "letters"
    where.mkdir()
    x, y = pixels(30, 6, 5), (np.arange(30) % 26).astype(np.uint8)
    for part, count in (("train", 30), ("t10k", 7)):
        (where / f"{part}-images-idx3-ubyte").write_bytes(idx(x[:count]))
        (where / f"{part}-labels-idx1-ubyte").write_bytes(idx(y[:count]))
    data = load(Data(name="folder", held_out=0), where=where)
    assert (len(data.train), len(data.test), data.shape, len(data.classes)) == (30, 7, (1, 6, 5), 26)
    assert data.name == "letters"
    assert (data.train.x[:, 0].numpy() == x).all()


@pytest.mark.parametrize("kind", ["python", "binary"])
@pytest.mark.parametrize("inside", [False, True])
def test_cifars_batches_in_a_folder_of_any_name(tmp_path, kind, inside):
    where = tmp_path / ("cifar-10-batches-py" if kind == "python" else "cifar-10-batches-bin")
    where.mkdir()
    x, y = pixels(60, 3072), np.arange(60) % 10
    for k in range(6):
        rows = slice(10 * k, 10 * k + 10)
        name = f"data_batch_{k + 1}" if k < 5 else "test_batch"
        if kind == "python":
            content = {b"data": x[rows], b"labels": y[rows].tolist()}
            (where / name).write_bytes(pickle.dumps(content, protocol=2))
        else:
            records = np.concatenate([y[rows, None].astype(np.uint8), x[rows]], 1)
            (where / f"{name}.bin").write_bytes(records.tobytes())
    data = load(Data(name="folder", held_out=0), where=tmp_path if inside else where)
    assert (len(data.train), len(data.test), data.classes[3]) == (50, 10, "cat")
    assert (data.train.x.reshape(50, -1).numpy() == x[:50]).all()
    assert data.test.y.tolist() == y[50:].tolist()


# --- a training on it, and its evaluation elsewhere ---


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """A zip of 60 dark and 60 bright pictures in one folder, with a table."""
    rng = np.random.default_rng(0)
    out = tmp_path_factory.mktemp("zip") / "lights.zip"
    rows = ["file,label"]
    with zipfile.ZipFile(out, "w") as zipped:
        for k in range(120):
            label, middle = (("dark", 60), ("bright", 190))[k % 2]
            png = io.BytesIO()
            Image.fromarray(rng.integers(middle - 50, middle + 50, (12, 12, 3)).astype(np.uint8)).save(
                png, "PNG"
            )
            zipped.writestr(f"pics/{k}.png", png.getvalue())
            rows.append(f"{k}.png,{label}")
        zipped.writestr("labels.csv", "\n".join(rows))
    return out


def test_train_on_an_archive_and_evaluate_other_folders(archive, tmp_path):
    changes = ("epochs=2", "preprocess.size=[12,12]", "batch=16")
    run = neocog.train(archive, model="lenet5", changes=changes, out=tmp_path / "run", device="cpu")
    own = neocog.evaluate(run)
    assert 0 < own.n < 60
    assert neocog.evaluate(run, data=archive).n == own.n  # seen in training: its own test pictures only
    moved = tmp_path / "moved.zip"
    moved.write_bytes(archive.read_bytes())
    assert neocog.evaluate(run, data=moved).n == own.n
    strange = tmp_path / "strange"
    for k in range(30):
        folder = strange / ("dark", "bright")[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((12, 12, 3), (20, 240)[k % 2] + k // 2, np.uint8)).save(folder / f"{k}.png")
    report = neocog.evaluate(run, data=strange)
    assert report.n == 30
    assert any("all 30 pictures are tested" in remark for remark in report.remarks)
    (strange / "test").mkdir()
    for name in ("dark", "bright"):
        (strange / name).rename(strange / "test" / name)
    assert neocog.evaluate(run, data=strange).n == 30
