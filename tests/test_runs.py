"""A run cannot be lost or falsified: nothing is written before everything is checked, every beginning and
ending can be taken up again, and what was changed behind its back is noticed.
"""

from __future__ import annotations

import ast
import errno
import itertools
import json
import os
import re
import shutil
import socket
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

import neocog
from neocog import files, sealed
from neocog.cli import run as command
from neocog.data.batches import cuts
from neocog.data.own import open_own
from neocog.errors import CheckFailed, Interrupted, NeocogError, OutOfMemory, UnreadableError, UsageError
from neocog.events import Event, Finished, Started, Step
from neocog.recipes.recipe import Recipe
from neocog.report import page
from neocog.runs import lock, state
from neocog.runs.beginning import Place
from neocog.runs.run import WRITTEN, Run, open_run
from neocog.training import conclusion, driving, loop, saving
from neocog.training.resuming import COMING
from neocog.verbs.list import list_

QUICK = ["epochs=2", "optim.schedule=constant", "data.limit=320", "precision=float32", "model.name=m8"]
PICTURES = 320
PACKAGE = Path(neocog.__file__).parent


class Stop(Exception):
    """The kill of these tests: nothing after it runs."""


@pytest.fixture(autouse=True)
def _plain_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures and reports in a word: they are tested elsewhere, and take longer than these trainings."""

    monkeypatch.setattr(page, "html", lambda subject: "report")
    monkeypatch.setattr(conclusion.grids, "grid", lambda *given, **more: b"first batch")
    monkeypatch.setattr(conclusion.charts, "training_curves", lambda *given: b"curves")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs, done; nobody may change it."""
    return neocog.train("digits", changes=QUICK, out=tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Stopped by a signal's wish after 4 of the second epoch's 10 steps; nobody may change it."""
    out = tmp_path_factory.mktemp("runs") / "under_way"
    steps = itertools.count(1)
    with pytest.raises(Interrupted):
        neocog.train("digits", changes=QUICK, out=out, stop=lambda: next(steps) == 14)
    return Run(out)


@pytest.fixture
def done(finished: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(finished.path, tmp_path / "done"))


@pytest.fixture
def cut(under_way: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(under_way.path, tmp_path / "cut"))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the lock, whose content says who held it last."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.name != ".lock"}


def same(run: Run, other: Run) -> bool:
    """The same bits: the model file, and every tensor of the state."""
    ours, theirs = sealed.read(run.state_file)[0], sealed.read(other.state_file)[0]
    alike = all(torch.equal(ours[name], theirs[name]) for name in ours.keys() | theirs.keys())
    timed = {"seconds", "pictures_per_second"}
    figures = [[{k: v for k, v in m.items() if k not in timed} for m in r.metrics()] for r in (run, other)]
    return alike and figures[0] == figures[1] and run.model_file.read_bytes() == other.model_file.read_bytes()


# --- 1: nothing is written before the lock is held and everything is checked ------------------------


REFUSED: list[dict[str, object]] = [
    {"epochs": 99, "changes": ["optim.lr=0.5", "data.held_out=0.3"]},
    {"epochs": 1},
    {"changes": ["preprocess.size=[16,16]"]},
    {"changes": ["model.name=m1"]},
    {"changes": ["seed=3"]},
    {"changes": ["order=as given"]},
    {"changes": ["balance=sampler"]},
    {"changes": ["optim.nothing=3"]},
    {"data": "no-such-folder"},
    {"device": "cuda:7"},
]


@pytest.mark.parametrize("asked", REFUSED, ids=str)
def test_a_refused_resume_changes_no_byte(cut: Run, asked: dict[str, object]) -> None:
    before = contents(cut.path)
    with pytest.raises(NeocogError):
        neocog.resume(cut.path, **asked)  # type: ignore[arg-type]
    assert contents(cut.path) == before


def test_a_resume_beside_a_training_changes_no_byte(cut: Run) -> None:
    before = contents(cut.path)
    with cut.alone(), pytest.raises(UsageError, match=rf"another process is training.*process {os.getpid()}"):
        neocog.resume(cut.path, epochs=99, changes=["optim.lr=0.5"])
    assert contents(cut.path) == before


@pytest.mark.parametrize("fate", ["cut off", "removed"])
def test_a_resume_without_the_best_network_changes_no_byte(cut: Run, fate: str) -> None:
    """No later epoch need be better, and then there would be none to ship."""
    whole = cut.model_file.read_bytes()
    cut.model_file.unlink()
    if fate == "cut off":
        cut.model_file.write_bytes(whole[:-40])
    before = contents(cut.path)
    with pytest.raises(UnreadableError, match=r"model\.safetensors.*the network of epoch 1.*restore it"):
        neocog.resume(cut.path, epochs=3)
    assert contents(cut.path) == before


@pytest.mark.parametrize("left", ["finished", "cut", "cut, without its metrics"])
def test_a_resume_without_the_state_is_no_new_beginning(done: Run, cut: Run, left: str) -> None:
    """It would write over all that was learnt."""
    run = done if left == "finished" else cut
    run.state_file.unlink()
    if "without" in left:
        run.metrics_file.unlink()
    before = contents(run.path)
    with pytest.raises(
        UnreadableError, match=r"last\.safetensors is missing.*restore it.*neocog train .*json"
    ):
        neocog.resume(run.path, epochs=3)
    assert contents(run.path) == before


@pytest.mark.parametrize("name", ["recipe.json", "facts.json"])
def test_a_resume_without_a_file_says_which_and_what_to_do(cut: Run, name: str) -> None:
    (cut.path / name).unlink()
    with pytest.raises(
        UnreadableError, match=rf"cut/{name} is missing; restore it, or begin a new run: neocog"
    ):
        neocog.resume(cut.path, epochs=3)


@pytest.mark.parametrize("name", ["last.safetensors", "recipe.json", "facts.json"])
def test_a_resume_from_a_damaged_file_changes_no_byte(cut: Run, name: str) -> None:
    path = cut.path / name
    path.write_bytes(path.read_bytes()[:-40])
    before = contents(cut.path)
    with pytest.raises(UnreadableError, match=name):
        neocog.resume(cut.path, epochs=3, changes=["optim.lr=0.5"])
    assert contents(cut.path) == before


def test_the_conclusion_runs_inside_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def held(run: Run) -> None:
        with pytest.raises(UsageError, match="another process"), run.alone():
            pass
        seen.append(run)

    def conclude(*given: object) -> None:
        held(given[1])  # type: ignore[arg-type]

    monkeypatch.setattr(driving, "conclude", conclude)
    neocog.train("digits", changes=[*QUICK, "epochs=1"], out=tmp_path / "a")
    assert len(seen) == 1


def test_of_two_trainings_into_one_folder_one_wins_whole(tmp_path: Path) -> None:
    """The second comes when the first has the folder and has written nothing into it yet."""
    out = tmp_path / "a"
    with Place("a", out).taken(), pytest.raises(UsageError, match="another process"):
        neocog.train("digits", changes=QUICK, out=out)
    assert not out.exists(), "a beginning that comes to nothing leaves no folder"
    run = neocog.train("digits", changes=[*QUICK, "epochs=1"], out=out)
    before = contents(out)
    with pytest.raises(UsageError, match="exists already"):
        neocog.train("digits", changes=QUICK, out=out)
    assert contents(out) == before
    assert run.facts()["result"]["epochs"] == 1


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", refuse)
    with lock.held(tmp_path) as remarks:
        assert "without locks" in remarks[0]
    run = neocog.train("digits", changes=[*QUICK, "epochs=1"], out=tmp_path / "a")
    assert any("without locks" in remark for remark in run.facts()["remarks"])


def test_the_lock_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its module in a stand-in: a byte that nobody reads is locked, and a locked one is another's."""
    locked: set[tuple[int, int]] = set()

    def locking(handle: int, mode: int, count: int) -> None:
        place = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR))
        if place in locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        locked.add(place)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
    with lock.held(tmp_path):
        assert {offset for _, offset in locked} == {lock.FAR}
        with pytest.raises(UsageError, match="another process"), lock.held(tmp_path):
            pass


