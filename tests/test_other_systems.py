"""What Windows and network file systems do otherwise, by stand-ins on this system: modules and signals that
are not there, files that cannot be replaced while they are open, folders that cannot be flushed, no locks.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neocog import files
from neocog.errors import UnreadableError, UsageError
from neocog.runs import lock

STAND_IN = r"""
import importlib.abc, os, pkgutil, shutil, signal, sys, types, warnings
import matplotlib.font_manager, matplotlib.backends.backend_agg, pydantic.main, torch.distributed

def everything():
    for module in pkgutil.walk_packages(neocog.__path__, "neocog."):
        if module.name != "neocog.__main__":
            __import__(module.name)

import neocog  # once as this system is, for the libraries, which have their own ways on Windows
everything()
for name in [name for name in sys.modules if name.partition(".")[0] == "neocog"]:
    del sys.modules[name]

ABSENT = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "readline", "curses"}
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
for name in ABSENT:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Finder())
for name in ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD", "alarm",
             "pthread_sigmask", "setitimer", "sigwait"):
    delattr(signal, name)
for name in ("sched_getaffinity", "getuid", "geteuid", "getgid", "O_NOFOLLOW", "O_DIRECTORY", "O_CLOEXEC",
             "fork", "mkfifo", "fchmod", "fchown", "chown", "uname", "killpg", "getpgid", "statvfs",
             "sysconf", "WEXITSTATUS", "pread", "posix_fadvise", "sync", "fdatasync"):
    if hasattr(os, name):
        delattr(os, name)

# A file that this process has open or mapped is neither replaced, renamed nor removed; no folder is opened.
def busy(path):
    path = os.path.realpath(path)
    with real_open("/proc/self/maps", encoding="utf-8") as maps:
        if any(line.rstrip("\n").endswith(" " + path) for line in maps):
            return True
    for number in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{number}") == path:
                return True
        except OSError:
            pass
    return False
real_open = open
def guarded(name):
    real = getattr(os, name)
    def call(*paths, **more):
        for path in paths:
            if isinstance(path, (str, os.PathLike)) and busy(path):
                raise PermissionError(13, "The process cannot access the file: it is in use", str(path))
        return real(*paths, **more)
    setattr(os, name, call)
for name in ("replace", "rename", "unlink", "remove"):
    guarded(name)
opened = os.open
def opening(path, flags, *given, **more):
    if not isinstance(path, int) and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return opened(path, flags, *given, **more)
os.open = opening
shutil._use_fd_functions = False

locked = set()
def locking(handle, mode, count):
    place = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR))
    if place in locked and mode == 2:
        raise PermissionError(13, "Permission denied")
    locked.add(place)
closed = os.close
def closing(handle):
    try:
        number = os.fstat(handle).st_ino
        locked.difference_update({one for one in locked if one[0] == number})
    except OSError:
        pass
    closed(handle)
os.close = closing
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2, LK_UNLCK=0)
sys.platform = "win32"
warnings.filterwarnings("error", category=EncodingWarning, module=r"neocog(\.|$)")

import neocog
from neocog.cli import run
tiny = sys.argv[1]
everything()
pictures, net = f"{tiny}/pictures", f"{tiny}/net.json"
for line in f'''
train {pictures} --model {net} --epochs 2 -q --out run
train --resume run --epochs 3 --batch-size 3 -q
train --resume run --epochs 4 -q
evaluate run --report page.html
predict run {pictures}/test/a --picture sheet.png
features run {pictures}/test/a --layer 0 -o values.npz
features run {pictures}/test/a --layer 0 -o values.npz
weights run -o out.safetensors
look {pictures} -o look.png
doctor run
list runs
'''.split("\n")[1:-1]:
    code = run(line.split())
    if code:
        sys.exit(f"{code}: {line}")
assert neocog.training.forecast._peak() is None
"""
FORBIDDEN = frozenset('<>:"|?*\\')
"""In names of files, on Windows; and names end with neither a dot nor a space."""


def test_a_run_where_windows_rules(tiny: Path, tmp_path: Path) -> None:
    """Every module is imported and a run is begun, resumed, measured and used without what Windows lacks, and
    by its rules; no text is read in an encoding that nobody named.
    """
    environment = {**os.environ, "NEOCOG_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-X", "warn_default_encoding", "-c", STAND_IN, str(tiny)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [path.name for path in tmp_path.rglob("*")]
    assert "report.html" in names
    assert not [name for name in names if set(name) & FORBIDDEN or name[-1] in ". "]


# --- network file systems ----------------------------------------------------------------------------


def answering(number: int, patch: pytest.MonkeyPatch) -> None:
    """Whoever asks for a lock gets that error."""
    fcntl = pytest.importorskip("fcntl")

    def flock(handle: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    patch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("name", ["ENOLCK", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EINVAL"])
def test_a_place_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answering(getattr(errno, name), monkeypatch)
    with lock.held(tmp_path) as remarks:
        assert "a second training into it would not be noticed" in remarks[0]


@pytest.mark.parametrize("name", ["EAGAIN", "EWOULDBLOCK", "EACCES", "EDEADLK"])
def test_a_lock_that_another_machine_holds_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / lock.LOCK_FILE).write_text("process 7 on elsewhere\n")
    answering(getattr(errno, name), monkeypatch)
    with pytest.raises(UsageError, match="process 7 on elsewhere"), lock.held(tmp_path):
        pass


@pytest.mark.parametrize("name", ["EIO", "ESTALE", "EPERM"])
def test_a_lock_that_cannot_be_asked_for_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    answering(getattr(errno, name), monkeypatch)
    with pytest.raises(UnreadableError) as said, lock.held(tmp_path):
        pass
    assert os.strerror(getattr(errno, name)) in str(said.value)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("name", ["EINVAL", "ENOSYS", "ENOTSUP", "EBADF", "EACCES"])
def test_a_folder_that_knows_no_flushing_takes_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flush = os.fsync

    def fsync(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    files.write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").read_text() == "x"
