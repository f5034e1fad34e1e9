"""Fixtures shared by the suite: a cache of its own, the real data where they are, and one small trained
run.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `pictures`, 24 of 8x8 pixels in two classes, a third each for training, held out and
    test, and `net.json`, a network of a few weights: a training takes a tenth of a second.
    """
    place = tmp_path_factory.mktemp("tiny")
    drawn = np.random.default_rng(5)
    for split, label, number in itertools.product(("train", "val", "test"), "ab", range(4)):
        path = place / "pictures" / split / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    layers = [
        {"kind": "conv", "filters": 2, "kernel": 3},
        {"kind": "relu"},
        {"kind": "globalpool"},
        {"kind": "dense", "units": "classes"},
    ]
    (place / "net.json").write_text(json.dumps({"layers": layers}))
    return place