def test_a_lock_whose_file_was_replaced_binds_nobody(tmp_path: Path) -> None:
    with lock.held(tmp_path):
        os.unlink(tmp_path / ".lock")
        with lock.held(tmp_path), pytest.raises(UsageError), lock.held(tmp_path):
            pass


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="counts this process's open files")
def test_a_lock_says_who_holds_it_and_leaves_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened() -> int:
        return len(os.listdir("/dev/fd"))

    before, who = opened(), f"process {os.getpid()} on {socket.gethostname()}"
    with lock.held(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{who}\n"
        with pytest.raises(UsageError, match=re.escape(f"({who})")), lock.held(tmp_path):
            pass
        assert opened() == before + 1
    assert opened() == before
    answers = iter([False, True])  # the file was replaced, once
    monkeypatch.setattr(lock, "_is", lambda handle, path: next(answers))
    with lock.held(tmp_path):
        assert opened() == before + 1
    monkeypatch.undo()
    with (tmp_path / "one").open("w") as one:
        assert lock._is(one.fileno(), tmp_path / "one")
        (tmp_path / "other").touch()
        assert not lock._is(one.fileno(), tmp_path / "other")
        assert not lock._is(one.fileno(), tmp_path / "gone")
    with (
        pytest.raises(UnreadableError, match=r"cannot write in .*one: .*make room"),
        lock.held(tmp_path / "one"),
    ):
        pass
    monkeypatch.setattr(lock, "_is", lambda handle, path: 1 / 0)
    with pytest.raises(ZeroDivisionError), lock.held(tmp_path):
        pass
    assert opened() == before


def test_nothing_that_one_system_lacks_is_imported_at_the_top() -> None:
    lacking = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "msvcrt", "winreg"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                assert not lacking & {alias.name for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in lacking, path


# --- 2: a changed recipe is carried out right ---------------------------------------------------------


def resumed(run: Run, *changes: str, epochs: int | None = None) -> list[Event]:
    """The events of the resume; every epoch in it is checked to take every picture once."""
    seen: list[Event] = []
    neocog.resume(run.path, epochs=epochs, changes=changes, watchers=[lambda run: seen.append])
    steps = [event for event in seen if isinstance(event, Step)]
    for epoch in {event.epoch for event in steps}:
        assert [event.pictures for event in steps if event.epoch == epoch][-1] == PICTURES
    total = run.recipe().epochs
    assert [m["epoch"] for m in run.metrics()] == list(range(1, total + 1))
    assert run.facts()["result"]["epochs"] == total
    assert run.facts()["recipe_identity"] == run.recipe().identity
    return seen


def remarks(events: list[Event]) -> str:
    assert isinstance(events[0], Started)
    return " ".join(events[0].remarks)


@pytest.mark.parametrize("batch", [7, 16, 64, 100, 319, 1000])
def test_another_batch_size_changes_steps_and_not_pictures(cut: Run, batch: int) -> None:
    """After 4 steps of 32 in the second epoch: 128 pictures are taken."""
    events = resumed(cut, f"batch={batch}", epochs=3)
    steps = [event for event in events if isinstance(event, Step)]
    assert isinstance(events[0], Started)
    assert steps[-1].step == events[0].steps
    assert steps[0].pictures == 128 + min(batch, 192) + (192 - batch == 1)
    assert sum(event.epoch == 2 for event in steps) == len(cuts(192, batch))
    assert sum(event.epoch == 3 for event in steps) == len(cuts(PICTURES, batch))
    assert f"batch is {batch} in place of 32" in remarks(events)


def test_a_finished_run_takes_another_batch_size(done: Run) -> None:
    events = resumed(done, "batch=16", epochs=4)
    assert sum(isinstance(event, Step) for event in events) == 40
    assert done.metrics()[-1]["step"] == 60


def test_a_batch_size_changed_and_changed_back_and_cut_again_ends_the_same(cut: Run, tmp_path: Path) -> None:
    """Where an epoch is cut again after its batch size changed, the rest is cut alike."""
    other = Run(shutil.copytree(cut.path, tmp_path / "other"))
    resumed(cut, "batch=20")
    for after in (2, 5):
        steps = itertools.count(1)
        with pytest.raises(Interrupted):
            neocog.resume(other.path, changes=["batch=20"], stop=lambda: next(steps) == after)  # noqa: B023
    neocog.resume(other.path)
    assert same(cut, other)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("adam", "optim.kind=rmsprop", "without memory"),
        ("adam", "optim.kind=adamw", "kind is adamw"),
        ("adam", "optim.kind=sgd", "without memory"),
        ("adam", "optim.weight_decay=0.1", "weight_decay is 0.1"),
        ("adam", 'optim.rates={"features":0.1}', "rates"),
        ("nesterov", "optim.kind=momentum", "kind is momentum"),
        ("nesterov", "optim.kind=adadelta", "without memory"),
        ("momentum", "optim.momentum=0.5", "momentum is 0.5"),
    ],
)
def test_another_optimizer(tmp_path: Path, before: str, after: str, words: str) -> None:
    steps = itertools.count(1)
    with pytest.raises(Interrupted):
        neocog.train(
            "digits",
            changes=[*QUICK, f"optim.kind={before}"],
            out=tmp_path / "a",
            stop=lambda: next(steps) == 3,
        )
    run = Run(tmp_path / "a")
    said = remarks(resumed(run, after))
    assert words in said
    assert ("without memory" in said) == (words == "without memory")


