"""What stands in the way of a file: it is written whole, or one line says why not, and nothing is replaced
that neocog did not write.
"""

from __future__ import annotations

import ast
import errno
import io
import os
import shutil
import signal
import socket
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import neocog
from neocog import files, outputs
from neocog.cli import run as command
from neocog.cli.streams import Forgiving
from neocog.errors import Interrupted, NeocogError, UnreadableError, UsageError
from neocog.events import Event, Step
from neocog.runs.run import Run
from neocog.style import watchers
from neocog.training.watchers import Console
from neocog.transfer.labels import Suspect, Suspects
from neocog.verbs.doctor import Findings

QUICK = ["epochs=2", "optim.schedule=constant", "data.limit=320", "precision=float32"]


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith(files.PART)]


# --- what is no plain file stays what it is ---------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "link", "dangling link", "link to a folder"])
def test_what_is_no_plain_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path, target = tmp_path / "x", tmp_path / "real"
    target.write_text("old")
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as end:
                os.chdir(tmp_path)
                end.bind("x")
        case "link":
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(tmp_path / "nothing")
        case "link to a folder":
            path.symlink_to(tmp_path)
    before = path.lstat()
    with pytest.raises(UnreadableError, match="stays one"):
        outputs.write_bytes(path, b"new")
    assert os.path.samestat(path.lstat(), before)
    assert target.read_text() == "old"
    assert not left_over(tmp_path)


def png(size: int = 8) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (size, size), (9, 90, 200)).save(made, "PNG")
    return made.getvalue()


def zipped(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "1")
    return made.getvalue()


@pytest.mark.parametrize(
    ("there", "new"),
    [
        (png(), png()),  # somebody's picture, perhaps the one that is predicted
        (b"\xff\xd8\xff\xe0 a photo", png()),
        (b"my notes\n", png()),
        (b'{"my": "settings"}', b'{"data": 1}'),
        (zipped("x_train.npy", "y_train.npy"), zipped("features.npy", "files.npy", "layer.npy")),
        (b"file,label\na.png,cat\n", b"file,f0,f1\na.png,1,2\n"),
        (png(), b"<!doctype html><title>report</title>"),
        (bytes(8) + b'{"w": 1}', b"<!doctype html>"),
    ],
)
def test_a_file_of_somebody_else_is_never_replaced(tmp_path: Path, there: bytes, new: bytes) -> None:
    path = tmp_path / "out"
    path.write_bytes(there)
    with pytest.raises(UnreadableError, match="did not write"):
        outputs.write_bytes(path, new)
    assert path.read_bytes() == there
    assert not left_over(tmp_path)


