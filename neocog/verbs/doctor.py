"""doctor: what the training doctor found in a run, with the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neocog.errors import UsageError
from neocog.outputs import write_json
from neocog.runs.run import Run, open_run
from neocog.show.words import plural


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a run: each a line of its events.jsonl, without its time. `steps` is how far the
    training came, `watched` whether the doctor stood beside it.
    """

    run: str
    steps: int
    watched: bool
    findings: tuple[Mapping[str, Any], ...]

    def text(self) -> str:
        if not self.watched:
            return f"{self.run}: nobody watched this training (probes are off, or it is older than they are)"
        if not self.findings:
            return f"{self.run}: nothing found in {plural(self.steps, 'step')}"
        return "\n\n".join(_paragraph(finding) for finding in self.findings)

    def json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "steps": self.steps,
            "watched": self.watched,
            "findings": [dict(finding) for finding in self.findings],
        }

    def save(self, path: str | Path) -> None:
        """Write the JSON document to `path`, atomically."""
        write_json(Path(path), self.json())


def doctor(what: str | Path | Run) -> Findings:
    """What the training doctor found in the run `what` so far; it may be under way, done or broken off.

    `UnreadableError` where `what` is no run, `UsageError` for a model file, which has no training to look at.
    """
    if isinstance(what, str | Path) and Path(what).is_file():
        raise UsageError(f"{what} is a file; the doctor looks at the folder of a training: neocog doctor RUN")
    run = what if isinstance(what, Run) else open_run(Path(what))
    watched = run.recipe().probes == "on" and run.events_file.exists()
    found = tuple({k: v for k, v in line.items() if k not in ("time", "event")} for line in run.findings())
    return Findings(str(run.path), run.steps(), watched, found)


def _paragraph(finding: Mapping[str, Any]) -> str:
    """One finding: its sentence, its cure, the numbers behind them."""
    numbers = ", ".join(
        f"{name} {value:.3g}" for name, value in finding["evidence"].items() if value is not None
    )
    lines = (
        f"{finding['name']} (step {finding['step']:,})",
        finding["sentence"],
        finding["cure"],
        f"seen: {numbers}",
    )
    return "\n  ".join(lines)