@pytest.mark.parametrize("change", ["optim.weight_decay=0.1", "optim.kind=adamw", 'optim.rates={"head":0.5}'])
def test_each_weight_keeps_its_own_memory(cut: Run, change: str) -> None:
    """Other groups count the parameters in another order: torch knows them by their numbers alone."""
    before = sealed.read(cut.state_file)[0]
    names = [n.removeprefix("network/") for n in before if n.startswith("network/")]
    shapes = {n: before[f"network/{n}"].shape for n in names}
    seen: list[object] = []

    def look(self: loop.Training, run: Run, *, stop: object, live: loop.Live) -> Iterator[Event]:
        places = {id(p): n for n, p in live.network.named_parameters()}
        for p, memory in live.optimizer.inner.state.items():
            assert memory["exp_avg"].shape == shapes[places[id(p)]]
            number = [n for n, _ in live.network.named_parameters()].index(places[id(p)])
            assert torch.equal(memory["exp_avg"], before[f"optimizer/{number}/exp_avg"])
            seen.append(p)
        raise Stop
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Training, "events", look)
        with pytest.raises(Stop):
            neocog.resume(cut.path, changes=[change])
    assert len(seen) == len(names)


def test_a_running_mean_begins_changes_and_ends(cut: Run) -> None:
    assert "running mean of the weights begins here" in remarks(resumed(cut, "average=0.9", epochs=3))
    assert "average is 0.5 in place of 0.9" in remarks(resumed(cut, "average=0.5", epochs=4))
    assert "is given up" in remarks(resumed(cut, "average=0", epochs=5))
    network = {n: t for n, t in sealed.read(cut.state_file)[0].items() if n.startswith("network/")}
    assert all("average" not in n for n in sealed.read(cut.state_file)[0])
    assert network


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["preprocess.size=[16,16]"], "preprocess.size cannot change"),
        (["model.name=m1"], "model.name cannot change"),
        (["data.limit=300"], "data.limit cannot change"),
        (["seed=1"], "seed cannot change"),
    ],
)
def test_what_cannot_change_says_what_to_do(cut: Run, changes: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=rf"{words}.*begin a new run: neocog train .*recipe.json"):
        neocog.resume(cut.path, changes=changes)


