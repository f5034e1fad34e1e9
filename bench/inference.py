"""Answers of a network: neocog beside ONNX Runtime and Keras, pictures per second in batches of one and more.

    python bench/inference.py [--onnx onnx-env/bin/python] [--keras keras-env/bin/python] [--rounds 5]

All sides answer inputs of the same shape, float32 and scaled already, with the same network, in turn:
'plain' is what `evaluate` does and `predict` unless told otherwise; 'bfloat16' is `predict --precision
bfloat16`, whose batch normalisations are folded into the convolutions before them; 'folded' is that in
float32, which no verb does: it is measured to see whether one should. The environment for
ONNX Runtime needs onnx and onnxruntime, and the Python version of this one, whose export borrows its onnx.
Keras has no EfficientNet-Lite0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from throughput import KERAS_NETWORKS, KERAS_START
from turns import ROOT, Worker, machine, medians, write

CASES = {
    "lenet": ((1, 28, 28), (1, 64, 256)),
    "resnet18": ((3, 224, 224), (1, 16)),
    "vgg16": ((3, 224, 224), (1, 8)),
    "efficientnet_lite0": ((3, 224, 224), (1, 16)),
}

NETWORK = """
import json, sys, time, torch
from neocog.inside.shape_doctor import built
from neocog.zoo import Model, Network, begin
name, case, precision = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
model, shape = Model(name=name), tuple(case["shape"])
torch.manual_seed(0)
network = built(model, shape=shape, classes=case["classes"])
begin(model, network, torch.Generator().manual_seed(0))
network = network.eval()
x = torch.randn(case["batch"], *shape, generator=torch.Generator().manual_seed(1))
"""

OURS = (
    NETWORK
    + """
from neocog.inside.folded import quick
from neocog.world import find

world = find("cpu", "bfloat16" if precision == "bfloat16" else "float32")
if precision != "plain":
    network = quick(network, shape, world.dtype, world.device)
network = network.to(memory_format=torch.channels_last)
x = x.contiguous(memory_format=torch.channels_last)

@torch.inference_mode()
def answer():
    with world.autocast():
        return network(x).float()
"""
)

EXPORT = (
    NETWORK
    + """
import warnings
warnings.simplefilter("ignore")
torch.onnx.export(network, (x,), case["file"], dynamo=False, input_names=["x"], output_names=["y"])
"""
)

ONNX = """
import json, sys, time
import numpy as np, onnxruntime
case = json.loads(sys.argv[2])
session = onnxruntime.InferenceSession(case["file"], providers=["CPUExecutionProvider"])
x = np.random.default_rng(1).standard_normal((case["batch"], *case["shape"])).astype("float32")

def answer():
    return session.run(None, {"x": x})
"""

KERAS = (
    KERAS_START
    + KERAS_NETWORKS
    + """
c, h, w = case["shape"]
model = network(name, (h, w, c), case["classes"])
x = np.random.default_rng(1).standard_normal((case["batch"], h, w, c)).astype("float32")

def answer():
    return model.predict(x, batch_size=case["batch"], verbose=0)
"""
)

TURNS = """
def turn():
    begun, times = time.perf_counter(), 0
    while times < 3 or time.perf_counter() - begun < case["seconds"]:
        answer()
        times += 1
    return times * case["batch"] / (time.perf_counter() - begun)
turn()
print("ready", flush=True)
for line in sys.stdin:
    print(turn(), flush=True)
"""


def exported(python: str, name: str, case: dict[str, Any]) -> None:
    """Write the network to the file of the case, with the onnx of the environment of `python`."""
    there = subprocess.run(
        [python, "-c", "import onnx, pathlib; print(pathlib.Path(onnx.__file__).parents[1])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    arguments = [sys.executable, "-c", EXPORT, name, json.dumps(case), "plain"]
    subprocess.run(arguments, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT}:{there}"})


def compare(
    name: str, batch: int, onnx: str | None, keras: str | None, rounds: int, folder: Path
) -> dict[str, Any]:
    """Every side in turn."""
    classes = 10 if name == "lenet" else 1000
    case = {"shape": CASES[name][0], "batch": batch, "classes": classes, "seconds": 1.0}
    case["file"] = str(folder / f"{name}-{batch}.onnx")
    sides = {kind: Worker(sys.executable, OURS + TURNS, name, kind, case) for kind in KINDS}
    if onnx:
        exported(onnx, name, case)
        sides["onnxruntime"] = Worker(onnx, ONNX + TURNS, name, "float32", case)
    if keras and name != "efficientnet_lite0":
        sides["keras"] = Worker(keras, KERAS + TURNS, name, "float32", case)
    figures = medians([tuple(side.turn() for side in sides.values()) for _ in range(rounds)])
    for side in sides.values():
        side.close()
    found = dict(zip(sides, figures, strict=True))
    words = "  ".join(f"{side} {figure:,.1f}" for side, figure in found.items())
    print(f"{name:18} batch {batch:3}  {words} pictures/s", flush=True)
    return {"network": name, "batch": batch, **{side: round(figure, 2) for side, figure in found.items()}}


KINDS = ("plain", "folded", "bfloat16")
"""How neocog's side answers."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(CASES))
    parser.add_argument("--onnx", help="python of an environment with onnx and onnxruntime")
    parser.add_argument("--keras", help="python of an environment with tensorflow-cpu and keras")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            compare(name, batch, asked.onnx, asked.keras, asked.rounds, Path(folder))
            for name in asked.networks
            for batch in CASES[name][1]
        ]
    write(asked.out, rows, before)


if __name__ == "__main__":
    main()
