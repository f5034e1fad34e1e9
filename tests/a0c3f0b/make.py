"""How this folder was made: run with neocog at commit a0c3f0b, never again with a later one.

    cd CHECKOUT-OF-a0c3f0b && OMP_NUM_THREADS=1 .venv/bin/python .../tests/a0c3f0b/make.py OUT

`tests/test_compatibility.py` reads what lies here with the neocog of today.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import neocog
from neocog import sealed
from neocog.cli import run as command
from neocog.errors import Interrupted
from neocog.events import Step

NET = {
    "layers": [
        {"kind": "conv", "filters": 4, "kernel": 3, "padding": "same", "activation": "relu"},
        {"kind": "batchnorm"},
        {"kind": "maxpool"},
        {"kind": "conv", "filters": 6, "kernel": 3, "activation": "relu"},
        {"kind": "dropout", "rate": 0.1},
        {"kind": "flatten"},
        {"kind": "dense", "units": "classes", "activation": "softmax"},
    ]
}
CHANGES = [
    "epochs=8", "batch=64", "data.limit=480", "precision=float32", "optim.kind=adam", "optim.lr=0.01",
    "optim.schedule=cosine", "augment.rotation=10", "average=0.5", "label_smoothing=0.05",
]  # fmt: skip
LAST_STEP = 27
"""The interrupted run stops in the middle of its fourth epoch."""
TOO_MUCH = ("report.html", "curves.png", "first_batch.png", "status.json", ".lock")
"""Files of a run that nothing reads and that need no room here."""


def out_of(*argv: str) -> object:
    """What a command prints as JSON."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert command([*argv, "--json"]) == 0, argv
    return json.loads(printed.getvalue())


def digits() -> None:
    """`finished`, `interrupted`, and the weights with which `interrupted` ended when it went on."""

    def stop(event: object) -> None:
        if isinstance(event, Step) and event.step == LAST_STEP:
            os.kill(os.getpid(), signal.SIGINT)

    Path("net.json").write_text(json.dumps(NET))
    run = neocog.train("digits", model="net.json", changes=CHANGES, out="finished")
    with contextlib.suppress(Interrupted):
        neocog.train("digits", model="net.json", changes=CHANGES, out="cut", watchers=[lambda _: stop])
    shutil.copytree("cut", "interrupted")
    resumed = neocog.resume("cut")
    ours, whole = sealed.read(resumed.state_file)[0], sealed.read(run.state_file)[0]
    assert resumed.model_file.read_bytes() == run.model_file.read_bytes()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    shutil.rmtree("cut")
    Path("net.json").unlink()


def drawn() -> None:
    """`pictures`: bars, dots, both or neither, told by a table of label sets; a network trained on them."""
    draws = np.random.default_rng(7)
    Path("pictures").mkdir()
    rows = ["file,bar,dot"]
    for number in range(16):
        x = draws.integers(0, 60, (12, 12, 3), dtype=np.uint8)
        bar, dot = number & 1, number >> 1 & 1
        if bar:
            x[:, 2:4] = (240, 200, 0)
        if dot:
            x[5:9, 7:11] = (0, 120, 250)
        Image.fromarray(x).save(f"pictures/{number:02}.png", optimize=True)
        rows.append(f"{number:02}.png,{bar},{dot}")
    Path("pictures/labels.csv").write_text("\n".join(rows) + "\n")
    model = {"layers": [layer for layer in NET["layers"] if layer["kind"] != "batchnorm"]}
    model["layers"][-1] = {"kind": "dense", "units": "classes", "activation": "sigmoid"}
    Path("net.json").write_text(json.dumps(model))
    changes = ["epochs=20", "batch=4", "precision=float32", "preprocess.size=[12,12]", "data.held_out=0.25"]
    run = neocog.train("pictures", model="net.json", changes=changes, out="cut")
    for name in ("model.safetensors", "model.json"):
        shutil.copy(run.path / name, f"label_sets.{name}")
    shutil.rmtree("cut")
    Path("net.json").unlink()
    shutil.copytree(Path(os.environ["NEOCOG_HOME"]) / "pictures", "cache")


def cache_key() -> dict[str, object]:
    """What the name of the cache's entry was made of: the folder as it lay on the disk."""
    stamps = {}
    for path in sorted(Path("pictures").glob("*.png")):
        status = path.stat()
        stamps[path.name] = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
    return {"root": os.path.realpath("pictures"), "stamps": stamps}


def answers() -> dict[str, object]:
    """What the commands printed of all that."""
    return {
        "evaluate finished": out_of("evaluate", "finished"),
        "evaluate finished val": out_of("evaluate", "finished", "--split", "val"),
        "predict finished": out_of("predict", "finished", "--split", "test", "--index", "0,17,200"),
        "predict finished files": out_of("predict", "finished", "pictures/00.png", "pictures/03.png"),
        "evaluate label sets": out_of("evaluate", "label_sets.model.safetensors", "--data", "pictures"),
        "predict label sets": out_of("predict", "label_sets.model.safetensors", "pictures/01.png"),
        "train": neocog.run.Run(Path("finished")).json(),
    }


def machine() -> dict[str, object]:
    """What equal bits depend on, beyond the facts of a run."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"processor": model, "capability": torch.backends.cpu.get_cpu_capability()}


def one_line_each(said: dict[str, dict[str, object]]) -> str:
    """JSON with a line for each answer."""
    parts = [
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in group.items())
        + "}"
        for name, group in said.items()
    ]
    return "{" + ",\n".join(parts) + "}\n"


def main(out: Path) -> None:
    os.environ["NEOCOG_HOME"] = str(out / "home")
    os.chdir(out)
    torch.set_num_threads(1)
    digits()
    drawn()
    said = {"machine": machine(), "cache": cache_key(), "answers": answers()}
    Path("said.json").write_text(one_line_each(said))
    shutil.rmtree("home")
    for folder in ("finished", "interrupted"):
        for name in TOO_MUCH:
            (Path(folder) / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
