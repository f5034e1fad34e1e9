"""CIFAR-10 in its Python layout, read without unpickling: nothing in a file can name code and have it run.

The files of `cifar-10-batches-py` are pickles of protocol 2, written by Python 2. A pickle is a program for a
small stack machine. This module runs a machine that knows the instructions those files use, and as functions
only NumPy's array and dtype, and the byte string as Python 3 writes it in this protocol: rules here, not
imports. Any other instruction or name ends in an error.
"""

from __future__ import annotations

import gzip
import pickletools
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from neocog.data.dataset import Dataset, Split
from neocog.errors import UnreadableError, escaped

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))
TEST = "test_batch"
META = "batches.meta"
PIXELS = 3 * 32 * 32
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""The names in `batches.meta`, in the order of the labels."""
FILE_AT_MOST = 96 << 20
"""Bytes of one batch; the published ones have 31 million."""
MEMBERS_AT_MOST = 1000


def read(path: Path) -> Dataset:
    """The data set from the folder of batches, the folder above it, or the archive, which is not extracted.

    x uint8 (N, 3, 32, 32), y int64 (N,); `train` is the five batches in order.

    Raises:
        UnreadableError: a file is missing, cut off, or holds anything that CIFAR-10's own files do not.
    """
    try:
        files = dict(_from_folder(path) if path.is_dir() else _from_archive(path))
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UnreadableError(f"{path} is a damaged archive ({error}); fetch it anew") from error
    except OSError as error:
        raise UnreadableError(
            f"cannot read {error.filename or path}: {error.strerror or error}; "
            f"give the folder {FOLDER} or {ARCHIVE}"
        ) from error
    missing = [name for name in (*TRAIN, TEST) if name not in files]
    if missing:
        raise UnreadableError(f"{path} has no {', '.join(missing)}; it needs {', '.join((*TRAIN, TEST))}")
    batches = [files[name] for name in TRAIN]
    train = Split(torch.cat([batch.x for batch in batches]), torch.cat([batch.y for batch in batches]))
    return Dataset(name="cifar10", classes=CLASSES, train=train, test=files[TEST])


def _from_folder(path: Path) -> Iterator[tuple[str, Split]]:
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    for name in (*TRAIN, TEST, META):
        file = folder / name
        if file.is_file():
            with file.open("rb") as opened:
                yield from _checked(name, opened, file)


def _from_archive(path: Path) -> Iterator[tuple[str, Split]]:
    with gzip.open(path) as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count > MEMBERS_AT_MOST or member.size > FILE_AT_MOST:
                    raise tarfile.ReadError("it is larger than CIFAR-10")
                folder, _, name = member.name.rpartition("/")
                if member.isreg() and folder.removeprefix("./") == FOLDER and name in (*TRAIN, TEST, META):
                    opened = archive.extractfile(member)
                    assert opened is not None  # a regular member
                    yield from _checked(name, opened, path / member.name)
        while unpacked.read(1 << 16):  # gzip's checksum stands at the end
            if unpacked.tell() > 8 * FILE_AT_MOST:
                raise tarfile.ReadError("it is larger than CIFAR-10")


def _checked(name: str, file: IO[bytes], path: Path) -> Iterator[tuple[str, Split]]:
    """The batch in a file; of `batches.meta`, that its names are the known ones."""
    data = file.read(FILE_AT_MOST + 1)
    if len(data) > FILE_AT_MOST:
        raise UnreadableError(f"{path} has more than {FILE_AT_MOST} bytes; that is no batch of CIFAR-10")
    try:
        content = parse(data)
        if name != META:
            yield name, _batch(content)
        elif [_text(label) for label in _entry(content, "label_names", list)] != list(CLASSES):
            raise _Foreign("other label names than CIFAR-10's")
    except _Foreign as reason:
        raise UnreadableError(
            f"{path} was not read: it holds {escaped(str(reason))}, which no file of CIFAR-10 does; "
            "fetch it anew"
        ) from None


def _batch(content: object) -> Split:
    data = _entry(content, "data", _Array)
    labels = _entry(content, "labels", list)
    count, width = data.shape
    if width != PIXELS:
        raise _Foreign(f"pictures of {width} bytes, not {PIXELS}")
    if len(labels) != count or not all(type(label) is int and 0 <= label <= 9 for label in labels):
        raise _Foreign(f"{len(labels)} labels for {count} pictures, or labels outside 0..9")
    x: Tensor = torch.frombuffer(bytearray(data.content), dtype=torch.uint8)
    return Split(x.view(count, 3, 32, 32), torch.tensor(labels, dtype=torch.int64))


def _entry(content: object, key: str, kind: type[Any]) -> Any:
    """The entry of a dict whose keys are byte strings (Python 2's) or strings."""
    value = (
        next((v for k, v in content.items() if _text(k) == key), None) if isinstance(content, dict) else None
    )
    if type(value) is not kind:
        raise _Foreign(f"no {key} of the right kind")
    return value


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else None


class _Foreign(Exception):
    """Something that CIFAR-10's files do not hold; the message says what."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A name that a file may say. It is compared, never looked up."""

    name: str


@dataclass(slots=True)
class _Dtype:
    """numpy.dtype('u1'); there is no other here."""


@dataclass(slots=True)
class _Array:
    """An array of bytes with two axes, filled when the file describes its state."""

    shape: tuple[int, int] = (0, 0)
    content: bytes = b""


WORDS = {
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}
"""What GLOBAL may name, and the rule below that it stands for."""


def parse(data: bytes) -> object:
    """The value that a pickle of protocol 2 describes, where it is made of dicts, lists, tuples, integers,
    strings, None, truth values and byte arrays.

    Raises `_Foreign` for everything else.
    """
    machine = _Machine()
    try:
        for opcode, argument, position in pickletools.genops(data):
            if (position == 0) != (opcode.name == "PROTO"):
                raise _Foreign("no pickle of protocol 2")
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError) as error:
        raise _Foreign(f"no whole pickle ({error})") from None
    raise _Foreign("a pickle without an end")


