"""Training speed: neocog, Keras on TensorFlow and on JAX, and a plain PyTorch loop in turn, in one run, on
the same network, batch and synthetic pictures.

    python bench/throughput.py [lenet c2] [--keras keras-env/bin/python] [--rounds 5] [--out FILE]

Each side runs in a process of its own, which warms up, then waits; the sides are told to train for an epoch
in turn, so that whatever else the machine does meets all of them. Printed are the medians of pictures per
second, and the ratio of neocog's to each. neocog runs its ordinary training loop (shuffling, scaling,
metrics, state saving), its threads waiting as on the command line; Keras its `fit` on float32 arrays in
memory; the plain loop torch's own layers, channels last, on float32 pictures that lie there scaled and are
not shuffled. The environment of `--keras` needs tensorflow-cpu, keras and, for that side, jax.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from turns import Worker, machine, medians, write

CASES: dict[str, dict[str, Any]] = {
    "lenet": {"batch": 128, "pictures": 12_800, "shape": [1, 28, 28], "classes": 10},
    "c2": {"batch": 64, "pictures": 3_200, "shape": [3, 32, 32], "classes": 10},
    "resnet18": {"batch": 16, "pictures": 32, "shape": [3, 224, 224], "classes": 1000},
    "vgg16": {"batch": 16, "pictures": 32, "shape": [3, 224, 224], "classes": 1000},
}

START = """
import json, sys, tempfile, time, torch
name, case, precision = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
x = torch.randint(0, 256, (case["pictures"], *case["shape"]), dtype=torch.uint8)
y = torch.randint(0, case["classes"], (case["pictures"],))
"""

OURS = (
    START
    + """
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

dataset = Dataset("synthetic", tuple(str(i) for i in range(case["classes"])), Split(x, y))
changes = [f"batch={case['batch']}", "epochs=100000"]
if name in ("lenet", "c2"):
    recipe = override(RECIPES[{"lenet": "lenet-mnist", "c2": "c2"}[name]], changes)
else:
    changes += [f"model.name={name}", "optim.kind=sgd", "optim.lr=1e-4"]
    recipe = override(RECIPES["lenet-mnist"], changes)
run = Run(Path(tempfile.mkdtemp()))
begin(run, recipe, {})
record = Record(run)
job = prepare(recipe, dataset, find("cpu", precision))
events = job.events(run, stop=lambda: False)

def epoch():
    for event in events:
        record(event)
        if isinstance(event, Epoch):
            return
"""
)

PLAIN = (
    START
    + """
from torch import nn
def convolution(i, o, size, padding=0):
    return [nn.Conv2d(i, o, size, padding=padding), nn.ReLU()]
if name == "lenet":
    network = nn.Sequential(*convolution(1, 20, 5), nn.MaxPool2d(2), *convolution(20, 50, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10))
    optimizer = torch.optim.Adam(network.parameters())
elif name == "c2":
    body, last = [], 3
    for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4)):
        for _ in range(2):
            body += [*convolution(last, filters, 3, 1), nn.BatchNorm2d(filters)]
            last = filters
        body += [nn.MaxPool2d(2), nn.Dropout(rate)]
    network = nn.Sequential(*body, nn.Flatten(), nn.Linear(2048, 10))
    optimizer = torch.optim.RMSprop(network.parameters(), lr=0.001)
else:
    from neocog.inside.shape_doctor import built
    from neocog.zoo import Model
    network = built(Model(name=name), shape=tuple(case["shape"]), classes=case["classes"])
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
network = network.to(memory_format=torch.channels_last).train()
x = (x.float() / 255).contiguous(memory_format=torch.channels_last)

def epoch():
    for first in range(0, len(x), case["batch"]):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            answers = network(x[first : first + case["batch"]])
        nn.functional.cross_entropy(answers.float(), y[first : first + case["batch"]]).backward()
        optimizer.step()
"""
)

KERAS_START = """
import json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
import keras, numpy as np

name, case, precision = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
if precision == "bfloat16":
    keras.config.set_dtype_policy("mixed_bfloat16")
"""
"""How Keras' side begins, here and in bench/inference.py."""