def test_the_advice_of_out_of_memory_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the first batch, and in the middle of the second epoch."""
    monkeypatch.chdir(tmp_path)
    step = loop.Training._step

    def hungry(self: loop.Training, objective, live, x, y, lr):  # type: ignore[no-untyped-def]
        if len(x) > 16 and live.state.step >= first:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return step(self, objective, live, x, y, lr)

    monkeypatch.setattr(loop.Training, "_step", hungry)
    for first, name in ((0, "a"), (14, "b")):  # noqa: B007  `hungry` reads it
        with pytest.raises(OutOfMemory) as full:
            neocog.train("digits", changes=QUICK, out=name)
        advice = str(full.value).partition("try: neocog ")[2]
        assert command([*advice.split(), "-q"]) == 0
        assert [m["epoch"] for m in Run(Path(name)).metrics()] == [1, 2]
    capsys.readouterr()


# --- 3: a recipe changed behind the run's back; facts that are true -----------------------------------


@pytest.mark.parametrize(
    "change",
    [
        ('"batch": 32', '"batch": 33'),
        ('"limit": 320', '"limit": 321'),
        ('"kind": "adam"', '"kind": "adamw"'),
        ('"epochs": 2', '"epochs": 3'),
    ],
)
def test_a_recipe_changed_by_hand_is_refused(cut: Run, change: tuple[str, str]) -> None:
    text = cut.recipe_file.read_text()
    if change[0] not in text:
        pytest.skip("the field holds its default, which is not written")
    cut.recipe_file.write_text(text.replace(*change))
    with pytest.raises(CheckFailed, match=r"recipe.json was changed.*--set FIELD=VALUE"):
        neocog.resume(cut.path)


def test_a_title_may_be_changed_by_hand(cut: Run) -> None:
    document = json.loads(cut.recipe_file.read_text())
    cut.recipe_file.write_text(json.dumps({**document, "title": "mine"}))
    neocog.resume(cut.path)
    assert cut.recipe().title == "mine"


def test_a_kill_while_a_changed_recipe_is_written_leaves_a_pair_that_belongs_together(
    cut: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each file that a resume writes: both the old and the changed recipe go on."""
    write = files.write_text
    for kill_at in range(1, 6):
        run = Run(shutil.copytree(cut.path, tmp_path / f"kill{kill_at}"))
        written = itertools.count(1)

        def killed(path: Path, text: str = "") -> None:
            if next(written) >= kill_at:  # noqa: B023
                raise Stop
            write(path, text)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "write_text", killed)
            patch.setattr(page, "html", killed)
            with pytest.raises(Stop):
                neocog.resume(run.path, changes=["optim.lr=0.002", "batch=16"])
        neocog.resume(run.path, changes=["optim.lr=0.002", "batch=16"])
        assert [m["epoch"] for m in run.metrics()] == [1, 2]
        assert run.recipe().batch == 16


