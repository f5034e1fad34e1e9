"""A user without an entry in passwd and without HOME, as in many containers; the list of fonts; and streams
that are closed or full: trainings go on, and nothing is written but the run and the cache.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neocog
from neocog import files
from neocog.errors import UsageError
from neocog.runs.run import Run
from neocog.show import plotting

ROOT = Path(__file__).parent.parent
NOBODY = 54321
"""A number that no user has."""
KEPT = ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


def environment(**more: str) -> dict[str, str]:
    """Without HOME, and without a word of who the user is."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "NEOCOG_OFFLINE": "1", **more}


ALONE = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
READING = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
"""May read everything, as the Python of the tests may lie in somebody's home; may write nothing more."""
ALL = """
import os, pwd, sys
try: sys.exit(f"this is {pwd.getpwuid(os.getuid())}")
except KeyError: pass
from neocog.cli import run
tiny = sys.argv[1]
train = ["train", tiny + "/pictures", "--model", tiny + "/net.json", "--epochs", "1", "-q"]
assert run([*train, "--out", "refused"]) == 2
os.environ["NEOCOG_HOME"] = "cache"
assert run([*train, "--out", "folder"]) == 0
del os.environ["NEOCOG_HOME"]
short = ["--set", "data.limit=96", "--epochs", "1", "-q"]
assert run(["train", "digits", *short, "--out", "digits"]) == 0
assert run(["train", "--resume", "digits", "--epochs", "2", "-q"]) == 0
assert run(["evaluate", "digits", "--report", "report.html"]) == 0
"""


def test_somebody_unknown_without_a_home_trains(tiny: Path, tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    alone = [setpriv, *ALONE, *READING, sys.executable, "-c"]
    if subprocess.run([*alone, ""], env=environment(), capture_output=True, check=False).returncode:
        pytest.skip("nobody but root can run this Python")
    place, scratch = tmp_path / "place", tmp_path / "scratch"
    for folder in (place, scratch):
        folder.mkdir()
        os.chown(folder, NOBODY, NOBODY)
    done = subprocess.run(
        [*alone, ALL, str(tiny)],
        env=environment(TMPDIR=str(scratch)), cwd=place, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "NEOCOG_HOME" in done.stderr
    assert sorted(p.name for p in place.iterdir()) == ["cache", "digits", "folder", "report.html"]
    assert not list(scratch.iterdir())
    assert all(p.stat().st_uid == NOBODY for p in place.rglob("*"))
    assert len(Run(place / "digits").metrics()) == 2


def nowhere(*given: object) -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_without_a_home_the_line_says_which_variable_gives_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEOCOG_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(UsageError, match="NEOCOG_HOME"):
        files.cache_dir()


@pytest.mark.parametrize("home", ["", "a/relative/one", "/not/there", "afile"])
def test_a_home_that_is_none_is_not_made(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `HOME=` in a unit's file, and /nonexistent, which many systems give to who has none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    monkeypatch.delenv("NEOCOG_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")  # a relative one is none, says its standard
    monkeypatch.setenv("HOME", str(tmp_path / home) if home == "afile" else home)
    monkeypatch.setenv(plotting.VARIABLE, "")  # so that it is put back
    monkeypatch.delenv(plotting.VARIABLE)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    with pytest.raises(UsageError, match="set NEOCOG_HOME"):
        files.cache_dir()
    plotting.settle()  # as before the first picture is drawn
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]
    assert not Path("/not").exists()


def test_a_tilde_is_the_home_wherever_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shell reads the environment of a container's file."""
    monkeypatch.setenv("NEOCOG_HOME", "~/kept")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_dir() == tmp_path / "kept"
    monkeypatch.setattr(Path, "expanduser", nowhere)
    with pytest.raises(UsageError, match="NEOCOG_HOME=~/kept: there is no home"):
        files.cache_dir()


@pytest.mark.parametrize("place", ["afile", "/proc/nothing"])
def test_a_cache_that_takes_nothing_is_said_with_its_variable(
    place: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    monkeypatch.setenv("NEOCOG_HOME", place)
    run = neocog.train(tiny / "pictures", model=tiny / "net.json", changes=["epochs=1"], out="run")
    said = [remark for remark in run.facts()["remarks"] if "NEOCOG_HOME names another place" in remark]
    assert len(said) == 1
    assert place in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["afile", "run"]


HOMELESS = """
import os, sys
from pathlib import Path
def none(*given): raise RuntimeError("no home")
Path.home = none
from neocog.show import plotting
plotting.settle()
print(os.environ["MPLCONFIGDIR"])
import matplotlib
print(matplotlib.get_cachedir())
"""


@pytest.mark.parametrize("cache", ["there", "missing"])
def test_the_list_of_fonts_lies_in_the_cache_or_goes_with_the_process(tmp_path: Path, cache: str) -> None:
    more = {"NEOCOG_HOME": str(tmp_path)} if cache == "there" else {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], env=environment(**more), capture_output=True, text=True, check=True
    )
    chosen, used = done.stdout.split()
    assert chosen == used
    assert Path(chosen).is_relative_to(tmp_path)
    assert (list(tmp_path.iterdir()) == [tmp_path / "matplotlib"]) == (cache == "there")
    assert cache == "there" or not list(tmp_path.iterdir())


# --- streams that are closed or full -----------------------------------------------------------------

SCRIPT = """
import os, sys
{before}
from neocog.cli import main
sys.argv = ["neocog", *sys.argv[1:]]
main()
"""
CLOSED = {
    "stderr closed": ("os.close(2); sys.stderr = None", 0),
    "stdout closed": ("os.close(1); sys.stdout = None", 0),
    "stdin closed": ("os.close(0); sys.stdin = None", 0),
    "stdout full": ("os.dup2(os.open('/dev/full', os.O_WRONLY), 1)", 3),
    "stderr full": ("os.dup2(os.open('/dev/full', os.O_WRONLY), 2)", 0),
}


def ended(before: str, *argv: str) -> subprocess.CompletedProcess[str]:
    script = SCRIPT.format(before=before)
    return subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_streams_that_are_closed_or_full(name: str) -> None:
    before, code = CLOSED[name]
    done = ended(before, "list", "recipes")
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == (code == 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_training_with_streams_that_are_closed_or_full(name: str, tiny: Path, tmp_path: Path) -> None:
    """Whatever becomes of what it says, the run is whole."""
    before, code = CLOSED[name]
    out = tmp_path / "run"
    model = ["--model", str(tiny / "net.json")]
    done = ended(before, "train", str(tiny / "pictures"), *model, "--epochs", "2", "--out", str(out))
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    run = Run(out)
    assert run.facts()["result"]["epochs"] == len(run.metrics()) == 2
    assert run.report_file.exists()
