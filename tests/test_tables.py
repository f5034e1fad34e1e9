"""Tables as people write them: names not quite those of the files, several labels, odd columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_folder import draw, fill

import neocog
from neocog.cli import run as command
from neocog.data.own import open_own
from neocog.errors import UnreadableError, UsageError
from neocog.recipes.asked import asked


def folder(tmp_path: Path, table: str, *files: str, name: str = "labels.csv") -> Path:
    root = fill(tmp_path / "a", *(files or (f"p{k}.png" for k in range(6))))
    (root / name).write_text(table)
    return root


def understood(root: Path) -> tuple[dict[str, tuple[str, ...]], str]:
    """The classes of each picture, and all remarks."""
    listing = open_own(root).listing  # type: ignore[attr-defined]
    found = {item.path: tuple(listing.classes[k] for k in item.labels) for item in listing.items}
    return found, "\n".join(listing.remarks)


NAMES = {
    "ending": ("p0.PNG,cat", "p0.png"),
    "capitals": ("P0.png,cat", "p0.png"),
    "zeros": ("7,cat", "007.png"),
    "zeros and an ending": ("7.png,cat", "007.png"),
    "Unicode": ("ka\u0308se.PNG,cat", "k\u00e4se.png"),
    "a folder": ("Sub\\P0.PNG,cat", "sub/p0.png"),
}


@pytest.mark.parametrize("written", NAMES)
def test_names_that_are_nearly_those_of_the_files(tmp_path: Path, written: str) -> None:
    row, path = NAMES[written]
    root = folder(tmp_path, f"file,label\n{row}\nother.png,dog\n", path, "other.png")
    found, said = understood(root)
    assert found == {path: ("cat",), "other.png": ("dog",)}
    assert "1 names differ from the files'" in said


def test_a_name_that_could_be_two_files_is_neither(tmp_path: Path) -> None:
    root = folder(
        tmp_path, "file,label\nP0.png,cat\nx.png,dog\ny.png,cat\n", "p0.PNG", "p0.png", "x.png", "y.png"
    )
    found, said = understood(root)
    assert set(found) == {"x.png", "y.png"}
    assert "1 rows name pictures that are not there" in said


def test_absolute_paths_inside_the_folder(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", *(f"p{k}.png" for k in range(4)))
    rows = [f"{root / f'p{k}.png'},{'cat' if k % 2 else 'dog'}" for k in range(4)]
    (root / "labels.csv").write_text("\n".join(["file,label", *rows]))
    assert len(understood(root)[0]) == 4
    (root / "labels.csv").write_text(f"file,label\n{tmp_path / 'b.png'},cat\n")
    with pytest.raises(UnreadableError, match="absolute path"):
        open_own(root)


@pytest.mark.parametrize("count", [1, 3])
def test_rows_that_begin_with_a_mark_of_comments(tmp_path: Path, count: int) -> None:
    rows = [f"{'#' if k < 2 * count else ''}p{k}.png,{'cat' if k % 2 else 'dog'}" for k in range(6)]
    files = [row.split(",")[0] for row in rows]
    root = folder(tmp_path, "# by hand\nfile,label\n" + "\n".join(rows) + "\n#, \n", *files)
    assert len(understood(root)[0]) == 6
    (root / "labels.csv").unlink()
    (root / "train.txt").write_text("# a list\n" + "\n".join(row.replace(",", " ") for row in rows))
    assert len(understood(root)[0]) == 6


SEVERAL = {
    "blanks": ("clear primary", "clear road", "haze", "haze primary", "clear water", "haze road water"),
    "commas": ("clear,primary", "clear,road", "haze", "haze,primary", "clear,water", "haze,road,water"),
    "lists": ("['clear', 'primary']", "['clear','road']", "['haze']", '["haze", "primary"]', "[clear]", "[]"),
}


@pytest.mark.parametrize("way", SEVERAL)
@pytest.mark.parametrize("column", ["tags", "label"])
def test_several_labels(tmp_path: Path, way: str, column: str) -> None:
    rows = "".join('p{}.png,"{}"\n'.format(k, cell.replace('"', '""')) for k, cell in enumerate(SEVERAL[way]))
    found, _ = understood(folder(tmp_path, f"file,{column}\n{rows}"))
    assert found["p0.png"] == ("clear", "primary")
    assert found["p3.png"] == ("haze", "primary")


def test_class_names_of_two_words_stay_whole_and_it_is_said(tmp_path: Path) -> None:
    rows = "".join(f"p{k}.png,{name}\n" for k, name in enumerate(["hot dog", "dog", "ice cream"] * 2))
    found, said = understood(folder(tmp_path, f"file,label\n{rows}"))
    assert found["p0.png"] == ("hot dog",)
    assert "'hot dog' is taken for one class" in said


def test_numbers_that_a_spreadsheet_made_floats(tmp_path: Path) -> None:
    root = folder(tmp_path, "file,label\n" + "".join(f"p{k}.png,{k % 2}.0\n" for k in range(6)))
    (root / "classes.txt").write_text("cat\ndog\n")
    assert understood(root)[0]["p1.png"] == ("dog",)


def test_a_class_for_every_picture_is_odd(tmp_path: Path) -> None:
    files = [f"p{k}.png" for k in range(30)]
    rows = "".join(f"{file},name {k}\n" for k, file in enumerate(files))
    assert (
        "30 of 30 classes have one picture each"
        in understood(folder(tmp_path, f"file,label\n{rows}", *files))[1]
    )


# --- folders and arrays ---


def test_folders_that_only_hold_folders_are_said(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", *(f"{place}/{k}.png" for place in ("set1/cat", "set2/dog") for k in (1, 2)))
    found, said = understood(root)
    assert found["set1/cat/1.png"] == ("set1",)
    assert "the classes are set1, set2, whose pictures all lie in folders inside: cat, dog" in said
    draw(root / "set1" / "3.png", 9)
    assert "folders inside" not in understood(root)[1]


def test_a_folder_that_is_called_like_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert command(["train", "digits"]) == 3
    assert "not the data set that is built in" in capsys.readouterr().err
    (tmp_path / "shapes").write_text("notes")
    assert command(["train", "shapes"]) == 3
    assert "shapes is a file that lies here under that name" in capsys.readouterr().err
    fill(tmp_path / "mnist", *(f"{name}/{k}.png" for name in ("cat", "dog") for k in (1, 2)))
    assert any("not the data set that is built in" in line for line in neocog.look("mnist").remarks)


def test_two_sets_of_pictures_are_one_too_many(tmp_path: Path) -> None:
    root = fill(tmp_path / "a", *(f"{name}/{k}.png" for name in ("cat", "dog") for k in (1, 2)))
    with pytest.raises(UsageError, match="--data names others"):
        asked(root, "digits")


def test_arrays_that_cannot_be_are_refused_at_once(tmp_path: Path) -> None:
    apart = tmp_path / "apart.npz"
    np.savez(
        apart,
        x_train=np.zeros((4, 8, 8), np.uint8),
        y_train=np.array([0, 1, 0, 1]),
        x_test=np.zeros((2, 4, 4), np.uint8),
        y_test=np.array([0, 1]),
    )
    with pytest.raises(UnreadableError, match="differ in size: 8x8x1 in train, 4x4x1 in test"):
        open_own(apart)
    bomb = tmp_path / "bomb.npz"
    np.savez_compressed(bomb, x=np.zeros((2000, 100, 100), np.uint8), y=np.arange(2000) % 2)
    with pytest.raises(UnreadableError, match="more than 200 times"):
        open_own(bomb)


@pytest.mark.parametrize("header", ["file,label,label_name", "animal,file,class", "id,label,file,breed"])
def test_numbers_beside_names_give_way_to_the_names(tmp_path: Path, header: str) -> None:
    names = header.split(",")

    def row(k: int) -> str:
        said = {"file": f"p{k}.png", "label": str(k % 2), "class": str(k % 2), "id": str(700 + k)}
        return ",".join(said.get(name, ("cat", "dog")[k % 2]) for name in names)

    root = folder(tmp_path, "\n".join([header, *map(row, range(6))]))
    found, said = understood(root)
    assert found == {f"p{k}.png": (("cat", "dog")[k % 2],) for k in range(6)}
    assert "stand for the names of" in said
    listing = open_own(root, classes=("0", "1")).listing  # type: ignore[attr-defined]
    labels = {item.path: item.labels for item in listing.items}  # as a model trained on numbers has them
    assert labels == {f"p{k}.png": (k % 2,) for k in range(6)}


def test_numbers_that_are_not_one_name_each_stay(tmp_path: Path) -> None:
    rows = "".join(f"p{k}.png,{k % 2},{('cat', 'dog', 'owl')[k % 3]}\n" for k in range(6))
    found, said = understood(folder(tmp_path, f"file,label,animal\n{rows}"))
    assert found["p1.png"] == ("1",)
    assert "stand for" not in said


@pytest.mark.parametrize("tables", [("train/labels.csv", "val/labels.csv"), ("train/a.csv", "test/b.csv")])
def test_tables_inside_the_folders_of_splits(tmp_path: Path, tables: tuple[str, str]) -> None:
    root = tmp_path / "a"
    for table in tables:
        split = table.split("/")[0]
        fill(root, *(f"{split}/p{k}.png" for k in range(4)))
        rows = "".join(f"p{k}.png,{('cat', 'dog')[(k + (split == 'train')) % 2]}\n" for k in range(4))
        (root / table).write_text(f"file,label\n{rows}")
    found, _ = understood(root)
    assert found["train/p0.png"] == ("dog",)
    assert found[f"{tables[1].split('/')[0]}/p0.png"] == ("cat",)
    assert len(found) == 8


@pytest.mark.parametrize(
    "way", ["file://{}/p%20{}.png", "file:{}/p {}.png", "FILE://localhost{}/p%20{}.png", "file:p%20{1}.png"]
)
def test_file_addresses_in_tables(tmp_path: Path, way: str) -> None:
    root = fill(tmp_path / "a", *(f"p {k}.png" for k in range(4)))
    rows = "".join(f"{way.format(root, k)},{('cat', 'dog')[k % 2]}\n" for k in range(4))
    (root / "labels.csv").write_text(f"file,label\n{rows}")
    found, _ = understood(root)
    assert found["p 3.png"] == ("dog",)
    assert len(found) == 4
    (root / "labels.csv").write_text(f"file,label\n{rows}file:///etc/passwd.png,cat\n")
    with pytest.raises(UnreadableError, match="absolute path"):
        understood(root)