@pytest.mark.parametrize("stopped", ["before the recipe", "after it"])
def test_a_change_that_was_not_carried_out_is_not_said_to_be(
    cut: Run, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    """A full disk while a changed recipe is written, then a resume without the change: what facts.json
    says is what recipe.json holds.
    """
    write = Run.write_recipe

    def full(self: Run, recipe: Recipe) -> None:
        if stopped == "after it":
            write(self, recipe)
        raise UnreadableError("No space left on device")

    before = cut.facts()
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_recipe", full)
        with pytest.raises(UnreadableError, match="No space"):
            neocog.resume(cut.path, changes=["batch=16"])
    assert {name: value for name, value in cut.facts().items() if name != COMING} == before
    neocog.resume(cut.path)
    carried_out = stopped == "after it"
    facts = cut.facts()
    assert cut.recipe().batch == (16 if carried_out else 32)
    assert ("--set batch=16" in facts["command"]) == carried_out
    assert any("batch is 16" in remark for remark in facts["remarks"]) == carried_out
    assert facts["recipe_identity"] == cut.recipe().identity
    assert COMING not in facts


@pytest.mark.parametrize(
    ("damage", "words"),
    [(b"", "not a JSON document"), (b"{}\n junk", "not a JSON document"), (b'{"more": 1}', "recipe.json: ")],
)
def test_a_recipe_that_is_none_is_to_be_put_back(cut: Run, damage: bytes, words: str) -> None:
    cut.recipe_file.write_bytes(damage)
    before = contents(cut.path)
    with pytest.raises(NeocogError, match=rf"{words}.*put it back, and give changes with --set"):
        neocog.resume(cut.path)
    assert contents(cut.path) == before


def test_facts_that_are_none_tell_nobody_where_the_pictures_are(tmp_path: Path) -> None:
    run = neocog.train(
        photos(tmp_path / "here"),
        start="nothing",
        changes=["epochs=1", "preprocess.size=[16,16]", "batch=2"],
        out=tmp_path / "run",
    )
    for facts in (b"[]", b"", b'{"where": "/tmp"}', b'{"where": 5}'):
        run.facts_file.write_bytes(facts)
        with pytest.raises(UnreadableError, match=r"facts\.json"):
            neocog.evaluate(run)
    assert neocog.evaluate(run, data=tmp_path / "here").n > 0


def test_a_place_that_is_none_is_said_in_one_line(cut: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures' place with a data set's name, where there is no such folder; and the run's."""
    monkeypatch.chdir(cut.path)
    with pytest.raises(UnreadableError) as said:
        open_own(Path("mnist"))
    assert "mnist does not exist" in str(said.value)
    assert "\n" not in str(said.value)
    assert "lies here" not in str(said.value)
    for given, words in (("recipe.json", "is a file of a run; give its folder"), ("x", "is no such folder")):
        with pytest.raises(UnreadableError, match=words):
            neocog.resume(cut.path / given)


def photos(folder: Path) -> Path:
    for number in range(6):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (40 * number, 30, 90)).save(path)
    return folder


def test_facts_say_what_is_true_after_changes_and_after_the_pictures_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = neocog.train(
        photos(tmp_path / "here"),
        start="nothing",
        changes=["epochs=1", "preprocess.size=[16,16]", "batch=2"],
        out="run",
    )
    assert neocog.evaluate(run).n > 0
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(UnreadableError):
        neocog.evaluate(run)
    neocog.resume(run.path, epochs=2, data="there", changes=["optim.lr=0.0001"])
    facts = run.facts()
    assert facts["where"] == str(tmp_path / "there")
    assert facts["recipe_identity"] == run.recipe().identity
    assert "--resume run --epochs 2 --set optim.lr=0.0001 --data there" in facts["command"]
    assert any("optim.lr is 0.0001" in remark for remark in facts["remarks"])
    assert neocog.evaluate(run).n > 0, "the pictures are found where they are now"


# --- 4: metrics.jsonl ------------------------------------------------------------------------------


def test_a_kill_before_the_first_state_doubles_no_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: Run, *given: object) -> None:
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", killed)
        with pytest.raises(Stop):
            neocog.train("digits", changes=QUICK, out=tmp_path / "a")
    run = Run(tmp_path / "a")
    assert len(run.metrics()) == 1
    neocog.resume(run.path)
    assert [m["epoch"] for m in run.metrics()] == [1, 2]
    assert run.json()["epochs"] == 2


@pytest.mark.parametrize(
    "damage",
    ["emptied", "zeroed", "gone", "cut", "changed", "no text", "longer", "of another run", "by an editor"],
)
def test_metrics_that_a_power_cut_damaged_are_brought_back(cut: Run, finished: Run, damage: str) -> None:
    path, good = cut.metrics_file, cut.metrics_file.read_bytes()
    bad = {
        "emptied": b"",
        "zeroed": bytes(len(good)),
        "cut": good[:-9],
        "changed": good.replace(b'"epoch": 1', b'"epoch": 7'),
        "no text": b"\xff" * len(good),
        "of another run": good.replace(b'"loss": ', b'"loss": 1'),
        "by an editor": b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n"),
        "longer": good + good + b'{"epoch": 3',
    }
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(bad[damage])
    seen = resumed(cut)
    assert ("brought back" in remarks(seen)) == (damage != "longer")
    assert same(cut, finished)


