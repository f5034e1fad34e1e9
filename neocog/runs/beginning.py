"""The beginning of a run: a folder of its own, claimed and locked before anything is written into it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neocog.errors import UnreadableError, UsageError
from neocog.files import flush_folder
from neocog.pictures.names import some
from neocog.recipes.recipe import Recipe
from neocog.runs.facts import FACTS_FILE
from neocog.runs.lock import LOCK_FILE
from neocog.runs.run import RUNS, WRITTEN, Run


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is to be: the folder `out`, or NAME, NAME-2, ... in NEOCOG_RUNS_DIR, else in runs/."""

    name: str
    out: Path | None = None

    def require_free(self) -> None:
        """`UsageError` where `out` holds a run or files of the names of a run's, or is no folder. Asked
        before the work begins, and again when the folder is locked.
        """
        out = self.out
        if out is None:
            return
        run = Run(out)
        try:
            if out.exists() and not out.is_dir():
                raise UsageError(f"{out} is no folder; choose another --out")
            if run.recipe_file.exists():
                raise UsageError(
                    f"{out} exists already; choose another --out, or go on with: neocog train --resume {out}"
                )
            if run.state_file.exists() or run.model_file.exists():
                raise UsageError(f"{out} holds what is left of a run; choose another --out")
            taken = [name for name in WRITTEN if os.path.lexists(out / name)]
            if not taken and run.facts_file.exists() and not _is_of_a_beginning(run):
                taken = [FACTS_FILE]
            if taken:
                raise UsageError(
                    f"{out} holds {some(taken, 3)}, which a run would write over; choose another --out"
                )
        except OSError as error:
            raise UnreadableError(
                f"cannot use {out}: {error.strerror or error}; choose another --out"
            ) from error

    def require_apart(self, pictures: Path | None) -> None:
        """`UsageError` where `out` lies among the pictures: they are read, never written to."""
        if self.out is None or pictures is None or not pictures.is_dir():
            return
        folder, root = Path(os.path.realpath(self.out)), Path(os.path.realpath(pictures))
        if folder == root or (root in folder.parents and folder.relative_to(root).parts[0] != RUNS):
            raise UsageError(f"--out {self.out} lies among the pictures; choose a folder outside {pictures}")

    @contextlib.contextmanager
    def taken(self) -> Iterator[tuple[Run, tuple[str, ...]]]:
        """Make the folder, lock it, and yield the run with the lock's remarks. Where nothing comes of it, no
        folder is left.
        """
        run, made = self._claimed()
        try:
            with run.alone() as remarks:
                self.require_free()
                yield run, remarks
        finally:
            if made and not run.recipe_file.exists():
                _take_back(run.path)

    def _claimed(self) -> tuple[Run, bool]:
        """The run and whether its folder was made now. Making a numbered folder is the claim to it."""
        folder = self.out if self.out is not None else Path(os.environ.get("NEOCOG_RUNS_DIR", RUNS))
        try:
            if self.out is not None:
                self.require_free()
                there = folder.exists()
                folder.mkdir(parents=True, exist_ok=True)
                flush_folder(folder.parent)
                return Run(folder), not there
            folder.mkdir(parents=True, exist_ok=True)
            number = 1
            while True:
                path = folder / (self.name if number == 1 else f"{self.name}-{number}")
                try:
                    path.mkdir()
                except FileExistsError:
                    number += 1
                    continue
                flush_folder(folder)
                return Run(path), True
        except OSError as error:
            raise UnreadableError(
                f"cannot make the folder {error.filename or folder}: {error.strerror or error}; "
                "choose another --out"
            ) from error


def _is_of_a_beginning(run: Run) -> bool:
    """Whether the facts are those that a kill left before the recipe was there."""
    try:
        run.facts()
    except UnreadableError:
        return False
    return True


def _take_back(folder: Path) -> None:
    """Remove what a beginning that came to nothing has left."""
    with contextlib.suppress(OSError):
        for name in (FACTS_FILE, LOCK_FILE):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def write(run: Run, recipe: Recipe, facts: dict[str, Any]) -> None:
    """Write the facts, then the recipe: with that, and not before, the folder is a run."""
    run.write_facts(facts)
    run.write_recipe(recipe)