@pytest.mark.parametrize("data", [png(), b"<!doctype html>", zipped("a.npy"), b"file,f0\n", b'{"a": 1}'])
def test_what_neocog_wrote_is_written_again(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "out"
    path.touch()
    for _ in range(3):
        outputs.write_bytes(path, data)
    if data.startswith(outputs.PNG):
        with Image.open(path) as picture:
            assert picture.convert("RGB").getpixel((0, 0)) == (9, 90, 200)
            assert picture.info["Software"] == "neocog"


def test_the_verbs_replace_no_input_and_nothing_of_a_run(
    copied_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.png").write_bytes(png())
    run = str(copied_run.path)
    before = {
        path: path.read_bytes() for path in (Path("in.png"), *copied_run.path.iterdir()) if path.is_file()
    }
    for words in (
        f"predict {run} in.png --picture in.png",
        f"evaluate {run} --report {run}/model.safetensors",
        f"evaluate {run} --out {run}/facts.json",
        f"weights {run} -o {run}/model.safetensors",
        f"features {run} in.png --layer conv1 -o in.png",
        f"look digits --out {run}/recipe.json",
        "filter in.png --kernel blur -o in.png",
        "summary lenet5 -o in.png",
    ):
        assert command(words.split()) in (2, 3), words
    capsys.readouterr()
    for path, data in before.items():
        assert path.read_bytes() == data, path
    assert command(f"predict {run} in.png --picture out.png".split()) == 0
    assert command(f"predict {run} in.png --picture out.png".split()) == 0, "our own is replaced"
    capsys.readouterr()


WRITERS = {"write_text", "write_bytes", "write_png", "write_json", "replacing", "append"}
OF_OUR_OWN = (
    "sealed.py", "model.py", "runs/", "downloads/", "data/folders/picture_cache.py", "figures/",
    "studies/reproduce.py",
)  # fmt: skip
"""Who writes what no user names: runs, caches, the experiments' own folder; `reproduce` looks first."""


def test_whatever_a_user_names_is_written_as_an_output() -> None:
    """Nobody else replaces files without a look at what is there, and nobody writes past both."""
    package = Path(neocog.__file__).parent
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package).as_posix()
        if place in ("files.py", "outputs.py"):
            continue
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "neocog.files":
                taken = WRITERS & {name.name for name in node.names}
                assert not taken or place.startswith(OF_OUR_OWN), f"{place}: {taken} of files, not of outputs"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                of = ast.unparse(node.func.value)
                if node.func.attr in ("write_text", "write_bytes") and of not in ("outputs", "temporary"):
                    assert place.startswith("downloads/"), f"{place}: {of}.{node.func.attr}"


@pytest.mark.parametrize("name", ["suspects.csv", "suspects.png", "findings.json", "step-0001.png"])
def test_outputs_of_every_verb_spare_what_is_there(name: str, tmp_path: Path) -> None:
    """Those that nothing else tries: `study labels`, `doctor` in Python, the steps of a painting."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    suspects = Suspects((Suspect("a.png", "cat", "dog", 0.1, 0.9, pixels),), 1, "eyes")
    stroke = SimpleNamespace(step=1, picture=lambda: pixels)
    writes = {
        "suspects.csv": lambda: suspects.save(tmp_path / name),
        "suspects.png": lambda: suspects.save(tmp_path / name),
        "findings.json": lambda: Findings("run", 1, True, ()).save(tmp_path / name),
        "step-0001.png": lambda: steps_of_a_painting(tmp_path / "step.png", stroke),
    }
    theirs = {".csv": b"file,label\na.png,cat\n", ".png": png(), ".json": b'{"mine": 1}'}[Path(name).suffix]
    (tmp_path / name).write_bytes(theirs)
    with pytest.raises(UnreadableError, match="did not write"):
        writes[name]()
    assert (tmp_path / name).read_bytes() == theirs
    (tmp_path / name).unlink()
    for _ in range(2):
        writes[name]()
    assert (tmp_path / name).stat().st_size
    assert not left_over(tmp_path)


def steps_of_a_painting(out: Path, stroke: SimpleNamespace) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watchers, "Stroke", SimpleNamespace)
        watchers.Pictures(out, 1)(stroke)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a.png", "./a.png", "b/../a.png", "hard.png", "link.png"])
def test_what_is_read_is_not_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even where neocog wrote it, and it would be replaced by its like."""
    monkeypatch.chdir(tmp_path)
    Path("b").mkdir()
    Path("in.png").write_bytes(png())
    assert command(["filter", "in.png", "--kernel", "edges", "-o", "a.png", "-q"]) == 0
    os.link("a.png", "hard.png")
    os.symlink("a.png", "link.png")
    before = Path("a.png").read_bytes()
    capsys.readouterr()
    assert command(f"filter a.png --kernel edges -o {name}".split()) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert Path("a.png").read_bytes() == before


@pytest.mark.parametrize(("model", "out"), [("net.keras", "net.keras"), ("net.h5", "./net.h5")])
def test_a_network_is_not_written_over_itself(
    model: str, out: str, copied_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pytest.importorskip("h5py")
    assert command(["weights", str(copied_run.path), "-o", model, "-q"]) == 0
    before = Path(model).read_bytes()
    assert command(["weights", "--file", model, "-o", out, "-q"]) == 2
    assert Path(model).read_bytes() == before


def test_weights_of_somebody_else_stay_and_what_is_refused_leaves_nothing(
    copied_run: Run, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.safetensors"
    save_file({"w": torch.ones(3)}, theirs, metadata={"format": "pt"})
    before = theirs.read_bytes()
    found = neocog.weights(copied_run)
    with pytest.raises(UnreadableError, match="did not write"):
        found.save(theirs)
    assert theirs.read_bytes() == before
    (tmp_path / "mine.json").write_text('{"layers": []}')
    with pytest.raises(UnreadableError, match=r"mine\.json.*did not write"):
        found.save(tmp_path / "mine.safetensors")
    assert not (tmp_path / "mine.safetensors").exists()
    for _ in range(2):
        found.save(tmp_path / "ours.safetensors")


def test_a_result_takes_no_place_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "S7.json").write_text('{"mine": 1}')
    with pytest.raises(UnreadableError, match=r"S7\.json is no result of an experiment"):
        neocog.reproduce(["S7"], out=tmp_path, runs=tmp_path / "runs")
    assert [path.name for path in tmp_path.iterdir()] == ["S7.json"]


def test_a_run_among_the_pictures_is_refused(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / "pets" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(8 + number))
    (tmp_path / "link").symlink_to(tmp_path / "pets")
    before = sorted((tmp_path / "pets").rglob("*"))
    for out in ("pets", "pets/a", "pets/new", "link", "pets/a/../b/deep"):
        with pytest.raises(UsageError, match="among the pictures"):
            neocog.train(tmp_path / "pets", out=tmp_path / out, changes=["epochs=1"])
    assert sorted((tmp_path / "pets").rglob("*")) == before


@pytest.mark.parametrize(
    "argv", [["train", ""], ["train", "digits", "--out", ""], ["evaluate", "x", "--data", ""]]
)
def test_an_empty_argument_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command(argv) == 2
    assert "is empty" in capsys.readouterr().err
    with pytest.raises(UsageError, match="empty"):
        neocog.train("digits", out="")


# --- what the disk says -------------------------------------------------------------------------------


def test_places_that_take_nothing_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "afile").write_text("x")
    for path in (tmp_path / "afile" / "x.png", tmp_path / "afile" / "y" / "x.png", tmp_path / ("a" * 300)):
        with pytest.raises(UnreadableError) as said:
            outputs.write_bytes(path, png())
        assert "\n" not in str(said.value)
        with pytest.raises(NeocogError) as said:
            neocog.train("digits", changes=QUICK, out=path)
        assert "\n" not in str(said.value)
    assert not left_over(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "replace", "mkstemp"])
