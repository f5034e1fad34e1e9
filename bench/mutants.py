"""Mutation testing of the core: small faults planted by seed, and how many of them the quick tests notice.

    python bench/mutants.py --map [--tests FILE ...]        once: which tests reach which functions, in MAP
    python bench/mutants.py --seed 7 [--count 300] [--processes 2] [--most 600] [--again]

A mutant is one change of one line: lines are drawn uniformly, by seed, out of all lines of CORE that can be
changed, then one of the changes that the line allows (`mutations.py`): comparisons, arithmetic, `and`, `or`,
conditions, numbers, words that are no documentation and in no f-string or refusal, returned and assigned
values; statements are left out. Each is planted in a copy of the tree, where the quick tests that reach its
function (also through their fixtures), the likeliest first, and those that start other processes, run until
one fails that passes without the mutant, for at most --most seconds. A mutant under which they take ten times
as long as before is noticed too. What was tried is kept in scratch/mutants-SEED.jsonl at once: the same
command goes on after an end, and --again tries the survivors anew, after `--map --tests FILES` of new tests.

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
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

from mutants_tree import Tree
from mutations import Collector, Mutant

ROOT = Path(__file__).parent.parent
CORE = (
    "training", "runs", "optim", "tasks", "recipes", "pictures/preprocess.py", "data/splits.py", "model.py",
)  # fmt: skip
MAP = ROOT / "scratch" / "mutants-map.json"
RESULTS = ROOT / "results" / "mutants.json"
EQUIVALENT = Path(__file__).with_name("mutants_equivalent.json")
"""A list of {"file", "line", "was", "becomes", "reason"}: mutants that change nothing that anybody could see;
`line` is the line's text.
"""


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


def drawn(seed: int, count: int) -> list[tuple[str, Mutant]]:
    """`count` mutants of as many lines, drawn by `seed`, each with its key; fewer are the first of more. What
    a line's chance depends on is its own text, so that an edit elsewhere changes no draw.
    """
    found, seen = [], Counter[tuple[str, str]]()
    for (file, number), ways in sorted(mutants().items()):
        text = (ROOT / file).read_text().splitlines()[number - 1]
        seen[file, text] += 1
        line = f"{file} {seen[file, text]} {text}"
        draws = random.Random(f"{seed} {line}")
        place = draws.random()
        one = draws.choice(ways)
        found.append((place, f"{line} -> {one.becomes}", one))
    return [(key, one) for _, key, one in sorted(found, key=lambda row: row[0])[:count]]


# Which tests reach a mutant


def make_map(tests: list[str]) -> None:
    """Run the quick tests once, traced by `mutants_trace.py`, and keep what each reached."""
    MAP.parent.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        parts = Path(folder)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "mutants_trace", "-m", "not slow", *tests]
        paths = os.pathsep.join([str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")])
        more = {"PYTHONPATH": paths, "MUTANTS_PARTS": folder, "MUTANTS_CORE": str(ROOT / "neocog")}
        subprocess.run(command, cwd=ROOT, env={**os.environ, **more}, check=False)
        found: dict[str, Any] = {}
        for part in parts.glob("*.json"):
            found |= json.loads(part.read_text())
    print(f"{MAP}: {len(found)} tests, {sum(t['seconds'] for t in found.values()):.0f} s")
    if tests != ["tests"] and MAP.exists():  # of some tests: the others' stand as they were
        found = json.loads(MAP.read_text()) | found
    MAP.write_text(json.dumps(found, indent=0, sort_keys=True))


def reaching(mutant: Mutant, tests: dict[str, Any]) -> list[str]:
    """The tests that run the function around the mutant (outside of functions: anything of the file, or that
    name its module), the likeliest first; after them those that start processes.
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
    if not inside:  # a table, which tests read that call nothing of its file
        hits += [name for name in tests if name not in set(hits) and _names(name, mutant.file)]
    others = [name for name, test in tests.items() if test["elsewhere"] and name not in set(hits)]

    def chance(name: str) -> float:
        """Quick tests first, and those that reach little else."""
        test = tests[name]
        return float((test["seconds"] + 0.01) * len(test["reached"]) ** 0.5)

    return sorted(hits, key=chance) + sorted(others, key=chance)


