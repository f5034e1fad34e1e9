"""Folders of pictures: every layout, hostile names, splits, the cache; the input is never changed."""

import hashlib
import os
import socket
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neocog.data import Data, load
from neocog.data.folders import placing
from neocog.data.folders.picture_cache import decoded
from neocog.data.own import open_own
from neocog.errors import UnreadableError, UsageError, error_line
from neocog.pictures.decode import Preprocess
from neocog.pictures.names import natural

REAL = Path(os.environ.get("NEOCOG_DATA") or Path(__file__).parents[1] / ".." / "shared" / "data")
SMALL = Preprocess(size=(8, 8))


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NEOCOG_HOME", str(place))
    return place


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pets"


def draw(path: Path, value: int, *, size: tuple[int, int] = (10, 12)) -> Path:
    """A picture unlike any with another value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def fill(root: Path, *files: str) -> Path:
    for file in files:
        draw(root / file, int.from_bytes(hashlib.sha256(os.fsencode(file)).digest()[:4], "big"))
    return root


def pets(root: Path, count: int = 30) -> Path:
    return fill(root, *(f"{name}/{k}.png" for name in ("cat", "dog") for k in range(count)))


def listing_of(where: Path, **fields):
    return open_own(where, **fields).listing


def read(root: Path, **fields):
    return load(Data(name="folder", **fields), where=root, preprocess=SMALL)


def tree_hash(root: Path) -> str:
    """Names, kinds, times and contents of everything below; pipes and the like are not opened."""
    digest = hashlib.sha256()
    for folder, folders, files in sorted(os.walk(os.fsencode(root))):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            digest.update(path + repr((status.st_mode, status.st_size, status.st_mtime_ns)).encode())
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    digest.update(file.read())
    return digest.hexdigest()


# --- layouts ---

SPLIT_LAYOUTS = [
    (("train", "val", "test"), ("train", "val", "test")),
    (("training", "validation", "testing"), ("train", "val", "test")),
    (("Train", "VALID"), ("train", "val")),
    (("train", "dev"), ("train", "val")),
    (("train", "eval", "test"), ("train", "val", "test")),
    (("train",), ("train",)),
]


@pytest.mark.parametrize(("folders", "given"), SPLIT_LAYOUTS)
def test_split_layouts(root, folders, given):
    fill(root, *(f"{split}/{name}/{k}.png" for split in folders for name in ("cat", "dog") for k in range(3)))
    listing = listing_of(root)
    assert listing.given == given
    assert listing.classes == ("cat", "dog")
    assert [item.split for item in listing.items] == [split for split in given for _ in range(6)]
    assert all(folder in listing.layout for folder in folders)


def test_class_folders_in_natural_order(root):
    fill(root, *(f"{name}/{k}.png" for name in ("10", "2", "b", "A", "1") for k in (1, 2)))
    listing = listing_of(root)
    assert listing.classes == ("1", "2", "10", "A", "b")
    assert listing.given == ()
    assert [listing.classes[item.label] for item in listing.items] == [
        i.path.split("/")[0] for i in listing.items
    ]


def test_names_that_begin_others_are_in_order_too(root):
    """'cat' before 'cat2', also among what is left out, and as names of files without an ending."""
    fill(root, *(f"{name}/{k}.png" for name in ("cat2", "cat", "cat10") for k in (1, 2)))
    for name in ("notes2", "notes", "Notes10"):
        (root / name).write_text("no picture")
    listing = listing_of(root)
    assert listing.classes == ("cat", "cat2", "cat10")
    assert [skip.path for skip in listing.skipped] == ["notes", "notes2", "Notes10"]
    shuffled = ["p10", "p", "p2b", "p2", "", "P"]
    assert sorted(shuffled, key=natural) == ["", "P", "p", "p2", "p2b", "p10"]


def test_subfolders_belong_to_their_class(root):
    fill(root, "cat/a.png", "cat/siam/b.png", "cat/siam/old/c.png", "dog/d.png")
    assert [(i.path, i.label) for i in listing_of(root).items] == [
        ("cat/a.png", 0),
        ("cat/siam/b.png", 0),
        ("cat/siam/old/c.png", 0),
        ("dog/d.png", 1),
    ]


def test_classes_that_are_called_like_splits(root):
    """Vehicles: 'train' is a class beside car and bus, also where it has sub-folders."""
    fill(root, "train/a.png", "train/steam/b.png", "car/a.png", "bus/a.png")
    assert listing_of(root).classes == ("bus", "car", "train")


def test_other_folders_beside_splits_are_skipped(root):
    fill(
        root,
        "train/cat/1.png",
        "train/dog/1.png",
        "val/cat/2.png",
        "val/dog/2.png",
        "masks/cat/1.png",
        "x.png",
    )
    listing = listing_of(root)
    assert len(listing.items) == 4
    assert {s.path for s in listing.skipped} == {"masks/cat/1.png", "x.png"}


def test_a_flat_test_folder_is_said_and_not_used(root):
    fill(root, "train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png")
    listing = listing_of(root)
    assert listing.given == ("train",)
    assert any("test/ holds pictures in no class folder" in remark for remark in listing.remarks)
    assert len(listing.skipped) == 2


def test_a_class_that_val_lacks_is_a_remark_and_shifts_no_label(root):
    """The live bug of tools that number each split by itself."""
    fill(root, "train/a/1.png", "train/b/1.png", "train/c/1.png", "val/b/2.png", "val/c/2.png")
    listing = listing_of(root)
    assert {(i.path, i.label) for i in listing.items if i.split == "val"} == {
        ("val/b/2.png", 1),
        ("val/c/2.png", 2),
    }
    assert "val has no pictures of: a" in listing.remarks


def test_a_class_that_train_lacks_is_an_error_with_both_lists(root):
    fill(root, "train/a/1.png", "train/b/1.png", "val/b/2.png", "val/d/2.png")
    with pytest.raises(
        UnreadableError, match=r"val has classes that train does not have: d; train has: a, b"
    ):
        listing_of(root)


REFUSED = {
    "empty": ((), "holds no pictures"),
    "at the root": (("1.png", "2.png"), "2 pictures but no class folders"),
    "one class": (("cat/1.png",), "one class only, 'cat'"),
    "one folder too high": (("pets/cat/1.png", "pets/dog/1.png"), r"one class only, 'pets'.*give .*pets"),
    "no pictures": (("cat/notes.txt", "dog/notes.txt"), r"no pictures that can be used \(2 found"),
    "flat splits": (("train/1.png", "test/1.png"), "no class folders in them"),
    "no train": (("val/cat/1.png", "test/cat/1.png"), "no class folders in a training folder"),
    "two names for val": (
        ("train/a/1.png", "train/b/1.png", "val/a/2.png", "valid/b/2.png"),
        "val and valid, which both mean val",
    ),
    "case": (("Cat/1.png", "cat/1.png"), "'Cat' and 'cat'"),
    "case between splits": (("train/Cat/1.png", "train/dog/1.png", "val/cat/1.png"), "'Cat' and 'cat'"),
    "Unicode form": (("caf\u00e9/1.png", "cafe\u0301/1.png"), r"'cafe\\u0301' and 'caf\\xe9'"),
    "trailing space": (("cat/1.png", "cat /1.png"), "'cat' and 'cat '"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_layouts(root, name):
    root.mkdir()
    files, says = REFUSED[name]
    for file in files:
        if file.endswith(".png"):
            fill(root, file)
        else:
            (root / file).parent.mkdir(exist_ok=True)
            (root / file).write_text("x")
    with pytest.raises(UnreadableError, match=f"(?s){says}") as caught:
        listing_of(root)
    said = str(caught.value)
    assert str(root) in said
    if "expected:" in said:
        head, *example = said.split("\n")
        assert len(example) == 3
        assert all(line.startswith("  pets/") for line in example)
        assert head.endswith("expected:")


def test_no_folder(tmp_path):
    with pytest.raises(UnreadableError, match="does not exist"):
        listing_of(tmp_path / "none")
    with pytest.raises(UnreadableError, match="is a file"):
        listing_of(draw(tmp_path / "a.png", 1))


def test_a_class_of_empty_files_is_an_accident(root):
    fill(root, "cat/1.png", "dog/1.png")
    (root / "emu").mkdir()
    assert any("emu" in remark for remark in listing_of(root).remarks)
    (root / "emu" / "1.png").touch()
    with pytest.raises(UnreadableError, match="every picture of class 'emu' is an empty file"):
        listing_of(root)


# --- the nasty tree ---

NAMES = (
    "new\nline",
    "esc\x1b[31m",
    "quote\"'`",
    "rtl\u202egnp",
    "emoji😀",
    "-rf",
    "=cmd()",
    "a" * 200,
    os.fsdecode(b"not-utf8-\xff\xfe"),
    " space",
)


@pytest.fixture
def nasty(root, tmp_path):
    for name in NAMES:
        draw(root / "cat" / f"{name}.png", 7 + len(name))
        draw(root / f"class {name}" / "x.PNG", 99 + len(name))
    pets(root, 3)
    for hidden in (
        ".hidden.png",
        "._x.jpg",
        ".ipynb_checkpoints/a.png",
        "__MACOSX/a.png",
        ".git/objects/a.png",
    ):
        draw(root / "cat" / hidden, 5)
    for junk in ("Thumbs.db", "desktop.ini", "notes.txt", "no_ending"):
        (root / "dog" / junk).write_text("junk")
    (root / "dog" / "empty.png").touch()
    (root / "dog" / "cut.png").write_bytes((root / "dog" / "0.png").read_bytes()[:60])
    (root / "dog" / "page.jpg").write_text("<html>image not found</html>")
    os.mkfifo(root / "dog" / "pipe.png")
    with socket.socket(socket.AF_UNIX) as unix:
        here = os.getcwd()
        os.chdir(root / "dog")  # socket addresses are short
        try:
            unix.bind("socket.png")
        finally:
            os.chdir(here)
    (root / "cat" / "up").symlink_to("..")
    (root / "cat" / "self").symlink_to("self")
    (root / "dog" / "round").symlink_to("../cat/up/cat")
    (root / "dog" / "slash").symlink_to("/")
    (root / "dog" / "dangling.png").symlink_to("nowhere.png")
    (root / "dog" / "again.png").symlink_to("../cat/0.png")
    os.link(root / "cat" / "1.png", root / "cat" / "hard.png")
    (root / "dog" / "outside.png").symlink_to(draw(tmp_path / "outside.png", 3))
    (root / "deep").joinpath(*["d"] * 60).mkdir(parents=True)
    draw((root / "deep").joinpath(*["d"] * 60) / "x.png", 11)
    return root


def test_the_nasty_tree_is_counted_exactly(nasty):
    before = tree_hash(nasty)
    made = []
    worker = threading.Thread(target=lambda: made.append(listing_of(nasty)), daemon=True)
    worker.start()
    worker.join(20)
    assert made, "the scan hangs"
    listing = made[0]
    assert listing.found == len(listing.items) + len(listing.skipped)
    paths = [item.path for item in listing.items] + [s.path for s in listing.skipped]
    assert len(set(paths)) == len(paths)
    # 10 + 10 names, 3 + 3 pets, the deep one, the two that only look like pictures, and what is a dog through
    # dog/round: those 13 of cat
    assert len(listing.items) == 29 + 13
    reasons = {s.path: s.reason for s in listing.skipped}
    for path, word in {
        "cat/.hidden.png": "hidden",
        "cat/.git": "hidden",
        "cat/__MACOSX": "hidden",
        "dog/Thumbs.db": "hidden",
        "dog/notes.txt": "not a picture by its name",
        "dog/no_ending": "no ending",
        "dog/empty.png": "empty",
        "dog/pipe.png": "a pipe",
        "dog/socket.png": "a socket",
        "cat/up": "a circle",
        "cat/self": "circle",
        "dog/slash": "out of the folder",
        "dog/dangling.png": "nowhere",
        "dog/round/0.png": "second name",
        "cat/hard.png": "second name",
        "dog/outside.png": "out of the folder",
    }.items():
        assert word in reasons[path], path
    dataset = read(nasty, held_out=0)
    used = sum(len(split) for split in dataset.splits.values())
    assert (used, listing.found) == (40, used + len(dataset.skipped))
    assert {s.path for s in dataset.skipped} - set(reasons) == {"dog/cut.png", "dog/page.jpg"}
    assert tree_hash(nasty) == before


def test_nothing_of_the_nasty_tree_reaches_a_terminal_or_breaks_json(nasty):
    dataset = read(nasty)
    for name in dataset.classes:
        name.encode()  # a model file is UTF-8
    with pytest.raises(UsageError) as caught:
        load(Data(name="folder"), where=nasty, preprocess=SMALL, classes=("cat", "dog"))
    line = error_line(caught.value)
    assert "\x1b" not in line
    assert "\n" not in line
    for split in dataset.splits.values():  # names are paths: they still open
        assert all((nasty / name).is_file() for name in split.names)


def test_links_to_a_hidden_place_inside_are_followed(root):
    """As git-annex keeps its files; a second name in the same class is none."""
    fill(root, ".store/1.png", "dog/1.png", "dog/2.png")
    (root / "cat").mkdir()
    for name in ("a.png", "b.png"):
        (root / "cat" / name).symlink_to("../.store/1.png")
    assert [i.path for i in listing_of(root).items] == ["cat/a.png", "dog/1.png", "dog/2.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_listed_is_skipped(root):
    pets(root, 2)
    fill(root, "emu/1.png")
    (root / "emu").chmod(0)
    try:
        listing = listing_of(root)
    finally:
        (root / "emu").chmod(0o755)
    assert listing.found == len(listing.items) + len(listing.skipped)
    assert any("cannot be listed" in s.reason for s in listing.skipped)


# --- reading ---


def test_class_folders_are_divided_and_labels_follow_the_names(root):
    pets(root, 60)
    dataset = read(root)
    assert set(dataset.splits) == {"train", "val", "test"}
    names = [name for split in dataset.splits.values() for name in split.names]
    assert len(set(names)) == len(names) == 120
    for split in dataset.splits.values():
        assert [dataset.classes[k] for k in split.y] == [name.split("/")[0] for name in split.names]
        for k in (0, len(split) - 1):
            pixels = np.asarray(Image.open(root / split.names[k]))
            assert (SMALL.place(pixels) == split.x[k].numpy()).all()
        assert min(split.y.bincount(minlength=2)) > 0
    assert abs(len(dataset.test) - 24) < 14  # three standard deviations


def test_adding_pictures_moves_none(root):
    pets(root, 40)
    before = {n: name for name, s in read(root).splits.items() for n in s.names}
    fill(root, *(f"{name}/new{k}.png" for name in ("cat", "dog") for k in range(40)))
    after = {n: name for name, s in read(root).splits.items() for n in s.names}
    assert len(after) == 160
    assert {n: after[n] for n in before} == before
    other = {n: name for name, s in read(root, seed=1).splits.items() for n in s.names}
    assert other != after


def test_every_class_keeps_a_training_picture(root):
    fill(root, "a/1.png", "b/1.png", *(f"c/{k}.png" for k in range(9)))
    for seed in range(8):
        dataset = read(root, held_out=0.5, seed=seed)
        assert set(dataset.train.y.tolist()) == {0, 1, 2}
        assert len(dataset.test) >= 1


def test_copies_stay_on_one_side_and_leaks_are_counted(root):
    pets(root, 20)
    for k in range(20):
        (root / "cat" / f"copy{k}.png").write_bytes((root / "cat" / f"{k}.png").read_bytes())
    dataset = read(root)
    assert not any("pixel for pixel" in remark for remark in dataset.remarks)
    train, val = set(dataset.train.names), set(dataset.val.names)
    assert all((f"cat/{k}.png" in train) == (f"cat/copy{k}.png" in train) for k in range(20))
    assert all((f"cat/{k}.png" in val) == (f"cat/copy{k}.png" in val) for k in range(20))


def test_leaks_between_given_splits_are_counted(root):
    fill(
        root, *(f"{s}/{c}/{s}{k}.png" for s in ("train", "val", "test") for c in ("a", "b") for k in range(4))
    )
    for k in range(3):  # the same pixels, other bytes
        Image.open(root / "train/a" / f"train{k}.png").save(root / "test/a" / f"leak{k}.bmp")
    (root / "val/b/two.png").write_bytes((root / "train/a/train0.png").read_bytes())
    remarks = " ".join(read(root).remarks)
    assert "3 pictures of test are also in train" in remarks
    assert "1 pictures of val are also in train" in remarks
    assert "1 pictures occur under more than one class" in remarks


def test_val_without_test_is_tested_and_never_watched(root):
    fill(root, *(f"{s}/{c}/{s}{k}.png" for s in ("train", "val") for c in ("a", "b") for k in range(20)))
    dataset = read(root)
    assert {n.split("/")[0] for n in dataset.test.names} == {"val"}
    assert {n.split("/")[0] for n in dataset.val.names} == {"train"}
    assert any("val is what is tested" in remark for remark in dataset.remarks)


def test_own_splits_are_kept_in_place(root):
    fill(
        root, *(f"{s}/{c}/{s}{k}.png" for s in ("train", "val", "test") for c in ("a", "b") for k in range(5))
    )
    dataset = read(root)
    assert {name: len(s) for name, s in dataset.splits.items()} == {"train": 10, "val": 10, "test": 10}
    assert all(n.startswith(name) for name, s in dataset.splits.items() for n in s.names)
    watched = read(root, val="test")
    assert watched.val is watched.test
    assert read(root, val="none").val is None
    assert len(read(root, limit=4).train) == 4


def test_pictures_that_cannot_be_decoded_are_skipped_until_a_class_is_empty(root):
    pets(root, 10)
    for k in range(3):
        (root / "cat" / f"{k}.png").write_bytes(b"not a picture at all")
    dataset = read(root)
    assert {s.path for s in dataset.skipped} == {f"cat/{k}.png" for k in range(3)}
    assert all(s.reason for s in dataset.skipped)
    assert sum(len(s) for s in dataset.splits.values()) == 17
    for path in (root / "cat").iterdir():
        path.write_bytes(b"not a picture at all")
    with pytest.raises(UnreadableError, match="no training picture of cat can be decoded"):
        read(root)


def test_imbalance_is_remarked(root):
    fill(root, *(f"a/{k}.png" for k in range(40)), *(f"b/{k}.png" for k in range(4)))
    assert any("far from balanced" in remark for remark in read(root).remarks)
    assert not any("far from balanced" in remark for remark in read(pets(root.parent / "even", 10)).remarks)


def test_classes_of_a_model_come_first(root):
    pets(root, 5)
    order = ("dog", "emu", "cat")
    dataset = load(Data(name="folder"), where=root, preprocess=SMALL, classes=order)
    assert dataset.classes == order
    for split in dataset.splits.values():
        assert [order[k] for k in split.y] == [name.split("/")[0] for name in split.names]
    assert "no pictures of: emu" in dataset.remarks
    with pytest.raises(UsageError, match="does not know: dog; the model's are: cat, emu"):
        load(Data(name="folder"), where=root, preprocess=SMALL, classes=("cat", "emu"))


def test_grey_and_colour(root):
    pets(root, 4)
    grey = load(Data(name="folder"), where=root, preprocess=Preprocess(size=(6, 9), channels=1))
    assert grey.shape == (1, 6, 9)
    assert read(root).shape == (3, 8, 8)


def test_classes_of_a_model_are_found_in_both_unicode_forms(root):
    for number, name in enumerate(("cat", "mu\u0308ll", "n\u00e9")):
        draw(root / name / "1.bmp", number)
    model = ("n\u0065\u0301", "m\u00fcll", "cat", "dog")
    listing = listing_of(root, classes=model)
    assert listing.classes == model
    assert {item.path: item.label for item in listing.items} == {
        "cat/1.bmp": 2,
        "mu\u0308ll/1.bmp": 1,
        "n\u00e9/1.bmp": 0,
    }
    assert "no pictures of: dog" in listing.remarks
    with pytest.raises(UsageError, match="does not know: cat"):
        open_own(root, classes=model[:2])


# --- the cache ---


@pytest.fixture
def counted(monkeypatch):
    """How many pictures were decoded so far."""
    calls = []

    def counting(data, **how):
        calls.append(1)
        return original(data, **how)

    original = placing.see
    monkeypatch.setattr(placing, "see", counting)
    return calls


def files(home: Path) -> list[Path]:
    return sorted((home / "pictures").iterdir())


def test_pictures_are_decoded_once(root, home, counted):
    pets(root, 6)
    first = read(root)
    assert len(counted) == 12
    again = read(root)
    assert len(counted) == 12
    assert again.fingerprint == first.fingerprint
    read(root, seed=5, held_out=0.5)  # other splits, the same pictures
    load(Data(name="folder"), where=root, preprocess=SMALL.model_copy(update={"scale": "128"}))
    assert len(counted) == 12
    load(Data(name="folder"), where=root, preprocess=Preprocess(size=(8, 8), fit="stretch"))
    assert len(counted) == 24
    assert not [path for path in files(home) if path.suffix not in (".u8", ".json")]


def test_a_changed_file_is_seen_even_with_the_same_size_and_time(root, counted):
    pets(root, 3)
    path = draw(root / "cat" / "0.bmp", 1)
    read(root)
    status = path.stat()
    draw(path, 2)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    before = len(counted)
    read(root)
    assert len(counted) == before + 7


def damage_pixels(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


DAMAGE = {
    "a bit of the pixels": (".u8", damage_pixels),
    "short pixels": (".u8", lambda data: data[:-1]),
    "long pixels": (".u8", lambda data: data + b"\0"),
    "no pixels": (".u8", lambda data: b""),
    "a bit of the copies": (".json", lambda data: data.replace(b'"families": []', b'"families": [[0, 1]]')),
    "a bit of the index": (".json", lambda data: data.replace(b'"rows": [[0', b'"rows": [[1')),
    "cut index": (".json", lambda data: data[: len(data) // 2]),
    "foreign index": (".json", lambda data: b"[1, 2]"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_cache_is_noticed_and_made_anew(root, home, counted, name):
    pets(root, 4)
    sound = read(root).fingerprint
    ending, change = DAMAGE[name]
    path = next(p for p in files(home) if p.suffix == ending)
    data = path.read_bytes()
    assert change(data) != data
    path.write_bytes(change(data))
    assert read(root).fingerprint == sound
    assert len(counted) == 16
    assert path.read_bytes() == data


def test_without_a_cache_the_pictures_stay_in_memory(root, tmp_path, monkeypatch):
    pets(root, 5)
    sound = read(root)
    (tmp_path / "blocked").write_text("a file, not a folder")
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path / "blocked"))
    assert decoded(listing_of(root), SMALL).path is None
    assert read(root).fingerprint == sound.fingerprint


def test_the_pictures_handed_out_do_not_write_through(root):
    fill(root, *(f"{s}/{c}/{s}{k}.png" for s in ("train", "test") for c in ("a", "b") for k in range(3)))
    dataset = read(root, held_out=0)
    sound = dataset.fingerprint
    dataset.train.x.zero_()
    assert read(root, held_out=0).fingerprint == sound


def test_a_file_that_vanishes_after_the_scan_is_skipped(root):
    pets(root, 4)
    listing = listing_of(root)
    (root / "cat/2.png").unlink()
    (root / "cat/3.png").unlink()
    os.mkfifo(root / "cat/3.png")
    found = decoded(listing, SMALL)
    assert [s.path for s in found.skipped] == ["cat/2.png", "cat/3.png"]
    assert len(found.rows) == 6


def test_ants_and_bees():
    photos = REAL / "photos" / "ants-bees"
    if not photos.is_dir():
        pytest.skip(f"no photos in {REAL}")
    listing = listing_of(photos)
    assert listing.classes == ("ants", "bees")
    assert listing.found == 398
    dataset = read(photos)
    assert len(dataset.train) + len(dataset.val) == 245
    assert len(dataset.test) == 153
    assert torch.equal(dataset.test.y.bincount(), torch.tensor([70, 83]))


# --- evaluation, progress ---


def test_all_as_test_measures_every_picture(root):
    pets(root, 20)
    whole = load(Data(name="folder"), where=root, preprocess=SMALL, divide="all as test")
    assert list(whole.splits) == ["test"]
    assert sorted(whole.test.names) == sorted(i.path for i in listing_of(root).items)
    assert whole.shape == (3, 8, 8)
    assert "all 40 pictures are tested: the data say no test of their own" in whole.remarks
    given = load(Data(name="folder"), where=root, preprocess=SMALL, divide="as given")
    assert {name: len(s) for name, s in given.splits.items()} == {"train": 40}


def test_all_as_test_keeps_a_test_that_is_there(root):
    fill(root, *(f"{s}/{c}/{s}{k}.png" for s in ("train", "test") for c in ("a", "b") for k in range(5)))
    dataset = load(Data(name="folder"), where=root, preprocess=SMALL, divide="all as test")
    assert {n.split("/")[0] for n in dataset.test.names} == {"test"}


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_root_of_test_or_val_alone_can_be_evaluated(root, split):
    fill(root, *(f"{split}/{c}/{k}.png" for c in ("a", "b") for k in range(4)))
    with pytest.raises(UnreadableError, match="no class folders in a training folder"):
        listing_of(root)
    for divide in ("as trained", "all as test"):
        dataset = load(
            Data(name="folder"), where=root, preprocess=SMALL, classes=("b", "a", "c"), divide=divide
        )
        assert list(dataset.splits) == ["test"]
        assert [dataset.classes[k] for k in dataset.test.y] == [n.split("/")[1] for n in dataset.test.names]
        assert len(dataset.test) == 8


def test_progress_hears_of_every_picture_once(root, monkeypatch, tmp_path):
    pets(root, 40)
    heard = []
    load(Data(name="folder"), where=root, preprocess=SMALL, progress=lambda *n: heard.append(n))
    assert heard == [(k, 80) for k in range(1, 81)]
    load(Data(name="folder"), where=root, preprocess=SMALL, progress=lambda *n: heard.append(n))
    assert len(heard) == 80  # nothing is decoded the second time
    (tmp_path / "blocked").write_text("a file, not a folder")
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path / "blocked"))
    load(Data(name="folder"), where=root, preprocess=SMALL, progress=lambda *n: heard.append(n))
    assert heard[80:] == heard[:80]


def make_nasty(path: Path, number: int, last: Path) -> Path:
    """One entry of a kind that depends on `number`; `last` is a sound picture made before."""
    match number % 12:
        case 0:
            return draw(path, number)
        case 1:
            path.touch()
        case 2:
            path.write_bytes(last.read_bytes()[: number % 300 or 1])
        case 3:
            path.write_text("<html>not found</html>")
        case 4:
            path.with_name(f".{number}.png").write_bytes(last.read_bytes())
        case 5:
            path.with_suffix((".txt", ".csv", ".jsonl", ".tsv")[number // 12 % 4]).write_text("a,b\n1,2\n")
        case 6:
            os.mkfifo(path)
        case 7:
            path.symlink_to(path.name)
        case 8:
            path.symlink_to("..")
        case 9:
            path.symlink_to("/etc/hostname")
        case 10:
            path.symlink_to(last)
        case 11:
            os.link(last, path)
    return last


@pytest.mark.slow
def test_ten_thousand_nasty_entries(root, monkeypatch):
    """Found is used and skipped exactly, no folder is listed twice, and nothing is changed."""
    last = root
    for number in range(10_000):
        name = NAMES[number // 12 % len(NAMES)]
        folder = (root / f"class {name}").joinpath(*["d" * (1 + number % 3)] * (number % 4))
        folder.mkdir(parents=True, exist_ok=True)
        last = make_nasty(folder / f"{number} {name[:40]}.png", number, last)
    before = tree_hash(root)
    listed = []
    scandir = os.scandir
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", lambda path: listed.append(os.path.realpath(path)) or scandir(path))
        listing = listing_of(root)
    listed.remove(os.path.realpath(root))  # whether it can be read at all is asked first
    assert len(listed) == len(set(listed))
    entries = sum(len(names) for _, _, names in os.walk(root)) + sum(
        (Path(top) / name).is_symlink() for top, names, _ in os.walk(root) for name in names
    )
    assert listing.found == entries == len(listing.items) + len(listing.skipped)
    assert entries >= 10_000
    assert len(listing.items) == 3 * 834  # sound ones, cut ones and pages: only decoding tells them apart
    dataset = read(root, held_out=0)
    used = sum(len(split) for split in dataset.splits.values())
    assert used + len(dataset.skipped) == listing.found
    assert all(s.reason for s in dataset.skipped)
    assert tree_hash(root) == before
    again = read(root, held_out=0)
    assert again.fingerprint == dataset.fingerprint
