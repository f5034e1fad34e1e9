"""evaluate on the command line."""

from __future__ import annotations

from neocog.cli.command import Command
from neocog.cli.options import CHOICE, DATA, DEVICE, WEIGHTS, WHAT, Option, saved
from neocog.cli.values import groups

COMMAND = Command(
    about="Measure a trained network: accuracy with its interval, loss, per class, confusion (rows are"
    " truth).",
    example="neocog evaluate runs/mnist --report mnist.html",
    options={
        "what": WHAT,
        "split": CHOICE,
        "data": DATA,
        "group": Option(kind="texts", parse=groups, help="NAME=class,class: count these classes as one."),
        "report": saved("Write everything as one HTML page.", method="verb"),
        "out": saved("Write the confusion matrix as PNG.", short="-o"),
        "weights": WEIGHTS,
        "device": DEVICE,
    },
)
