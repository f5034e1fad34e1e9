"""What a folder holds besides pictures of classes: runs, links, pools; what is left out is said."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from test_folder import draw, fill

import neocog
from neocog.cli import run as command
from neocog.cli import streams
from neocog.data import Data, load
from neocog.data.augment.augment import Augment
from neocog.data.own import open_own
from neocog.errors import UnreadableError, UsageError
from neocog.outputs import cell
from neocog.pictures import reading
from neocog.pictures.decode import Preprocess
from neocog.runs.run import Run

SMALL = ["preprocess.size=[8,8]", "epochs=1"]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return fill(tmp_path / "pets", *(f"{name}/{k}.png" for name in ("cat", "dog") for k in range(4)))


def classes(root: Path) -> dict[str, list[str]]:
    """Class -> its pictures, as a folder is understood."""
    listing = open_own(root).listing  # type: ignore[attr-defined]
    found: dict[str, list[str]] = {name: [] for name in listing.classes}
    for item in listing.items:
        found[listing.classes[item.label]].append(item.path)
    return found


def remarks(root: Path) -> str:
    return "\n".join(load(Data(name="folder"), where=root, preprocess=Preprocess(size=(8, 8))).remarks)


# --- runs inside ---


def test_a_run_inside_the_folder_is_no_class(pets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pets / "runs" / "pets"
    assert (
        command(["train", str(pets), "--from", "nothing", "--epochs", "1", "--size", "8", "-o", str(out)])
        == 0
    )
    capsys.readouterr()
    assert command(["evaluate", str(out)]) == 0
    assert "left out: 1 of 9 found: a run of neocog (1: runs/pets)" in capsys.readouterr().out
    run = neocog.resume(out, epochs=2)
    assert run.json()["epochs"] == 2
    assert set(classes(pets)) == {"cat", "dog"}
    assert "no classes" not in remarks(pets)


@pytest.mark.parametrize("place", ["run", "dog/run", "cat/old/run"])
def test_runs_anywhere_in_the_folder_are_left_out(pets: Path, run: Run, place: str) -> None:
    shutil.copytree(run.path, pets / place)
    assert {name: len(paths) for name, paths in classes(pets).items()} == {"cat": 4, "dog": 4}
    assert f"a run of neocog (1: {place})" in remarks(pets)


def test_a_class_that_is_called_like_a_run_is_one(pets: Path) -> None:
    fill(pets, "runs/1.png", "runs/2.png")
    (pets / "runs" / "recipe.json").write_text("{}")
    assert set(classes(pets)) == {"cat", "dog", "runs"}


# --- nothing given ---


@pytest.mark.parametrize(
    "argv",
    [["look", ""], ["train", "digits", "--out="], ["predict", "RUN", ""], ["evaluate", "RUN", "--data="]],
)
def test_an_empty_argument_is_refused(run: Run, capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert command([str(run.path) if word == "RUN" else word for word in argv]) == 2
    assert "is empty" in capsys.readouterr().err


def test_an_empty_name_is_no_folder_in_python(run: Run) -> None:
    for call in (
        lambda: neocog.predict(run, [""]),
        lambda: neocog.train(""),
        lambda: neocog.train("digits", data=""),
        lambda: neocog.evaluate(run, data=""),
        lambda: neocog.look(""),
    ):
        with pytest.raises(UsageError, match="empty"):
            call()


# --- links ---


def test_a_pool_fills_classes_and_is_none(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", *(f"all/{k}.png" for k in range(6)), "owl/1.png")
    for k in range(6):
        folder = root / ("cat" if k < 3 else "dog")
        folder.mkdir(exist_ok=True)
        (folder / f"{k}.png").symlink_to(f"../all/{k}.png")
    assert classes(root) == {
        "cat": ["cat/0.png", "cat/1.png", "cat/2.png"],
        "dog": ["dog/3.png", "dog/4.png", "dog/5.png"],
        "owl": ["owl/1.png"],
    }
    said = remarks(root)
    assert "all/ is a pool and no class: 6 of its 6 pictures stand in cat, dog too" in said
    assert "left out: 6 of 13 found: lies in a pool (6: all/0.png, ...)" in said


def test_a_pool_of_hard_links(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", *(f"{'cat' if k < 3 else 'dog'}/{k}.png" for k in range(5)))
    (root / "all").mkdir()
    for path in sorted(root.glob("*/*.png")):
        os.link(path, root / "all" / path.name)
    assert {name: len(paths) for name, paths in classes(root).items()} == {"cat": 3, "dog": 2}


def test_hard_links_between_splits_stay_in_both(pets: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        shutil.copytree(pets, tmp_path / "b" / split, copy_function=os.link)
    listing = open_own(tmp_path / "b").listing  # type: ignore[attr-defined]
    assert [item.split for item in listing.items] == ["train"] * 8 + ["val"] * 8
    assert "pictures of test are also in train, pixel for pixel" in remarks(tmp_path / "b")


@pytest.mark.parametrize("name", ["a", "dolphin", "zebra"])
def test_one_picture_under_two_classes_is_in_both_on_every_disk(pets: Path, name: str) -> None:
    shutil.copytree(pets / "cat", pets / name, copy_function=os.link)
    assert {of: len(paths) for of, paths in classes(pets).items()} == {"cat": 4, "dog": 4, name: 4}
    assert "4 pictures occur under more than one class" in remarks(pets)


def test_the_order_of_a_disk_decides_nothing(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(pets / "cat", pets / "lynx", copy_function=os.link)
    os.link(pets / "cat" / "1.png", pets / "cat" / "10.png")
    (pets / "dog" / "linked").symlink_to("../cat")
    once, scandir = open_own(pets).listing, os.scandir  # type: ignore[attr-defined]

    class Backwards:
        def __init__(self, folder: str) -> None:
            with scandir(folder) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *of: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Backwards)
    again = open_own(pets).listing  # type: ignore[attr-defined]
    assert (again.items, again.skipped) == (once.items, once.skipped)


def test_a_class_folder_that_is_a_link(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", ".store/cats/1.png", ".store/cats/2.png", "dog/1.png")
    (root / "cat").symlink_to(".store/cats")
    assert classes(root) == {"cat": ["cat/1.png", "cat/2.png"], "dog": ["dog/1.png"]}


def test_links_in_circles_end(pets: Path) -> None:
    (pets / "cat" / "up").symlink_to("..")
    (pets / "cat" / "dogs").symlink_to("../dog")
    (pets / "dog" / "cats").symlink_to("../cat")
    found = classes(pets)
    assert {name: len(paths) for name, paths in found.items()} == {"cat": 8, "dog": 8}


# --- what is left out ---


def test_what_is_left_out_is_one_line(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)  # as where the extra is not installed
    (pets / "owl").symlink_to(draw(tmp_path / "owls" / "1.png", 1).parent)
    for k in (7, 8):
        (pets / "cat" / f"{k}.png").write_bytes((pets / "cat" / "0.png").read_bytes()[:70])
    (pets / "dog" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    shutil.copy(pets / "dog" / "1.png", pets / "dog" / "noending")
    (pets / "dog" / "notes.txt").write_text("a text is no picture, as everybody knows")
    (line,) = [line for line in remarks(pets).splitlines() if line.startswith("left out")]
    assert line == (
        "left out: 5 of 14 found: damaged or cut off (2: cat/7.png, ...); "
        'HEIC and needs pip install "neocog[heic]" (1: dog/IMG_1.HEIC); '
        "a link that leads out of the folder (1: owl); "
        "not a picture by its name (no ending) (1: dog/noending)"
    )


def test_predict_says_what_it_left_out(
    run: Run, pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pets / "cat" / "x.xcf").write_bytes(b"x")
    assert command(["predict", str(run.path), str(pets / "cat"), "--json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 4
    assert (
        f"{pets / 'cat'}: left out: 1 of 5 found: not a picture by its name (.xcf) (1: x.xcf)" in captured.err
    )
    out = tmp_path / "f.csv"
    assert command(["features", str(run.path), str(pets / "cat"), "--layer", "0", "-o", str(out)]) == 0
    assert "left out: 1 of 5 found" in capsys.readouterr().err


def test_folders_are_folders_whatever_they_are_called(run: Run, pets: Path) -> None:
    fill(pets, "cat/1.jpg/SYNOFILE_THUMB_M.png", "cat/@eaDir/1.png/SYNOFILE_THUMB_M.png")
    files = reading.named([pets / "cat"])
    assert [str(file.relative_to(pets)) for file in files] == [
        "cat/0.png", "cat/1.jpg/SYNOFILE_THUMB_M.png", *(f"cat/{k}.png" for k in (1, 2, 3))
    ]  # fmt: skip


# --- names that were typed ---


def test_names_are_read_where_that_is_safe(tmp_path: Path) -> None:
    odd = draw(tmp_path / "ph [1]" / "0.png", 1)
    assert reading.named([str(tmp_path / "ph [1]" / "*.png")]) == (odd,)
    assert reading.named([f'"{odd}"']) == (odd,)
    assert reading.named([odd.as_uri()]) == (odd,)
    plain = draw(tmp_path / "Ka\u0308se.png", 2)
    assert reading.named([str(tmp_path / "K\u00e4se.png")]) == (plain,)


def test_one_bad_name_loses_no_answer(run: Run, pets: Path) -> None:
    good = pets / "cat" / "0.png"
    given = [good, pets / "*.gif", "https://example.com/cat.jpg", "a" * 300 + ".png", pets / "CAT" / "0.png"]
    given += [pets / "cat" / "0.PNG", good]
    answers = neocog.predict(run, given).items
    assert [bool(answer.error) for answer in answers] == [False, True, True, True, True, True, False]
    for number, words in ((1, "no file matches"), (2, "is an address"), (5, "there is 0.png")):
        assert words in answers[number].error


def test_a_list_that_windows_wrote(pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    first, second = pets / "cat" / "0.png", pets / "cat" / "1.png"
    names.write_bytes(b"\xef\xbb\xbf" + f'{first}\r\n"{second}"\r\n   \r\n'.encode() + b"\xff.png\n")
    with names.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert reading.named(["-"]) == (first, second, Path("\udcff.png"))


# --- data that moved, flips that change meaning ---


def test_data_that_moved_are_asked_for(pets: Path, tmp_path: Path) -> None:
    run = neocog.train(pets, start="nothing", changes=SMALL, out=tmp_path / "run")
    moved = pets.rename(tmp_path / "elsewhere")
    for call in (lambda: neocog.evaluate(run), lambda: neocog.resume(run.path, epochs=2)):
        with pytest.raises(UnreadableError, match=r"no longer at .*pets; .*--data FOLDER"):
            call()
    assert neocog.resume(run.path, epochs=2, data=moved).json()["epochs"] == 2


@pytest.mark.parametrize(
    "pair",
    [
        *(("turn_left", "turn_right"), ("lefthand", "righthand"), ("TurnLeft", "TurnRight")),
        *(("links", "rechts"), ("flèche_gauche", "flèche_droite"), ("mano izquierda", "mano derecha")),
        *(("knee-L", "knee-R"), ("左手", "右手"), ("left arrow", "arrow right"), ("LEFT", "RIGHT")),
    ],
)
def test_names_of_two_sides_are_noticed(pair: tuple[str, str]) -> None:
    (said,) = Augment(flip="horizontal").remarks(("stop", *pair))
    assert pair[0] in said
    assert pair[1] in said
    assert not Augment(flip="horizontal").remarks(("stop", pair[0]))


@pytest.mark.parametrize(
    "pair", [("bright", "blight"), ("lynx", "rynx"), ("links", "golf"), ("portal", "star")]
)
def test_other_names_are_not(pair: tuple[str, str]) -> None:
    assert not Augment(flip="both", rotation=180).remarks(pair)


# --- what a stream and a table can hold ---


@pytest.mark.parametrize("encoding", ["utf-8:strict", "utf-8:surrogateescape", "cp1252", "latin-1"])
def test_what_an_encoding_lacks_is_an_escape(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [os.fsdecode(b"a\xff.png"), "猫.png", "😀.png", "rtl\u202egnp.png", "new\nline.png"]
    raw = io.BytesIO()
    kept = sys.stdout, sys.stderr
    encoding, _, errors = encoding.partition(":")
    sys.stdout = text = io.TextIOWrapper(raw, encoding, errors or "strict")
    try:
        streams.settle()
        print(json.dumps(names, ensure_ascii=False))
        sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = kept
    text.detach()
    assert json.loads(raw.getvalue().decode("utf-8")) == names


def test_no_cell_is_a_formula() -> None:
    for text in ("=1+1", "+1", "-1", "@sum", " =1+1", "\t=1", "＝1+1", "\r=1"):
        assert cell(text)[0] in "'\\"
    assert cell("cat") == "cat"
