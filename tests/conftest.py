"""Fixtures shared by the suite: a cache of its own, the real data where they are, and one small trained
run.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from neocog import openmp

openmp.wait_briefly(os.environ)  # as the command line does, before any test loads torch

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True, scope="session")
def _apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's cache, and none reaches the network."""
    os.environ["NEOCOG_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["NEOCOG_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real data sets, or a skip where it is absent."""
    folder = Path(os.environ.get("NEOCOG_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real data at {folder}; set NEOCOG_DATA")
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A small network trained for a few epochs on the embedded digits, once a test process; shared, so nobody
    may change it: see `copied_run`.
    """
    import neocog

    out = tmp_path_factory.mktemp("runs") / "digits"
    return neocog.train("digits", changes=["epochs=3", "optim.schedule=constant", "optim.lr=0.002"], out=out)


@pytest.fixture
def copied_run(run, tmp_path: Path):  # type: ignore[no-untyped-def]
    """A copy of that run, to go on with, to damage, to rename."""
    return type(run)(shutil.copytree(run.path, tmp_path / "digits"))
