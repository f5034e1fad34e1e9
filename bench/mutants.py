"""Mutation testing of the core: small faults planted by seed, and how many of them the quick tests notice.

    python bench/mutants.py --map [--tests FILE ...]        once: which tests reach which functions, in MAP
    python bench/mutants.py --seed 7 [--count 300] [--processes 2]

A mutant is one change of one line: lines are drawn uniformly, by seed, out of all lines of CORE that can be
changed, then one of the changes that the line allows (`mutations.py`): comparisons, arithmetic, `and`, `or`,
conditions, numbers, words that are no documentation and in no f-string or refusal, returned and assigned
values; statements are left out. Each mutant lives in a copy of the tree, where the quick tests that reach
its function (also through their fixtures), fastest first, and those that start other processes, run until the
first one fails. A mutant under which they take ten times as long as before is noticed too.

Printed are the share that was noticed and every survivor; results/mutants.json keeps them. Those that
EQUIVALENT lists as without any effect are survivors like the others, and said to be equivalent, with the
reason.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mutations import Collector, Mutant

ROOT = Path(__file__).parent.parent
CORE = (
    "training", "runs", "optim", "tasks", "recipes", "pictures/preprocess.py", "data/splits.py", "model.py",
)  # fmt: skip
MAP = ROOT / "scratch" / "mutants-map.json"
RESULTS = ROOT / "results" / "mutants.json"
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.json")
"""A list of {"file", "was", "becomes", "reason"}: mutants that change nothing that anybody could see."""
TREE = (
    "neocog",
    "tests",
    "docs",
    "bench",
    "tools",
    "examples",
    "README.md",
    "CHANGELOG.md",
    "pyproject.toml",
)
LEAST_SECONDS = 90.0
"""How long the tests of a mutant may take at least, however fast they were."""


def mutants() -> dict[tuple[str, int], list[Mutant]]:
    """Every mutant of the core, by file and line."""
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for path in core_files():
        source, name = path.read_bytes(), str(path.relative_to(ROOT))
        collector = Collector(name, source)
        collector.visit(ast.parse(source))
        for one in collector.found:
            by_line.setdefault((name, one.line), []).append(one)
    return by_line


def core_files() -> Iterator[Path]:
    for part in CORE:
        place = ROOT / "neocog" / part
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def drawn(seed: int, count: int) -> list[Mutant]:
    """`count` mutants of as many lines, drawn by `seed`; fewer are the first of more."""
    by_line, draws = mutants(), random.Random(seed)
    lines = sorted(by_line)
    draws.shuffle(lines)
    return [draws.choice(by_line[line]) for line in lines[:count]]


# Which tests reach a mutant


def make_map(tests: list[str]) -> None:
    """Run the quick tests once, traced by `mutants_trace.py`, and keep what each reached."""
    MAP.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        parts = Path(folder)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "mutants_trace", "-m", "not slow", *tests]
        paths = os.pathsep.join([str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")])
        more = {"PYTHONPATH": paths, "MUTANTS_PARTS": folder, "MUTANTS_CORE": str(ROOT / "neocog")}
        subprocess.run(command, cwd=ROOT, env={**os.environ, **more}, check=False)
        found: dict[str, Any] = {}
        for part in parts.glob("*.json"):
            found |= json.loads(part.read_text())
    MAP.write_text(json.dumps(found, indent=0, sort_keys=True))
    print(f"{MAP}: {len(found)} tests, {sum(t['seconds'] for t in found.values()):.0f} s")


def reaching(mutant: Mutant, tests: dict[str, Any]) -> list[str]:
    """The tests that run the function around the mutant (outside of functions: anything of the file), fastest
    first; after them those that start processes.
    """
    inside = None
    for node in ast.walk(ast.parse((ROOT / mutant.file).read_bytes())):
        if isinstance(node, ast.FunctionDef) and node.body[0].lineno <= mutant.line <= (node.end_lineno or 0):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            inside = max(inside or 0, first)
    wanted = f"{mutant.file}:{inside}" if inside else f"{mutant.file}:"
    hits = [
        n
        for n, t in tests.items()
        if any(r == wanted or (not inside and r.startswith(wanted)) for r in t["reached"])
    ]
    others = [name for name, test in tests.items() if test["elsewhere"] and name not in set(hits)]
    return sorted(hits, key=lambda n: tests[n]["seconds"]) + sorted(others, key=lambda n: tests[n]["seconds"])


# Running


def snapshot(place: Path) -> Path:
    """A copy of the tree as it is now, at `place`."""
    place.mkdir()
    for name in TREE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, place / name)
    return place


def tried(mutant: Mutant, tests: dict[str, Any], tree: Path) -> dict[str, Any]:
    """Run the tests that reach the mutant in a copy of `tree` that holds it: what noticed it."""
    names = reaching(mutant, tests)
    row = {"mutant": str(mutant), "file": mutant.file, "was": mutant.was, "becomes": mutant.becomes}
    if not names:
        return {**row, "noticed": None, "tests": 0, "seconds": 0.0}
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        place = Path(shutil.copytree(tree, Path(folder) / "tree"))
        code = (place / mutant.file).read_bytes()
        (place / mutant.file).write_bytes(code[: mutant.start] + mutant.becomes.encode() + code[mutant.end :])
        (Path(folder) / "names").write_text("\n".join(names))
        most = max(LEAST_SECONDS, 10 * sum(tests[name]["seconds"] for name in names))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "mutants_order",
        ]
        paths = os.pathsep.join([str(ROOT / "bench"), str(place)])
        shared = os.environ.get("NEOCOG_DATA", str(ROOT.parent / "shared" / "data"))
        more = {"PYTHONPATH": paths, "MUTANTS_NAMES": str(Path(folder) / "names"), "NEOCOG_DATA": shared}
        environment = {**os.environ, **more, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        files = sorted({name.split("::")[0] for name in names})
        begun = time.monotonic()
        with (Path(folder) / "said").open("w+") as said:
            run = subprocess.Popen(
                [*command, *files],
                cwd=place,
                env=environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                run.wait(most)
                said.seek(0)
                noticed = _first_failure(said.read(), run.returncode)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, 9)
                run.wait()
                noticed = f"took more than {most:.0f} s"
    return {**row, "noticed": noticed, "tests": len(names), "seconds": round(time.monotonic() - begun, 1)}


def _first_failure(said: str, code: int) -> str | None:
    """The test that failed first; None where all passed."""
    if code == 0:
        return None
    lines = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0].split(" - ")[0] if lines else f"pytest ended with {code}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--map", action="store_true", help="write the map of tests and functions first")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="of the map: files of tests")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    if given.map:
        make_map(given.tests)
    if given.seed is None:
        return 0
    tests = json.loads(MAP.read_text())
    equivalent = {
        (e["file"], e["was"], e["becomes"]): e["reason"] for e in json.loads(EQUIVALENT.read_text())
    }
    rows = []
    chosen = drawn(given.seed, given.count)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(given.processes) as pool:
        tree = snapshot(Path(folder) / "tree")
        for row in pool.map(lambda one: tried(one, tests, tree), chosen):
            row["equivalent"] = equivalent.get((row["file"], row["was"], row["becomes"]))
            rows.append(row)
            print(f"{row['noticed'] or 'SURVIVED'}  {row['mutant']}  ({row['seconds']} s)", flush=True)
    survivors = [row for row in rows if row["noticed"] is None]
    share = 1 - len(survivors) / len(rows)
    print(f"\nseed {given.seed}: {len(rows) - len(survivors)} of {len(rows)} mutants noticed, {share:.1%}")
    for row in survivors:
        print(f"  {row['mutant']}" + (f"  (equivalent: {row['equivalent']})" if row["equivalent"] else ""))
    RESULTS.write_text(json.dumps({"seed": given.seed, "share": share, "mutants": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
