"""What a user's own data cost before anything is learned from them: every folder is listed once, every
archive hashed once, however long the way from a command to its result.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import neocog
from neocog.cli import run as command
from neocog.data.folders import picture_cache, placing
from neocog.data.folders import scan as scanning
from neocog.data.own import OwnArrays, OwnPictures
from neocog.errors import Interrupted, UnreadableError
from neocog.pictures.walk import Folders, walk
from neocog.runs.run import Run

CLASSES, EACH = ("cat", "dog", "emu"), 12
BRIEF = ["epochs=1", "batch=8"]


class Counts:
    """How often a block listed and opened each path (to read), and hashed each content (by its SHA-256)."""

    def __init__(self) -> None:
        self.running = False
        self.listed: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self.hashed: Counter[str] = Counter()

    def forget(self) -> None:
        for counter in (self.listed, self.opened, self.hashed):
            counter.clear()

    def hear(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.running or not given or not isinstance(given[0], str | os.PathLike):
            return
        path = os.path.realpath(given[0])
        if event in ("os.scandir", "os.listdir"):
            self.listed[path] += 1
        elif event == "open" and given[2] & (os.O_WRONLY | os.O_RDWR) == 0:
            self.opened[path] += 1

    def below(self, root: Path, of: Counter[str]) -> dict[str, int]:
        """Of what lies in `root`, itself included, by the path in it."""
        base = os.path.realpath(root)
        inside = {path: n for path, n in of.items() if path == base or path.startswith(base + os.sep)}
        return {os.path.relpath(path, base): n for path, n in sorted(inside.items())}


HEARD: list[Counts] = []


def hear(event: str, given: tuple[Any, ...]) -> None:
    """The hook of the process, which cannot be taken off again; it is deaf unless something is counted."""
    for counts in HEARD:
        counts.hear(event, given)


class Hashed:
    """hashlib's SHA-256, and who asked for the digest of what."""

    made = staticmethod(hashlib.sha256)

    def __init__(self, counts: Counts, data: Any = b"") -> None:
        self.counts, self.inner = counts, Hashed.made(data)

    def update(self, data: Any) -> None:
        self.inner.update(data)

    def hexdigest(self) -> str:
        self.counts.hashed[self.inner.hexdigest()] += self.counts.running
        return self.inner.hexdigest()

    def digest(self) -> bytes:
        self.counts.hashed[self.inner.hexdigest()] += self.counts.running
        return self.inner.digest()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counts]:
    monkeypatch.setenv("NEOCOG_HOME", str(tmp_path_factory.mktemp("home")))
    made = Counts()
    monkeypatch.setattr(hashlib, "sha256", lambda data=b"", **more: Hashed(made, data))
    if not hasattr(sys, "neocog_counts"):
        sys.addaudithook(hear)
        sys.neocog_counts = True  # type: ignore[attr-defined]
    HEARD.append(made)
    yield made
    HEARD.remove(made)


@contextlib.contextmanager
def counting(counts: Counts) -> Iterator[None]:
    counts.running = True
    try:
        yield
    finally:
        counts.running = False


# --- the data --------------------------------------------------------------------------------------


def jpeg(root: Path, path: str, seed: int) -> None:
    """A picture unlike those with another seed, or in a root of another name."""
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([seed, *root.name.encode()]).integers(0, 256, (9, 8, 3), np.uint8)
    Image.fromarray(pixels).save(place, quality=90)


def folders(root: Path) -> Path:
    for k, name in enumerate(CLASSES):
        for i in range(EACH):
            jpeg(root, f"photos/{name}/{('', 'deeper/')[i % 2]}{i}.jpg", 100 * k + i)
    return root / "photos"


def splits(root: Path) -> Path:
    for k, name in enumerate(CLASSES):
        for i in range(EACH):
            jpeg(root, f"photos/{('train', 'train', 'test')[i % 3]}/{name}/{i}.jpg", 100 * k + i)
    return root / "photos"