KERAS_NETWORKS = """
from keras import layers as L

def convolution(x, filters, size, stride=1, relu=True):
    x = L.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
    x = L.BatchNormalization()(x)
    return L.ReLU()(x) if relu else x

def resnet18(shape, classes):
    given = keras.Input(shape)
    x = L.MaxPooling2D(3, 2, padding="same")(convolution(given, 64, 7, 2))
    for stage, filters in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            short = convolution(x, filters, 1, stride, relu=False) if stride == 2 else x
            inner = convolution(convolution(x, filters, 3, stride), filters, 3, relu=False)
            x = L.ReLU()(L.Add()([inner, short]))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(given, L.Dense(classes, activation="softmax", dtype="float32")(x))

def network(name, shape, classes):
    if name == "vgg16":
        return keras.applications.VGG16(weights=None)
    if name == "resnet18":
        return resnet18(shape, classes)
    body = []
    if name == "lenet":
        body += [L.Conv2D(20, 5, activation="relu"), L.MaxPooling2D(2),
                 L.Conv2D(50, 5, activation="relu"), L.MaxPooling2D(2),
                 L.Flatten(), L.Dense(500, activation="relu")]
    else:
        for filters, rate in ((32, 0.2), (64, 0.3), (128, 0.4)):
            for _ in range(2):
                body += [L.Conv2D(filters, 3, padding="same", activation="relu"), L.BatchNormalization()]
            body += [L.MaxPooling2D(2), L.Dropout(rate)]
        body += [L.Flatten()]
    body += [L.Dense(classes, activation="softmax", dtype="float32")]
    return keras.Sequential([keras.Input(shape), *body])
"""
"""The networks of the cases in Keras, here and in bench/inference.py."""

KERAS = (
    KERAS_START
    + KERAS_NETWORKS
    + """
keras.utils.set_random_seed(0)
c, h, w = case["shape"]
x = np.random.rand(case["pictures"], h, w, c).astype("float32")
y = np.random.randint(0, case["classes"], case["pictures"])
model = network(name, (h, w, c), case["classes"])
optimizers = {"lenet": keras.optimizers.Adam, "c2": keras.optimizers.RMSprop}
optimizer = optimizers[name]() if name in optimizers else keras.optimizers.SGD(1e-4)
model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])

def epoch():
    model.fit(x, y, batch_size=case["batch"], epochs=1, verbose=0)
"""
)

TURNS = """
def turn():
    begun = time.perf_counter()
    epoch()
    return case["pictures"] / (time.perf_counter() - begun)
turn()
turn()
print("ready", flush=True)
for line in sys.stdin:
    print(turn(), flush=True)
"""

BRIEFLY = {"GOMP_SPINCOUNT": "2000"}
"""What the command line sets for its own threads."""


def compare(name: str, precision: str, keras: str | None, jax: bool, rounds: int) -> dict[str, Any]:
    """Every side in turn; rounds and medians in pictures per second."""
    case = CASES[name]
    sides = {
        "neocog": Worker(sys.executable, OURS + TURNS, name, precision, case, BRIEFLY),
        "plain": Worker(sys.executable, PLAIN + TURNS, name, precision, case),
    }
    if keras:
        sides["keras"] = Worker(keras, KERAS + TURNS, name, precision, case)
    if keras and jax:
        sides["keras_jax"] = Worker(keras, KERAS + TURNS, name, precision, case, {"KERAS_BACKEND": "jax"})
    turns = [tuple(side.turn() for side in sides.values()) for _ in range(rounds)]
    for side in sides.values():
        side.close()
    found = dict(zip(sides, medians(turns), strict=True))
    words = "  ".join(
        f"{side} {figure:,.4g} ({found['neocog'] / figure:.2f})" for side, figure in found.items()
    )
    print(f"{name:8} {precision:8} {words}", flush=True)
    return {
        "network": name,
        "precision": precision,
        "batch": case["batch"],
        **{side: round(figure, 2) for side, figure in found.items()},
        "rounds": {side: [round(turn[i], 2) for turn in turns] for i, side in enumerate(sides)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(CASES))
    parser.add_argument("--keras", help="python of an environment with tensorflow-cpu and keras")
    parser.add_argument("--no-jax", action="store_true", help="Keras on TensorFlow alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before, rows = machine(), []
    for name in asked.networks:
        for precision in asked.precision:
            rows.append(compare(name, precision, asked.keras, not asked.no_jax, asked.rounds))
            write(asked.out, rows, before)


if __name__ == "__main__":
    main()
