"""What a command loads: predict of one picture reads no data set, no other network, and no chart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neocog.model import Trained, write_model
from neocog.pictures.preprocess import Preprocess
from neocog.zoo import FAMILIES, ZOO, Model, build

LOADED = """
import json, sys
from neocog.cli import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""

OURS = {
    "neocog.answers",
    "neocog.data.augment",
    "neocog.data.folders",
    "neocog.data.loading",
    "neocog.data.samples",
    "neocog.data.sources",
    "neocog.downloads",
    "neocog.inside",
    "neocog.optim",
    "neocog.pretrained",
    "neocog.recipes",
    "neocog.report",
    "neocog.runs",
    "neocog.show.charts",
    "neocog.training",
}
"""Of the package: nothing of these, and nothing inside them."""

OTHERS = {"matplotlib", "jinja2", "rich", "h5py", "tensorboard", "torchvision", "scipy", "pandas"}


def modules_of(*argv: object) -> set[str]:
    """What a process of its own has loaded after the command."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, argv)], capture_output=True, text=True, check=False
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)).save(path)
    return path


def model_file(folder: Path, name: str) -> Path:
    """A model file of the zoo's network `name`, untrained."""
    model = Model(name=name, stem="small" if "small" in ZOO[name].stems else None)
    network = build(model, shape=(3, 32, 32), classes=4).eval()
    prep = Preprocess(size=(32, 32), channels=3, scale="unit", mean=(0.0,), std=(1.0,))
    trained = Trained(network=network, model=model, shape=(3, 32, 32), classes=tuple("abcd"), preprocess=prep)
    path = folder / f"{name}.safetensors"
    write_model(path, network.state_dict(), trained.document())
    return path


@pytest.mark.parametrize(("name", "family"), [("resnet20", "resnet"), ("c2", "chapters")])
def test_predict_loads_its_own_family_and_no_reader(
    name: str, family: str, picture: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    loaded = modules_of("predict", model_file(tmp_path, name), picture)
    ours = {m for m in loaded if any(m == part or m.startswith(f"{part}.") for part in OURS)}
    assert ours == set()
    assert {f for f in FAMILIES if f"neocog.zoo.{f}" in loaded} == {family}
    assert ("neocog.zoo.layer_list" in loaded) == (family == "chapters")
    assert {m.partition(".")[0] for m in loaded} & OTHERS == set()


def test_a_step_needs_neither_report_nor_mirror(tmp_path: Path) -> None:
    """They would lie in memory beside it."""
    script = (
        "import sys, neocog\nfrom neocog.errors import Interrupted\n"
        "def stop():\n"
        "    print(*[name for name in sys.modules if name.startswith('neocog.')])\n"
        "    return True\n"
        "try: neocog.train('digits', changes=['data.limit=64'], out=sys.argv[1], stop=stop)\n"
        "except Interrupted: pass\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    loaded = done.stdout.split()
    assert done.returncode == 0, done.stderr
    assert "neocog.training.loop" in loaded
    unneeded = ("neocog.report", "neocog.inside.explain", "neocog.mirror", "neocog.studies", "neocog.figures")
    assert [name for name in loaded if name.startswith(unneeded)] == []


def test_names_of_the_zoo_read_no_family() -> None:
    script = (
        "import sys, neocog.zoo as zoo\n"
        "assert 'vgg16' in zoo.ZOO and 'vgg' not in zoo.ZOO and len(list(zoo.ZOO)) == len(zoo.ZOO)\n"
        "assert not [f for f in zoo.FAMILIES if f'neocog.zoo.{f}' in sys.modules]\n"
        "zoo.ZOO['vgg16']\n"
        "assert [f for f in zoo.FAMILIES if f'neocog.zoo.{f}' in sys.modules] == ['vgg']\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(KeyError):
        ZOO["nothing"]


def test_the_table_of_families_is_that_of_their_files() -> None:
    import importlib

    for family, names in FAMILIES.items():
        rows = importlib.import_module(f"neocog.zoo.{family}").ARCHITECTURES
        assert tuple(row.name for row in rows) == names, family
    files = {p.stem for p in Path(importlib.import_module("neocog.zoo").__file__ or "").parent.glob("*.py")}
    with_rows = {f for f in files if hasattr(importlib.import_module(f"neocog.zoo.{f}"), "ARCHITECTURES")}
    assert with_rows - {"__init__"} == set(FAMILIES)
    assert len(ZOO) == sum(map(len, FAMILIES.values())), "a name is in one family only"
