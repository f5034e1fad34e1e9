"""Peak memory of a training, less that of a process that only imports torch, against the size of the data
set.

    NEOCOG_DATA=... python bench/memory.py [mnist cifar10] [--out results/memory.json]

Printed is the peak of the resident memory, and of its anonymous part: the rest is the code of torch's
libraries, which the first steps map in (about 35 MiB, whatever the data) and which processes share.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

PROBE = """
import re, resource, sys, tempfile, threading, time
import torch

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

def watch():
    global most
    while True:
        most = max(most, anonymous())
        time.sleep(0.005)

most = first = anonymous()
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
threading.Thread(target=watch, daemon=True).start()
import neocog
changes = ["epochs=1", "data.held_out=0.1", "data.val=held-out"]
neocog.train(sys.argv[1], changes=changes, out=tempfile.mkdtemp() + "/run")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base, most - first)
"""


def main() -> None:
    from neocog.data import DATASETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["mnist", "cifar10"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    for name in asked.names:
        row = DATASETS[name]
        c, h, w = row.shape
        size = sum(row.counts.values()) * c * h * w / 2**20
        done = subprocess.run([sys.executable, "-c", PROBE, name], capture_output=True, text=True, check=True)
        resident, anonymous = (int(n) / 2**10 for n in done.stdout.split()[-2:])
        print(
            f"{name}: {size:.0f} MiB of pictures; peak above import torch {resident:.0f} MiB, "
            f"{resident / size:.2f} times; anonymous {anonymous:.0f} MiB, {anonymous / size:.2f} times"
        )
        figures = {"pictures": size, "resident": resident, "anonymous": anonymous}
        rows.append({"data": name, **{key: round(value, 1) for key, value in figures.items()}})
    if asked.out:
        asked.out.write_text(json.dumps({"unit": "MiB", "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