class _Machine:
    """The stack machine: a stack, the places marked on it, and a memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0
        """Bytes made by 'encode', which a short file could ask for again and again."""

    def result(self) -> object:
        if len(self.stack) != 1 or self.marks:
            raise _Foreign("an unfinished pickle")
        return self.stack[0]

    def step(self, name: str, argument: Any) -> None:
        if name not in _STEPS:
            raise _Foreign(f"the instruction {name}")
        _STEPS[name](self, argument)

    def pop(self, kind: type[Any] = object) -> Any:
        """The top of the stack, which must be above the last mark and of this kind."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise _Foreign("an empty stack")
        value = self.stack.pop()
        if kind is not object and type(value) is not kind:
            raise _Foreign(f"a {type(value).__name__} where a {kind.__name__} belongs")
        return value

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise _Foreign("no mark")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def last(self, kind: type[Any]) -> Any:
        value = self.pop(kind)
        self.stack.append(value)
        return value

    def proto(self, version: int) -> None:
        if version != 2:
            raise _Foreign(f"a pickle of protocol {version}")

    def mark(self, _: None) -> None:
        self.marks.append(len(self.stack))

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def push_bytes(self, text: str) -> None:
        self.stack.append(text.encode("latin-1"))

    def push_tuple(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(values)))

    def put(self, index: int) -> None:
        self.memo[index] = self.last(object)

    def append(self, _: None) -> None:
        value = self.pop()
        self.last(list).append(value)

    def appends(self, _: None) -> None:
        values = self.pop_to_mark()
        self.last(list).extend(values)

    def set_item(self, _: None) -> None:
        value, key = self.pop(), self.pop()
        self.fill_dict([key, value])

    def set_items(self, _: None) -> None:
        self.fill_dict(self.pop_to_mark())

    def fill_dict(self, values: list[Any]) -> None:
        target = self.last(dict)
        if len(values) % 2 or not all(type(key) in (bytes, str) for key in values[::2]):
            raise _Foreign("a dict with other keys than strings")
        target.update(zip(values[::2], values[1::2], strict=True))

    def word(self, name: str) -> None:
        if name not in WORDS:
            raise _Foreign(f"the name '{name}'")
        self.stack.append(_Word(WORDS[name]))

    def reduce(self, _: None) -> None:
        """A word applied to its arguments: three rules, and nothing is called."""
        arguments, word = self.pop(tuple), self.pop(_Word)
        match word.name, arguments:
            case "reconstruct", (_Word("ndarray"), (0,), b"b" | "b"):
                self.stack.append(_Array())
            case "dtype", (b"u1" | "u1", 0 | False, 1 | True):
                self.stack.append(_Dtype())
            case "encode", (str() as text, "latin1" | b"latin1"):
                self.encoded += len(text)
                if self.encoded > FILE_AT_MOST:
                    raise _Foreign(f"more than {FILE_AT_MOST} bytes of strings")
                self.stack.append(text.encode("latin-1"))
            case _:
                raise _Foreign(f"'{word.name}' with other arguments")

    def build(self, _: None) -> None:
        """The state of an array, or of its dtype."""
        state = self.pop(tuple)
        target = self.last(object)
        match target, state:
            case _Dtype(), (3, b"|" | "|", None, None, None, -1, -1, 0):
                pass
            case _Array(content=b""), (
                1,
                (int() as rows, int() as columns),
                _Dtype(),
                0 | False,
                bytes() as content,
            ):
                if rows < 1 or columns < 1 or rows * columns != len(content):
                    raise _Foreign(f"an array of {rows} x {columns} in {len(content)} bytes")
                target.shape, target.content = (int(rows), int(columns)), content
            case _:
                raise _Foreign("a state that is not a byte array's")


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.proto,
    "MARK": _Machine.mark,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "BININT": _Machine.push,
    "BININT1": _Machine.push,
    "BININT2": _Machine.push,
    "BINUNICODE": _Machine.push,
    "BINSTRING": _Machine.push_bytes,
    "SHORT_BINSTRING": _Machine.push_bytes,
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.push_tuple(1),
    "TUPLE2": lambda machine, _: machine.push_tuple(2),
    "TUPLE3": lambda machine, _: machine.push_tuple(3),
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.push(machine.memo[index]),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.word,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
}
