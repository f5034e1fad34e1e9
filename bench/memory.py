"""Peak memory of a training, less that of a process that only imports torch, against the size of the data
set.

NEOCOG_DATA=... python bench/memory.py [mnist cifar10]
"""

from __future__ import annotations

import subprocess
import sys

PROBE = """
import resource, sys
import torch
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if len(sys.argv) > 1:
    import tempfile, neocog
    from neocog.data import DATASETS
    changes = ["epochs=1", "data.held_out=0.1", "data.val=held-out"]
    neocog.train(sys.argv[1], changes=changes, out=tempfile.mkdtemp() + "/run")
print(base, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main(names: list[str]) -> None:
    from neocog.data import DATASETS

    for name in names:
        row = DATASETS[name]
        c, h, w = row.shape
        size = sum(row.counts.values()) * c * h * w / 2**20
        done = subprocess.run([sys.executable, "-c", PROBE, name], capture_output=True, text=True, check=True)
        base, peak = (int(n) / 2**10 for n in done.stdout.split()[-2:])
        more = peak - base
        print(
            f"{name}: {size:.0f} MiB, peak {peak:.0f} - {base:.0f} = {more:.0f} MiB, {more / size:.2f} times"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or ["mnist", "cifar10"])