def table(root: Path) -> Path:
    photos = folders(root)
    paths = sorted(photos.rglob("*.jpg"))
    rows = [f"{p.relative_to(photos)},{CLASSES[i % 3]}" for i, p in enumerate(paths)]
    (photos / "labels.csv").write_text("\n".join(["file,label", *rows]))
    return photos


def one_table(root: Path) -> Path:
    return table(root) / "labels.csv"


def archive(root: Path) -> Path:
    photos = folders(root)
    with zipfile.ZipFile(root / "photos.zip", "w") as packed:
        for path in sorted(photos.rglob("*.jpg")):
            packed.write(path, path.relative_to(root))
    shutil.rmtree(photos)
    return root / "photos.zip"


def arrays(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    x = np.random.default_rng(0).integers(0, 256, (36, 9, 8, 3), np.uint8)
    np.savez(root / "arrays.npz", x=x, y=np.arange(36) % 3)
    return root


MAKERS: dict[str, Callable[[Path], Path]] = {
    made.__name__: made for made in (folders, splits, table, one_table, archive, arrays)
}


def at_most(found: dict[str, int], most: int) -> None:
    assert {path: n for path, n in found.items() if n > most} == {}


def seen_once(counts: Counts, root: Path, cache: Path) -> None:
    """Nothing of the user's, and nothing of what was unpacked, was listed or hashed twice."""
    for place in (root, cache / "unpacked"):
        at_most(counts.below(place, counts.listed), 1)
    for path in root.rglob("*"):
        if path.is_file():
            digest = Hashed.made(path.read_bytes()).hexdigest()
            assert counts.hashed[digest] <= 1, f"{path.name} was hashed {counts.hashed[digest]} times"


# --- three ways ------------------------------------------------------------------------------------


def to_the_first_step(counts: Counts, what: str | Path, out: Path, **given: Any) -> None:
    def stop() -> bool:
        counts.running = False
        return True

    with counting(counts), pytest.raises(Interrupted):
        neocog.train(what, out=out, **{"changes": BRIEF, "start": "nothing", **given}, stop=stop)


@pytest.mark.parametrize("maker", MAKERS)
def test_from_a_jpeg_to_the_first_step(counts: Counts, tmp_path: Path, maker: str) -> None:
    root = tmp_path / "own"
    where = MAKERS[maker](root)
    to_the_first_step(counts, where, tmp_path / "run")
    cache = Path(os.environ["NEOCOG_HOME"])
    seen_once(counts, root, cache)
    place = cache / "unpacked" if maker == "archive" else root
    listed = counts.below(place, counts.listed)
    opened = counts.below(place, counts.opened)
    if maker == "arrays":
        assert (list(listed), opened) == (["."], {"arrays.npz": 1})
        return
    assert sum(path.endswith(CLASSES) for path in listed) == len(CLASSES) * (1 + (maker == "splits"))
    photos = {path: n for path, n in opened.items() if path.endswith(".jpg")}
    assert len(photos) == len(CLASSES) * EACH
    at_most(photos, 1)
    at_most({path: n for path, n in opened.items() if path.endswith(".csv")}, 1)
    if maker == "archive":
        digest = Hashed.made(where.read_bytes()).hexdigest()
        assert counts.hashed[digest] == 1
        at_most(counts.below(where, counts.opened), 3)  # looked at, hashed, unpacked


@pytest.mark.slow
def test_borrowed_eyes_open_no_picture_again(counts: Counts, tmp_path: Path) -> None:
    root = tmp_path / "own"
    to_the_first_step(counts, archive(root), tmp_path / "run", start=None)
    cache = Path(os.environ["NEOCOG_HOME"])
    seen_once(counts, root, cache)
    at_most(counts.below(cache / "unpacked", counts.opened), 1)


@pytest.mark.parametrize("maker", ["table", "archive"])
def test_from_data_given_to_a_recipe_to_the_first_step(counts: Counts, tmp_path: Path, maker: str) -> None:
    root = tmp_path / "own"
    where = MAKERS[maker](root)
    small = [*BRIEF, "preprocess.size=[8,8]", "model.name=m1"]
    to_the_first_step(counts, "m1", tmp_path / "run", data=where, changes=small)
    cache = Path(os.environ["NEOCOG_HOME"])
    seen_once(counts, root, cache)
    photos = counts.below(cache / "unpacked" if maker == "archive" else root, counts.opened)
    assert sum(path.endswith(".jpg") for path in photos) == len(CLASSES) * EACH
    at_most(photos, 1)


def test_the_second_time_nothing_is_decoded(counts: Counts, tmp_path: Path) -> None:
    where = archive(tmp_path / "own")
    small = [*BRIEF, "preprocess.size=[8,8]", "model.name=m1"]
    cache = Path(os.environ["NEOCOG_HOME"])
    for name in ("one", "two"):
        to_the_first_step(counts, "m1", tmp_path / name, data=where, changes=small)
        seen_once(counts, tmp_path / "own", cache)
        counts.forget()
    to_the_first_step(counts, "m1", tmp_path / "three", data=where, changes=small)
    assert counts.below(cache / "unpacked", counts.opened) == {}
    assert counts.below(where, counts.opened) == {".": 2}  # looked at, hashed


def test_the_second_time_a_folder_is_known(counts: Counts, tmp_path: Path) -> None:
    """Neither for the size of its pictures, nor for the pictures."""
    root = tmp_path / "own"
    where = folders(root)
    to_the_first_step(counts, where, tmp_path / "one")
    counts.forget()
    to_the_first_step(counts, where, tmp_path / "two")
    assert counts.below(root, counts.opened) == {}
    jpeg(root, "photos/cat/0.jpg", 999)
    to_the_first_step(counts, where, tmp_path / "three")
    at_most(counts.below(root, counts.opened), 1)
    assert counts.below(root, counts.opened)["photos/cat/0.jpg"] == 1


@pytest.mark.parametrize("room", [0, 1000])
def test_what_does_not_fit_is_decoded_again(
    counts: Counts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Pictures of 216 bytes: none, or four, are kept until they are placed."""
    where = folders(tmp_path / "own")
    monkeypatch.setattr(placing, "KEPT_BYTES", room)
    to_the_first_step(counts, where, tmp_path / "run")
    twice = [path for path, n in counts.below(where, counts.opened).items() if n == 2]
    assert len(twice) == len(CLASSES) * EACH - room // 216


def test_a_picture_through_predict(counts: Counts, tmp_path: Path, run: Run) -> None:
    photos = folders(tmp_path)
    with counting(counts):
        assert command(["predict", str(run.path), str(photos / "cat" / "0.jpg")]) == 0
    assert counts.below(photos, counts.listed) == {}
    assert counts.below(photos, counts.opened) == {"cat/0.jpg": 1}
    assert counts.below(run.path, counts.listed) == {}


def test_a_folder_of_pictures_through_predict(counts: Counts, tmp_path: Path, run: Run) -> None:
    photos = folders(tmp_path)
    with counting(counts):
        found = neocog.predict(run, [photos])
    assert len(found.items) == len(CLASSES) * EACH
    places = (".", *CLASSES, *(f"{name}/deeper" for name in CLASSES))
    assert counts.below(photos, counts.listed) == dict.fromkeys(places, 1)
    at_most(counts.below(photos, counts.opened), 1)


@pytest.mark.parametrize("maker", ["folders", "archive"])
def test_from_a_recipe_to_the_report(counts: Counts, tmp_path: Path, maker: str) -> None:
    root = tmp_path / "own"
    where = MAKERS[maker](root)
    small = [*BRIEF, "preprocess.size=[8,8]", "model.name=m1"]
    asked = f"train m1 --data {where} --out {tmp_path / 'run'} --quiet"
    with counting(counts):
        assert command([*asked.split(), *(word for change in small for word in ("--set", change))]) == 0
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000
    cache = Path(os.environ["NEOCOG_HOME"])
    seen_once(counts, root, cache)
    opened = counts.below(cache / "unpacked" if maker == "archive" else root, counts.opened)
    at_most(opened, 1)


@pytest.mark.parametrize("maker", ["folders", "archive"])
def test_pictures_that_a_run_has_not_seen(
    counts: Counts, tmp_path: Path, maker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are divided in two ways, and opened once, even where the cache cannot be written."""
    small = [*BRIEF, "preprocess.size=[8,8]", "model.name=m1"]
    run = neocog.train("m1", data=MAKERS[maker](tmp_path / "own"), changes=small, out=tmp_path / "run")
    root = tmp_path / "other"
    where = MAKERS[maker](root)
    cache = Path(os.environ["NEOCOG_HOME"])

    def no_room(*given: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr(picture_cache, "_write", no_room)
    with counting(counts):
        report = neocog.evaluate(run, data=where)
    assert report.json()["n"] == len(CLASSES) * EACH
    seen_once(counts, root, cache)
    at_most(counts.below(root, counts.opened), 3 if maker == "archive" else 1)


def test_looking_walks_once(counts: Counts, tmp_path: Path) -> None:
    for maker in ("table", "archive", "arrays"):
        root = tmp_path / maker
        where = MAKERS[maker](root)
        with counting(counts):
            neocog.look(where)
        at_most(counts.below(root, counts.listed), 1)
        seen_once(counts, root, Path(os.environ["NEOCOG_HOME"]))
        opened = counts.below(root, counts.opened)
        at_most({p: n for p, n in opened.items() if p.endswith(".npz")}, 1)
        at_most({p: n for p, n in opened.items() if p.endswith(".jpg")}, 1)


@pytest.mark.parametrize("maker", ["folders", "arrays"])
def test_what_was_opened_is_let_go_before_training(tmp_path: Path, maker: str) -> None:
    """A listing of a million files, or the arrays that a split was taken from, are not held for hours."""
    where = MAKERS[maker](tmp_path / "own")
    held: list[object] = []

    def stop() -> bool:
        held.extend(x for x in gc.get_objects() if type(x) in (OwnPictures, OwnArrays))
        return True

    with pytest.raises(Interrupted):
        neocog.train(where, out=tmp_path / "run", changes=BRIEF, stop=stop, start="nothing")
    assert held == []


# --- that the counting counts ----------------------------------------------------------------------


def test_a_second_walk_is_noticed(counts: Counts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "own"
    where = folders(root)

    def twice(place: Path, folders: Folders | None = None) -> Any:
        walk(place)
        return walk(place, folders)

    monkeypatch.setattr(scanning, "walk", twice)
    to_the_first_step(counts, where, tmp_path / "run")
    with pytest.raises(AssertionError, match="cat"):
        seen_once(counts, root, Path(os.environ["NEOCOG_HOME"]))


def test_a_second_hash_is_noticed(counts: Counts, tmp_path: Path) -> None:
    where = archive(tmp_path / "own")
    to_the_first_step(counts, where, tmp_path / "run")
    with counting(counts):
        neocog.files.sha256_file(where)
    with pytest.raises(AssertionError, match="hashed 2 times"):
        seen_once(counts, tmp_path / "own", Path(os.environ["NEOCOG_HOME"]))


# --- folders are listed once -----------------------------------------------------------------------


def test_folders_are_kept_until_the_last_time(tmp_path: Path, counts: Counts) -> None:
    (tmp_path / "a").mkdir()
    known = Folders()
    with counting(counts):
        assert [entry.name for entry in known.entries(tmp_path)] == ["a"]
        assert [entry.name for entry in known.last(str(tmp_path))] == ["a"]
        assert counts.below(tmp_path, counts.listed) == {".": 1}
        assert [entry.name for entry in known.last(str(tmp_path))] == ["a"]
    assert counts.below(tmp_path, counts.listed) == {".": 2}
    with pytest.raises(OSError, match="none"):
        known.entries(tmp_path / "none")
    with pytest.raises(UnreadableError, match="does not exist"):
        walk(tmp_path / "none", known)
