"""Run: the folder of one training, and its files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neocog import sealed
from neocog.errors import UnreadableError, UsageError
from neocog.files import append, read_json, sweep, write_bytes, write_json
from neocog.model import MODEL_FILE, Trained
from neocog.recipes.recipe import Recipe, from_json
from neocog.runs import facts as facts_file
from neocog.runs import findings, lock, metrics, state
from neocog.runs.state import Live, Saved
from neocog.show.words import duration, percent, plural

RUNS = "runs"
RECIPE_FILE = "recipe.json"
WRITTEN = (
    "model.safetensors", "model.json", "last.safetensors", "metrics.jsonl", "events.jsonl", "status.json",
    "first_batch.png", "curves.png", "report.html", "answers.safetensors",
)  # fmt: skip
"""Every file that a training writes once its folder is a run, that is, after facts.json and recipe.json."""
UNREPORTED = "unreported"
"""In the facts while a result is there and its report is not yet."""


@dataclass(frozen=True, slots=True)
class Run:
    """A folder: `recipe.json` (asked), `facts.json` (happened), `metrics.jsonl`, `status.json`,
    `last.safetensors` (full state), `model.safetensors` (best), `model.json`, and pictures.
    """

    path: Path

    @property
    def recipe_file(self) -> Path:
        return self.path / RECIPE_FILE

    @property
    def facts_file(self) -> Path:
        return self.path / facts_file.FACTS_FILE

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def state_file(self) -> Path:
        return self.path / "last.safetensors"

    @property
    def model_file(self) -> Path:
        return self.path / MODEL_FILE

    @property
    def curves_file(self) -> Path:
        return self.path / "curves.png"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def anew(self) -> str:
        """How a training by the same recipe is begun, where this one cannot go on."""
        return f"begin a new run: neocog train {self.recipe_file}"

    def concluded(self) -> bool:
        """Whether everything is there that the end of a training leaves behind."""
        return all(path.exists() for path in (self.model_file, self.curves_file, self.report_file))

    def json(self) -> dict[str, Any]:
        """What a training came to: run, epochs, seconds, test_accuracy (None without a test split)."""
        facts = self.facts()
        result = facts.get("result", {})
        return {
            "run": str(self.path),
            "epochs": result.get("epochs", len(self.metrics())),
            "seconds": facts.get("seconds", 0.0),
            "test_accuracy": result.get("test_accuracy"),
        }

    def text(self) -> str:
        result, figures = self.facts().get("result", {}), self.json()
        reason = result.get("reason", "not finished")
        lines = [
            f"{self.path}: {plural(figures['epochs'], 'epoch')} in {duration(figures['seconds'])} ({reason})"
        ]
        if result.get("test_accuracy") is not None:
            low, high = result["test_interval"]
            lines.append(
                f"test accuracy {percent(result['test_accuracy'])} [{percent(low)}, {percent(high)}] "
                f"on {result['test_n']:,} pictures"
            )
        if result.get("test_psnr") is not None:
            lines.append(
                f"test pictures {result['test_psnr']:.2f} dB, SSIM {result['test_ssim']:.4f}; as damaged "
                f"{result['test_damaged_psnr']:.2f} dB, {result['test_damaged_ssim']:.4f} "
                f"({result['test_n']:,} pictures)"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The result and the curves, for notebooks."""
        from neocog.show import charts, markup

        curves = markup.image(charts.training_curves(self.metrics()), alt="loss and accuracy over epochs")
        return f"<pre>{markup.text(self.text())}</pre>{curves}"

    def recipe(self) -> Recipe:
        try:
            return from_json(read_json(self.recipe_file), within=str(self.recipe_file))
        except (UnreadableError, UsageError) as error:
            raise type(error)(f"{error}; put it back, and give changes with --set FIELD=VALUE") from error

    def facts(self) -> dict[str, Any]:
        if not self.facts_file.exists():
            raise UnreadableError(f"{self.facts_file} is missing; restore it, or {self.anew}")
        return facts_file.read(self.facts_file)

    def metrics(self) -> list[dict[str, Any]]:
        """One dictionary per epoch; a last line that a kill cut off is left out. `UnreadableError` where the
        file is not what the saved state says that it was.
        """
        kept = None
        with contextlib.suppress(UnreadableError):  # no state, or a damaged one, says nothing
            kept = self.saved().get("metrics")  # read first: a training appends before it saves
        return metrics.epochs(self.metrics_file, kept if isinstance(kept, str) else "")

    def write_recipe(self, recipe: Recipe) -> None:
        self._require(self.path.is_dir())
        write_json(self.recipe_file, recipe.json())

    def write_facts(self, facts: dict[str, Any]) -> None:
        self._require(self.path.is_dir())
        facts_file.write(self.facts_file, facts)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder, atomically."""
        self.require()
        write_bytes(self.path / name, data)

    def append(self, name: str, line: str) -> None:
        """Add a line to a file of the folder, whole or not at all; what the state relies on is flushed."""
        self.require()
        relied_on = name == self.metrics_file.name
        append(self.path / name, line + "\n", flushed="to the disk" if relied_on else "to the system")

    def require(self) -> None:
        """`UnreadableError` where the folder is gone, or what made it a run: it is never made anew under a
        training.
        """
        self._require(self.recipe_file.exists())

    def _require(self, there: bool) -> None:
        if not there:
            raise UnreadableError(
                f"the folder {self.path} was emptied, removed or renamed while the training ran; "
                "go on where it is now with --resume, or begin again"
            )

    def steps(self) -> int:
        """How many steps are done, as status.json says, else the state; 0 where neither does."""
        found: Any = None
        with contextlib.suppress(UnreadableError):
            found = read_json(self.path / "status.json")
        step = found.get("step") if isinstance(found, dict) else None
        if not isinstance(step, int):
            step = self.saved()["step"] if self.state_file.exists() else 0
        return int(step)

    def findings(self) -> list[dict[str, Any]]:
        """What the training doctor found, each once, in order."""
        return findings.read(self.events_file)

    @contextlib.contextmanager
    def alone(self) -> Iterator[tuple[str, ...]]:
        """Hold the folder's lock; a second training in the same folder is refused. Yields remarks."""
        with lock.held(self.path) as remarks:
            sweep(self.path, of=(facts_file.FACTS_FILE, RECIPE_FILE, *WRITTEN))
            yield remarks

    def save(self, live: Live, recipe: Recipe) -> None:
        """Write the full state, atomically, with what metrics.jsonl holds."""
        self.require()
        state.write(self.state_file, live, recipe=recipe, metrics=metrics.text(self.metrics_file))

    def saved(self) -> dict[str, Any]:
        """What the state file says of itself: step, best epoch, whether the training is finished."""
        return sealed.document(self.state_file)

    def saved_state(self) -> Saved | None:
        """The state file, read and checked; None before the first save."""
        return state.read(self.state_file) if self.state_file.exists() else None


def run_of(trained: Trained) -> Run | None:
    """The run whose model file `trained` was read from; None for a model file on its own."""
    if trained.path is None or not (trained.path.parent / RECIPE_FILE).exists():
        return None
    return Run(trained.path.parent)


def open_run(path: Path) -> Run:
    """The run in the folder `path`."""
    run = Run(path)
    if run.recipe_file.exists():
        return run
    if run.facts_file.exists():
        begun, command = run.state_file.exists(), run.facts().get("command", "neocog train ...")
        raise UnreadableError(
            f"{run.recipe_file} is missing; restore it, or begin a new run: {command}"
            if begun
            else f"{path} is no run yet: its training was stopped before it began; "
            f"begin it again: {command} --out {path}"
        )
    if path.is_file() and (path.parent / RECIPE_FILE).exists():
        raise UnreadableError(f"{path} is a file of a run; give its folder: {path.parent}")
    what = f"it holds no {RECIPE_FILE}" if path.exists() else "there is no such folder"
    raise UnreadableError(f"{path} is no run: {what}; those that there are: neocog list runs")
