"""Writes the tree of modules and the table of layers in docs/architecture.md, from the docstrings and from
tests/test_structure.py.
"""

from __future__ import annotations

import ast
import re
import runpy
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "neocog"
ROOM = 88
"""Characters of what is said of a file."""


def said(path: Path) -> str:
    """The first sentence of a module's docstring, or as many of its clauses as fit on a line."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    text = re.split(r"\.(?= [A-Z]|$)", text)[0]
    while len(text) > ROOM:
        text = re.split(r"[,;:]? \S*$", text)[0] if not re.search(r"[,;:] ", text) else text[: _last(text)]
    return text


def _last(text: str) -> int:
    """Where the last clause of `text` begins."""
    return max(text.rfind(mark) for mark in (", ", "; ", ": "))


def rows(folder: Path, depth: int) -> list[str]:
    """A line for each module of `folder`, then those of its folders."""
    indent = "  " * depth
    found = []
    for path in sorted(folder.glob("*.py")):
        if path.name == "__init__.py":
            continue
        lead = f"{indent}{path.name}"
        found.append(f"{lead:<26} {said(path)}".rstrip())
    for inner in sorted(p for p in folder.iterdir() if p.is_dir() and any(p.glob("*.py"))):
        head = f"{indent}{inner.name}/"
        found.append(f"{head:<26} {said(inner / '__init__.py')}".rstrip())
        found += rows(inner, depth + 1)
    return found


def layers() -> list[str]:
    """The table of who may import whom."""
    table = runpy.run_path(str(ROOT / "tests" / "test_structure.py"), run_name="layers")["LAYERS"]
    found = ["| layer | modules |", "|---|---|"]
    for number, names in groupby(sorted(table, key=lambda n: (table[n], n)), key=table.__getitem__):
        found.append(f"| {number} | `{' '.join(names)}` |")
    return found


def written(text: str) -> str:
    """The page with both parts made anew."""
    tree = "\n".join(["```", "neocog/", *rows(PACKAGE, 1), "```"])
    for name, body in (("tree", tree), ("layers", "\n".join(layers()))):
        text = re.sub(
            rf"(<!-- begin: {name}[^\n]*-->\n\n).*?(\n\n<!-- end -->)",
            lambda m, body=body: m[1] + body + m[2],  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