def _names(test: str, file: str) -> bool:
    """Whether the file of a test names the module `file`."""
    module = file.removesuffix(".py").replace("/", ".")
    return module in _source(test.split("::")[0])


@cache
def _source(file: str) -> str:
    return (ROOT / file).read_text()


# Trying them


def tried(mutant: Mutant, tests: dict[str, Any], trees: SimpleQueue[Tree], most: float) -> dict[str, Any]:
    """What of the tests that reach the mutant notices it, of the first that take `most` seconds."""
    names = reaching(mutant, tests)
    seconds = {name: tests[name]["seconds"] for name in names}
    within: list[str] = []
    for name in names:  # a long test does not keep those behind it from their turn
        if sum(seconds[n] for n in within) + seconds[name] <= most:
            within.append(name)
    begun = time.monotonic()
    tree = trees.get()
    try:
        noticed = tree.noticed(mutant, within, seconds) if within else None
    finally:
        trees.put(tree)
    return {
        "mutant": str(mutant), "file": mutant.file, "was": mutant.was, "becomes": mutant.becomes,
        "noticed": noticed, "tests": len(within), "untried": len(names) - len(within),
        "seconds": round(time.monotonic() - begun, 1),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--map", action="store_true", help="write the map of tests and functions first")
    parser.add_argument("--tests", nargs="*", default=["tests"], help="of the map: files of tests")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--most", type=float, default=600.0, help="seconds of tests for each mutant")
    parser.add_argument("--again", action="store_true", help="try those that survived once more")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if given.map:
        make_map(given.tests)
    if given.seed is None:
        return 0
    tests = {name: test for name, test in json.loads(MAP.read_text()).items() if test["passed"]}
    kept = MAP.with_name(f"mutants-{given.seed}.jsonl")
    lines = kept.read_text().splitlines() if kept.exists() else []
    known = {row["key"]: row for row in map(json.loads, lines)}  # the last word on each
    chosen = drawn(given.seed, given.count)
    todo = [
        (key, one)
        for key, one in chosen
        if key not in known or (given.again and known[key]["noticed"] is None and _reason(one) is None)
    ]
    with (
        TemporaryDirectory() as folder,
        ThreadPoolExecutor(given.processes) as pool,
        kept.open("a") as stream,
    ):
        trees: SimpleQueue[Tree] = SimpleQueue()
        if todo:
            first = Tree(Path(folder) / "0")
            trees.put(first)
            for n in range(1, given.processes):
                trees.put(Tree(Path(folder) / str(n), like=first))
        rows = pool.map(lambda pair: {"key": pair[0], **tried(pair[1], tests, trees, given.most)}, todo)
        for row in rows:
            known[row["key"]] = row
            stream.write(json.dumps(row) + "\n")
            stream.flush()
            print(f"{row['noticed'] or 'SURVIVED'}  {row['mutant']}  ({row['seconds']} s)", flush=True)
    report(given.seed, [known[key] | {"mutant": str(one), "equivalent": _reason(one)} for key, one in chosen])
    return 0


def _reason(mutant: Mutant) -> str | None:
    """Why the mutant is without any effect, where EQUIVALENT lists it."""
    line = (ROOT / mutant.file).read_text().splitlines()[mutant.line - 1].strip()
    wanted = {"file": mutant.file, "line": line, "was": mutant.was, "becomes": mutant.becomes}
    listed = json.loads(EQUIVALENT.read_text())
    return next((e["reason"] for e in listed if e == {**wanted, "reason": e["reason"]}), None)


def report(seed: int, rows: list[dict[str, Any]]) -> None:
    """Print the share that was noticed and the survivors, and write RESULTS."""
    survivors = [row for row in rows if row["noticed"] is None]
    share = 1 - len(survivors) / len(rows)
    print(f"\nseed {seed}: {len(rows) - len(survivors)} of {len(rows)} mutants noticed, {share:.1%}")
    for row in survivors:
        untried = f"  ({row['untried']} tests not tried)" if row["untried"] else ""
        equivalent = f"  (equivalent: {row['equivalent']})" if row["equivalent"] else ""
        print(f"  {row['mutant']}{untried}{equivalent}")
    RESULTS.write_text(json.dumps({"seed": seed, "share": share, "mutants": rows}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
