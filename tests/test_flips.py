"""Flipped bits and cuts in every file of a run and of its cache: noticed in one line before a byte is
written, or harmless (the same final bits, metrics and answers). Never a traceback.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import neocog
from neocog import answers, files, sealed
from neocog.errors import Interrupted, NeocogError, UnreadableError, error_line
from neocog.report import page
from neocog.runs.run import Run
from neocog.training import conclusion
from neocog.verbs.list import list_

QUICK = ["epochs=2", "precision=float32", "batch=2"]
TIMED = {"seconds", "pictures_per_second"}
Files = dict[Path, bytes]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Nothing here asks what a power cut leaves, nor for pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(page, "html", lambda subject: "report")
        patch.setattr(conclusion.grids, "grid", lambda *given, **more: b"first batch")
        patch.setattr(conclusion.charts, "training_curves", lambda *given: b"curves")
        yield


def held(*folders: Path) -> Files:
    """Every file below the folders, with its bytes."""
    return {p: p.read_bytes() for folder in folders for p in folder.rglob("*") if p.is_file()}


def put_back(files: Files, *folders: Path) -> None:
    """Make the folders hold these files and no others."""
    for path in set(held(*folders)) - set(files):
        path.unlink()
    for path, data in files.items():
        path.write_bytes(data)


def ended(run: Run) -> dict[str, Any]:
    """What a run came to: its bits, metrics and result."""
    return {
        "model": run.model_file.read_bytes(),
        "state": {name: t.tolist() for name, t in sealed.read(run.state_file)[0].items()},
        "metrics": [{k: v for k, v in m.items() if k not in TIMED} for m in run.metrics()],
        "result": run.facts()["result"],
    }


def answered(run: Run) -> dict[str, Any]:
    """What the verbs say of a finished run; `UnreadableError` where they are silent."""
    row = next(row for row in list_("runs").json() if row["run"] == str(run.path))
    if row["epochs"] is None:
        raise UnreadableError("the list leaves its figures out")
    kept = answers.read(run.path / answers.ANSWERS_FILE)
    return {
        "evaluate": neocog.evaluate(run).json(),
        "predict": neocog.predict(run, split="test").json(),
        "kept": [kept.probabilities.tolist(), kept.truth.tolist(), kept.names],
        "metrics": run.metrics(),
        "result": {name: value for name, value in run.json().items() if name != "run"},
        "list": row,
    }


@dataclass(frozen=True)
class Subject:
    """A run, the folders whose files are damaged, and what is asked of it: `ask` gives `right` where nothing
    is damaged.
    """

    run: Run
    folders: tuple[Path, ...]
    files: Files
    ask: Callable[[Run], dict[str, Any]]
    right: dict[str, Any]


def resumed(run: Run) -> dict[str, Any]:
    return ended(neocog.resume(run.path))


@pytest.fixture(scope="module")
def subjects(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Subject]]:
    """A finished run; one that was stopped in its second epoch, with its decoded pictures; and one that
    borrows the first one's eyes, with their features.
    """
    place = tmp_path_factory.mktemp("flips")
    runs, cache = place / "runs", place / "cache"

    def trained(name: str, steps: int = 0, **how: Any) -> Run:
        count = itertools.count(1)
        try:
            neocog.train(
                tiny / "pictures",
                changes=QUICK,
                out=runs / name,
                stop=lambda: next(count) == steps,
                **how,
            )
        except Interrupted:
            assert steps
        return Run(runs / name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEOCOG_HOME", str(cache))
        patch.setenv("NEOCOG_RUNS_DIR", str(runs))
        done = trained("done", model=tiny / "net.json")
        cut = trained("cut", 6, model=tiny / "net.json")
        lent = trained("lent", 6, start=done.path)
        assert held(cache / "features")
        kinds = [
            (done, (done.path,), answered),
            (cut, (cut.path, cache / "pictures"), resumed),
            (lent, (lent.path, cache / "features"), resumed),
        ]
        found = []
        for run, folders, ask in kinds:
            files = held(*folders)
            found.append(Subject(run, folders, files, ask, ask(run)))
            put_back(files, *folders)
        assert found[1].right == ended(done) | {"result": found[1].right["result"]}
        yield found


def damaged(data: bytes, draw: random.Random) -> bytes:
    """A bit is flipped, half of the time near the beginning; or the end is lost; or bytes become zeros."""
    if not data:
        return b"\xff"
    place = draw.randrange(min(len(data), draw.choice([512, len(data)])))
    kind = draw.random()
    if kind < 0.7:
        return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
    if kind < 0.9:
        return data[:place]
    return data[:place] + bytes(min(64, len(data) - place)) + data[place + 64 :]


def asked(subject: Subject) -> dict[str, Any] | NeocogError:
    """What the damaged subject answers, or how it refuses."""
    try:
        return subject.ask(subject.run)
    except NeocogError as error:
        return error


def check(subjects: list[Subject], count: int, seed: int) -> dict[str, int]:
    """So many damages, drawn from the seed; how many were noticed, and how many harmless."""
    draw = random.Random(seed)
    seen = {"noticed": 0, "harmless": 0}
    for number in range(count):
        subject = draw.choice(subjects)
        path = draw.choice(sorted(subject.files))
        changed = subject.files | {path: damaged(subject.files[path], draw)}
        said = f"seed {seed}, number {number}: {path.relative_to(subject.run.path.parents[1])}"
        put_back(changed, *subject.folders)
        found = asked(subject)
        if isinstance(found, NeocogError):
            assert "\n" not in error_line(found), said
            assert found.exit_code in (2, 3, 4), (said, str(found))
            now = held(*subject.folders)
            assert {p for p in now if now[p] != changed.get(p) and p.name != ".lock"} == set(), said
        else:
            assert found == subject.right, said
        seen["noticed" if isinstance(found, NeocogError) else "harmless"] += 1
        put_back(subject.files, *subject.folders)
    return seen


def test_a_flipped_bit_or_a_cut_is_noticed_or_harmless(subjects: list[Subject]) -> None:
    seen = check(subjects, 60, seed=2)
    assert min(seen.values()) > 5


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_three_thousand_flips_and_cuts(subjects: list[Subject]) -> None:
    seen = check(subjects, 3000, seed=20261126)
    assert min(seen.values()) > 500


def test_every_file_is_damaged_once(subjects: list[Subject]) -> None:
    """The last byte of each file is changed."""
    for subject in subjects:
        for path, data in subject.files.items():
            put_back(subject.files | {path: data[:-1] + bytes([data[-1] ^ 4])}, *subject.folders)
            found = asked(subject)
            assert isinstance(found, NeocogError) or found == subject.right, path
        put_back(subject.files, *subject.folders)


def test_what_a_kill_left_in_the_cache_goes_after_a_day(tiny: Path, tmp_path: Path) -> None:
    """Not before: another process may be writing it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEOCOG_HOME", str(tmp_path))
        pictures = tmp_path / "pictures"
        pictures.mkdir()
        for name, age in ((".old.u8.x.part", 2 * files.DAY), (".new.u8.y.part", 60.0)):
            (pictures / name).write_bytes(b"half")
            os.utime(pictures / name, (time.time() - age,) * 2)
        neocog.look(tiny / "pictures")
    assert [path.name for path in pictures.glob(".*")] == [".new.u8.y.part"]
    assert len(list(pictures.glob("*.u8"))) == 1


