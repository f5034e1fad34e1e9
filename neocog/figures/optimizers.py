"""The same network under several optimizers, as A shows it: accuracy and measured time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from neocog.figures.entry import Asked
from neocog.figures.row import Row, seen
from neocog.figures.training import Training, trained
from neocog.files import write_bytes
from neocog.optim.settings import Kind
from neocog.show import charts

DIGITS = ("data.limit=5000", "epochs=5")

OPTIMIZERS = tuple(
    Training(
        recipe="m9",
        what=f"LeNet on 5,000 digits, 5 epochs, {kind}",
        changes=(*DIGITS, f"optim.kind={kind}"),
        published="none",
        timed=True,
    )
    for kind in get_args(Kind)
)
"""Each at Keras' rate."""


def chart(asked: Asked) -> Iterator[Row]:
    """The held-out accuracy of each after every epoch."""
    curves = {}
    for kind, under in zip(get_args(Kind), OPTIMIZERS, strict=True):
        epochs = trained(under.asked, asked, name=under.recipe, seed=under.asked.seed).metrics()
        curves[kind] = [(float(e["epoch"]), float(e["val_accuracy"])) for e in epochs]
    title = "LeNet on 5,000 digits, each optimizer at Keras' rate"
    png = charts.curves(curves, title=title, x_label="epoch", y_label="accuracy, held out")
    write_bytes(asked.file("X1-optimizers.png"), png)
    yield seen("the chart of optimizers", ", ".join(curves))
