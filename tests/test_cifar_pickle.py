"""CIFAR-10's Python layout: real files as both Pythons write them are read, nothing in a file is ever run."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neocog.data.sources import cifar_pickle
from neocog.data.sources.cifar_pickle import CLASSES, FOLDER, parse, read
from neocog.errors import UnreadableError, error_line

COUNT = 12
NAMES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]


def batch(k: int) -> dict[bytes, Any]:
    rng = np.random.default_rng(k)
    return {
        b"batch_label": f"training batch {k} of 5".encode(),
        b"labels": [int(label) for label in rng.integers(0, 10, COUNT)],
        b"data": rng.integers(0, 256, (COUNT, 3072), np.uint8),
        b"filenames": [f"leptodactylus_pentadactylus_s_{i:06}.png".encode() for i in range(COUNT)],
    }


META: dict[bytes, Any] = {
    b"num_cases_per_batch": 10000,
    b"label_names": [name.encode() for name in CLASSES],
    b"num_vis": 3072,
}


def python_3(content: dict[bytes, Any]) -> bytes:
    return pickle.dumps(content, protocol=2)


def python_3_text(content: dict[bytes, Any]) -> bytes:
    return pickle.dumps({key.decode(): value for key, value in content.items()}, protocol=2)


def python_2(content: dict[bytes, Any]) -> bytes:
    """As Python 2's cPickle and NumPy 1 wrote the published files, instruction by instruction."""
    memo = iter(range(100_000))

    def put() -> bytes:
        index = next(memo)
        return b"q" + bytes([index]) if index < 256 else b"r" + struct.pack("<I", index)

    def write(value: Any) -> bytes:
        if isinstance(value, bytes):
            head = b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
            return head + value + (put() if len(value) < 256 else b"")
        if isinstance(value, int):
            return b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)
        if isinstance(value, list):
            return b"]" + put() + b"(" + b"".join(write(item) for item in value) + b"e"
        assert isinstance(value, np.ndarray)
        rows, columns = value.shape
        return (
            b"cnumpy.core.multiarray\n_reconstruct\n" + put() + b"cnumpy\nndarray\n" + put()
            + b"K\x00\x85" + put() + b"U\x01b" + put() + b"\x87" + put() + b"R" + put()
            + b"(K\x01" + write(rows) + write(columns) + b"\x86" + put() + b"cnumpy\ndtype\n" + put()
            + b"U\x02u1" + put() + b"K\x00K\x01\x87" + put() + b"R" + put()
            + b"(K\x03U\x01|" + put() + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t" + put() + b"b"
            + b"\x89" + write(value.tobytes()) + b"t" + put() + b"b"
        )  # fmt: skip

    items = b"".join(write(key) + write(value) for key, value in content.items())
    return b"\x80\x02}" + put() + b"(" + items + b"u."


WRITERS: dict[str, Callable[[dict[bytes, Any]], bytes]] = {
    "Python 2": python_2,
    "Python 3": python_3,
    "Python 3, text keys": python_3_text,
}


def layout(folder: Path, writer: Callable[[dict[bytes, Any]], bytes] = python_2) -> Path:
    folder.mkdir(parents=True)
    for k, name in enumerate(NAMES, 1):
        (folder / name).write_bytes(writer(batch(k)))
    (folder / "batches.meta").write_bytes(writer(META))
    (folder / "readme.html").write_text("<meta>")
    return folder


@pytest.mark.parametrize("writer", WRITERS)
def test_what_this_file_writes_is_what_python_reads(writer: str) -> None:
    """The hand-made stream of Python 2 is a true one: Python's own unpickler agrees."""
    content = pickle.loads(WRITERS[writer](batch(1)), encoding="bytes")
    data = content.get(b"data", content.get("data"))
    np.testing.assert_array_equal(data, batch(1)[b"data"])


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("place", ["the folder", "its parent", "the archive"])
def test_pictures_and_labels_arrive_in_order(tmp_path: Path, writer: str, place: str) -> None:
    folder = layout(tmp_path / "in" / FOLDER, WRITERS[writer])
    path = {"the folder": folder, "its parent": folder.parent, "the archive": tmp_path / "c.tar.gz"}[place]
    if place == "the archive":
        with tarfile.open(path, "w:gz") as archive:
            archive.add(folder, FOLDER)
    data = read(path)
    assert data.classes == CLASSES
    assert data.name == "cifar10"
    assert data.test is not None
    expected = np.concatenate([batch(k)[b"data"] for k in range(1, 6)]).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(data.train.x.numpy(), expected)
    assert data.train.y.tolist() == [label for k in range(1, 6) for label in batch(k)[b"labels"]]
    np.testing.assert_array_equal(data.test.x.numpy(), batch(6)[b"data"].reshape(-1, 3, 32, 32))
    assert data.test.y.tolist() == batch(6)[b"labels"]
    assert data.train.x.dtype == torch.uint8
    assert data.train.y.dtype == torch.int64


