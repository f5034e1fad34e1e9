"""Training: the part of an entry that trains a recipe, under one seed or several, and measures it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from neocog import sealed
from neocog.answers import collect
from neocog.data import DATASETS
from neocog.figures.entry import Asked
from neocog.figures.row import Row, Verdict, missing, share_verdict
from neocog.model import dataset_of, open_trained
from neocog.recipes.chapters import RECIPES
from neocog.recipes.recipe import Recipe, override
from neocog.runs.run import RECIPE_FILE, Run, open_run
from neocog.show.words import duration, percent, plural
from neocog.tasks.intervals import wilson
from neocog.verbs.evaluate import evaluate
from neocog.verbs.train import resume, train
from neocog.world import find
from neocog.zoo import resolved

Split = Literal["test", "train", "printed"]

ABOUT = "the chapter says 'about'"
"""A remark on a published figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The named `recipe` with `changes`. The published figure is the recipe's `expect`, unless `published`
    says another, as a share 0..1, or that there is none; `outside`: it is not from the chapters.

    what    the figure in words
    split   whose accuracy it is; printed: of the training pictures while the last epoch learned from them, as
            a training prints it
    short   changes that make a training of seconds of it, for `quick`; empty: there is none
    seeds   those it is trained under; empty: the recipe's own
    drawn   whether each seed draws the training pictures too, where the recipe takes some of them only
    timed   whether the time of an epoch is said too: the middle one's, without the first
    """

    recipe: str
    what: str = ""
    changes: tuple[str, ...] = ()
    published: float | Literal["none"] | None = None
    outside: bool = False
    split: Split = "test"
    short: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    drawn: bool = False
    remark: str = ""
    timed: bool = False

    @property
    def quick(self) -> bool:
        return bool(self.short)

    @property
    def asked(self) -> Recipe:
        """The recipe that is trained, under its own seed."""
        return override(RECIPES[self.recipe], self.changes)

    @property
    def identity(self) -> str:
        """What decides the training but its seed."""
        return self.asked.identity

    @property
    def share(self) -> float | None:
        """The published share; None where there is none."""
        if self.published == "none":
            return None
        return self.published if self.published is not None else RECIPES[self.recipe].expect

    @property
    def title(self) -> str:
        return self.what or RECIPES[self.recipe].title

    def rows(self, asked: Asked) -> Iterator[Row]:
        """One row, from a run for each seed; finished runs of the same recipe are taken as they are."""
        quick = asked.effort == "quick"
        recipe = override(RECIPES[self.recipe], (*self.changes, *(self.short if quick else ())))
        seeds = asked.seeds or self.seeds or (recipe.seed,)
        runs = [
            trained(recipe, asked, name=self.recipe, seed=seed, drawn=self.drawn)
            for seed in (seeds[:1] if quick else seeds)
        ]
        yield self.compared(recipe, runs, asked, cut=quick)

    def waiting(self, why: str) -> Iterator[Row]:
        published = percent(self.share) if self.share is not None else ""
        yield missing(self.title, why, published=published, outside=self.outside)

    def is_of(self, row: Row) -> bool:
        """Whether `row` is one of this training."""
        asked = (row.detail.get("recipe"), tuple(row.detail.get("changes", ())), row.what)
        return asked == (self.recipe, self.changes, self.title)

    def again(self, row: Row, runs: Sequence[Run], asked: Asked) -> Row:
        """`row` made anew of its runs."""
        return self.compared(self.asked, runs, asked)

    def compared(self, recipe: Recipe, runs: Sequence[Run], asked: Asked, *, cut: bool = False) -> Row:
        """The row that finished `runs` of `recipe` make; `cut` short, they are compared with nothing."""
        measured = [_measured(run, self.split, asked.device) for run in runs]
        shares = [right / n for right, n in measured]
        n, mean = measured[0][1], statistics.mean(shares)
        verdict: Verdict = "seen"
        if cut:
            verdict = "cut short"
        elif self.share is not None:
            verdict = share_verdict(mean, self.share, n)
        interval = wilson(round(mean * n), n)
        spread = f" ({plural(len(runs), 'seed')}: {percent(min(shares))} to {percent(max(shares))})"
        time = f", {statistics.fmean(map(epoch_seconds, runs)):.2f} s an epoch" if self.timed else ""
        return Row(
            what=self.title,
            published=percent(self.share) if self.share is not None else "",
            ours=percent(mean, interval) + (spread if len(runs) > 1 else "") + time,
            verdict=verdict,
            outside=self.outside,
            remark=self.remark,
            detail={
                "recipe": self.recipe,
                "changes": list(self.changes),
                "recipe_identity": recipe.identity,
                "split": self.split,
                "published": self.share,
                "accuracy": mean,
                "interval": list(interval),
                "n": n,
                "runs": [run_facts(run, right=right) for run, (right, _) in zip(runs, measured, strict=True)],
            },
        )


def trained(recipe: Recipe, asked: Asked, *, name: str, seed: int, drawn: bool = False) -> Run:
    """A finished run of `recipe` under `seed` in the folder asked for: found, gone on with, or made. `drawn`:
    the seed decides too which pictures it is trained on.
    """
    changes = [f"seed={seed}", *([f"data.seed={seed}"] if drawn else [])]
    recipe = override(recipe, changes).model_copy(update={"expect": recipe.expect})
    finished = there(recipe, asked, name)
    if finished is not None:
        return finished
    folder = run_folder(recipe, asked.runs, name)
    if (folder / RECIPE_FILE).exists():
        return resume(folder, device=asked.device, watchers=asked.watchers)
    return train(recipe, out=folder, device=asked.device, watchers=asked.watchers)


def there(recipe: Recipe, asked: Asked, name: str) -> Run | None:
    """The finished run of `recipe` in the folder asked for; None where there is none."""
    folder = run_folder(recipe, asked.runs, name)
    if not (folder / RECIPE_FILE).exists():
        return None
    run = open_run(folder)
    return run if "result" in run.facts() else None


def right(run: Run, asked: Asked) -> Tensor:
    """(n,) bool: which test pictures a finished run gets right."""
    found = open_trained(run)
    return collect(found, dataset_of(found).split("test"), "test", find(asked.device, "float32").device).right


def share(right: Tensor) -> str:
    """The share of (n,) pictures that are right, with its interval, in words."""
    return percent(float(right.float().mean()), wilson(int(right.sum()), len(right)))


def course(run: Run) -> list[tuple[float, float]]:
    """(epoch, accuracy of the watched pictures) as it was trained; empty where nothing was watched."""
    lines = [line for line in run.metrics() if line.get("val_accuracy") is not None]
    return [(float(line["epoch"]), float(line["val_accuracy"])) for line in lines]


def epoch_seconds(run: Run) -> float:
    """How long an epoch takes to learn: the middle one after the first, which warms things up."""
    return statistics.median(float(line["seconds"]) for line in run.metrics()[1:])


def run_folder(recipe: Recipe, runs: Path, name: str) -> Path:
    """Where a run of `recipe` is kept: its name, its seed and what decides it. Another recipe has another
    folder.
    """
    return runs / f"{name}-seed{recipe.seed}-{decided(recipe)[:8]}"


def decided(recipe: Recipe) -> str:
    """The identity that a run of `recipe` has: of the network as it is for the data set's pictures."""
    row = DATASETS[recipe.data.name]
    return recipe.model_copy(update={"model": resolved(recipe.model, row.shape)}).identity


def _measured(run: Run, split: Split, device: str) -> tuple[int, int]:
    """How many pictures of the split are right, and of how many."""
    if split == "test":
        result = run.facts()["result"]
        return round(result["test_accuracy"] * result["test_n"]), result["test_n"]
    if split == "printed":
        n = run.facts()["counts"]["train"]
        return round(run.metrics()[-1]["accuracy"] * n), n
    report: Any = evaluate(run, split=split, device=device)
    return round(report.accuracy * report.n), report.n


def run_facts(run: Run, **more: Any) -> dict[str, Any]:
    """What of a run is kept with a figure, `more` after its seed: enough to say later whether it is the
    same.
    """
    facts = run.facts()
    return {
        "run": run.path.name,
        "seed": run.recipe().seed,
        **more,
        "epochs": facts["result"]["epochs"],
        "seconds": round(facts["seconds"], 1),
        "time": duration(facts["seconds"]),
        "precision": facts["precision"],
        "data_fingerprint": facts["data_fingerprint"],
        "model_sha256": sealed.digest(run.model_file),
    }