@pytest.mark.parametrize("damage", ["another figure", "a line lost", "gone", "by an editor", "turned around"])
def test_damaged_metrics_of_a_finished_run_are_noticed_and_mended(
    done: Run, finished: Run, damage: str
) -> None:
    path, good = done.metrics_file, done.metrics_file.read_bytes()
    bad = {
        "another figure": good.replace(b'"step": 1', b'"step": 7', 1),
        "a line lost": good[: good.find(b"\n") + 1],
        "by an editor": good.replace(b"\n", b"\r\n"),
        "turned around": b"".join(reversed(good.splitlines(keepends=True))),
    }
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(bad[damage])
    with pytest.raises(UnreadableError, match=r"line [12] is damaged.*--resume"):
        done.metrics()
    assert "brought back" in remarks(resumed(done))
    assert same(done, finished)
    assert done.facts()["result"] == finished.facts()["result"]
    with pytest.raises(UsageError, match="is finished"):
        neocog.resume(done.path)


@pytest.mark.parametrize("damage", [b"", b"\0" * 400, b'{"epoch": 1}\n'])
def test_a_state_of_an_older_version_asks_for_its_metrics(cut: Run, damage: bytes) -> None:
    """It knows their length only."""
    tensors, document = sealed.read(cut.state_file)
    older = {name: value for name, value in document.items() if name not in ("metrics", "recipe")}
    sealed.write(cut.state_file, tensors, older)
    good = cut.metrics_file.read_bytes()
    cut.metrics_file.write_bytes(damage)
    with pytest.raises(UnreadableError, match=r"metrics.jsonl"):
        neocog.resume(cut.path)
    cut.metrics_file.write_bytes(good)
    neocog.resume(cut.path, changes=["batch=16"])
    assert [m["epoch"] for m in cut.metrics()] == [1, 2]


