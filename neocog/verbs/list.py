"""list: what there is: networks, data sets, recipes, runs. A table that can be sorted and filtered."""

from __future__ import annotations

import html
import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neocog.errors import NeocogError, UsageError, escaped, unknown
from neocog.show.words import duration, fitted, percent

What = Literal["models", "data", "recipes", "runs"]
BYTES = 4  # of a float32 parameter
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows with the same columns; a value that there is none for is None."""

    what: What
    rows: tuple[dict[str, Any], ...]

    def json(self) -> list[dict[str, Any]]:
        return list(self.rows)

    def text(self) -> str:
        """An aligned table, or a line that says there is nothing."""
        if not self.rows:
            return f"no {self.what} match"
        columns = list(self.rows[0])
        cells = [[_shown(row[column], column) for column in columns] for row in self.rows]
        return "\n".join(fitted([columns, *cells]))

    def _repr_html_(self) -> str:

        return f"<pre>{html.escape(self.text())}</pre>"


def list_(what: What = "models", *, sort: str | None = None, where: Sequence[str] = ()) -> Listing:
    """What there is of `what`. `sort` names a column ('-column' for the largest first); each of `where` is a
    comparison such as 'parameters<5e6', 'year=2015' or 'name=resnet' (for words, `=` means contains).
    """
    makers: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "models": _models, "data": _data, "recipes": _recipes, "runs": _runs,
    }  # fmt: skip
    if what not in makers:
        raise unknown("list", what, makers)
    rows = makers[what]()
    columns = list(rows[0]) if rows else []
    for condition in where:
        rows = [row for row in rows if _holds(row, condition, columns)]
    if sort is not None and rows:
        column = sort.removeprefix("-")
        if column not in columns:
            raise unknown("column", column, columns)
        known = [row for row in rows if row[column] is not None]
        missing = [row for row in rows if row[column] is None]
        rows = sorted(known, key=lambda row: row[column], reverse=sort.startswith("-")) + missing
    return Listing(what, tuple(rows))


def _models() -> list[dict[str, Any]]:
    from neocog.pretrained.releases import RELEASES
    from neocog.zoo import ZOO

    return [
        {
            "name": row.name,
            "year": row.year,
            "depth": row.depth,
            "input": f"{row.shape[1]}x{row.shape[2]}x{row.shape[0]}",
            "parameters": row.parameters,
            "MB": round(row.parameters * BYTES / 1e6, 1),
            "macs": row.macs,
            "smallest": row.smallest,
            "top1": releases[0].top1 if releases else None,
            "top5": releases[0].top5 if releases else None,
            "weights": releases[0].label if releases else None,
            "licence": releases[0].licence.split(" (")[0] if releases else None,
            "title": row.title,
        }
        for row in ZOO.values()
        for releases in [RELEASES.get(row.name, ())]
    ]


def _data() -> list[dict[str, Any]]:
    from neocog.data import DATASETS

    return [
        {
            "name": name,
            "classes": len(row.classes) or None,
            "picture": f"{row.shape[1]}x{row.shape[2]}x{row.shape[0]}",
            "train": row.counts.get("train"),
            "test": row.counts.get("test"),
            "licence": row.licence,
            "title": row.title,
        }
        for name, row in DATASETS.items()
    ]


def _recipes() -> list[dict[str, Any]]:
    from neocog.recipes.chapters import RECIPES

    return [
        {
            "name": name,
            "data": recipe.data.name,
            "model": recipe.model.name,
            "epochs": recipe.epochs,
            "optimizer": recipe.phases[0].optim.kind,
            "expect": recipe.expect,
            "source": recipe.source,
            "title": recipe.title,
        }
        for name, recipe in RECIPES.items()
    ]


def _runs() -> list[dict[str, Any]]:
    from neocog.runs.run import RUNS, open_run

    folder = Path(os.environ.get("NEOCOG_RUNS_DIR", RUNS))
    rows = []
    for path in sorted(folder.glob("*/recipe.json")):
        try:
            run = open_run(path.parent)
            recipe, figures = run.recipe(), run.json()
        except NeocogError:  # a run that is damaged, or of another version, stands there without figures
            nothing = ("data", "model", "epochs", "test_accuracy", "seconds")
            rows.append({"run": str(path.parent), **dict.fromkeys(nothing)})
            continue
        rows.append(
            {
                "run": str(run.path),
                "data": recipe.data.name,
                "model": recipe.model.name or "layer list",
                "epochs": figures["epochs"],
                "test_accuracy": figures["test_accuracy"],
                "seconds": figures["seconds"],
            }
        )
    return rows


def _holds(row: dict[str, Any], condition: str, columns: Sequence[str]) -> bool:
    """Whether `row` meets 'column<value'. A row without a value meets no condition on it."""
    mark = next((mark for mark in COMPARISONS if mark in condition), None)
    if mark is None:
        raise UsageError(f"'{condition}' is not a comparison; write for example parameters<5e6")
    column, _, text = (part.strip() for part in condition.partition(mark))
    if column not in columns:
        raise unknown("column", column, columns)
    value = row[column]
    if value is None:
        return False
    if isinstance(value, str):
        found = text.casefold() in value.casefold()
        return found if mark == "=" else not found if mark == "!=" else COMPARISONS[mark](value, text)
    try:
        return COMPARISONS[mark](value, float(text))
    except ValueError:
        raise UsageError(f"'{condition}': {column} is a number, '{text}' is none") from None


def _shown(value: Any, column: str) -> str:
    if value is None:
        return ""
    if column in ("top1", "top5", "expect", "test_accuracy"):
        return percent(value)
    if column == "seconds":
        return duration(value)
    if column == "macs":
        return f"{value / 1e6:,.1f} M" if value < 1e9 else f"{value / 1e9:,.2f} G"
    return f"{value:,}" if isinstance(value, int) and column != "year" else escaped(str(value))