def test_it_agrees_with_the_binary_layout(tmp_path: Path) -> None:
    """The same pictures in the official binary records, through the other reader."""
    from neocog.data.sources import cifar

    folder = layout(tmp_path / FOLDER)
    binary = tmp_path / "cifar-10-batches-bin"
    binary.mkdir()
    for k, name in enumerate(NAMES, 1):
        content = batch(k)
        records = np.concatenate([np.array(content[b"labels"], np.uint8)[:, None], content[b"data"]], axis=1)
        (binary / f"{name}.bin").write_bytes(records.tobytes())
    ours, theirs = read(folder), cifar.read(binary)
    assert torch.equal(ours.train.x, theirs["train"].x)
    assert torch.equal(ours.train.y, theirs["train"].y)


def test_without_the_label_names(tmp_path: Path) -> None:
    folder = layout(tmp_path / FOLDER)
    (folder / "batches.meta").unlink()
    assert read(folder).classes == CLASSES


def changed(**values: Any) -> dict[bytes, Any]:
    return {**batch(1), **{key.encode(): value for key, value in values.items()}}


WRONG: dict[str, dict[bytes, Any]] = {
    "label 10": changed(labels=[10] * COUNT),
    "label -1": changed(labels=[-1] * COUNT),
    "truth for a label": changed(labels=[True] * COUNT),
    "text for a label": changed(labels=["cat"] * COUNT),
    "fewer labels": changed(labels=[1] * (COUNT - 1)),
    "no labels": changed(labels=None),
    "labels as an array": changed(labels=np.zeros(COUNT, np.int64)),
    "narrow pictures": changed(data=np.zeros((COUNT, 3071), np.uint8)),
    "grey pictures": changed(data=np.zeros((COUNT, 1024), np.uint8)),
    "no pictures": changed(data=np.zeros((0, 3072), np.uint8)),
    "three axes": changed(data=np.zeros((COUNT, 3, 1024), np.uint8)),
    "other numbers": changed(data=np.zeros((COUNT, 3072), np.float32)),
    "objects": changed(data=np.array([[None]], object)),
    "column order": changed(data=np.asfortranarray(np.ones((COUNT, 3072), np.uint8))),
    "pictures as a list": changed(data=[0] * COUNT),
    "a set": changed(extra={1, 2}),
    "a float": changed(extra=1.5),
    "a complex number": changed(extra=1j),
    "a path": changed(extra=Path("/etc")),
    "a function": changed(extra=os.getcwd),
    "a class": changed(extra=dict),
}


@pytest.mark.parametrize("name", WRONG)
def test_other_content_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    folder = layout(tmp_path / FOLDER)
    (folder / "data_batch_3").write_bytes(python_3(WRONG[name]))
    with pytest.raises(UnreadableError, match="data_batch_3 was not read: it holds") as caught:
        read(folder)
    assert "\n" not in error_line(caught.value)


def test_other_label_names_are_refused(tmp_path: Path) -> None:
    folder = layout(tmp_path / FOLDER)
    (folder / "batches.meta").write_bytes(python_2({**META, b"label_names": [b"x"] * 10}))
    with pytest.raises(UnreadableError, match=r"batches\.meta was not read: it holds other label names"):
        read(folder)


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_other_protocols_are_refused(protocol: int) -> None:
    with pytest.raises(cifar_pickle._Foreign):
        parse(pickle.dumps(batch(1), protocol=protocol))


def test_a_file_cut_anywhere_is_refused() -> None:
    data = python_2(batch(1))
    for end in [*range(400), *range(400, len(data), 997), len(data) - 1]:
        with pytest.raises(cifar_pickle._Foreign):
            parse(data[:end])


def test_changed_bytes_are_read_as_data_or_refused() -> None:
    rng = random.Random(0)
    seeds = [writer(META) for writer in WRITERS.values()]
    for _ in range(3000):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.choice((1, 1, 3))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with contextlib.suppress(cifar_pickle._Foreign):
            parse(bytes(data))


def test_a_short_file_cannot_ask_for_endless_memory() -> None:
    """One long string, made into bytes over and over from the memo."""
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
    again = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    with pytest.raises(cifar_pickle._Foreign, match="bytes of strings"):
        parse(b"\x80\x02" + text + again * 200 + b".")


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = layout(tmp_path / FOLDER)
    (folder / "data_batch_2").unlink()
    (folder / "test_batch").unlink()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnreadableError, match="has no data_batch_2, test_batch; it needs"):
        read(folder)
    with pytest.raises(UnreadableError, match="give the folder cifar-10-batches-py"):
        read(tmp_path / "nowhere")
    with pytest.raises(UnreadableError, match="has no data_batch_1"):
        read(empty)