def test_a_disk_that_refuses_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    path = tmp_path / "a.json"
    files.write_text(path, "old")

    def refuse(*given: object, **more: object) -> None:
        raise OSError(number, os.strerror(number))

    where = {"fsync": os, "replace": Path, "mkstemp": files.tempfile}[call]
    with monkeypatch.context() as patch:
        patch.setattr(where, call, refuse)
        with pytest.raises(UnreadableError, match=os.strerror(number)):
            files.write_text(path, "new")
    assert path.read_text() == "old"
    assert not left_over(tmp_path)


def test_a_folder_that_cannot_be_flushed_is_said_and_one_that_knows_no_flushing_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def refusing(number: int):  # type: ignore[no-untyped-def]
        def refuse(handle: int) -> None:
            if os.path.isdir(f"/proc/self/fd/{handle}"):
                raise OSError(number, os.strerror(number))
            flush(handle)

        return refuse

    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    files.write_text(tmp_path / "a", "x")
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(UnreadableError, match="Input/output"):
        files.write_text(tmp_path / "a", "y")


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    for text in ("one\n", "two\n"):
        files.append(path, text, flushed="to the disk")
    with path.open("a") as file:
        file.write('{"cut": ')
    files.append(path, "three\n", flushed="to the system")
    assert path.read_text() == "one\ntwo\nthree\n"

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UnreadableError, match="No space"):
        files.append(path, "four\n", flushed="to the disk")
    assert path.read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("fate", ["removed", "renamed", "replaced by a file", "emptied"])