def test_a_kill_between_a_later_epoch_and_its_state_doubles_no_epoch(
    tmp_path: Path, finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its line is there, and the state knows of the epoch before only."""
    saves, save = itertools.count(1), Run.save

    def killed(self: Run, *given: object) -> None:
        if next(saves) == 2:
            raise Stop
        save(self, *given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", killed)
        patch.setattr(saving, "SAVE_SHARE", float("inf"))
        with pytest.raises(Stop):
            neocog.train("digits", changes=QUICK, out=tmp_path / "a")
    run = Run(tmp_path / "a")
    assert (len(run.metrics()), run.saved()["epoch"]) == (2, 1)
    resumed(run)
    assert same(run, finished)


@pytest.mark.parametrize("damage", [b"", bytes(700), b"\xff\n[[[[", b"[]\n5\n"])
def test_what_a_power_cut_leaves_of_status_and_events_stops_nothing(
    cut: Run, finished: Run, damage: bytes
) -> None:
    """They are for who watches; nothing relies on them."""
    for path in (cut.events_file, cut.path / "status.json"):
        path.write_bytes(damage)
    assert cut.steps() == cut.saved()["step"]
    assert cut.findings() == []
    resumed(cut)
    assert same(cut, finished)
    assert cut.steps() == 20


BAD: dict[str, dict[str, bytes]] = {
    "line": {"metrics.jsonl": b"{\n", "facts.json": b"{}"},
    "result": {"facts.json": b'{"result": 5}'},
    "facts": {"facts.json": b"[]"},
    "recipe": {"recipe.json": b"\xff\xfe"},
    "deep": {"facts.json": b"[" * 100_000},
    "zeros": {"facts.json": bytes(500), "recipe.json": bytes(300)},
    "numbers": {"metrics.jsonl": b'{"epoch": 1e999}\n' * 3, "facts.json": b"1e999"},
    "epochs": {"metrics.jsonl": b'{"epoch": "two"}\n', "last.safetensors": b""},
    "state": {"metrics.jsonl": b"[" * 100_000 + b"\n", "last.safetensors": bytes(64)},
}


@pytest.mark.parametrize("bad", BAD)
def test_one_damaged_run_hides_no_other(done: Run, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    other = shutil.copytree(done.path, done.path.parent / "other")
    for name, data in BAD[bad].items():
        (other / name).write_bytes(data)
    monkeypatch.setenv("NEOCOG_RUNS_DIR", str(done.path.parent))
    rows = {Path(row["run"]).name: row for row in list_("runs").json()}
    assert rows["done"]["test_accuracy"] == done.json()["test_accuracy"]
    assert rows["other"]["test_accuracy"] is None
    with pytest.raises(NeocogError):
        neocog.resume(other, epochs=3)


# --- 5: beginnings and endings are taken up again -----------------------------------------------------


ENDINGS = ["curves.png", "answers.safetensors", "result", "report.html", "facts.json"]


@pytest.mark.parametrize("until", ENDINGS)
def test_an_ending_that_was_cut_off_is_taken_up_again(
    tmp_path: Path, finished: Run, monkeypatch: pytest.MonkeyPatch, until: str
) -> None:
    """Killed before each of its steps; the last is the facts that say that the report is written."""

    def killed(*given: object, **more: object) -> None:
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        match until:
            case "curves.png":
                patch.setattr(conclusion.charts, "training_curves", killed)
            case "answers.safetensors":
                patch.setattr(conclusion, "keep_answers", killed)
            case "result":
                patch.setattr(conclusion, "note", killed)
            case "report.html":
                patch.setattr(page, "html", killed)
            case "facts.json":
                write = Run.write_facts

                def stop_at_last(self: Run, facts: dict[str, object]) -> None:
                    if self.report_file.exists():
                        raise Stop
                    write(self, facts)

                patch.setattr(Run, "write_facts", stop_at_last)
        with pytest.raises(Stop):
            neocog.train("digits", changes=QUICK, out=tmp_path / "a")
    run = Run(tmp_path / "a")
    neocog.resume(run.path)
    assert same(run, finished)
    assert contents(run.path).keys() == contents(finished.path).keys()
    assert run.facts()["result"] == finished.facts()["result"]
    with pytest.raises(UsageError, match="is finished"):
        neocog.resume(run.path)


@pytest.mark.parametrize("name", ["report.html", "curves.png"])
def test_what_a_finished_run_lost_of_its_ending_is_made_again(done: Run, finished: Run, name: str) -> None:
    (done.path / name).unlink()
    neocog.resume(done.path)
    assert contents(done.path).keys() == contents(finished.path).keys()
    assert same(done, finished)
    assert done.facts()["result"] == finished.facts()["result"]
    with pytest.raises(UsageError, match="is finished"):
        neocog.resume(done.path)


def test_a_beginning_that_was_cut_off_is_begun_again(done: Run, finished: Run) -> None:
    """What a kill after the first file leaves: facts, and no recipe."""
    facts = done.facts_file.read_bytes()
    shutil.rmtree(done.path)
    done.path.mkdir()
    done.facts_file.write_bytes(facts)
    (done.path / ".recipe.json.abc.part").write_bytes(b"{")
    with pytest.raises(UnreadableError, match=r"stopped before it began.*neocog train digits.*--out"):
        neocog.resume(done.path)
    neocog.train("digits", changes=QUICK, out=done.path)
    assert same(done, finished)
    assert not list(done.path.glob("*.part"))
    assert not list(done.path.glob(".*.part"))


def test_the_files_of_another_run_are_not_trained_over(done: Run) -> None:
    done.recipe_file.unlink()
    before = contents(done.path)
    with pytest.raises(UsageError, match="left of a run"):
        neocog.train("digits", changes=QUICK, out=done.path)
    assert contents(done.path) == before


def test_every_file_of_a_run_is_known_by_name(finished: Run) -> None:
    begun = {".lock", finished.recipe_file.name, finished.facts_file.name}
    assert {path.name for path in finished.path.iterdir()} == begun | set(WRITTEN)


@pytest.mark.parametrize("name", ["report.html", "model.json", "events.jsonl", "facts.json", "curves.png"])
def test_a_run_takes_the_place_of_nobody_elses_files(tmp_path: Path, name: str) -> None:
    """Such as those of another program, in the folder that one works in."""
    for mine in (name, "notes.txt", ".video.mp4.part"):
        (tmp_path / mine).write_text('{"mine": 1}')
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=rf"holds {name}, which a run would write over"):
        neocog.train("digits", changes=QUICK, out=tmp_path)
    assert contents(tmp_path) == before
    (tmp_path / name).unlink()
    run = neocog.train("digits", changes=[*QUICK, "epochs=1"], out=tmp_path)
    kept = contents(run.path)
    assert kept["notes.txt"] == kept[".video.mp4.part"] == b'{"mine": 1}'


def test_a_run_takes_the_place_of_no_link(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"holds metrics\.jsonl"):
        neocog.train("digits", changes=QUICK, out=tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is no folder"):
        neocog.train("digits", changes=QUICK, out=tmp_path / "file")


# --- 9: counting in words ----------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "whole"), [(3, 0), (10, 1), (14, 1), (19, 1)])
def test_an_interrupted_training_counts_whole_epochs(tmp_path: Path, steps: int, whole: int) -> None:
    seen: list[Event] = []
    counted = itertools.count(1)
    with pytest.raises(Interrupted):
        neocog.train(
            "digits",
            changes=QUICK,
            out=tmp_path / "a",
            stop=lambda: next(counted) == steps,
            watchers=[lambda run: seen.append],
        )
    assert isinstance(seen[-1], Finished)
    assert seen[-1].epoch == whole == len(Run(tmp_path / "a").metrics())
    status = json.loads((tmp_path / "a" / "status.json").read_text())
    assert status["epoch"] == whole + 1


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        (1, "done 1 epoch, and epoch 2 is under way"),
        (0, "--epochs 0: a run has at least 1 epoch$"),
        (-3, "--epochs -3: a run has at least 1 epoch$"),
    ],
)
def test_fewer_epochs_than_are_done_are_refused(cut: Run, epochs: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        neocog.resume(cut.path, epochs=epochs)


def test_a_plan_that_is_cut_says_so_in_whole_epochs(cut: Run, tmp_path: Path) -> None:
    """Of three planned two are asked; then the last phase of two is cut away."""
    longer = Run(shutil.copytree(cut.path, tmp_path / "longer"))
    steps = itertools.count(1)
    with pytest.raises(Interrupted):
        neocog.resume(longer.path, epochs=3, stop=lambda: next(steps) == 2)
    said = remarks(resumed(longer, epochs=2))
    assert "2 epochs in place of 3: the schedule is shortened from here" in said
    phases = 'phases=[{"epochs":1},{"epochs":2}]'
    run = neocog.train("digits", changes=[*QUICK[2:], phases], out=tmp_path / "phases")
    with pytest.raises(UsageError, match="the last of the run's 2 phases begins after 1 epoch; ask for more"):
        neocog.resume(run.path, epochs=1)


def test_a_run_that_gave_up_goes_on_by_one_epoch_at_a_time(tmp_path: Path) -> None:
    """Stopped early after so many of its epochs, and so counted everywhere."""
    patient = [*QUICK, "epochs=5", "stop.patience=1", "optim.lr=1e-30"]
    run = neocog.train("digits", changes=patient, out=tmp_path / "a")
    done = run.facts()["result"]["epochs"]
    assert (run.facts()["result"]["reason"], done < 5) == ("stopped early", True)
    seen: list[Event] = []
    neocog.resume(run.path, watchers=[lambda run: seen.append])
    assert isinstance(seen[-1], Finished)
    assert seen[-1].epoch == done + 1 == run.json()["epochs"] == len(run.metrics())
    assert f"{done + 1} epochs in" in run.text()


def test_as_many_epochs_as_are_done_end_the_run(tmp_path: Path) -> None:
    counted = itertools.count(1)
    with pytest.raises(Interrupted):
        neocog.train(
            "digits", changes=[*QUICK, "epochs=4"], out=tmp_path / "a", stop=lambda: next(counted) == 20
        )
    run = open_run(tmp_path / "a")
    neocog.resume(run.path, epochs=2)
    assert run.facts()["result"] | {"reason": "done", "epochs": 2} == run.facts()["result"]
    with pytest.raises(UsageError, match="is finished"):
        neocog.resume(run.path, epochs=1)


def test_a_tensor_file_that_is_no_state_is_refused(copied_run: Run) -> None:
    tensors, document = sealed.read(copied_run.state_file)
    for lacking in ("sums/loss", "sums/right"):
        sealed.write(copied_run.state_file, {k: v for k, v in tensors.items() if k != lacking}, document)
        with pytest.raises(UnreadableError, match="is a tensor file, but no state of a training; restore it"):
            state.read(copied_run.state_file)
    sealed.write(copied_run.state_file, tensors, {k: v for k, v in document.items() if k != "scaler"})
    with pytest.raises(UnreadableError, match="no state of a training"):
        state.read(copied_run.state_file)


def test_optional_facts_of_another_kind_are_damage(copied_run: Run) -> None:
    facts = copied_run.facts()
    for name, wrong in (("left_out", []), ("coming", []), ("own", ""), ("command", 1), ("result", [])):
        copied_run.write_facts({**facts, name: wrong})
        with pytest.raises(UnreadableError, match=f"is damaged: '{name}' is .*; restore it"):
            copied_run.facts()


def test_nothing_is_written_where_the_folder_of_a_run_is_gone(copied_run: Run) -> None:
    recipe, facts = copied_run.recipe(), copied_run.facts()
    shutil.rmtree(copied_run.path)
    for write in (lambda: copied_run.write_recipe(recipe), lambda: copied_run.write_facts(facts)):
        with pytest.raises(UnreadableError, match="was emptied, removed or renamed while the training ran"):
            write()
    assert not copied_run.path.exists()


def test_a_place_that_cannot_be_looked_at_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"cannot use .*: File name too long; choose another --out"):
        Place("run", tmp_path / ("n" * 300)).require_free()


def test_a_folder_that_was_filled_before_it_was_locked_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("run", tmp_path / "run")
    claimed = Place._claimed

    def overtaken(self: Place) -> tuple[Run, bool]:
        found = claimed(self)
        (tmp_path / "run" / "model.safetensors").write_bytes(b"mine")
        return found

    monkeypatch.setattr(Place, "_claimed", overtaken)
    with pytest.raises(UsageError, match="holds what is left of a run"), place.taken():
        raise AssertionError("it was taken")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == b"mine"
