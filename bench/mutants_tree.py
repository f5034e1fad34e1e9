"""A copy of the tree in which mutants are planted one after the other, and tests run in it: `mutants.py`.

Each run of pytest is a fork of one process that has loaded torch and the like, but nothing of the package,
and reads the tests' compiled code from the copy, so that a run of a few tests takes a second or two.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mutations import Mutant

ROOT = Path(__file__).parent.parent
TREE = (
    "neocog", "tests", "docs", "bench", "tools", "examples", "results", "README.md", "CHANGELOG.md",
    "CONTRIBUTING.md", "RESULTS.md", "LICENSE", "Makefile", "pyproject.toml", "constraints.txt",
)  # fmt: skip
PRELOADED = ["torch", "numpy", "PIL.Image", "matplotlib.figure", "pytest"]
LEAST_SECONDS = 90.0
"""How long tests may take at least, however fast they were."""
FILES, FIRST = 4, 60
"""Files of tests, and tests of them, that run before the rest is collected."""


class Tree:
    """A copy of the working tree in `folder`."""

    def __init__(self, folder: Path, like: Tree | None = None) -> None:
        """`like` is a copy that has its compiled code already."""
        self.place = folder / "tree"
        self._usable: dict[str, bool] = {}
        os.makedirs(folder)
        os.symlink(ROOT.parent / "shared", folder / "shared")
        if like is not None:
            shutil.copytree(like.place, self.place)
            return
        self.place.mkdir()
        for name in TREE:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.place / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy2(source, self.place / name)
        if wrong := self._pytest(["--collect-only", "tests"], names=[], most=600, write=True):
            raise RuntimeError(f"{wrong}: see {folder / 'said'}")

    def noticed(self, mutant: Mutant, names: list[str], seconds: dict[str, float]) -> str | None:
        """What notices `mutant`: the first of the tests `names` that fails with it and passes without, or
        that they took ten times their `seconds`; None where all pass.
        """
        files = list(dict.fromkeys(_file(name) for name in names))[:FILES]
        first = [name for name in names if _file(name) in files][:FIRST]
        for part in (first, [name for name in names if name not in set(first)]):
            left = [name for name in part if self._usable.get(name, True)]
            while left:
                found = self._first_failure(left, seconds, mutant)
                if found is None:
                    break
                if found not in left or self._passes(found, seconds):
                    return found
                left = left[left.index(found) + 1 :]
        return None

    def _passes(self, name: str, seconds: dict[str, float]) -> bool:
        """Whether a test passes alone in the copy without a mutant."""
        if name not in self._usable:
            self._usable[name] = self._first_failure([name], seconds) is None
        return self._usable[name]

    def _first_failure(
        self, names: list[str], seconds: dict[str, float], mutant: Mutant | None = None
    ) -> str | None:
        most = max(LEAST_SECONDS, 10 * sum(seconds[name] for name in names))
        files = sorted({_file(name) for name in names})
        if mutant is None:
            return self._pytest(files, names=names, most=most)
        path = self.place / mutant.file
        code, stat = path.read_bytes(), path.stat()
        try:
            path.write_bytes(code[: mutant.start] + mutant.becomes.encode() + code[mutant.end :])
            return self._pytest(files, names=names, most=most)
        finally:
            path.write_bytes(code)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # its compiled code stays valid

    def _pytest(
        self, arguments: list[str], *, names: list[str], most: float, write: bool = False
    ) -> str | None:
        """Run pytest until the first failure: its name, or how pytest ended; None where all is well."""
        said, wanted = self.place.parent / "said", self.place.parent / "names"
        wanted.write_text("\n".join(names))
        order = [] if write else ["-x", "-p", "mutants_order"]
        command = ["-q", "-p", "no:cacheprovider", *order, *arguments]
        more = {"PYTHONDONTWRITEBYTECODE": "" if write else "1", "MUTANTS_NAMES": str(wanted)}
        child = _CONTEXT.Process(target=_child, args=(command, str(self.place), str(said), more))
        child.start()
        waited = 0.0  # of this process: while it is stopped, so are its children
        while child.is_alive() and _computed(child.pid or 0) < most and waited < 10 * most:
            before = time.monotonic()
            child.join(0.5)
            waited += min(time.monotonic() - before, 1.0)
        if child.is_alive():
            for process in (child.pid, *_below(child.pid or 0)):
                os.kill(process or 0, signal.SIGKILL)
            child.join()
            return f"took more than {most:.0f} s"
        if child.exitcode == 0:
            return None
        lines = said.read_text(errors="replace").splitlines()
        failed = next((line for line in lines if line.startswith(("FAILED ", "ERROR "))), None)
        if failed is None:
            return f"pytest ended with {child.exitcode}"
        words = failed.split(" ", 1)[1]
        return max((name for name in names if words.startswith(name)), key=len, default=words)


def _file(test: str) -> str:
    return test.split("::")[0]


def _computed(process: int) -> float:
    """Seconds of a processor that `process` has had, and those that it began and that ended: where others
    compute too, time alone says little.
    """
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def _below(process: int) -> list[int]:
    """The processes that `process` began, and theirs."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(words[1]), []).append(int(path.parent.name))
    found, left = [], [process]
    while left:
        more = parents.get(left.pop(), [])
        found += more
        left += more
    return found


def _child(command: list[str], place: str, said: str, more: dict[str, str]) -> None:
    with open(said, "w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    shared = os.environ.get("NEOCOG_DATA", str(ROOT.parent / "shared" / "data"))
    paths = [place, str(ROOT / "bench")]
    os.environ.update(more, PYTHONPATH=os.pathsep.join(paths), NEOCOG_DATA=shared)
    sys.dont_write_bytecode = bool(more["PYTHONDONTWRITEBYTECODE"])
    sys.path[:0] = paths
    os.chdir(place)
    import pytest

    code = pytest.main(command)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


_CONTEXT: Any = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(PRELOADED)
