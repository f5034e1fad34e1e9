"""The recipe of a run: what differs from the defaults, and all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from neocog.data import Data
from neocog.recipes.recipe import Phase, Recipe
from neocog.report.section import Section, fill
from neocog.report.subject import Subject


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of the recipe; `changed` where it is not the default."""

    field: str
    value: str
    default: str
    changed: bool


def recipe(subject: Subject) -> Section | None:
    """The command that trains the same, and the recipe field by field."""
    if subject.recipe is None:
        return None
    command = subject.facts.get("command", "")
    body = fill("recipe", command=command, settings=tuple(settings(subject.recipe)))
    return Section("recipe", "Recipe", body)


def settings(recipe: Recipe) -> Iterator[Setting]:
    """Every field of the recipe, beside what it would be by default."""
    plain = Recipe(
        data=Data(name=recipe.data.name), model=recipe.model, phases=tuple(Phase() for _ in recipe.phases)
    )
    defaults = dict(_flat(plain.model_dump(mode="json")))
    for name, value in _flat(recipe.model_dump(mode="json")):
        if name in ("title", "source", "expect"):
            continue
        changed = name in ("data.name", "model.name", "model.layers") and value is not None
        default = defaults.get(name)
        yield Setting(
            name.removeprefix("phases.0.") if len(recipe.phases) == 1 else name,
            _shown(value),
            "" if changed else _shown(default),
            changed or value != default,
        )


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """A JSON document as (dotted path, leaf); a list is a leaf, but for a recipe's phases."""
    if isinstance(value, list) and path == "phases":
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        yield path, value
        return
    for key, item in value.items():
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
