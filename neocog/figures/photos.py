"""C0 to C9 and X1: small colour photos, CIFAR-10; charts over networks."""

from __future__ import annotations

from collections.abc import Iterator

from neocog.figures.claimed.depth import CUT, ONE, PARTS
from neocog.figures.elsewhere import C8
from neocog.figures.entry import Asked, Check, Entry
from neocog.figures.optimizers import OPTIMIZERS, chart
from neocog.figures.rivals import Rivals, Way
from neocog.figures.row import Row, missing, seen
from neocog.figures.training import ABOUT, Training, course, there
from neocog.files import write_bytes
from neocog.recipes.chapters import RECIPES
from neocog.show import charts

SERIES = {"digits": ("m1", "m5", "m6", "m7", "m8", "lenet-mnist", "m10"), "C1, C2, C3": ("c1", "c2", "c3")}
"""X1's two charts."""


def _charts(asked: Asked) -> Iterator[Row]:
    """Of the runs that are there; nothing is trained for a chart."""
    for title, names in SERIES.items():
        curves = {}
        for name in names:
            run = there(RECIPES[name], asked, name)
            if run is not None:
                curves[name] = course(run)
        if len(curves) < 2:
            yield missing(
                f"the chart of {title}", "fewer than two of its networks are trained: reproduce them first"
            )
            continue
        png = charts.curves(curves, title=title, x_label="epoch", y_label="accuracy, held out")
        write_bytes(asked.file(f"X1-{title.split(',')[0]}.png"), png)
        yield seen(f"the chart of {title}", ", ".join(curves))


ENTRIES = (
    Entry("C0", "a dense network", "B", (Training(recipe="c0", remark=ABOUT),)),
    Entry("C1", "one convolution, dense 512", "A", (Training(recipe="c1"),)),
    Entry("C2", "three blocks of two convolutions", "A", (Training(recipe="c2"),)),
    Entry(
        "C3",
        "C2 with augmentation",
        "A",
        (
            Training(recipe="c3"),
            Training(
                recipe="c3",
                changes=("optim.schedule=cosine", "statistics=retaken", "precision=bfloat16"),
                what="the rate falls to nothing, and statistics are taken anew",
                remark="in bfloat16; the mean and variance are those of training pictures as they are",
            ),
        ),
    ),
    Entry("C4", "M8's network on colour", "B", (Training(recipe="c4"),)),
    Entry("C5", "C4 with two more convolutions", "B", (Training(recipe="c5"),)),
    Entry("C6", "C's network for Keras", "C", (Training(recipe="c6", outside=True),)),
    Entry(
        "C7",
        "D's network",
        "D",
        (
            Training(
                recipe="c7",
                split="printed",
                published=0.7227,
                what="training accuracy, as printed after the last epoch",
                seeds=(0, 1, 2),
            ),
            Training(recipe="c7", published="none", what="test accuracy", seeds=(0, 1, 2)),
        ),
    ),
    C8,
    Entry(
        "C9",
        "strides in place of pooling",
        "B",
        (
            Training(recipe="c9"),
            Rivals(
                what="strides do as well as pooling, or better",
                ours=Way(name="strides", recipe="c9", changes=PARTS),
                theirs=Way(name="pooling", recipe="c2", changes=PARTS),
                picture="C9-strides",
                allowed=0.01,
                remark=f"'as well' is within a point; {CUT}",
            ),
            Rivals(
                what="trained whole: strides do as well as pooling, or better",
                ours=Way(name="strides", recipe="c9"),
                theirs=Way(name="pooling", recipe="c2"),
                picture="C9-whole",
                allowed=0.01,
                kept=True,
                remark=f"'as well' is within a point; {ONE}",
            ),
        ),
    ),
    Entry(
        "X1",
        "charts over networks",
        "A, B",
        (
            Check("charts", _charts, "draws runs that are there"),
            *OPTIMIZERS,
            Check("the chart of optimizers", chart, "trains LeNet on 5,000 digits of MNIST, a minute"),
        ),
    ),
)
