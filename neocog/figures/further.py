"""E8: what does better than E1, by how much, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.rivals import Way, points
from neocog.figures.row import Row, claim, seen
from neocog.figures.training import epoch_seconds, right
from neocog.files import write_bytes
from neocog.runs.run import Run
from neocog.show import charts
from neocog.show.words import duration, percent, plural
from neocog.tasks.intervals import wilson
from neocog.tasks.spread import paired
from neocog.zoo.chapters import ANSWER, FLATTEN, conv, dense, dropout, pool

WITH_DROPOUT = (
    conv(32, 3), pool(), dropout(0.25), conv(64, 3), pool(), dropout(0.25), conv(128, 3), FLATTEN,
    dense(64), dropout(0.5), ANSWER,
)  # fmt: skip
"""E1's network with dropout after its pools and before its answer."""
LONGER = ("epochs=30",)
STOPPED = ("epochs=30", "data.val=none", "data.held_out=0.1", "stop.select=best", "stop.patience=3")
"""Watched are held-out pictures, not the test pictures."""
WAYS = (
    Way(name="trained for 30 epochs", recipe="e1", changes=LONGER),
    Way(name="stopped early", recipe="e1", changes=STOPPED),
    Way(name="dropout, 10 epochs", recipe="e1", layers=WITH_DROPOUT),
    Way(name="dropout, 30 epochs", recipe="e1", changes=LONGER, layers=WITH_DROPOUT),
    Way(name="C2's network, 10 epochs", recipe="e1", changes=("model.name=c2",)),
)
"""The chapter's three exercises, two of them together, and a deeper network."""
E1 = Way(name="E1", recipe="e1")


def beats(base: Way, ways: tuple[Way, ...], asked: Asked, picture: str) -> Iterator[Row]:
    """A row for `base`, and one for each of `ways`: how many more test pictures it gets right, picture by
    picture, with the 95 % interval, and what it costs. `picture` shows the courses, where something was
    watched.
    """
    runs = {way.name: way.runs(asked, [way.asked.seed])[0] for way in (base, *ways)}
    answers = {name: right(run, asked) for name, run in runs.items()}
    ours, cost = answers[base.name], _seconds(runs[base.name])
    yield seen(base.name, f"{_share(ours)}, {duration(cost)} of training")
    for way in ways:
        found = paired(ours, answers[way.name])
        times = _seconds(runs[way.name]) / cost
        epochs = plural(len(runs[way.name].metrics()), "epoch")
        said = f"{_share(answers[way.name])}, {points(found)}, {epochs}, {times:.1f} times the cost"
        verdict = found.mean > 0 if found.told_apart else None
        yield claim(f"{way.name} beats {base.name}", said, verdict)
    courses = {name: _course(run) for name, run in runs.items()}
    png = charts.curves(
        {name: course for name, course in courses.items() if course},
        title=f"what beats {base.name}",
        x_label="epoch",
        y_label="accuracy, watched",
    )
    write_bytes(asked.file(f"{picture}.png"), png)


def _seconds(run: Run) -> float:
    """What its epochs took to learn, each as long as the middle one."""
    return epoch_seconds(run) * len(run.metrics())


def _course(run: Run) -> list[tuple[float, float]]:
    return [(float(e["epoch"]), float(e["val_accuracy"])) for e in run.metrics() if "val_accuracy" in e]


def _share(right: Tensor) -> str:
    n = len(right)
    return percent(float(right.float().mean()), wilson(int(right.sum()), n))


E8 = Entry(
    "E8",
    "exercises: train further, dropout, stop early",
    "E",
    (
        Check(
            "what beats E1",
            lambda asked: beats(E1, WAYS, asked, "E8-courses"),
            "needs Fashion-MNIST's files and trains E1 and five others, more than an hour",
            light=False,
        ),
    ),
)
