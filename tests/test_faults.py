"""One fault (a full disk, a broken one, SIGKILL) at every open, write, flush and rename of a whole run and
its cache, from its first byte to its report: it goes on, and ends with the same bits, metrics and report.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from safetensors import SafetensorError

import neocog
from neocog.errors import NeocogError, UnreadableError, error_line
from neocog.report import page
from neocog.runs.run import Run
from neocog.training import conclusion, loop, saving

QUICK = ["epochs=2", "optim.schedule=constant", "precision=float32", "batch=4"]
TIMED = {"seconds", "pictures_per_second"}


class Killed(BaseException):
    """What nothing catches."""


Fault = Callable[[], BaseException]
"""Makes what is raised; or does not return."""


class Writing:
    """An open file whose every write is an operation of the disk; the one that fails has written one half."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self.file, self.disk = file, disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> Writing:
        self.file.__enter__()
        return self

    def __exit__(self, *given: Any) -> None:
        self.file.__exit__(*given)

    def write(self, data: Any) -> int:
        with self.disk.operation("write", self.file.name) as failing:
            if failing:
                self.file.write(memoryview(data).cast("B")[: len(data) // 2])
                self.file.flush()
        return int(self.file.write(data))

    def truncate(self, size: int) -> int:
        with self.disk.operation("truncate", self.file.name):
            return int(self.file.truncate(size))


class Disk:
    """Counts the operations below `root` that change something, in `done`; at number `fail_at` there is a
    `fault`. Nothing waits for a real disk.
    """

    def __init__(self, root: Path, *, fail_at: int, fault: Fault) -> None:
        self.root, self.fail_at, self.fault = root, fail_at, fault
        self.done: list[str] = []
        self.handles: dict[int, str] = {}

    @contextlib.contextmanager
    def operation(self, kind: str, path: Path | str) -> Iterator[bool]:
        """The block does the operation, or as much as is done of one that fails."""
        failing = False
        if Path(path).is_relative_to(self.root):
            self.done.append(f"{kind} {Path(path).relative_to(self.root)}")
            failing = len(self.done) == self.fail_at
        if failing and kind != "write":
            raise self.fault()
        yield failing
        if failing:
            raise self.fault()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[Disk]:
        """Stand between neocog and the disk."""
        path_open, path_replace, path_mkdir = Path.open, Path.replace, Path.mkdir
        os_open, os_write, save = os.open, os.write, safetensors.torch.save_file

        def opening(path: Path, mode: str = "r", *given: Any, **more: Any) -> Any:
            if mode.strip("bt") == "r":
                return path_open(path, mode, *given, **more)
            with self.operation("open", path):
                return Writing(path_open(path, mode, *given, **more), self)

        def replacing(path: Path, target: Path) -> Path:
            with self.operation("rename", target):
                return path_replace(path, target)

        def making(path: Path, *given: Any, **more: Any) -> None:
            if path.is_dir():
                return path_mkdir(path, *given, **more)
            with self.operation("mkdir", path):
                return path_mkdir(path, *given, **more)

        def opening_handle(path: Any, flags: int, *given: Any, **more: Any) -> int:
            if not flags & os.O_CREAT:
                return os_open(path, flags, *given, **more)
            with self.operation("open", path):
                handle = os_open(path, flags, *given, **more)
                self.handles[handle] = str(path)
                return handle

        def writing(handle: int, data: bytes) -> int:
            with self.operation("write", self.handles.get(handle, "/")) as failing:
                if failing:
                    os_write(handle, data[: len(data) // 2])
            return os_write(handle, data)

        def flushing(handle: int) -> None:
            with self.operation("fsync", os.readlink(f"/proc/self/fd/{handle}")):
                pass

        def saving_tensors(tensors: Any, path: str, **more: Any) -> None:
            try:
                with self.operation("write", path) as failing:
                    save(tensors, path, **more)
                    if failing:
                        os.truncate(path, os.stat(path).st_size // 2)
            except OSError as error:
                said = f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})"
                raise SafetensorError(said) from None

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", opening)
            patch.setattr(Path, "replace", replacing)
            patch.setattr(Path, "mkdir", making)
            patch.setattr(os, "open", opening_handle)
            patch.setattr(os, "write", writing)
            patch.setattr(os, "fsync", flushing)
            patch.setattr(safetensors.torch, "save_file", saving_tensors)
            yield self


def refusing(number: int) -> Fault:
    return lambda: OSError(number, os.strerror(number))


def killing() -> BaseException:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("alive")


def report(subject: Any) -> str:
    """What stands for the report: all that it is made of."""
    found = subject.answers.probabilities.tolist(), figures(subject.run), subject.run.facts()["result"]
    return json.dumps(found)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Saved at every step; pictures in a word: they are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "SAVE_EVERY", 0.0)
        patch.setattr(saving, "SAVE_SHARE", float("inf"))
        patch.setattr(conclusion.grids, "grid", lambda *given, **more: b"first batch")
        patch.setattr(conclusion.charts, "training_curves", lambda *given: b"curves")
        patch.setattr(page, "html", report)
        yield


@pytest.fixture(autouse=True)
def _plainly() -> Iterator[None]:
    with plainly():
        yield


def trained(tiny: Path, place: Path, *, fail_at: int = 0, fault: Fault = Killed) -> list[str]:
    """Train into `place`, with the cache there too and a fault at that operation: all the operations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEOCOG_HOME", str(place / "cache"))
        with Disk(place, fail_at=fail_at, fault=fault).in_place() as disk:
            neocog.train(tiny / "pictures", model=tiny / "net.json", changes=QUICK, out=place / "run")
    return disk.done


def gone_on(tiny: Path, place: Path) -> Run:
    """The run, as a user brings it to its end."""
    run = Run(place / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEOCOG_HOME", str(place / "cache"))
        patch.setattr(os, "fsync", lambda handle: None)
        facts = run.facts() if run.recipe_file.exists() else {}
        if not facts:
            trained(tiny, place)
        elif "result" not in facts or "unreported" in facts:
            neocog.resume(run.path)
    return run


def figures(run: Run) -> list[dict[str, object]]:
    return [{k: v for k, v in m.items() if k not in TIMED} for m in run.metrics()]


def require_same(run: Run, whole: Run, said: str) -> None:
    assert run.model_file.read_bytes() == whole.model_file.read_bytes(), said
    assert figures(run) == figures(whole), said
    assert run.facts()["result"] == whole.facts()["result"], said
    assert run.report_file.read_bytes() == whole.report_file.read_bytes(), said
    assert all(map(json.loads, run.events_file.read_text().splitlines())), said
    assert not list(run.path.glob(".*.part")), said


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """The run without a fault, and the operations that it takes."""
    place = tmp_path_factory.mktemp("whole")
    with plainly():
        operations = trained(tiny, place)
    return Run(place / "run"), operations


FAULTS = {"killed": Killed, "ENOSPC": refusing(errno.ENOSPC), "EIO": refusing(errno.EIO)}


def check(
    whole: tuple[Run, list[str]], tiny: Path, folder: Path, *, every: int, faults: dict[str, Fault]
) -> None:
    """A fault of each kind at every so many-th operation."""
    for name, fault in faults.items():
        for number in range(1, len(whole[1]) + 1, every):
            place = folder / f"{name}-{number}"
            place.mkdir()
            said = f"{name} at {number}: {whole[1][number - 1]}"
            ended = outcome(tiny, place, number, fault)
            assert isinstance(ended, Killed) == (name == "killed"), said
            if isinstance(ended, UnreadableError):
                assert "\n" not in error_line(ended), said
                assert not list(place.rglob("*.part")), said
            require_same(gone_on(tiny, place), whole[0], said)


def outcome(tiny: Path, place: Path, number: int, fault: Fault) -> BaseException | None:
    """How a training with a fault at that operation ends; None where it did without."""
    try:
        trained(tiny, place, fail_at=number, fault=fault)
    except (Killed, UnreadableError) as error:
        return error
    return None


def test_the_disk_sees_every_kind_of_operation(whole: tuple[Run, list[str]]) -> None:
    kinds = {said.split()[0] for said in whole[1]}
    assert kinds == {"mkdir", "open", "write", "truncate", "fsync", "rename"}
    written = {said.split("/")[-1] for said in whole[1] if said.startswith("rename")}
    assert written >= {"recipe.json", "facts.json", "last.safetensors", "model.safetensors", "report.html"}
    assert any("cache/pictures" in said for said in whole[1])


def test_a_fault_now_and_then(whole: tuple[Run, list[str]], tiny: Path, tmp_path: Path) -> None:
    check(whole, tiny, tmp_path, every=29, faults=FAULTS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["ENOSPC", "EIO"])
def test_a_fault_at_every_operation(
    whole: tuple[Run, list[str]], tiny: Path, tmp_path: Path, name: str
) -> None:
    check(whole, tiny, tmp_path, every=1, faults={name: FAULTS[name]})


def serve(tiny: str) -> None:
    """A process that has imported everything and computed nothing: its children train at once, and kill
    themselves at the operation that a line of stdin names.
    """
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        place, number = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(NeocogError), plainly():
                trained(Path(tiny), Path(place), fail_at=number, fault=killing)
                code = 0
            os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


@contextlib.contextmanager
def server(tiny: Path) -> Iterator[Callable[[Path, int], int]]:
    """Yields what trains into a place, killed at an operation: the exit code."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    code += f"import test_faults; test_faults.serve({str(tiny)!r})"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        given, answers = process.stdin, process.stdout
        assert given is not None
        assert answers is not None

        def run(place: Path, number: int) -> int:
            given.write(json.dumps([str(place), number]) + "\n")
            given.flush()
            return int(answers.readline())

        yield run
        given.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_sigkill_at_every_operation(whole: tuple[Run, list[str]], tiny: Path, tmp_path: Path) -> None:
    with server(tiny) as run:
        for number, operation in enumerate(whole[1], start=1):
            place = tmp_path / str(number)
            place.mkdir()
            assert run(place, number) == -signal.SIGKILL, operation
            require_same(gone_on(tiny, place), whole[0], f"SIGKILL at {number}: {operation}")