def test_a_run_folder_that_goes_away_is_not_made_anew(tmp_path: Path, fate: str) -> None:
    out = tmp_path / "a"

    def away(event: Event) -> None:
        if isinstance(event, Step) and event.step == 3:
            if fate in ("removed", "emptied"):
                shutil.rmtree(out)
            else:
                out.rename(tmp_path / "b")
            if fate == "emptied":  # as by a `rm -r` that a file written meanwhile kept from the end
                out.mkdir()
            if fate == "replaced by a file":
                out.write_text("x")

    with pytest.raises(UnreadableError, match="removed or renamed"):
        neocog.train("digits", changes=QUICK, out=out, watchers=[lambda run: away])
    assert not out.is_dir() or (fate == "emptied" and not list(out.iterdir()))
    if fate == "renamed":
        neocog.resume(tmp_path / "b")
        assert len(Run(tmp_path / "b").metrics()) == 2


def test_hanging_up_saves_and_nohup_does_not_stop(tmp_path: Path) -> None:
    def hang_up(event: Event) -> None:
        if isinstance(event, Step) and event.step == 3:
            os.kill(os.getpid(), signal.SIGHUP)

    def train(name: str) -> Run:
        return neocog.train("digits", changes=QUICK, out=tmp_path / name, watchers=[lambda run: hang_up])

    with pytest.raises(Interrupted, match=r"the terminal is gone; the state is saved.*--resume") as stopped:
        train("a")
    assert stopped.value.exit_code == 3
    neocog.resume(tmp_path / "a")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert train("b").facts()["result"]["epochs"] == 2
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_is_heard_where_a_script_has_it_ignored(tmp_path: Path) -> None:
    """As for `neocog train ... &` in a script, which is ended with `kill -INT`."""

    def interrupt(event: Event) -> None:
        if isinstance(event, Step) and event.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(Interrupted, match="the state is saved"):
            neocog.train("digits", changes=QUICK, out=tmp_path / "a", watchers=[lambda run: interrupt])
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# --- streams -------------------------------------------------------------------------------------------


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_takes_nothing_ends_no_training(tmp_path: Path) -> None:
    neocog.train("digits", changes=QUICK, out=tmp_path / "a", watchers=[lambda run: Console(Full())])
    stream = Forgiving(Full())
    print("lost", file=stream)
    assert stream.write("lost") == 4
    stream.flush()


@pytest.mark.parametrize("name", ["x.jpg", "x.JPEG", "x.svg", "x", ".png"])
def test_pictures_are_written_under_no_other_name(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A PNG called .jpg is what some programs refuse, and this one would call misnamed."""
    monkeypatch.chdir(tmp_path)
    for words in (
        f"predict {run.path} --split test --index 0 --picture {name}",
        f"predict {run.path} --split test --index 0 --spectrum {name}",
        f"look digits --out {name}",
        f"look digits --index 3 --out {name}",
        f"summary lenet5 -o {name}",
        f"compare {run.path} {run.path} -o {name}",
        f"evaluate {run.path} --out {name}",
        f"explain {run.path} --split test --index 0 -o {name}",
        f"filter digits:3 --kernel blur -o {name}",
    ):
        assert command(words.split()) == 2, words
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert f"not as '{name}'" in said, words
        assert ".png" in said
    assert list(tmp_path.iterdir()) == []


def test_a_picture_may_be_called_png_in_any_letters(tmp_path: Path) -> None:
    outputs.write_png(tmp_path / "x.PNG", png())
    assert (tmp_path / "x.PNG").read_bytes().startswith(outputs.PNG)
