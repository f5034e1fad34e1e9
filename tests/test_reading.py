"""A user's own pictures: which files are meant, in which order, and one bad file among them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.cli import run as command
from neocog.errors import UnreadableError, UsageError
from neocog.pictures import reading
from neocog.pictures.decode import decode
from neocog.runs.run import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """10.png, 2.png, sub/1.JPG; a hidden one, a leftover of macOS and a text beside them."""
    root = tmp_path / "pictures"
    for n, name in enumerate(("10.png", "2.png", "sub/1.JPG", ".thumbs/1.png", "__MACOSX/._2.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4 + n, 3), (n, 50, 100)).save(root / name, "PNG")
    (root / "notes.txt").write_text("not a picture")
    return root


def names(files: tuple[Path, ...], root: Path) -> list[str]:
    return [str(file.relative_to(root)) for file in files]


def test_folders_globs_and_files_in_their_order(folder: Path) -> None:
    assert names(reading.named([folder]), folder) == ["2.png", "10.png", "sub/1.JPG"]
    assert names(reading.named([str(folder / "*.png")]), folder) == ["2.png", "10.png"]
    assert names(reading.named([str(folder / "**" / "*.JPG"), folder / "10.png"]), folder) == [
        "sub/1.JPG",
        "10.png",
    ]
    odd = folder / "a[1].png"
    odd.write_bytes(b"")
    assert reading.named([odd]) == (odd,), "a file whose name looks like a pattern is that file"
    assert reading.named(["missing.png"]) == (Path("missing.png"),)


def test_names_on_standard_input(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{folder / '10.png'}\n\n{folder / 'sub'}\n"))
    files = reading.named([folder / "2.png", "-"])
    assert names(files, folder) == ["2.png", "10.png", "sub/1.JPG"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(UsageError, match="no pictures were given; name"):
        reading.named(["-"])


def test_nothing_there_is_said(folder: Path) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(UnreadableError, match=r"empty: the folder holds no pictures \(\.avif \.bmp "):
        reading.named([folder / "empty"])
    with pytest.raises(UnreadableError, match="no file matches this pattern"):
        reading.named([str(folder / "*.gif")])
    with pytest.raises(UsageError, match="no pictures were given"):
        reading.named([])


@pytest.mark.parametrize("most", [1, 2, 64])
def test_one_bad_file_does_not_stop_the_rest(folder: Path, most: int) -> None:
    (folder / "3.png").write_text("not a picture")
    files = [*reading.named([folder]), folder / "missing.png"]
    parts = list(reading.read(files, most=most))
    assert [len(part) for part in parts[:-1]] == [most] * (len(parts) - 1)
    read = [one for part in parts for one in part]
    assert [one.path for one in read] == files
    assert [one.pixels is None for one in read] == [False, True, False, False, True]
    assert [bool(one.error) for one in read] == [False, True, False, False, True]
    assert read[4].error == "does not exist; check the name"
    for one in (read[0], read[2], read[3]):
        assert one.pixels is not None
        np.testing.assert_array_equal(one.pixels, decode(one.path))
    (turned,) = next(reading.read(files[:1], lambda pixels: 255 - pixels))
    assert turned.pixels is not None
    np.testing.assert_array_equal(turned.pixels, 255 - decode(files[0]))


def test_features_and_predict_take_the_same_pictures(
    capsys: pytest.CaptureFixture[str], run: Run, folder: Path, tmp_path: Path
) -> None:
    (folder / "3.png").write_text("not a picture")
    argv = [str(folder), str(folder / "*.png")]
    assert command(["predict", str(run.path), *argv, "--json"]) == 3
    named = json.loads(capsys.readouterr().out)
    out = tmp_path / "f.npz"
    assert command(["features", str(run.path), *argv, "--layer", "0", "-o", str(out), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["files"] == [item["file"] for item in named if "top" in item]
    assert found["unread"] == [item for item in named if "error" in item]
    assert found["shape"][0] == len(found["files"]) == 5
    with np.load(out) as held:
        assert list(held["files"]) == found["files"]
    assert command(["features", str(run.path), str(folder / "3.png"), "--layer", "0"]) == 3
    assert "none of 1 pictures could be read" in capsys.readouterr().err
