"""First reading of a folder of large JPEGs: every picture decoded, placed and kept, with an empty cache; and
epochs over a folder that was read, beside the same pictures in memory.

    python bench/ingest.py [--before CHECKOUT] [--rounds 5] [--pictures 24] [--out results/ingest.json]

Sides take turns: a loop of one process that opens each picture with Pillow, converts it and fits it to the
size, nothing else; a checkout of an older commit, where one is given; this one on one core; on all cores; and
on all cores with `preprocess.reading` reduced. Each is a process of its own, warm; a turn reads the folder
anew into a cache of its own. Printed are seconds, medians, and the ratios of the loop's to ours, round by
round (their median). The pictures are made here: photos of 4032x3024, as phones make them, of smooth shapes,
edges and noise. Then the same network (C7's, a small one) learns 2,000 small photos in epochs, from the cache
of a folder that was read (memory-mapped) and from a data set in memory, in turn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from turns import ROOT, Worker, machine, write

READ = """
import json, os, shutil, sys, tempfile, time
case = json.loads(sys.argv[2])
sys.path.insert(0, case["code"])
if case["alone"]:
    os.sched_setaffinity(0, {0})
from pathlib import Path
from neocog.data import Data, load
try:
    from neocog.pictures.decode import Preprocess
except ImportError:
    from neocog.image import Preprocess
preprocess = Preprocess(size=(128, 128), **case["fields"])

def turn():
    os.environ["NEOCOG_HOME"] = tempfile.mkdtemp()
    begun = time.perf_counter()
    load(Data(name="folder"), where=Path(case["folder"]), preprocess=preprocess)
    taken = time.perf_counter() - begun
    shutil.rmtree(os.environ["NEOCOG_HOME"])
    return taken

turn()
print("ready", flush=True)
for line in sys.stdin:
    print(turn(), flush=True)
"""


PILLOW = """
import json, sys, time
import numpy as np
from pathlib import Path
from PIL import Image, ImageOps
case = json.loads(sys.argv[2])

def turn():
    begun, kept = time.perf_counter(), []
    for path in sorted(Path(case["folder"]).rglob("*.jpg")):
        with Image.open(path) as picture:
            kept.append(np.asarray(ImageOps.fit(picture.convert("RGB"), (128, 128))))
    return time.perf_counter() - begun

turn()
print("ready", flush=True)
for line in sys.stdin:
    print(turn(), flush=True)
"""

EPOCH = """
import dataclasses, json, os, sys, tempfile, time
import torch
from pathlib import Path
from neocog.data import Data, load
from neocog.events import Epoch
from neocog.pictures.preprocess import Preprocess
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import override
from neocog.runs.beginning import write as begin
from neocog.runs.run import Run
from neocog.training.loop import prepare
from neocog.world import find

case = json.loads(sys.argv[2])
os.environ["NEOCOG_HOME"] = tempfile.mkdtemp()
preprocess = Preprocess(size=(64, 64))
data = load(Data(name="folder", held_out=0.0), where=Path(case["folder"]), preprocess=preprocess)
if case["memory"]:
    train = dataclasses.replace(data.train, x=data.train.x.clone())
    data = dataclasses.replace(data, train=train)
recipe = override(RECIPES["c2"], ["model.name=c7", "epochs=100000", "probes=off", "data.val=none"])
recipe = recipe.model_copy(update={"preprocess": preprocess})
job = prepare(recipe, data, find("cpu", "bfloat16"))
run = Run(Path(tempfile.mkdtemp()))
begin(run, recipe, {})
events = job.events(run, stop=lambda: False)

def turn():
    begun = time.perf_counter()
    next(event for event in events if isinstance(event, Epoch))
    return time.perf_counter() - begun

turn()
print("ready", flush=True)
for line in sys.stdin:
    print(turn(), flush=True)
"""


def pictures(folder: Path, count: int, width: int = 4032, height: int = 3024) -> None:
    """`count` photos in two classes."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / width * 8
    for n in range(count):
        draws = np.random.default_rng(n)
        waves = [np.sin(x * a + y * b + c) for a, b, c in draws.uniform(-2, 2, (3, 3))]
        levels = np.stack([128 + 80 * w + 60 * (waves[0] > 0.5) for w in waves], 2)
        levels += draws.normal(0, 5, levels.shape[:2])[..., None]
        path = folder / ("cat", "dog")[n % 2] / f"{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(path, quality=88)


def reading(before: Path | None, folder: str, rounds: int) -> list[dict[str, object]]:
    """A row for each side of the first reading."""
    ours: dict[str, dict[str, object]] = {
        "one core": {"code": str(ROOT), "fields": {}, "alone": True},
        "all cores": {"code": str(ROOT), "fields": {}, "alone": False},
        "reduced": {"code": str(ROOT), "fields": {"reading": "reduced"}, "alone": False},
    }
    if before is not None:
        ours["before"] = {"code": str(before), "fields": {}, "alone": False}
    workers = {"pillow": Worker(sys.executable, PILLOW, "pillow", "-", {"folder": folder})}
    for side, case in ours.items():
        workers[side] = Worker(sys.executable, READ, side, "-", {**case, "folder": folder})
    return in_turn(workers, rounds, "pillow")


def in_turn(workers: dict[str, Worker], rounds: int, other: str) -> list[dict[str, object]]:
    """Rounds of all sides; each one's seconds, and how much faster it is than `other`."""
    seconds: dict[str, list[float]] = {side: [] for side in workers}
    for number in range(rounds):
        for side, worker in workers.items():
            seconds[side].append(worker.turn())
        print(
            number + 1, "  ".join(f"{side} {taken[-1]:.2f} s" for side, taken in seconds.items()), flush=True
        )
    for worker in workers.values():
        worker.close()
    rows: list[dict[str, object]] = []
    for side, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(seconds[other], taken))
        print(f"{side}: median {statistics.median(taken):.2f} s, {ratio:.2f} times as fast as {other}")
        rows.append({"side": side, "seconds": taken, "ratio": ratio})
    return rows


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--before", type=Path, help="a checkout of an older commit")
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--pictures", type=int, default=24)
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as small:
        pictures(Path(large), given.pictures)
        rows = reading(given.before, large, given.rounds)
        pictures(Path(small), 2000, 160, 120)
        sides = {
            name: Worker(sys.executable, EPOCH, name, "-", {"folder": small, "memory": name == "in memory"})
            for name in ("in memory", "folder")
        }
        rows += in_turn(sides, given.rounds, "in memory")
    write(given.out, [{"pictures": given.pictures}, *rows], before)


if __name__ == "__main__":
    main()
