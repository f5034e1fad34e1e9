"""VGG16 and ResNet50 at 224: training steps and forward passes, neocog and Keras on TensorFlow in turn, in
one run.

    python bench/zoo.py --keras keras-env/bin/python [--rounds 3] [--out results/zoo.json]

Both sides run the same network (`resnet50-keras` is Keras' own variant) in batches of 8, in the precision
named; neocog through its training loop and its evaluation, Keras through `fit` and `predict`. Printed are
pictures per second and their ratio.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from throughput import KERAS_START
from turns import Worker

CASES = {name: {"batch": 8, "pictures": 48, "shape": [3, 224, 224]} for name in ("vgg16", "resnet50-keras")}

OURS = """
import json, sys, tempfile, time, torch
from pathlib import Path
from neocog.data.batches import plain_batches
from neocog.data.dataset import Dataset, Split
from neocog.events import Epoch
from neocog.recipes.recipe import override
from neocog.recipes.chapters import RECIPES
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.tasks.task import measure
from neocog.training.loop import prepare
from neocog.world import find

name, case, precision = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
x = torch.randint(0, 256, (case["pictures"], *case["shape"]), dtype=torch.uint8)
split = Split(x, torch.randint(0, 1000, (case["pictures"],)))
dataset = Dataset("synthetic", tuple(str(i) for i in range(1000)), split)
changes = [f"model.name={name}", f"batch={case['batch']}", "epochs=100000", "optim.lr=1e-5"]
recipe = override(RECIPES["lenet-mnist"], changes)
job = prepare(recipe, dataset, find("cpu", precision))
run = Run(Path(tempfile.mkdtemp()))
begin(run, recipe, {})
events = job.events(run, stop=lambda: False)

def train():
    start = time.perf_counter()
    for event in events:
        if isinstance(event, Epoch):
            return case["pictures"] / (time.perf_counter() - start)

def forward():
    start = time.perf_counter()
    with job.world.autocast():
        batches = plain_batches(split, job.trained.preprocess, batch=case["batch"], device=job.world.device)
        measure(job.task, job.trained.network, batches, "train")
    return case["pictures"] / (time.perf_counter() - start)

"""

KERAS = (
    KERAS_START
    + """
make = {"vgg16": keras.applications.VGG16, "resnet50-keras": keras.applications.ResNet50}[name]
model = make(weights=None)
model.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy", metrics=["accuracy"])
c, h, w = case["shape"]
x = np.random.rand(case["pictures"], h, w, c).astype("float32")
y = np.random.randint(0, 1000, case["pictures"])

def train():
    start = time.perf_counter()
    model.fit(x, y, batch_size=case["batch"], epochs=1, verbose=0)
    return case["pictures"] / (time.perf_counter() - start)

def forward():
    start = time.perf_counter()
    model.predict(x, batch_size=case["batch"], verbose=0)
    return case["pictures"] / (time.perf_counter() - start)

"""
)

TURNS = """
train(), forward()
print("ready", flush=True)
turns = 0
for line in sys.stdin:
    print((train, forward)[turns % 2](), flush=True)
    turns += 1
"""


def compare(keras: str, name: str, precision: str, rounds: int) -> list[dict[str, object]]:
    """Training and forward in turn, each side in turn."""
    ours = Worker(sys.executable, OURS + TURNS, name, precision, CASES[name])
    theirs = Worker(keras, KERAS + TURNS, name, precision, CASES[name])
    turns = [(ours.turn(), theirs.turn()) for _ in range(2 * rounds)]
    ours.close()
    theirs.close()
    rows = []
    for offset, what in enumerate(("train", "forward")):
        mine, peers = (statistics.median(side) for side in zip(*turns[offset::2], strict=True))
        figures = f"neocog {mine:.2f}, keras {peers:.2f} pictures/s, {mine / peers:.2f}"
        print(f"{name} {precision} {what}: {figures}", flush=True)
        rows.append({"network": name, "precision": precision, "what": what, "neocog": mine, "keras": peers})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--keras", required=True, help="python of an environment with tensorflow-cpu and keras"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="*", default=["float32"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = [
        row for p in asked.precision for name in CASES for row in compare(asked.keras, name, p, asked.rounds)
    ]
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
