"""facts.json: what happened in a run, sealed with its own SHA-256, so that a changed byte is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neocog.errors import UnreadableError
from neocog.files import read_json, sha256, write_json

FACTS_FILE = "facts.json"
SEAL = "sha256"
KINDS: dict[str, tuple[type, ...]] = {
    "where": (str, type(None)),
    "data_fingerprint": (str,),
    "classes": (list,),
    "counts": (dict,),
    "precision": (str,),
    "recipe_identity": (str,),
}
"""What every run's facts hold, and of which kind it is."""
OPTIONAL: dict[str, tuple[type, ...]] = {
    "coming": (dict,),
    "command": (str,),
    "own": (dict,),
    "left_out": (dict,),
    "remarks": (list,),
    "result": (dict,),
    "seconds": (int, float),
}


def read(path: Path) -> dict[str, Any]:
    """The facts in the file `path`. `UnreadableError` where it is missing, was changed after it was written,
    or holds something else. Files of versions that did not seal them are taken as they are.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise UnreadableError(f"{path} is damaged: it holds no JSON object; restore it")
    seal = found.pop(SEAL, None)
    if seal is not None and seal != _seal(found):
        raise UnreadableError(f"{path} was changed after it was written; restore it")
    for name, kinds in (KINDS | OPTIONAL).items():
        if name in found and not isinstance(found[name], kinds):
            raise UnreadableError(f"{path} is damaged: '{name}' is {found[name]!r:.60}; restore it")
    if missing := KINDS.keys() - found.keys():
        raise UnreadableError(f"{path} is damaged: it lacks '{min(missing)}'; restore it")
    return found


def write(path: Path, facts: dict[str, Any]) -> None:
    """Write `facts` to `path`, atomically and sealed."""
    write_json(path, {**facts, SEAL: _seal(facts)})


def _seal(facts: dict[str, Any]) -> str:
    return sha256(json.dumps(facts, sort_keys=True, ensure_ascii=True).encode())
