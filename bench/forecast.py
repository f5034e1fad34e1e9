"""What `neocog train --dry-run` says against what then happens: seconds, peak memory and disk, as shares.

    NEOCOG_DATA=... python bench/forecast.py [digits lenet-mnist c2] [--epochs 3] [--out FILE]

Every training is forecast and done in processes of its own, through the command line. A share of 1.1 means
that it took a tenth more than was said. 'whole_seconds' hold what nobody forecasts: interpreter and imports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from turns import machine, write

DONE = """
import json, resource, sys
from neocog.cli import run
code = run(sys.argv[1:])
print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
sys.exit(code)
"""


def said(argv: list[str]) -> list[dict[str, float]]:
    """What a command prints, and the peak of its memory."""
    command = [sys.executable, "-c", DONE, *argv, "--json", "-q"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def compare(recipe: str, epochs: int) -> dict[str, object]:
    """One training, forecast and done."""
    argv = ["train", recipe, "--epochs", str(epochs)]
    foreseen, _ = said([*argv, "--dry-run"])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        begun = time.monotonic()
        done, peak = said([*argv, "--out", str(out)])
        whole = time.monotonic() - begun
        disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    shares = {
        "seconds": done["seconds"] / (foreseen["seconds"] - foreseen["conclusion_seconds"]),
        "epoch_seconds": last["seconds"] / foreseen["phases"][-1]["epoch_seconds"],  # type: ignore[index]
        "whole_seconds": whole / (foreseen["seconds"] + foreseen["reading_seconds"]),
        "memory": peak["peak"] / foreseen["memory_bytes"],
        "disk": disk / foreseen["disk_bytes"],
    }
    words = "  ".join(f"{name} {share:.2f}" for name, share in shares.items())
    print(f"{recipe:12} {foreseen['seconds']:.1f} s said  {words}", flush=True)
    return {"recipe": recipe, "epochs": epochs, "said": foreseen, "shares": shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", default=["digits", "lenet-mnist", "c2"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    before = machine()
    write(asked.out, [compare(recipe, asked.epochs) for recipe in asked.recipes], before)


if __name__ == "__main__":
    main()
