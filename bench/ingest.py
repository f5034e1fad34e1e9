"""First reading of a folder of large JPEGs: every picture decoded, placed and kept, with an empty cache.

    python bench/ingest.py --before CHECKOUT [--rounds 5] [--pictures 24] [--out results/ingest.json]

Three sides take turns: a checkout of an older commit, this one, and this one with `preprocess.reading`
reduced. Each is a process of its own, warm; a turn reads the folder anew into a cache of its own. Printed are
seconds, medians, and the ratios of the older side's to ours, round by round (their median). The pictures are
made here: photos of 4032x3024, as phones make them, of smooth shapes, edges and noise.
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
import torch
torch.set_num_threads(1)
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


def pictures(folder: Path, count: int) -> None:
    """`count` photos in two classes."""
    y, x = np.mgrid[0:3024, 0:4032].astype(np.float32) / 500
    for n in range(count):
        draws = np.random.default_rng(n)
        waves = [np.sin(x * a + y * b + c) for a, b, c in draws.uniform(-2, 2, (3, 3))]
        levels = np.stack([128 + 80 * w + 60 * (waves[0] > 0.5) for w in waves], 2)
        levels += draws.normal(0, 5, levels.shape[:2])[..., None]
        path = folder / ("cat", "dog")[n % 2] / f"{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(path, quality=88)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--before", type=Path, required=True, help="a checkout of the older commit")
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--pictures", type=int, default=24)
    asked.add_argument("--out", type=Path)
    given = asked.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as name:
        pictures(Path(name), given.pictures)
        sides = {
            "before": (given.before, {}),
            "whole": (ROOT, {}),
            "reduced": (ROOT, {"reading": "reduced"}),
        }
        workers = {
            side: Worker(
                sys.executable, READ, side, "-", {"code": str(code), "fields": fields, "folder": name}
            )
            for side, (code, fields) in sides.items()
        }
        seconds: dict[str, list[float]] = {side: [] for side in workers}
        for number in range(given.rounds):
            for side, worker in workers.items():
                seconds[side].append(worker.turn())
            print(number + 1, "  ".join(f"{side} {taken[-1]:.2f} s" for side, taken in seconds.items()))
        for worker in workers.values():
            worker.close()
    ratios = {
        side: statistics.median(a / b for a, b in zip(seconds["before"], taken))
        for side, taken in seconds.items()
    }
    for side, taken in seconds.items():
        print(f"{side}: median {statistics.median(taken):.2f} s, {ratios[side]:.2f} times as fast as before")
    rows = [{"side": side, "seconds": taken, "ratio": ratios[side]} for side, taken in seconds.items()]
    write(given.out, [{"pictures": given.pictures}, *rows], before)


if __name__ == "__main__":
    main()