@pytest.mark.parametrize("damage", ["cut", "flipped checksum", "no tar", "no gzip", "too many members"])
def test_a_damaged_archive(tmp_path: Path, damage: str) -> None:
    folder, path = layout(tmp_path / FOLDER), tmp_path / "c.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, FOLDER)
        if damage == "too many members":
            for i in range(1100):
                archive.addfile(tarfile.TarInfo(f"{FOLDER}/{i}"), io.BytesIO())
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[: len(data) // 2],
            "flipped checksum": data[:-8] + bytes([data[-8] ^ 1]) + data[-7:],
            "no tar": gzip.compress(b"hello" * 1000),
            "no gzip": b"hello" * 1000,
            "too many members": data,
        }[damage]
    )
    with pytest.raises(UnreadableError):
        read(path)


# Each would create the canary file if its pickle were loaded; `C` stands for the canary's path.
GADGETS: list[tuple[str, str]] = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "call"),
    ("subprocess", "Popen"),
    ("subprocess", "check_output"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "open"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("__builtin__", "eval"),
    ("__builtin__", "apply"),
    ("io", "open"),
    ("pathlib", "Path.touch"),
    ("timeit", "timeit"),
    ("runpy", "run_path"),
    ("pip", "main"),
    ("importlib", "import_module"),
    ("numpy", "load"),
    ("numpy", "memmap"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.f2py.crackfortran", "myeval"),
    ("torch", "load"),
    ("operator", "attrgetter"),
    ("functools", "partial"),
    ("webbrowser", "open"),
    ("shutil", "rmtree"),
    ("pickle", "loads"),
    ("_pickle", "loads"),
    ("code", "InteractiveInterpreter"),
    ("ctypes", "CDLL"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    ("numpy", "ndarray.tofile"),
    ("_codecs", "lookup"),
    ("copyreg", "_reconstructor"),
]


def hostile(canary: Path) -> dict[str, bytes]:
    command = f"touch {canary}".encode()
    argument = b"U" + bytes([len(command)]) + command
    files: dict[str, bytes] = {}
    for module, name in GADGETS:
        word = f"c{module}\n{name}\n".encode()
        files[f"reduce {module}.{name}"] = b"\x80\x02" + word + argument + b"\x85R."
        files[f"in data {module}.{name}"] = b"\x80\x02}(U\x04data" + word + argument + b"\x85Ru."
    short = b"U\x02os" + b"U\x06system"
    files.update(
        {
            "stack global": b"\x80\x02" + short + b"\x93" + argument + b"\x85R.",
            "inst": b"\x80\x02(" + argument + b"ios\nsystem\n.",
            "obj": b"\x80\x02(cos\nsystem\n" + argument + b"o.",
            "newobj": b"\x80\x02cos\nsystem\n" + argument + b"\x85\x81.",
            "extension": b"\x80\x02\x82\x01.",
            "persistent id": b"\x80\x02Pos\n.",
            "persistent id of the stack": b"\x80\x02" + argument + b"Q.",
            "protocol 0": b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR.",
            "word after the end": python_2(META) + b"cos\nsystem\n" + argument + b"\x85R.",
            "code in a list": b"\x80\x02](cos\nsystem\n" + argument + b"\x85Re.",
            "reconstruct another class": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n"
            b"cos\nsystem\nK\x00\x85U\x01b\x87R.",
            "build on a word": b"\x80\x02cnumpy\nndarray\n}b.",
            "nothing": b"",
            "end alone": b"\x80\x02.",
            "mark alone": b"\x80\x02(.",
            "endless nesting": b"\x80\x02" + b"(" * 100_000 + b".",
            "deep tuples": b"\x80\x02)" + b"\x85" * 100_000 + b".",
            "empty memo": b"\x80\x02h\x07.",
        }
    )  # fmt: skip
    return files


CHILD = """
import pathlib, sys
from neocog.data.sources import cifar_pickle
from neocog.errors import UnreadableError

BAD = ("pickle.", "exec", "compile", "import", "subprocess.", "os.system", "os.exec", "socket.", "ctypes.")
events = []
hostile = sorted(pathlib.Path(sys.argv[2]).iterdir())
cifar_pickle.read(pathlib.Path(sys.argv[1]))
sys.addaudithook(lambda event, _: events.append(event) if event.startswith(BAD) else None)
refused = 0
for path in hostile:
    with path.open("rb") as file:
        try:
            list(cifar_pickle._checked("data_batch_1", file, path))
        except UnreadableError:
            refused += 1
print(refused, len(hostile), events)
"""


def test_no_hostile_pickle_runs_anything(tmp_path: Path) -> None:
    folder, canary = layout(tmp_path / FOLDER), tmp_path / "canary"
    files = hostile(canary)
    (tmp_path / "hostile").mkdir()
    for i, data in enumerate(files.values()):
        (tmp_path / "hostile" / f"{i:03}").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, folder, tmp_path / "hostile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == f"{len(files)} {len(files)} []", done.stderr + done.stdout
    assert len(files) >= 60
    assert not canary.exists()


def test_the_gadgets_are_live(tmp_path: Path) -> None:
    """The oracle itself: Python's unpickler would have run them."""
    canary = tmp_path / "canary"
    pickle.loads(hostile(canary)["reduce os.system"], encoding="utf-8")
    assert canary.exists()