def test_an_archive_half_unpacked_by_a_kill_goes_after_a_day(tiny: Path, tmp_path: Path) -> None:
    """Not where anything below was written since; and nothing that a link in there leads to."""
    packed = shutil.make_archive(str(tmp_path / "photos"), "zip", tiny / "pictures")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept.txt").write_text("mine")
    long_ago = (time.time() - 2 * files.DAY,) * 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEOCOG_HOME", str(tmp_path / "cache"))
        unpacked = tmp_path / "cache" / "unpacked"
        for name in (".left.1.part", ".under-way.2.part"):
            (unpacked / name / "a").mkdir(parents=True)
            (unpacked / name / "a" / "0.png").write_bytes(b"half")
            for path in (unpacked / name / "a" / "0.png", unpacked / name / "a", unpacked / name):
                os.utime(path, long_ago)
        (unpacked / ".left.1.part" / "link").symlink_to(elsewhere, target_is_directory=True)
        os.utime(unpacked / ".left.1.part" / "link", long_ago, follow_symlinks=False)
        os.utime(unpacked / ".left.1.part", long_ago)
        os.utime(unpacked / ".under-way.2.part" / "a" / "0.png")
        neocog.look(packed)
    assert [path.name for path in unpacked.glob(".*")] == [".under-way.2.part"]
    assert len([path for path in unpacked.iterdir() if not path.name.startswith(".")]) == 1
    assert (elsewhere / "kept.txt").read_text() == "mine"
