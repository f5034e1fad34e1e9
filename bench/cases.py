"""Every case of a folder is run and held against what is right: `python bench/cases.py FOLDER [NAME ...]`.

A case is a folder with a `run.sh`, which uses the `neocog` in N. A row a case is printed; the exit code is 1
where anything differs. No case may print a traceback. What else is right of it stands in EXPECTED: patterns
that its output has, in this order, and patterns that it has not (with a ! before them).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 600
EXPECTED: dict[str, tuple[str, ...]] = {
    "data-03-resume-batch-size": (
        r"6 epochs in .*\(done\)",
        r"exit code 0",
        *(rf'"epoch": {n},' for n in range(1, 7)),
        r"6 epochs in .*\(done\)",
        r"exit code 0",
        r"!8 epochs",
    ),
    "data-04-refused-resume-rewrites-recipe": (
        r'"epochs": 300,\n.*"lr": 0.003',
        r"another process is training",
        r"exit code 2",
        r'"epochs": 300,\n.*"lr": 0.003',
    ),
    "data-05-failed-resume-bricks-run": (r"z: 3 epochs", r"exit code 0", r"y: 3 epochs", r"exit code 0"),
    "data-06-out-replaces-device": (
        r"exit code 3\n.*exit code 3\n.*exit code 3",
        r"link.png -> real.png",
        r"\nc.* null",
        r"\np.* pipe",
    ),
    "data-07-not-writable-traceback": (r"(error: cannot .*\nexit code 3\n[^E]*){5}",),
    "fault-damaged-run-breaks-list": (
        r"runs/a .*\n.*runs/b",
        r"exit 0",
        r"runs/a ",
        r"exit 0",
        r"error: .*\nexit 3",
    ),
    "fault-disk-full-training": (
        r"error: cannot write .*No space.*\nexit 3",
        r"3 epochs in .*\(done\)",
        r"3 m/run/metrics",
    ),
    "fault-kill-before-first-save": (r"r: 2 epochs", r"2 r/metrics.jsonl", r"q: 2 epochs in .*\(done\)"),
    "fault-killed-between-result-and-report": (r"run: 1 epochs in .*\(done\)", r"exit 0"),
    "fault-output-over-input": (
        r"([0-9a-f]{32})  in.png",
        r"error: cannot write in.png",
        r"6b865421a4d04a60a431e4f19fd650c6  in.png",
        r"belongs to a run",
        r"test: accuracy",
        r"among the pictures",
        r"!model.safetensors\n",
    ),
    "fault-power-loss-metrics": (r"r: 8 epochs", r"error: z is finished \(8 epochs\)"),
    "fault-read-only-or-unwritable": (r"(exit 3 \| .*error: .*\n){8}",),
    "fault-recipe-flip": (r"recipe.json was changed", r"exit 4"),
    "fault-refused-resume-rewrites-recipe": (r"exit 2", r"recipe untouched", r'"epochs": 60', r'!"lr": 0.5'),
    "fault-run-folder-removed": (r"error: the folder r was removed or renamed.*\nexit 3",),
    "fault-stderr-gone": (r"log on a full disk: exit 0", r"stderr closed: exit 0"),
}


def complaint(name: str, output: str) -> str:
    """What is wrong with the output of a case; nothing where it is right."""
    if "Traceback (most recent call last)" in output:
        return "a traceback: " + output.rstrip().splitlines()[-1][:120]
    place = 0
    for pattern in EXPECTED.get(name, ()):
        if pattern.startswith("!"):
            if re.search(pattern[1:], output):
                return f"has {pattern[1:]}"
            continue
        found = re.compile(pattern).search(output, place)
        if found is None:
            return f"lacks {pattern}"
        place = found.end()
    return ""


def main(folder: Path, names: list[str]) -> int:
    """A row for each case; 1 where one differs."""
    neocog = os.environ.get("N") or str(Path(sys.executable).parent / "neocog")
    given = {**os.environ, "N": neocog, "PY": os.environ.get("PY") or str(Path(neocog).parent / "python")}
    wrong = 0
    for script in sorted(folder.glob("*/run.sh")):
        name = script.parent.name
        if names and name not in names:
            continue
        begun = time.monotonic()
        done = subprocess.run(
            ["bash", str(script)], env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, timeout=SECONDS, check=False,
        )  # fmt: skip
        found = complaint(name, done.stdout.decode(errors="replace"))
        verdict = f"DIFFERS: {found}" if found else "right" if name in EXPECTED else "no traceback"
        wrong += bool(found)
        print(f"{name:45} {time.monotonic() - begun:6.1f} s  {verdict}", flush=True)
    print(f"{wrong} cases differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
