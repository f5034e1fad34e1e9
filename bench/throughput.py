"""Training speed: neocog and Keras on TensorFlow in turn, in one run, on the same network, batch and
synthetic pictures.

    python bench/throughput.py --keras keras-env/bin/python [--rounds 5] [--out results/throughput.json]

Each side runs in a process of its own, which warms up, then waits; the two are told to train for some seconds
in turn, so that whatever else the machine does meets both. Printed are pictures per second of each round's
whole epochs, their medians, and the ratio of the medians. neocog runs its ordinary training loop (shuffling,
scaling, metrics, state saving), Keras its `fit` on float32 arrays in memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from turns import Worker, machine, write

CASES = {
    "lenet": {"batch": 128, "pictures": 12_800, "shape": [1, 28, 28]},
    "c2": {"batch": 64, "pictures": 3_200, "shape": [3, 32, 32]},
}

OURS = """
import json, sys, tempfile, time, torch
from pathlib import Path
from neocog.data.dataset import Dataset, Split
from neocog.events import Epoch
from neocog.recipes.recipe import override
from neocog.recipes.chapters import RECIPES
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.training.loop import prepare
from neocog.world import find
from neocog.training.watchers import Record

name, case, precision = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
x = torch.randint(0, 256, (case["pictures"], *case["shape"]), dtype=torch.uint8)
y = torch.randint(0, 10, (case["pictures"],))
dataset = Dataset("synthetic", tuple("0123456789"), Split(x, y))
named = {"lenet": "lenet-mnist", "c2": "c2"}[name]
recipe = override(RECIPES[named], [f"batch={case['batch']}", "epochs=100000"])
run = Run(Path(tempfile.mkdtemp()))
begin(run, recipe, {})
record = Record(run)
job = prepare(recipe, dataset, find("cpu", precision))
events = job.events(run, stop=lambda: False)

def epoch():
    start = time.perf_counter()
    for event in events:
        record(event)
        if isinstance(event, Epoch):
            return case["pictures"] / (time.perf_counter() - start)
epoch()
epoch()
print("ready", flush=True)
for line in sys.stdin:
    print(epoch(), flush=True)
"""

KERAS_START = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
import keras, numpy as np

name, case, precision = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
if precision == "bfloat16":
    keras.config.set_dtype_policy("mixed_bfloat16")
"""
"""How Keras' side begins, here and in bench/zoo.py."""

KERAS = (
    KERAS_START
    + """
from keras import layers as L
keras.utils.set_random_seed(0)
c, h, w = case["shape"]
x = np.random.rand(case["pictures"], h, w, c).astype("float32")
y = np.random.randint(0, 10, case["pictures"])
if name == "lenet":
    body = [L.Conv2D(20, 5, activation="relu"), L.MaxPooling2D(2),
            L.Conv2D(50, 5, activation="relu"), L.MaxPooling2D(2),
            L.Flatten(), L.Dense(500, activation="relu")]
    optimizer = keras.optimizers.Adam()
else:
    body, optimizer = [], keras.optimizers.RMSprop()
    for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4)):
        for _ in range(2):
            body += [L.Conv2D(filters, 3, padding="same", activation="relu"), L.BatchNormalization()]
        body += [L.MaxPooling2D(2), L.Dropout(rate)]
    body += [L.Flatten()]
model = keras.Sequential([keras.Input((h, w, c)), *body, L.Dense(10, activation="softmax", dtype="float32")])
model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])

def epoch():
    start = time.perf_counter()
    model.fit(x, y, batch_size=case["batch"], epochs=1, verbose=0)
    return case["pictures"] / (time.perf_counter() - start)
epoch()
epoch()
print("ready", flush=True)
for line in sys.stdin:
    print(epoch(), flush=True)
"""
)


def compare(keras: str, name: str, precision: str, rounds: int) -> dict[str, object]:
    """Rounds in turn, and the ratio of the medians."""
    ours, theirs = (
        Worker(sys.executable, OURS, name, precision, CASES[name]),
        Worker(keras, KERAS, name, precision, CASES[name]),
    )
    pairs = [(ours.turn(), theirs.turn()) for _ in range(rounds)]
    ours.close()
    theirs.close()
    mine, peers = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    print(
        f"{name:6} {precision:9} neocog {mine:,.0f}  keras {peers:,.0f} pictures/s  {mine / peers:.2f}",
        flush=True,
    )
    return {
        "network": name,
        "precision": precision,
        "batch": CASES[name]["batch"],
        "neocog": [round(a, 1) for a, _ in pairs],
        "keras": [round(b, 1) for _, b in pairs],
        "ratio_of_medians": round(mine / peers, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--keras", required=True, help="python of an environment with tensorflow-cpu and keras"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before = machine()
    rows = [compare(asked.keras, name, p, asked.rounds) for p in asked.precision for name in CASES]
    write(asked.out, rows, before)


if __name__ == "__main__":
    main()
