"""Training beside a busy neighbour: how much of its speed C2's network keeps while one other process is busy
on one of the cores, by how many threads there are and how they wait for each other; Keras on TensorFlow
beside.

    python bench/neighbour.py [--keras keras-env/bin/python] [--rounds 5] [--out results/neighbour.json]

All sides take turns in one run, alone and then beside the neighbour. 'command line' is what `neocog train`
sets: begun before the neighbour came, and begun beside it, when it takes as many threads as cores are free
(compared with its speed alone); 'untold' is what torch does where nobody says anything. Printed are pictures
per second alone and beside, the share that is kept, and what the side loses alone against 'untold'.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from throughput import CASES, KERAS, OURS, TURNS
from turns import Worker, machine, medians, write

from neocog import openmp

BEFORE, BESIDE = "command line, begun before", "command line, begun beside"
SIDES = {
    BEFORE: {openmp.SPINS: openmp.FEW},
    "untold": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
"""How neocog's threads wait."""
CHOSEN = f"""
from neocog import cores
cores.watch()
{OURS}
from neocog.world import as_many_threads
as_many = as_many_threads(cores.free())
as_many.__enter__()
{TURNS}"""
"""As a training that the command line begins now."""


@contextlib.contextmanager
def neighbour() -> Iterator[None]:
    """One other process, always busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def compare(keras: str | None, name: str, precision: str, rounds: int) -> list[dict[str, object]]:
    """Every side alone and beside, `rounds` times."""
    case = {**CASES[name], "pictures": CASES[name]["pictures"] // 2}
    sides = {
        side: Worker(sys.executable, OURS + TURNS, name, precision, case, env) for side, env in SIDES.items()
    }
    if keras:
        sides["keras"] = Worker(keras, KERAS + TURNS, name, precision, case)
    alone, beside = [], []
    with neighbour():
        late = Worker(sys.executable, CHOSEN, name, precision, case, SIDES[BEFORE])
    for _ in range(rounds):
        alone.append(tuple(side.turn() for side in sides.values()))
        with neighbour():
            beside.append((*(side.turn() for side in sides.values()), late.turn()))
    for side in (*sides.values(), late):
        side.close()
    rows = []
    by_itself = dict(zip(sides, medians(alone), strict=True))
    by_itself[BESIDE] = by_itself[BEFORE]
    in_company = dict(zip([*sides, BESIDE], medians(beside), strict=True))
    for side in in_company:
        one, other = by_itself[side], in_company[side]
        lost = 1 - one / by_itself["untold"]
        words = f"alone {one:7,.0f}  beside {other:7,.0f} pictures/s  keeps {other / one:.2f}"
        print(f"{name} {precision:9} {side:26} {words}  loses alone {lost:+.3f}", flush=True)
        rows.append({"network": name, "precision": precision, "side": side, "alone": one, "beside": other})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras", help="python of an environment with tensorflow-cpu and keras")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--network", nargs="*", default=["c2"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before = machine()
    pairs = [(name, precision) for name in asked.network for precision in asked.precision]
    rows = [row for name, precision in pairs for row in compare(asked.keras, name, precision, asked.rounds)]
    write(asked.out, rows, before)


if __name__ == "__main__":
    main()
