"""Every output of every verb where the disk takes no more: one line, exit code 3, nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource")

OUTPUTS = {
    "look": "look {pictures} -o {out}/a.png",
    "evaluate": "evaluate {run} --report {out}/a.html",
    "predict": "predict {run} {pictures}/test/a --picture {out}/a.png",
    "features .npz": "features {run} {pictures}/test/a --layer 0 -o {out}/a.npz",
    "features .csv": "features {run} {pictures}/test/a --layer 0 -o {out}/a.csv",
    "explain .png": "explain {run} {pictures}/test/a/0.png --how saliency -o {out}/a.png",
    "explain .npz": "explain {run} {pictures}/test/a/0.png --how saliency -o {out}/a.npz",
    "filter .png": "filter {pictures}/test/a/0.png --kernel edges -o {out}/a.png",
    "filter .npz": "filter {pictures}/test/a/0.png --kernel edges -o {out}/a.npz",
    "summary": "summary {net} --input 8x8x3 --classes 2 -o {out}/a.png",
    "weights .safetensors": "weights {run} -o {out}/a.safetensors",
    "weights .keras": "weights {run} -o {out}/a.keras",
    "weights .h5": "weights {run} -o {out}/a.h5",
    "weights .weights.h5": "weights {run} -o {out}/a.weights.h5",
    "weights .json": "weights {run} -o {out}/a.json",
    "stylize": "stylize {pictures}/test/a/0.png {pictures}/test/b/0.png --eyes {run} --size 8 --steps 1 "
    "-o {out}/a.png",
    "train": "train {pictures} --model {net} --epochs 1 -q --out {out}/run",
    "train digits": "train digits --set data.limit=40 --epochs 1 -q --out {out}/run",
    "train --resume": "train --resume {copy} --epochs 2 -q",
}
SCRIPT = """
import contextlib, io, json, resource, shutil, sys, traceback
from pathlib import Path
from neocog.cli import run
given = json.load(sys.stdin)
found = {}
for name, command in given["commands"].items():
    for bytes_ in (0, 150):
        out = Path(given["out"])
        shutil.rmtree(out, ignore_errors=True); out.mkdir()
        shutil.rmtree(given["copy"], ignore_errors=True); shutil.copytree(given["run"], given["copy"])
        said = io.StringIO()
        resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, resource.RLIM_INFINITY))
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
                code = run(command.split())
        except BaseException as error:
            code = "".join(traceback.format_exception(error))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        left = [p.name for name in ("out", "copy") for p in Path(given[name]).rglob("*.part")]
        found[f"{name}, {bytes_} bytes"] = {
            "code": code,
            "said": said.getvalue().splitlines(),
            "left": left + [p.name for p in out.glob("a*")],
        }
print(json.dumps(found))
"""


@pytest.mark.slow
def test_an_output_on_a_full_disk_is_one_line(tiny: Path, tmp_path: Path) -> None:
    import neocog

    net = tiny / "net.json"
    run = neocog.train(tiny / "pictures", model=net, changes=["epochs=1"], out=tmp_path / "run")
    places = {"pictures": tiny / "pictures", "net": net, "run": run.path}
    places |= {"out": tmp_path / "out", "copy": tmp_path / "copy"}
    given = {"commands": {name: text.format(**places) for name, text in OUTPUTS.items()}}
    given |= {name: str(path) for name, path in places.items()}  # type: ignore[dict-item]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    for name, seen in json.loads(done.stdout).items():
        errors = [line for line in seen["said"] if line.startswith("error: ")]
        assert seen["code"] == 3, (name, seen)
        assert len(errors) == 1, (name, seen)
        assert seen["said"][-1] == errors[0], (name, seen)
        assert not seen["left"], (name, seen)
