"""What events.jsonl says of a run's findings: whatever line is damaged there is passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    """The findings in the file at `path`, each once, in their order; none where there is no file."""
    found: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if (event := _finding(line)) is not None:
            found.setdefault(event["name"], event)
    return list(found.values())


def _finding(line: str) -> dict[str, Any] | None:
    """The finding that a line holds; None of another line, and of one that a kill cut off."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(event, dict) and event.get("event") == "finding" and isinstance(event.get("name"), str)
    return event if whole else None
