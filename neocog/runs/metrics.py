"""metrics.jsonl: one JSON object an epoch, appended whole or not at all, and brought back from the state."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

from neocog.errors import UnreadableError
from neocog.files import write_text
from neocog.runs.state import Saved


def text(path: Path) -> str:
    """What the file at `path` holds; nothing where there is none."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise UnreadableError(f"cannot read {path}: {error}; restore it") from error


def epochs(path: Path, kept: str = "") -> list[dict[str, Any]]:
    """One dictionary an epoch; a last line that a kill cut off is left out. `UnreadableError` names the line
    that is damaged: no epoch, or not what the state has `kept` of the file, which it begins with.
    """
    lines, wanted = text(path).split("\n")[:-1], kept.split("\n")[:-1]
    found = [_epoch(path, number, line) for number, line in enumerate(lines, start=1)]
    for number, (line, other) in enumerate(zip_longest(lines[: len(wanted)], wanted), start=1):
        if line != other:
            raise _damaged(path, number)
    return found


def _epoch(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("epoch"), int):
        raise _damaged(path, number)
    return found


def _damaged(path: Path, number: int) -> UnreadableError:
    return UnreadableError(
        f"{path}: line {number} is damaged; it is mended by: neocog train --resume {path.parent}"
    )


def brought_back(path: Path, saved: Saved | None) -> tuple[str, tuple[str, ...]]:
    """What metrics.jsonl has to hold where a training goes on from `saved` (from the start without), and a
    remark where the file at `path` does not begin with that.

    `UnreadableError` where the file is damaged and `saved`, of an older version, has no copy of it.
    """
    if saved is None:
        return "", ()
    if saved.metrics is not None:
        try:
            there = text(path)
        except UnreadableError:
            there = ""
        lost = not there.startswith(saved.metrics)
        remark = f"{path.name} was damaged, and is brought back from {saved.path.name}"
        return saved.metrics, (remark,) if lost else ()
    return _first(path, saved.metrics_bytes), ()


def _first(path: Path, size: int) -> str:
    """The first `size` bytes of the file at `path`, which an older state relies on."""
    kept = text(path).encode()[:size]
    lines = kept.decode(errors="replace").split("\n")
    try:
        for number, line in enumerate(lines[:-1], start=1):
            _epoch(path, number, line)
    except UnreadableError:
        lines[-1] = "damaged"
    if len(kept) < size or lines[-1]:
        raise UnreadableError(f"{path} was cut off or changed, and the saved state relies on it; restore it")
    return kept.decode()


def put(path: Path, wanted: str) -> None:
    """Make the file at `path` hold `wanted`, if it does not already."""
    if not path.exists() and not wanted:
        return
    try:
        if text(path) == wanted:
            return
    except UnreadableError:
        pass
    write_text(path, wanted)
