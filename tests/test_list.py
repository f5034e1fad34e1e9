"""list: every row of the tables is there, sorted and filtered as asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neocog
from neocog.data import DATASETS
from neocog.errors import UsageError
from neocog.recipes.chapters import RECIPES
from neocog.runs.run import Run
from neocog.verbs.list import Listing, list_
from neocog.zoo import ZOO


def names(**asked: object) -> list[str]:
    return [row["name"] for row in list_("models", **asked).json()]  # type: ignore[arg-type]


def test_tables_are_whole() -> None:
    assert set(names()) == set(ZOO)
    assert {row["name"] for row in list_("data").json()} == set(DATASETS)
    assert {row["name"] for row in list_("recipes").json()} == set(RECIPES)


def test_sorting_and_filtering() -> None:
    assert names(where=["name=vgg1", "parameters>1.4e8"]) == ["vgg19", "vgg19-bn"]
    assert names(where=["year=1998"]) == ["lenet5", "lenet5-relu"]
    assert names(where=["name!=net", "name=v3"]) == ["inception_v3"]
    assert names(where=["macs>1.5e10"], sort="-macs")[0].startswith("vgg19")
    accuracies = [row["top1"] for row in list_("models", sort="-top1").json()]
    known = [value for value in accuracies if value is not None]
    assert known == sorted(known, reverse=True)
    assert accuracies[: len(known)] == known, "rows without a figure come last"
    assert "138,357,544" in list_("models", where=["name=vgg16"]).text()
    assert list_("models", where=["year>2100"]).text() == "no models match"


def test_data_sets_are_listed_without_torch() -> None:
    script = (
        "import sys\n"
        "from neocog.cli import run\n"
        "assert run(['list', 'data', '--where', 'classes=10']) == 0\n"
        "from neocog.data import DATASETS\n"
        "heavy = {'torch', 'numpy', 'PIL', 'matplotlib', 'http.client', 'ssl'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy or not len(DATASETS) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fashion-mnist" in done.stdout
    assert "shapes" not in done.stdout


NEWCOMER = '''"""Stamps: 6x5 grey pictures of three kinds, for a test."""

from neocog.data.sources.built_in import BuiltIn
from neocog.data.sources.layouts import IDX

ROW = BuiltIn(
    title="Stamps", classes=("round", "square", "torn"), shape=(1, 6, 5), source="a test", licence="none",
    recipe="m1", layout=IDX,
)
'''


def stamps(folder: Path) -> None:
    """Thirty and nine pictures as MNIST has them, each class with a brightness of its own."""
    folder.mkdir(parents=True)
    for part, count in (("train", 30), ("t10k", 9)):
        labels = bytes(k % 3 for k in range(count))
        pixels = b"".join(bytes([100 * label + k % 20]) * 30 for k, label in enumerate(labels))
        sizes = b"".join(n.to_bytes(4, "big") for n in (count, 6, 5))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(bytes((0, 0, 8, 3)) + sizes + pixels)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1)) + sizes[:4] + labels)


ADDED = """
import sys, neocog
from neocog.cli import run
from neocog.errors import Interrupted

assert neocog.__file__.startswith(sys.argv[1])
assert run(["list", "data"]) == 0
try:
    neocog.train("stamps", out=sys.argv[1] + "/run", stop=lambda: True)
except Interrupted:
    sys.exit(0)
sys.exit("not begun")
"""


def test_a_data_set_is_one_file_and_one_line(tmp_path: Path) -> None:
    """In a copy of the package a newcomer is listed and trained on."""
    copy = tmp_path / "copy"
    package = copy / "neocog"
    shutil.copytree(Path(neocog.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "data" / "sources" / "stamps.py").write_text(NEWCOMER)
    table, line = package / "data" / "sources" / "table.py", '        "digits": "digits",\n'
    assert table.read_text().count(line) == 1
    table.write_text(table.read_text().replace(line, f'{line}        "stamps": "stamps",\n'))
    stamps(tmp_path / "data" / "stamps")
    there = {**os.environ, "PYTHONPATH": str(copy), "NEOCOG_DATA": str(tmp_path / "data")}
    command = [sys.executable, "-c", ADDED, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=there)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "Stamps" in done.stdout
    facts = json.loads((copy / "run" / "facts.json").read_text())
    assert facts["classes"] == ["round", "square", "torn"]
    assert facts["counts"] == {"train": 27, "val": 3, "test": 9}


def test_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_RUNS_DIR", str(run.path.parent))
    rows = {Path(row["run"]).name: row for row in list_("runs").json()}
    assert rows["digits"]["test_accuracy"] == run.json()["test_accuracy"]
    table = Listing("runs", ({"run": "runs/a", "seconds": 4012.3}, {"run": "runs/b", "seconds": None})).text()
    assert table.splitlines()[1].split(maxsplit=1) == ["runs/a", "1 h 06 min"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"sort": "params"}, "did you mean 'parameters'"),
        ({"where": ["parameters"]}, "is not a comparison"),
        ({"where": ["parameters<many"]}, "is a number"),
        ({"where": ["yaer=1"]}, "did you mean 'year'"),
    ],
)
def test_a_wrong_question_is_refused(asked: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        list_("models", **asked)  # type: ignore[arg-type]
