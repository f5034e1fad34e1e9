"""Assignments: texts like 'rotation=30' for the fields of a settings object."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from neocog.errors import UsageError, unknown


def fields(texts: Iterable[str], names: Collection[str], *, of: str, example: str) -> dict[str, Any]:
    """What the `texts`, each FIELD=VALUE, give by field; `names` are the fields that there are, `of` says of
    what. `UsageError` with the `example`, or with the nearest spelling.
    """
    given: dict[str, Any] = {}
    for one in texts:
        name, mark, text = (part.strip() for part in one.partition("="))
        if not mark or not name:
            raise UsageError(f"'{one}' is not FIELD=VALUE; for example {example}")
        if name not in names:
            raise unknown(f"field of {of}", name, names)
        given[name] = value(text)
    return given


def value(text: str) -> Any:
    """JSON where it is JSON (numbers, true, null, lists), else the text itself; the field's type decides
    what it means.
    """
    try:
        return json.loads(text)
    except ValueError:
        return text
